"""The software pipeline as a process: frames of a feed in at one port, orders out at another.

The stages are the reference models, in Python. `session` is the same on both sides, so that the near side knows which
frames an order follows, and what it must be. Run as a program it takes its ports and the shared page as JSON.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
from dataclasses import replace
from typing import Any, NamedTuple

from tickgate.drivers.bench.pipeline import DONE, INSIDE_NS, PAGE_BYTES
from tickgate.drivers.clock import clock
from tickgate.drivers.port import Port
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import Session, SessionOptions
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import NominalRun, ReferencePipeline
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec.config import Action
from tickgate.sw.spec.sizes import DEFAULT_SIZE, sizes_named

SYMBOLS = 8
#: From one frame to the next, for what the models count in cycles.
FRAME_CYCLES = 16
#: The venue acknowledges after so many messages.
ACKNOWLEDGE_MESSAGES = 60


class Played(NamedTuple):
    """A session: its frames, one message each, and the pipeline, loaded and not yet run."""

    frames: list[bytes]
    run: NominalRun


def session(messages: int) -> Played:
    """The session of so many messages, and a pipeline with triggers and limits that suit it."""
    sizes = sizes_named(DEFAULT_SIZE)
    made = list(Session(SessionOptions(seed=1, symbols=SYMBOLS, messages=messages)).blocks())
    packer = Packer(per_packet=1)
    frames = [frame for block in made for _, frame in packer.pack(block)]
    config = derive_config(lambda: (one for block in made for one in block), sizes, Selection(top=SYMBOLS)).config
    actions = tuple(Action(at, "acknowledge") for at in range(2, messages, ACKNOWLEDGE_MESSAGES))
    pipeline = ReferencePipeline(replace(config, actions=actions), sizes, true_book=False)
    pipeline.load()
    return Played(frames, NominalRun(pipeline))


def orders_of(run: NominalRun, frame: bytes) -> list[bytes]:
    """One frame through the pipeline; the order frames that follow."""
    run.frame(frame, FRAME_CYCLES)
    run.trigger_records.clear()
    run.risk_records.clear()
    run.order_records.clear()
    orders, run.order_frames = run.order_frames, []
    return orders


def serve(feed: Port, orders: Port, words: memoryview, run: NominalRun) -> None:
    """Work until the process is ended."""
    now_ns = clock().now_ns
    while True:
        for frame in feed.recv_burst(1):
            start = now_ns()
            data = bytes(frame)
            frame.release()
            made = orders_of(run, data)
            for order in made:
                orders.send(order)
            if made:
                words[INSIDE_NS] = now_ns() - start
            words[DONE] += 1


def _opened(how: dict[str, Any]) -> Port:
    arguments: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in how.items()}
    return Port.open(**arguments)


def main() -> None:
    """The far side of `tickgate.drivers.bench.pipeline`."""
    told = json.loads(sys.argv[1])
    if told["cpu"] is not None:
        os.sched_setaffinity(0, {told["cpu"]})
    words = memoryview(mmap.mmap(told["page"], PAGE_BYTES)).cast("Q")
    run = session(told["messages"]).run
    feed, orders = _opened(told["feed"]), _opened(told["orders"])
    print("ready", flush=True)
    serve(feed, orders, words, run)


if __name__ == "__main__":
    main()
