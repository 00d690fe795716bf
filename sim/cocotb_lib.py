"""What the cocotb benches share: clock and reset, stream drivers and monitors, gap patterns, row writes.

Streams are driven and watched at the level of records: payloads are dictionaries of the fields of a
`tickgate.sw.spec.records.Record`.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from tickgate.sw.spec.records import Record

Pattern = Callable[[random.Random], Iterator[bool]]


def seed() -> int:
    """The run's seed, which the wrapper prints."""
    return int(os.environ.get("TICKGATE_SEED", "1"))


def full() -> bool:
    """Whether the long version of the bench was asked for (`FULL=1`)."""
    return os.environ.get("TICKGATE_FULL") == "1"


def never(_: random.Random) -> Iterator[bool]:
    """No idle cycle and no back-pressure."""
    while True:
        yield False


def sometimes(share: float) -> Pattern:
    """Pauses in a random share of the cycles."""

    def pattern(rng: random.Random) -> Iterator[bool]:
        while True:
            yield rng.random() < share

    return pattern


def bursts(run: int, pause: int) -> Pattern:
    """Runs and pauses of random lengths up to `run` and `pause` cycles."""

    def pattern(rng: random.Random) -> Iterator[bool]:
        while True:
            yield from [False] * rng.randint(1, run)
            yield from [True] * rng.randint(1, pause)

    return pattern


#: The gap patterns every stage is crossed with, by name.
PATTERNS: dict[str, Pattern] = {
    "none": never,
    "quarter": sometimes(0.25),
    "most": sometimes(0.8),
    "bursts": bursts(40, 20),
}


_clock: Clock | None = None


async def start(dut: Any, cycles: int = 3) -> None:
    """Starts the clock, zeroes every input but the one that chooses a fault, and holds the reset for `cycles`."""
    for name in os.environ["TICKGATE_INPUTS"].split(","):
        if name not in ("clk", "rst"):
            getattr(dut, name).value = int(os.environ["TICKGATE_FAULT"]) if name == "fault_select" else 0
    dut.rst.value = 1
    global _clock
    if _clock is not None:  # a test that starts over has one clock all the same
        with contextlib.suppress(RuntimeError):
            _clock.stop()
    _clock = Clock(dut.clk, 10, unit="ns")
    _clock.start()
    for _ in range(cycles):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


async def reset(dut: Any, cycles: int = 2) -> None:
    """Resets in mid-run."""
    dut.rst.value = 1
    for _ in range(cycles):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)


def count_now(dut: Any) -> None:
    """Drives the `now` input of a component with the cycle count."""

    async def run() -> None:
        now = 0
        while True:
            dut.now.value = now
            now += 1
            await RisingEdge(dut.clk)

    cocotb.start_soon(run())


class StreamDriver:
    """Sends records into an input stream, with idle gaps.

    Parameters
    ----------
    dut, port: the stream is `<port>__payload`, `<port>__valid` and, unless it is always ready, `<port>__ready`.
    layout: its record.
    idle: gap pattern.
    rng: source of the gaps.
    """

    def __init__(self, dut: Any, port: str, layout: Record, idle: Pattern = never, rng: random.Random | None = None):
        self._dut, self._layout = dut, layout
        self._payload = getattr(dut, f"{port}__payload")
        self._valid = getattr(dut, f"{port}__valid")
        self._ready = getattr(dut, f"{port}__ready", None)
        self._gaps = idle(rng or random.Random(seed()))
        self._valid.value = 0

    async def send(self, values: dict[str, int], gap: bool = True) -> None:
        """Presents one record after the pattern's gap and returns when it was taken."""
        while gap and next(self._gaps):
            await RisingEdge(self._dut.clk)
        self._payload.value = self._layout.pack(values)
        self._valid.value = 1
        while True:
            await RisingEdge(self._dut.clk)
            if self._ready is None or int(self._ready.value):
                break
        self._valid.value = 0

    async def send_all(self, items: list[dict[str, int]]) -> None:
        """Sends several records."""
        for values in items:
            await self.send(values)


