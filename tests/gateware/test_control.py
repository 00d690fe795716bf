"""Stage control: frames, the bus and answers against the model; the bench holds the same in more depth on Verilator."""

import gc
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.control import Control
from tickgate.gateware.registers import READ_CYCLES
from tickgate.sim import control_scenarios
from tickgate.sim.control_scenarios import Stimulus, register_value
from tickgate.sw.model import control as model
from tickgate.sw.spec import control
from tickgate.sw.spec.control import Operation

LATENCIES = Control.latency_cycles


class Play:
    """Frames into the component, one behind the other, and everything that it does.

    Members
    -------
    operations: (cycle, "read" or "write", address, value) on the bus.
    answers: (cycle of the first word's transfer, bytes).
    messages: (cycle of the first word's `valid`, bytes) for the order session.
    ends: cycle of each frame's last word.
    """

    def __init__(self, dut: Control, stimuli, rng: random.Random, *, granted=1.0, ready=1.0, wait=True):
        self.dut, self.rng, self.granted, self.ready = dut, rng, granted, ready
        self.operations, self.answers, self.messages, self.ends = [], [], [], []
        self._message, self._message_at = b"", None
        self.cycle, self.written, self.counters = 0, {}, {}
        self.valid_at = []
        self.idle = 0
        self._current, self._began, self._pending, self._due = b"", 0, None, []
        self._wait = wait
        simulator = Simulator(dut)
        simulator.add_clock(1e-8)
        self._stimuli = stimuli
        simulator.add_testbench(self._run)
        simulator.run()

    async def _tick(self, ctx):
        """One cycle: the bus answers, the output is taken, and both are held to their rules."""
        dut, bus = self.dut, self.dut.bus
        granted, ready = self.rng.random() < self.granted, self.rng.random() < self.ready
        ctx.set(dut.granted, granted)
        ctx.set(dut.o.ready, ready)
        self._take_message(ctx)
        due = self._due.pop(0) if len(self._due) >= READ_CYCLES else None
        ctx.set(bus.r_valid, due is not None)
        ctx.set(bus.r_data, due or 0)
        answer = None
        address, value = ctx.get(bus.addr), ctx.get(bus.w_data)
        if granted and ctx.get(bus.w_en):
            self.operations.append((self.cycle, "write", address, value))
            self.written[address] = value
        if granted and ctx.get(bus.r_en):
            answer = register_value(address, self.written)
            self.operations.append((self.cycle, "read", address, answer))
        self._due.append(answer)
        self.idle += 1
        if ctx.get(bus.w_en) or ctx.get(bus.r_en):
            self.idle = 0
        if ctx.get(dut.o.valid):
            self.idle = 0
            word = ctx.get(dut.o.payload.as_value())
            assert self._pending in (None, word), "the word changed before its transfer"
            self._pending = None if ready else word
            if not self._current and (not self.valid_at or self.valid_at[-1][0] != len(self.answers)):
                self.valid_at.append((len(self.answers), self.cycle))
            if ready:
                if not self._current:
                    self._began = self.cycle
                self._current += (word & (1 << 64) - 1).to_bytes(8, "little")[: word >> 64 & 15]
                if word >> 68 & 1:
                    self.answers.append((self._began, self._current))
                    self._current = b""
        else:
            assert self._pending is None, "valid fell before the transfer"
        await ctx.tick()
        self.cycle += 1

    def _take_message(self, ctx):
        out = self.dut.o_inject
        if not ctx.get(out.valid):
            return
        ready = self.rng.random() < self.ready
        ctx.set(out.ready, ready)
        self.idle = 0
        assert ctx.get(self.dut.inject_claim), "a message that claimed nothing"
        if self._message_at is None:
            self._message_at = self.cycle
        if ready:
            count = ctx.get(out.payload.count)
            assert count == 8 or ctx.get(out.payload.last)
            self._message += ctx.get(out.payload.data).to_bytes(8, "little")[:count]
            if ctx.get(out.payload.last):
                self.messages.append((self._message_at, self._message))
                self._message, self._message_at = b"", None

    async def _run(self, ctx):
        dut = self.dut
        for stimulus, gap in self._stimuli:
            ctx.set(dut.armed, stimulus.armed)
            ctx.set(dut.inject_free, stimulus.free)
            for at in range(0, len(stimulus.frame), 8):
                chunk = stimulus.frame[at : at + 8]
                last = at + 8 >= len(stimulus.frame)
                ctx.set(dut.i.payload.data, int.from_bytes(chunk, "little"))
                ctx.set(dut.i.payload.count, len(chunk))
                ctx.set(dut.i.payload.last, last)
                ctx.set(dut.i.payload.error, last and stimulus.error)
                ctx.set(dut.i.valid, 1)
                if last:
                    self.ends.append(self.cycle)
                await self._tick(ctx)
                ctx.set(dut.i.valid, 0)
                while not last and self.rng.random() < 0.15:
                    await self._tick(ctx)
            self.idle = 0
            for _ in range(gap):
                await self._tick(ctx)
            while self._wait and self.idle < 30:
                await self._tick(ctx)
        for _ in range(60):
            await self._tick(ctx)
        self.counters = {name: ctx.get(dut.counters[name]) for name in Control.COUNTERS}


