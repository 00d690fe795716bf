"""The device's half of a comparison: what it makes of the frames, piece by piece, ahead of the model.

The model decides nothing here, so that the device may be a piece ahead of it. Host actions write the numbers of the
order session, which only the model knows for certain: they are foreseen from the device's own records, and the writes
stand in the piece for the model to confirm.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tickgate.sw.files.packer import Frames
from tickgate.sw.model.pipeline import HostActions, RegisterWrites
from tickgate.sw.spec.config import Action, Config
from tickgate.sw.spec.events import OrderItem
from tickgate.sw.spec.sizes import Sizes

Traces = dict[str, npt.NDArray[Any]]
Errors = npt.NDArray[np.uint8] | None
T = TypeVar("T")

#: Cycles after the writes of a host action.
ACTION_CYCLES = 8

#: Threads take turns this often while device and model run beside each other.
SWITCH_S = 0.0002

_SEQ_MASK = 0xFFFFFFFF


class Compared(Protocol):
    """What a comparison asks of a device, simulated or not; `tickgate.sim.device.Device` says more of each.

    Members
    -------
    has_memories: whether `memories` can be read.
    """

    sizes: Sizes
    has_memories: bool

    def load(self, config: Config) -> None:
        """Loads a configuration and waits until the tables are clear."""

    def write_address(self, address: int, value: int) -> None:
        """Writes one 32-bit register by byte offset."""

    def step(self, cycles: int) -> None:
        """Lets `cycles` pass without input."""

    def run(self, frames: Frames, *, errors: Errors = None, gap: int) -> None:
        """Takes frames, those with a 1 in `errors` as bad ones, `gap` idle cycles behind each."""

    def inject(self, payload: bytes) -> None:
        """Hands a host message to the order session."""

    def drain(self) -> None:
        """Waits until nothing leaves any more."""

    def clear(self) -> None:
        """Forgets what was told so far."""

    def traces(self) -> Traces:
        """Trace records since the last `clear`, an array a stage."""

    def frames(self) -> Iterable[tuple[int, bytes]]:
        """(cycle of the first word, bytes) of each frame of the order session since the last `clear`."""

    def order_ends(self) -> list[tuple[int, bool]]:
        """(cycle of the last word, `error`) of each of these frames; nothing where the device does not show words."""

    def counters(self) -> dict[str, int]:
        """Counters by name."""

    def memories(self) -> dict[str, list[int]]:
        """Rows of the book's memories by name."""


@dataclass(frozen=True)
class Piece:
    """Frames that the device took in one go, from rest to rest.

    Members
    -------
    actions: host actions done before, with what was written. frames, errors: what came in. traces, orders: what came
    out; orders as (cycle of the first word, frame). ends: of each, `Compared.order_ends`. memories: the book's memories
    at rest, where a dump was due.
    """

    actions: list[tuple[Action, RegisterWrites]]
    frames: Frames
    errors: Errors
    traces: Traces
    orders: list[tuple[int, bytes]]
    ends: list[tuple[int, bool]]
    memories: dict[str, list[int]] | None


class DeviceSide:
    """Runs frames through a device in pieces that end where a host action or a dump is due.

    Parameters
    ----------
    config: what the device is loaded with. gap: idle cycles between frames. dump_every: messages between dumps, 0 for
    none.

    Members
    -------
    busy_ns: processor time so far from batches to traces: of making the batches, and of the device.
    """

    def __init__(self, config: Config, gap: int, dump_every: int):
        self.busy_ns = 0
        self._gap, self._dump_every = gap, dump_every
        self._actions = sorted(config.actions, key=lambda a: a.seq)
        self._host = HostActions(config)
        self._next_seq = config.session.get("next_seq", 0)
        self._user_ref = config.session.get("user_ref", 0)
        self._since_dump = 0

    def pieces(self, device: Compared, batches: Iterable[tuple[Frames, Errors]]) -> Iterator[Piece]:
        """What `device` makes of batches of frames; a batch may come with 1 for each frame that carries `error`."""
        for frames, errors in self._made(batches):
            start = 0
            while start < len(frames):
                acted = []
                stop = len(frames)
                while self._actions:
                    at = _frame_of(frames, self._actions[0].seq)
                    if at is None or at > start:
                        stop = stop if at is None else at
                        break
                    acted.append(self._act(device, self._actions.pop(0)))
                if self._dump_every:
                    messages = np.cumsum(np.maximum(frames.counts[start:], 1))
                    due = max(1, self._dump_every - self._since_dump)
                    stop = min(stop, start + int(np.searchsorted(messages, due)) + 1)
                yield self._run(
                    device, acted, frames.select(start, stop), None if errors is None else errors[start:stop]
                )
                start = stop

    def _made(self, batches: Iterable[tuple[Frames, Errors]]) -> Iterator[tuple[Frames, Errors]]:
        following = iter(batches)
        while True:
            began = time.thread_time_ns()
            batch = next(following, None)
            self.busy_ns += time.thread_time_ns() - began
            if batch is None:
                return
            yield batch

    def _act(self, device: Compared, action: Action) -> tuple[Action, RegisterWrites]:
        writes = self._host.writes(action, self._next_seq, self._user_ref)
        for address, value in writes:
            device.write_address(address, value)
        device.step(ACTION_CYCLES)
        return action, writes

    def _run(
        self, device: Compared, acted: list[tuple[Action, RegisterWrites]], frames: Frames, errors: Errors
    ) -> Piece:
        began = time.thread_time_ns()
        device.clear()
        device.run(frames, errors=errors, gap=self._gap)
        device.drain()
        traces = device.traces()
        self.busy_ns += time.thread_time_ns() - began
        orders = traces["orders"]
        sent = orders[(orders["item"] != OrderItem.KILLED) & (orders["item"] != OrderItem.VOID)]
        if len(sent):  # a poisoned order's numbers are the next one's again
            kept = int(sent["length"][-1]) if sent["item"][-1] != OrderItem.POISONED else 0
            self._next_seq = int(sent["tcp_seq"][-1]) + kept & _SEQ_MASK
        own = sent[sent["item"] != OrderItem.INJECT]
        if len(own):
            self._user_ref = int(own["user_ref"][-1]) + int(own["item"][-1] == OrderItem.ORDER) & _SEQ_MASK
        memories = None
        self._since_dump += len(traces["itch"])
        if self._dump_every and self._since_dump >= self._dump_every:
            self._since_dump %= self._dump_every
            memories = device.memories() if device.has_memories else None
        return Piece(acted, frames, errors, traces, list(device.frames()), device.order_ends(), memories)


def _frame_of(frames: Frames, seq: int) -> int | None:
    """First frame of the batch that brings sequence number `seq` or a later one."""
    last = frames.first_sequence + np.maximum(frames.counts, 1).astype(np.uint64)
    later = np.flatnonzero(last > np.uint64(seq))
    return int(later[0]) if len(later) else None


@contextmanager
def _switching() -> Iterator[None]:
    """Threads take turns more often: one that has let others run, as the device does for as long as it works, waits for
    up to this interval until it goes on."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, SWITCH_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """`items`, of which a thread makes the next one while the caller looks at one.

    An exception in making one is raised where that one is due. When the generator is closed no item is being made, also
    where Ctrl-C comes while the last one is waited for: what they are made of may be taken down then.
    """
    with _switching(), ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        try:
            while (item := coming.result()) is not None:
                coming = pool.submit(next, items, None)
                yield item
        finally:
            while not coming.done():
                with suppress(KeyboardInterrupt):
                    wait([coming])
