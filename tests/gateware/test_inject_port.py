"""Two senders of host messages: each message whole, and none begins where a claim was told that it is free."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.lib.inject_port import InjectPort


def run(seed=1, faults=frozenset(), cycles=9000):
    """Messages that were given by sender, and those that left; a message is words (sender, number, word)."""
    dut, rng = InjectPort(faults=faults), random.Random(seed)
    given, left, refused = {0: [], 1: []}, [], 0

    async def testbench(ctx):
        nonlocal refused
        waiting = {0: [], 1: []}
        left_message, store_full, claim = [], 0, 0
        for _ in range(cycles):
            # The store takes a message whole, then none for a time.
            ctx.set(dut.o.ready, not store_full)
            if not waiting[0] and rng.random() < 0.1:
                given[0].append([(0, len(given[0]), n) for n in range(rng.randint(1, 10))])
                waiting[0] = list(given[0][-1])
            ctx.set(dut.first.valid, bool(waiting[0]) and (ctx.get(dut.first.valid) or rng.random() < 0.7))
            if claim:
                claim -= 1
                if not claim and not waiting[1]:
                    ctx.set(dut.claim, 0)
            elif rng.random() < 0.05:
                claim = rng.randint(8, 20)
                ctx.set(dut.claim, 1)
                if ctx.get(dut.free):
                    given[1].append([(1, len(given[1]), n) for n in range(rng.randint(1, 10))])
                    waiting[1] = list(given[1][-1])
                    pause = rng.randint(0, 3)
                else:
                    refused += 1
            if waiting[1]:
                claim = max(claim, 2)
                pause -= pause > 0
            ctx.set(dut.second.valid, bool(waiting[1]) and not pause)
            for number, port in enumerate((dut.first, dut.second)):
                if waiting[number]:
                    sender, message, word = waiting[number][0]
                    last = len(waiting[number]) == 1
                    ctx.set(port.payload, {"data": sender << 40 | message << 8 | word, "count": 8, "last": last})
            if waiting[1] and ctx.get(dut.second.valid):
                assert ctx.get(dut.second.ready), "what was free is not"
            taken = [n for n, p in enumerate((dut.first, dut.second)) if ctx.get(p.valid) and ctx.get(p.ready)]
            if store_full:
                store_full -= 1
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                data = ctx.get(dut.o.payload.data)
                left_message.append((data >> 40, data >> 8 & 0xFFFFFFFF, data & 0xFF))
                if ctx.get(dut.o.payload.last):
                    left.append(list(left_message))
                    left_message.clear()
                    store_full = rng.randint(2, 30)
            await ctx.tick()
            for number in taken:
                waiting[number].pop(0)
                if number == 0 and not waiting[0]:
                    ctx.set(dut.first.valid, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return given, left, refused


@pytest.mark.parametrize("seed", range(3))
def test_messages_of_both_senders_leave_whole(seed):
    given, left, refused = run(seed)
    for sender in range(2):
        mine = [message for message in left if message[0][0] == sender]
        assert mine == given[sender][: len(mine)] and len(given[sender]) - len(mine) <= 1
        assert len(mine) > 25
    assert refused > 10


def test_planted_fault_is_caught():
    try:
        given, left, _ = run(faults=frozenset({"claim_breaks_in"}))
    except AssertionError:
        return
    assert not all(message in given[message[0][0]] for message in left)


def test_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        InjectPort(faults=frozenset({"nonsense"}))