def compare(stimuli, play: Play) -> model.Control:
    """Holds a run to the model, which serves every frame.

    Raises
    ------
    AssertionError: an operation, an answer or a counter differs.
    """
    written: dict[int, int] = {}
    free = True
    reference = model.Control(
        lambda address: register_value(address, written), written.__setitem__, lambda message: free
    )
    operations, answers, messages = [], [], []
    for stimulus in stimuli:
        free = stimulus.free
        served = reference.frame(stimulus.frame, stimulus.armed, stimulus.error)
        operations += [("read", address) for address in served.reads]
        operations += [("write", address, value) for address, value in served.writes]
        answers += [served.frame] if served.frame else []
        messages += [served.message] if served.message else []
    found = [(what, *([at] if what == "read" else [at, value])) for _, what, at, value in play.operations]
    assert found == operations
    assert [message for _, message in play.messages] == messages
    assert [frame for _, frame in play.answers] == answers
    assert play.counters == reference.counters
    return reference


def session(seed, count: int):
    rng = random.Random(seed)
    return list(control_scenarios.stimuli(rng, count))


@pytest.mark.parametrize(("granted", "ready"), ((1.0, 1.0), (0.6, 1.0), (1.0, 0.4), (0.5, 0.5)))
def test_control_serves_as_the_model_does(granted, ready):
    rng = random.Random(f"{granted} {ready}")
    stimuli = session(f"{granted} {ready}", 120)
    play = Play(Control(), [(s, rng.choice((3, 3, 10))) for s in stimuli], rng, granted=granted, ready=ready)
    counters = compare(stimuli, play).counters
    assert all(counters[name] for name in Control.COUNTERS if name != "control_busy"), counters


def latencies(operation: Operation, count: int, *, repeat: bool = False, bad: bool = False):
    """Cycles from a request's last word to the answer's first one, and to the first operation on the bus."""
    entries = tuple((4 * n + bad, n) for n in range(count))
    hello = Stimulus(control.encode(Operation.HELLO, 5, 0))
    request = Stimulus(control.encode(operation, 5, 1, entries))
    stimuli = [hello, request, *([request] if repeat else [])]
    if operation == Operation.HELLO:
        stimuli = [hello]
    play = Play(Control(), [(s, 3) for s in stimuli], random.Random(1))
    compare(stimuli, play)
    at = play.ends[-1]
    first = next((cycle - at for cycle, *_ in play.operations if cycle > at), None)
    return play.valid_at[-1][1] - at, first


def test_control_latencies_are_those_of_the_table():
    most = control.ENTRIES_MAX
    assert latencies(Operation.WRITE, 3, repeat=True) == (LATENCIES["i", "o", "repeat"][0], None)
    assert latencies(Operation.WRITE, 3, bad=True) == (LATENCIES["i", "o", "refused"][0], None)
    for operation, name, enable in (
        (Operation.WRITE, "write", "bus__w_en"),
        (Operation.READ, "read", "bus__r_en"),
    ):
        low, high = LATENCIES["i", "o", name]
        bus = LATENCIES["i", enable, name][0]
        assert latencies(operation, 1) == (low, bus) and latencies(operation, most) == (high, bus)
    assert latencies(Operation.HELLO, 0)[0] == LATENCIES["i", "o", "hello"][0]


