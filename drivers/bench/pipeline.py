"""End to end: a market data frame out of one port, through the software pipeline, until its order is in at another.

The pipeline runs in a process of its own (`pipeline_far`) behind two links. The near side sends a session frame by
frame, each when the one before was dealt with, and times those that an order follows.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tickgate.drivers.bench.peers import Program
from tickgate.drivers.errors import PortError
from tickgate.drivers.netns import Namespace
from tickgate.drivers.port import Port

if TYPE_CHECKING:
    from tickgate.drivers._clock import Clock
    from tickgate.drivers._histogram import Histogram

PAGE_BYTES = 4096
#: Words of the page that both sides share: frames done; how long the last frame that an order followed took the far
#: side, from receipt to sending, in ns.
DONE, INSIDE_NS = 0, 1
#: Paths that the pipeline is also run over, where they are chosen.
PATHS = ("udp", "packet", "xdp-skb", "shm")
#: How long the far side may take to start, and a frame to be dealt with, in seconds.
START_S, PATIENCE_S = 60.0, 2.0


@dataclass
class Ends:
    """The ports of the near side, and how the far side opens its own (arguments of `Port.open`).

    Members: ``space``, where the far side runs, None: here; ``held``, descriptors that it inherits.
    """

    feed: Port
    orders: Port
    far: dict[str, dict[str, Any]]
    space: Namespace | None = None
    held: tuple[int, ...] = ()


class Expected:
    """The frames of a session, and the orders that follow each."""

    def __init__(self, messages: int) -> None:
        from tickgate.drivers.bench.pipeline_far import orders_of, session

        played = session(messages)
        self.frames = played.frames
        self.orders = [orders_of(played.run, frame) for frame in played.frames]


class Pipeline:
    """A far side that is up, with the near ports; it continues in the session where it stopped."""

    def __init__(self, ends: Ends, program: Program, words: memoryview) -> None:
        self.ends, self.program = ends, program
        self._words = words
        self._at = 0

    def play(self, expected: Expected, count: int, clock: Clock, whole: Histogram, inside: Histogram) -> None:
        """The next `count` frames of the session; times in ns of those that an order follows.

        Into `whole`: from before a frame is given to the feed port until its first order was taken; into `inside`: from
        its receipt by the far side until its orders were given to a port.

        Raises: PortError where a frame or an order does not come, or an order is not the model's.
        """
        self.program.work()
        try:
            for frame, orders in zip(
                expected.frames[self._at : self._at + count], expected.orders[self._at : self._at + count], strict=True
            ):
                start = clock.now_ns()
                self._send(frame)
                for number, order in enumerate(orders):
                    got = self._next()
                    if not number:
                        took = clock.now_ns() - start
                    if got != order:
                        raise PortError("the pipeline sent another order than the model makes")
                self._at += 1
                self._await_done()
                if orders:
                    whole.record(took)
                    inside.record(self._words[INSIDE_NS])
        finally:
            self.program.rest()

    def _send(self, frame: bytes) -> None:
        end = time.monotonic() + PATIENCE_S
        while not self.ends.feed.send(frame):
            if time.monotonic() > end:
                raise PortError("the pipeline: a frame could not be sent")

    def _next(self) -> bytes:
        end, recv_burst = time.monotonic() + PATIENCE_S, self.ends.orders.recv_burst
        while time.monotonic() < end:
            for _ in range(256):
                for frame in recv_burst(1):
                    data = bytes(frame)
                    frame.release()
                    return data
        raise PortError("the pipeline: an order did not come")

    def _await_done(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while self._words[DONE] < self._at:
            if time.monotonic() > end:
                raise PortError("the pipeline: a frame did not come")


@contextmanager
def started(ends: Ends, messages: int, cpu: int | None) -> Iterator[Pipeline]:
    """The far side, started and then stopped; killed at the end, and with this process.

    Raises: PortError where it does not come up, with its last line.
    """
    page = os.memfd_create("tickgate", 0)
    try:
        os.ftruncate(page, PAGE_BYTES)
        told = json.dumps({"cpu": cpu, "page": page, "messages": messages, **ends.far})
        words = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tickgate.drivers.bench.pipeline_far", told]
        popen = subprocess.Popen if ends.space is None else ends.space.popen
        process = popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=0, pass_fds=(page, *ends.held),
        )  # fmt: skip
        try:
            said = process.stdout
            assert said is not None
            if not select.select([said], [], [], START_S)[0] or said.readline() != b"ready\n":
                process.kill()
                lines = process.communicate()[1].decode(errors="replace").strip().splitlines()
                raise PortError(f"the pipeline did not start: {lines[-1] if lines else 'nothing was said'}")
            program = Program(process)
            program.rest()
            with memoryview(mmap.mmap(page, PAGE_BYTES)).cast("Q") as shared:
                yield Pipeline(ends, program, shared)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()
    finally:
        os.close(page)
