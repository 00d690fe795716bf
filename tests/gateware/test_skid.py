"""A register in the way back: every word once, in order, in the cycle in which it comes where nothing is held up."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.lib.layouts import FRAME
from tickgate.gateware.lib.skid import Skid


def passed(faults=frozenset(), offers=0.7, takes=0.7, cycles=600):
    """Words that went in and out, each with its cycle, and whether `i.ready` ever changed within a cycle."""
    dut, rng = Skid(FRAME, faults=faults), random.Random(1)
    sent, came, moved = [], [], []

    async def testbench(ctx):
        word = 0
        for cycle in range(cycles):
            valid = ctx.get(dut.i.valid) if word else 0
            if not valid and rng.random() < offers:
                word += 1
                ctx.set(dut.i.payload, {"data": word, "count": 8, "last": word & 1, "error": 0})
                ctx.set(dut.i.valid, 1)
            seen = []
            for ready in (1, 0) if rng.random() < takes else (1, 0, 1):
                ctx.set(dut.o.ready, 1 - ready)
                seen.append(ctx.get(dut.i.ready))
            moved.append(len(set(seen)) > 1)
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                came.append((ctx.get(dut.o.payload.data), cycle))
            taken = ctx.get(dut.i.valid) and ctx.get(dut.i.ready)
            if taken:
                sent.append((word, cycle))
            await ctx.tick()
            if taken:
                ctx.set(dut.i.valid, 0)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return sent, came, any(moved)


def test_every_word_goes_on_once_and_ready_is_a_register():
    sent, came, moved = passed()
    words = [word for word, _ in came]
    assert len(words) > 200 and words == [word for word, _ in sent][: len(words)]
    assert len(sent) - len(words) <= 1 and not moved


def test_a_word_a_cycle_passes_without_waiting():
    sent, came, _ = passed(offers=1, takes=1)
    assert came == sent == [(cycle + 1, cycle) for cycle in range(600)]
    assert Skid.latency_cycles["i", "o", "word"] == (0, 0)


@pytest.mark.parametrize("fault", Skid.FAULTS)
def test_planted_faults_are_caught(fault):
    sent, came, _ = passed(frozenset({fault}))
    assert [word for word, _ in came] != [word for word, _ in sent][: len(came)]
