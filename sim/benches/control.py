"""Bench of stage `control`: frames of every kind against the model, with a bus that is shared and an output held up."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib, control_scenarios
from tickgate.sim.control_scenarios import Stimulus, register_value
from tickgate.sw.model import control as model
from tickgate.sw.spec import control
from tickgate.sw.spec.control import Operation
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.sizes import Sizes

STAGE = "control"
EXPECTED_TESTS = 4
_SERVED = "frames_are_served_as_the_model_serves_them"
FAULTS = {
    "repeat_executed": _SERVED,
    "source_ignored": _SERVED,
    "nonce_cut": _SERVED,
    "stale_served": _SERVED,
    "address_unchecked": _SERVED,
    "error_ignored": _SERVED,
    "takeover_armed": _SERVED,
    "short_count": _SERVED,
    "busy_ignored": _SERVED,
    "message_cut_unseen": _SERVED,
    "message_in_words": _SERVED,
}
#: Cycles without anything on the bus or the output after which a frame is done with.
QUIET_CYCLES = 30


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.control import Control

    return Control(faults=faults)


class Bus:
    """Answers the bus as the registers do, while it is granted.

    Members
    -------
    operations: ("read", address) and ("write", address, value) in order.
    written: values by address.
    last: edge, counted from the start, of the last operation or word of an answer.
    """

    def __init__(self, dut: Any, shared: cocotb_lib.Pattern, rng: random.Random):
        self.operations: list[tuple[Any, ...]] = []
        self.written: dict[int, int] = {}
        self.edge = self.last = 0
        self._dut, self._gaps = dut, shared(rng)
        self._task = cocotb.start_soon(self._run())

    def stop(self) -> None:
        """No more answers."""
        self._task.cancel()

    async def _run(self) -> None:
        from tickgate.gateware.registers import READ_CYCLES

        dut = self._dut
        due: list[int | None] = [None] * (READ_CYCLES - 1)
        while True:
            granted = not next(self._gaps)
            dut.granted.value = int(granted)
            await RisingEdge(dut.clk)
            self.edge += 1
            answer = None
            if (
                int(dut.o__valid.value)
                or int(dut.o_inject__valid.value)
                or int(dut.bus__w_en.value)
                or int(dut.bus__r_en.value)
            ):
                self.last = self.edge
            address = int(dut.bus__addr.value)
            if granted and int(dut.bus__w_en.value):
                self.written[address] = int(dut.bus__w_data.value)
                self.operations.append(("write", address, self.written[address]))
            if granted and int(dut.bus__r_en.value):
                answer = register_value(address, self.written)
                self.operations.append(("read", address))
            due.append(answer)
            now = due.pop(0)
            dut.bus__r_valid.value, dut.bus__r_data.value = int(now is not None), now or 0


async def play(dut: Any, stimuli: list[Stimulus], rng: random.Random, shared: str, pressure: str, idle: str,
               wait: bool = True) -> tuple[Bus, list[bytes], list[bytes], dict[str, int]]:  # fmt: skip
    """Gives the frames one behind the other: the bus's log, the answers, the messages, the counters."""
    await cocotb_lib.start(dut)
    bus = Bus(dut, cocotb_lib.PATTERNS[shared], rng)
    driver = cocotb_lib.StreamDriver(dut, "i", FRAME_WORD, cocotb_lib.PATTERNS[idle], rng)
    monitor = cocotb_lib.StreamMonitor(dut, "o", FRAME_WORD, cocotb_lib.PATTERNS[pressure], rng)
    messages = cocotb_lib.StreamMonitor(dut, "o_inject", FRAME_WORD, cocotb_lib.PATTERNS[pressure], rng)
    for stimulus in stimuli:
        dut.armed.value, dut.inject_free.value = int(stimulus.armed), int(stimulus.free)
        await driver.send_all(cocotb_lib.frame_words(stimulus.frame, stimulus.error))
        bus.last = bus.edge
        await cocotb_lib.idle(dut, rng.choice((3, 3, 12)))
        while wait and bus.edge - bus.last < QUIET_CYCLES:
            await RisingEdge(dut.clk)
    await cocotb_lib.idle(dut, 400)
    monitor.stop()
    messages.stop()
    bus.stop()
    packed = int(dut.counters.value)
    counters = {name: packed >> 32 * n & 0xFFFFFFFF for n, name in enumerate(model.COUNTERS)}
    return bus, cocotb_lib.word_frames(monitor.items), cocotb_lib.word_frames(messages.items), counters


def check(
    stimuli: list[Stimulus], bus: Bus, answers: list[bytes], messages: list[bytes], counters: dict[str, int]
) -> None:
    """Holds a run to the model.

    Raises
    ------
    AssertionError: an operation, an answer, a message or a counter differs.
    """
    written: dict[int, int] = {}
    free = True
    reference = model.Control(
        lambda address: register_value(address, written), written.__setitem__, lambda message: free
    )
    operations: list[tuple[Any, ...]] = []
    frames, injected = [], []
    for stimulus in stimuli:
        free = stimulus.free
        served = reference.frame(stimulus.frame, stimulus.armed, stimulus.error)
        operations += [("read", address) for address in served.reads]
        operations += [("write", *write) for write in served.writes]
        frames += [served.frame] if served.frame else []
        injected += [served.message] if served.message else []
    assert bus.operations == operations, "the bus was used in another way"
    assert messages == injected, f"{len(messages)} messages, {len(injected)} were due"
    assert answers == frames, f"{len(answers)} answers, {len(frames)} were due"
    assert counters == reference.counters, f"{counters}, not {reference.counters}"