class StreamMonitor:
    """Takes records from an output stream, with back-pressure, and holds it to the rules of streams.

    Members
    -------
    items: the records taken, as dictionaries.
    cycles: the clock edge, counted from the monitor's start, at which each was taken.
    """

    def __init__(self, dut: Any, port: str, layout: Record, backpressure: Pattern = never,
                 rng: random.Random | None = None):  # fmt: skip
        self.items: list[dict[str, int]] = []
        self.cycles: list[int] = []
        self._dut, self._layout, self._port = dut, layout, port
        self._payload = getattr(dut, f"{port}__payload")
        self._valid = getattr(dut, f"{port}__valid")
        self._ready = getattr(dut, f"{port}__ready", None)
        self._gaps = backpressure(rng or random.Random(seed() + 1))
        self._task = cocotb.start_soon(self._run())

    def stop(self) -> None:
        """Takes nothing more, so that another monitor may watch the port."""
        self._task.cancel()

    async def _run(self) -> None:
        pending: int | None = None
        edge = 0
        while True:
            ready = not next(self._gaps)
            if self._ready is not None:
                self._ready.value = int(ready)
            await RisingEdge(self._dut.clk)
            edge += 1
            if int(self._dut.rst.value):
                pending = None
                continue
            valid = int(self._valid.value)
            payload = int(self._payload.value) if valid else None
            if self._ready is not None and pending is not None:
                assert valid, f"{self._port}: valid fell before the transfer"
                assert payload == pending, f"{self._port}: payload changed before the transfer"
            if valid and (self._ready is None or ready):
                assert payload is not None
                self.items.append(self._layout.unpack(payload))
                self.cycles.append(edge)
                pending = None
            else:
                pending = payload


async def write_row(dut: Any, port: str, layout: Record, values: dict[str, int], select: int = 0) -> None:
    """Commits one configuration row through a `RowPort`."""
    getattr(dut, f"{port}__row").value = layout.pack(values)
    getattr(dut, f"{port}__select").value = select
    getattr(dut, f"{port}__commit").value = 1
    await RisingEdge(dut.clk)
    getattr(dut, f"{port}__commit").value = 0


async def idle(dut: Any, cycles: int) -> None:
    """Waits for `cycles` clock edges."""
    for _ in range(cycles):
        await RisingEdge(dut.clk)


class Latencies:
    """Measured cycles, held to a component's `latency_cycles`: of each row, the least and the most."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], set[int]] = defaultdict(set)

    def add(self, source: str, sink: str, event: str, cycles: int) -> None:
        """One more measurement of a row."""
        self._seen[source, sink, event].add(cycles)

    def hold(self, table: Mapping[tuple[str, str, str], tuple[int, int]]) -> None:
        """Every row was measured, and took what is stated at least and at most.

        Raises
        ------
        AssertionError: a row was not measured or took another number of cycles, or one was measured that is not stated.
        """
        assert self._seen.keys() == table.keys(), f"measured {sorted(self._seen)}, stated {sorted(table)}"
        for row, stated in table.items():
            seen = min(self._seen[row]), max(self._seen[row])
            assert seen == tuple(stated), f"{row}: {seen[0]} to {seen[1]} cycles, stated are {stated[0]} to {stated[1]}"


def frame_words(frame: bytes, error: bool = False) -> list[dict[str, int]]:
    """A frame as FRAME_WORD records."""
    words = []
    for at in range(0, len(frame), 8):
        chunk = frame[at : at + 8]
        last = at + 8 >= len(frame)
        words.append({"data": int.from_bytes(chunk, "little"), "count": len(chunk), "last": int(last),
                      "error": int(error and last)})  # fmt: skip
    return words


def word_frames(words: list[dict[str, int]]) -> list[bytes]:
    """FRAME_WORD records as the frames that they make up; an unfinished frame is left out."""
    frames, current = [], b""
    for word in words:
        current += word["data"].to_bytes(8, "little")[: word["count"]]
        if word["last"]:
            frames.append(current)
            current = b""
    return frames