def inject_latencies(size: int, *, free: bool = True):
    """Cycles from the last word of an INJECT to the answer's first one, and to the message's."""
    hello = Stimulus(control.encode(Operation.HELLO, 5, 0))
    request = Stimulus(control.encode(Operation.INJECT, 5, 1, message=bytes(range(size))), free=free)
    play = Play(Control(), [(hello, 3), (request, 3)], random.Random(1))
    compare((hello, request), play)
    return play.valid_at[-1][1] - play.ends[-1], *(at - play.ends[-1] for at, _ in play.messages)


def test_control_latencies_of_messages_are_those_of_the_table():
    low, high = LATENCIES["i", "o", "inject"]
    first = LATENCIES["i", "o_inject", "inject"][0]
    assert inject_latencies(1) == inject_latencies(8) == (low, first)
    assert inject_latencies(control.INJECT_SIZE_MAX) == (high, first)
    assert inject_latencies(9, free=False) == inject_latencies(0) == (LATENCIES["i", "o", "refused"][0],)


def test_control_writes_of_a_request_follow_each_other_in_consecutive_cycles():
    entries = tuple((0x100 + 4 * n, n) for n in range(control.ENTRIES_MAX))
    frames = (control.encode(Operation.HELLO, 5, 0), control.encode(Operation.WRITE, 5, 1, entries))
    stimuli = [Stimulus(frame) for frame in frames]
    play = Play(Control(), [(s, 3) for s in stimuli], random.Random(1))
    cycles = [cycle for cycle, what, *_ in play.operations if what == "write"]
    assert cycles == list(range(cycles[0], cycles[0] + control.ENTRIES_MAX))


def test_control_frame_that_comes_meanwhile_is_dropped_and_counted():
    """Frames as close as the wire allows: what begins while another one is under way is lost whole, and only that."""
    for ready in (1.0, 0.2):
        rng = random.Random(f"busy {ready}")
        hello = Stimulus(control.encode(Operation.HELLO, 5, 0))
        flood = [Stimulus(control.encode(Operation.READ, 5, 1, tuple((4 * n, 0) for n in range(12))))] * 12
        play = Play(Control(), [(hello, 40), *((s, 3) for s in flood)], rng, ready=ready, wait=False)
        counters = play.counters
        assert counters["control_busy"] and counters["control_requests"] == 2
        assert counters["control_busy"] + counters["control_repeats"] + counters["control_requests"] == 13
        assert len({frame for _, frame in play.answers}) == 2
        assert len(play.answers) == 13 - counters["control_busy"]


def test_control_frames_that_are_dropped_do_not_shut_the_next_one_out():
    rng = random.Random(3)
    hello = Stimulus(control.encode(Operation.HELLO, 5, 0))
    foreign = [Stimulus(bytes(rng.randrange(1, 140))) for _ in range(30)]
    stimuli = [*foreign, hello]
    play = Play(Control(), [(s, 3) for s in stimuli], rng, wait=False)
    compare(stimuli, play)


def test_control_reset_closes_the_session():
    fresh = model.Control(lambda address: 0)
    request = control.encode(Operation.READ, 5, 1, ((0, 0),))
    assert Play(Control(), [(Stimulus(request), 3)], random.Random(1)).answers == []
    assert fresh.frame(request).frame == b""


@pytest.mark.parametrize("fault", Control.FAULTS)
def test_control_planted_fault_is_caught(fault):
    def check():
        for seed in range(3):
            rng = random.Random(seed)
            stimuli = session(seed, 60)
            play = Play(Control(faults=frozenset({fault})), [(s, 3) for s in stimuli], rng)
            compare(stimuli, play)

    with pytest.raises(AssertionError):
        check()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_control_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="fault must be one of"):
        Control(faults=frozenset({"nothing"}))
    gc.collect()  # while the half-made component may still complain