@cocotb.test()
async def frames_are_served_as_the_model_serves_them(dut: Any) -> None:
    """Every kind of frame, with the bus shared, the output held up, and gaps inside frames."""
    count = 400 if cocotb_lib.full() else 100
    for shared, pressure, idle in (
        ("none", "none", "none"), ("quarter", "none", "quarter"), ("most", "most", "none"),
        ("bursts", "bursts", "bursts"),
    ):  # fmt: skip
        rng = random.Random(f"{cocotb_lib.seed()} {shared} {pressure} {idle}")
        stimuli = list(control_scenarios.stimuli(rng, count))
        check(stimuli, *await play(dut, stimuli, rng, shared, pressure, idle))


@cocotb.test()
async def frames_that_come_meanwhile_are_lost_whole_and_counted(dut: Any) -> None:
    """Requests without waiting for answers: each is served, repeated, or lost and counted; none is served in part."""
    for pressure in ("none", "most"):
        rng = random.Random(f"{cocotb_lib.seed()} {pressure}")
        entries = tuple((4 * n, n) for n in range(control.ENTRIES_MAX))
        stimuli = [Stimulus(control.encode(Operation.HELLO, 5, 0))]
        stimuli += [Stimulus(control.encode(Operation.WRITE, 5, n // 8 + 1, entries)) for n in range(200)]
        bus, answers, _, counters = await play(dut, stimuli, rng, "quarter", pressure, "none", wait=False)
        assert counters["control_busy"] and counters["control_requests"] > 3, counters
        assert sum(counters.values()) == len(stimuli), counters
        assert counters["control_foreign"] == counters["control_malformed"] == 0
        assert len(answers) == counters["control_requests"] + counters["control_repeats"]
        writes = [operation for operation in bus.operations if operation[0] == "write"]
        assert writes == [("write", *entry) for entry in entries] * (counters["control_requests"] - 1)


@cocotb.test()
async def reset_closes_the_session(dut: Any) -> None:
    """A request of the session from before a reset is foreign after it."""
    rng = random.Random(cocotb_lib.seed())
    hello = Stimulus(control.encode(Operation.HELLO, 5, 0))
    request = Stimulus(control.encode(Operation.READ, 5, 1, ((0, 0),)))
    _, answers, _, _ = await play(dut, [hello, request], rng, "none", "none", "none")
    assert len(answers) == 2
    _, answers, _, counters = await play(dut, [request, hello, request], rng, "none", "none", "none")
    assert len(answers) == 2 and counters["control_foreign"] == 1


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """From a frame's last word to the bus and to the answer, for the fewest and the most entries."""
    from tickgate.gateware.control import Control

    await cocotb_lib.start(dut)
    bus = Bus(dut, cocotb_lib.never, random.Random(cocotb_lib.seed()))
    dut.o__ready.value = dut.o_inject__ready.value = 1
    found = cocotb_lib.Latencies()

    async def served(frame: bytes) -> dict[str, int]:
        """Cycles from the last word to each enable, to the last answer of the bus, and to the first word out."""
        for word in cocotb_lib.frame_words(frame):
            dut.i__payload.value, dut.i__valid.value = FRAME_WORD.pack(word), 1
            await RisingEdge(dut.clk)
        dut.i__valid.value = 0
        cycles: dict[str, int] = {}
        for cycle in range(1, 60):
            await RisingEdge(dut.clk)
            for name in ("bus__w_en", "bus__r_en", "o_inject__valid", "o__valid"):
                if int(getattr(dut, name).value):
                    cycles.setdefault(name, cycle)
            if int(dut.bus__r_valid.value):
                cycles["bus__r_valid"] = cycle
        return cycles

    hello = await served(control.encode(Operation.HELLO, 5, 0))
    found.add("i", "o", "hello", hello["o__valid"])
    sequence = 0
    for operation, name, enable in (
        (Operation.WRITE, "write", "bus__w_en"),
        (Operation.READ, "read", "bus__r_en"),
    ):
        for count in (1, 5, control.ENTRIES_MAX):
            for bad in (0, 1):
                sequence += 1
                frame = control.encode(operation, 5, sequence, tuple((4 * n + bad, n) for n in range(count)))
                first, again = await served(frame), await served(frame)
                found.add("i", "o", "repeat", again["o__valid"])
                if bad:
                    found.add("i", "o", "refused", first["o__valid"])
                    continue
                found.add("i", "o", name, first["o__valid"])
                found.add("i", enable, name, first[enable])
                if "bus__r_valid" in first:
                    found.add("bus__r_valid", "o", "read", first["o__valid"] - first["bus__r_valid"])
    for free in (0, 1):
        dut.inject_free.value = free
        for size in (1, 8, 9, control.INJECT_SIZE_MAX):
            sequence += 1
            message = await served(control.encode(Operation.INJECT, 5, sequence, message=bytes(size)))
            found.add("i", "o", "inject" if free else "refused", message["o__valid"])
            if free:
                found.add("i", "o_inject", "inject", message["o_inject__valid"])
    bus.stop()
    found.hold(Control.latency_cycles)
