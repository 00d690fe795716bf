"""Counts of a histogram, in every cycle."""

import random

import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator

from tickgate.gateware.lib.histogram import Histogram
from tickgate.sw.spec.telemetry import BINS, bin_of

CYCLES = 4000
#: From a latency until it is told.
COUNT_CYCLES = 3
SWEEP = BINS + 1


def play(seed: int = 1, **options) -> None:
    """Latencies of few bins, close behind each other, a bin looked at in every cycle, and a reset in mid-run.

    Raises
    ------
    AssertionError: a bin that is not told as it is.
    """
    rng = random.Random(seed)
    dut, reset, m = Histogram(**options), Signal(), Module()
    m.submodules.dut = ResetInserter(reset)(dut)

    async def testbench(ctx):
        for _ in range(2):
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            counts, waiting = [0] * BINS, [None] * COUNT_CYCLES
            for cycle in range(CYCLES):
                if cycle % 100 == 0:
                    few = rng.sample(range(40), rng.choice((1, 2, 3, 30)))
                    busy = rng.choice((1.0, 0.6, 0.1))
                valid, late, select = rng.random() < busy, rng.choice(few), bin_of(rng.choice(few))
                ctx.set(dut.valid, valid)
                ctx.set(dut.latency_cycles, late)
                ctx.set(dut.select, select)
                waiting.append(bin_of(late) if valid and cycle >= SWEEP else None)
                if (came := waiting.pop(0)) is not None:
                    counts[came] += 1
                if cycle > SWEEP + COUNT_CYCLES:
                    assert ctx.get(dut.count) == counts[select], f"bin {select} in cycle {cycle}"
                await ctx.tick()
            assert sum(counts) > CYCLES // 2

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def test_bins_are_told_as_they_are_in_every_cycle():
    play()


@pytest.mark.parametrize("fault", sorted(Histogram.FAULTS))
def test_planted_faults_of_histograms_are_found(fault):
    with pytest.raises(AssertionError, match=r"bin \d+ in cycle"):
        play(faults=frozenset((fault,)))
