"""A shared port: whole frames, the most urgent first, none but the first sender's longer than the limit."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.arbiter import LIMIT_WORDS, CopyStore, PortArbiter

#: Of a port that four senders share, and words of their frames.
PRIORITY = ("orders", "copy", "control", "telemetry")
SIZES = {"orders": (14, 40), "copy": (14, 16), "control": (4, 16), "telemetry": (4, 24)}


def frame_of(rng, sender, number, length):
    """Words (data, count, last, error) that tell whose they are."""
    words = [((sender << 32 | number << 16 | at), 8, 0, 0) for at in range(length)]
    return [*words[:-1], (words[-1][0], rng.randint(1, 8), 1, int(rng.random() < 0.1))]


def put(ctx, port, word):
    ctx.set(port.valid, word is not None)
    if word is not None:
        ctx.set(port.payload, dict(zip(("data", "count", "last", "error"), word, strict=True)))


def got(ctx, port):
    return tuple(ctx.get(port.payload[name]) for name in ("data", "count", "last", "error"))


def simulate(dut, testbench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def run_arbiter(seed=1, faults=frozenset(), cycles=4000):
    """What is wrong with what left, in words."""
    rng = random.Random(seed)
    dut = PortArbiter(PRIORITY, faults=faults)
    offered = {s: [] for s in range(4)}
    out, found = [], set()
    told = 0

    async def testbench(ctx):
        nonlocal told
        waiting, pause = {s: [] for s in range(4)}, {s: rng.randint(0, 60) for s in range(4)}
        for _ in range(cycles):
            for s, name in enumerate(PRIORITY):
                if not waiting[s]:
                    pause[s] -= 1
                    if pause[s] <= 0:
                        waiting[s] = frame_of(rng, s, len(offered[s]), rng.randint(*SIZES[name]))
                        offered[s].append(list(waiting[s]))
                        pause[s] = rng.randint(0, 150)
                put(ctx, getattr(dut, f"i_{name}"), waiting[s][0] if waiting[s] else None)
            ctx.set(dut.o.ready, rng.random() < 0.8)
            fresh = [s for s in range(4) if waiting[s] and len(waiting[s]) == len(offered[s][-1])]
            taken = [s for s in range(4) if waiting[s] and ctx.get(getattr(dut, f"i_{PRIORITY[s]}").ready)]
            if any(s in fresh and min(fresh) < s for s in taken):
                found.add("overtaken")
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                out.append(got(ctx, dut.o))
            told += ctx.get(dut.cut)
            await ctx.tick()
            for s in taken:
                waiting[s].pop(0)

    simulate(dut, testbench)
    numbers, cuts, frame = {s: [] for s in range(4)}, 0, []
    for word in out:
        frame.append(word)
        if not word[2]:
            continue
        sender, number = frame[0][0] >> 32, frame[0][0] >> 16 & 0xFFFF
        numbers[sender].append(number)
        sent = offered[sender][number]
        if sender and len(sent) > LIMIT_WORDS:
            cuts += 1
            sent = [*sent[: LIMIT_WORDS - 1], (sent[LIMIT_WORDS - 1][0], 8, 1, 1)]
        if frame != sent:
            found.add("changed")
        frame = []
    if any(n != list(range(len(n))) for n in numbers.values()):
        found.add("out of order")
    if told - cuts not in (0, 1):
        found.add("cuts told wrong")
    assert min(len(n) for n in numbers.values()) > 5 and cuts > 5
    return found


@pytest.mark.parametrize("seed", range(3))
def test_arbiter_sends_whole_frames_by_priority_and_cuts_what_is_too_long(seed):
    assert run_arbiter(seed) == set()


@pytest.mark.parametrize(
    ("fault", "shows"),
    (
        ("least_urgent_first", "overtaken"),
        ("switches_inside", "changed"),
        ("limit_ignored", "changed"),
        ("cut_in_silence", "changed"),
    ),
)
def test_arbiter_with_a_planted_fault_is_caught(fault, shows):
    try:
        found = run_arbiter(1, frozenset({fault}))
    except AssertionError:
        assert fault == "limit_ignored"
        return
    assert shows in found


@pytest.mark.parametrize(
    ("senders", "limited", "length"),
    [
        pytest.param(("orders",), True, 50, id="one-sender"),
        pytest.param(("copy", "punt"), False, 190, id="no-limit"),
    ],
)
def test_arbiter_of_one_sender_or_without_a_limit_cuts_nothing(senders, limited, length):
    dut, frame, out = PortArbiter(senders, limited=limited), frame_of(random.Random(1), 0, 0, length), []

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        for word in [*frame, None, None]:
            put(ctx, getattr(dut, f"i_{senders[-1]}"), word)
            if ctx.get(dut.o.valid):
                out.append(got(ctx, dut.o))
            assert not ctx.get(dut.cut)
            await ctx.tick()

    simulate(dut, testbench)
    assert out == frame


def test_arbiter_holds_an_order_up_for_no_longer_than_the_limit():
    """The wait is a latency class of its own: the rest of a frame that left already."""
    dut, waits = PortArbiter(PRIORITY), []

    async def testbench(ctx):
        ctx.set(dut.o.ready, 1)
        for late in range(LIMIT_WORDS + 2):
            telemetry = frame_of(random.Random(1), 3, 0, LIMIT_WORDS)
            order, cycle, done = frame_of(random.Random(1), 0, 0, 4), 0, False
            while telemetry or order:
                put(ctx, dut.i_telemetry, telemetry[0] if telemetry else None)
                put(ctx, dut.i_orders, order[0] if order and cycle >= late else None)
                taken = [
                    words
                    for port, words in ((dut.i_telemetry, telemetry), (dut.i_orders, order))
                    if ctx.get(port.valid) and ctx.get(port.ready)
                ]
                if not done and any(words is order for words in taken):
                    waits.append(cycle - late)
                    done = True
                await ctx.tick()
                cycle += 1
                for words in taken:
                    words.pop(0)
            put(ctx, dut.i_telemetry, None)
            put(ctx, dut.i_orders, None)
            await ctx.tick().repeat(3)

    simulate(dut, testbench)
    assert waits[0] == 0 and max(waits) == LIMIT_WORDS - 1


def run_copies(faults=frozenset()):
    dut, rng = CopyStore(32, faults=faults), random.Random(3)
    sent, out, lost = [], [], 0

    async def testbench(ctx):
        nonlocal lost
        words = []
        for cycle in range(3000):
            if not words and rng.random() < 0.2:
                sent.append(frame_of(rng, 1, len(sent), rng.randint(1, LIMIT_WORDS)))
                words = list(sent[-1])
            put(ctx, dut.i, words.pop(0) if words and rng.random() < 0.9 else None)
            ctx.set(dut.o.ready, rng.random() < (0.2 if cycle < 2700 else 1))
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                out.append(got(ctx, dut.o))
            lost += ctx.get(dut.lost)
            await ctx.tick()

    simulate(dut, testbench)
    frames, frame = [], []
    for word in out:
        frame.append(word)
        if word[2]:
            frames.append(frame)
            frame = []
    whole = all(frame in sent for frame in frames)
    return whole, len(frames), lost, len(sent)


def test_copies_are_whole_or_lost_and_told():
    whole, kept, lost, sent = run_copies()
    assert whole and kept > 20 and lost > 20
    assert sent - 1 <= kept + lost <= sent
    whole, kept, lost, sent = run_copies(frozenset({"torn"}))
    assert not whole or kept + lost < sent - 1


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="a port has one sender at least"):
        PortArbiter(())
    with pytest.raises(ValueError, match="depth must be more than 16, not 16"):
        CopyStore(16)
