"""Narrow counters and the memory of their wraps are counters of full width, in every cycle."""

import random
import re

import pytest
from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.sim import Simulator

from tickgate.gateware.lib.wraps import Wraps, step_max

NUMBER, BITS, COUNT_BITS = 21, 10, 4
FIRST = 0b1101
CYCLES = 12000


def play(seed: int = 1, **options) -> int:
    """Counters at all speeds, one read in each cycle, and a reset in mid-run; returns how many wraps there were.

    Raises
    ------
    AssertionError: a counter that is not told as it is.
    """
    rng = random.Random(seed)
    dut = Wraps(NUMBER, BITS, COUNT_BITS, first=FIRST, **options)
    m = Module()
    reset = Signal()
    m.submodules.dut = ResetInserter(reset)(dut)
    most = step_max(NUMBER, BITS)
    wraps = 0

    async def testbench(ctx):
        nonlocal wraps
        counts = [0] * NUMBER
        # Some stand still, some always grow as fast as they may, some as it comes.
        speeds = [rng.choice((0.0, 0.02, 0.5, 1.0, 1.0)) for _ in range(NUMBER)]
        expected: list[tuple[int, int] | None] = [None, None]
        for cycle in range(CYCLES):
            if cycle == CYCLES // 2:
                ctx.set(reset, 1)
                await ctx.tick()
                ctx.set(reset, 0)
                counts, expected = [0] * NUMBER, [None, None]
            for at, count in enumerate(counts):
                ctx.set(getattr(dut, f"top_{at}"), count >> BITS - 1 & 1)
            select, looks = rng.randrange(NUMBER), rng.random() < 0.8
            ctx.set(dut.select, select)
            ctx.set(dut.look, looks)
            if now := expected.pop(0):
                at, count = now
                top = count >> BITS - 1 & 1
                got = ctx.get(dut.count) + (ctx.get(dut.top) & (1 - top))
                want = (count >> BITS) + FIRST
                assert got % (1 << COUNT_BITS) == want % (1 << COUNT_BITS), f"counter {at} in cycle {cycle}"
            expected.append((select, counts[select]) if looks else None)
            for at, speed in enumerate(speeds):
                grown = counts[at] + (rng.randint(1, most) if speed < 1 else most) * (rng.random() < speed)
                wraps += grown >> BITS != counts[at] >> BITS
                counts[at] = grown
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return wraps


@pytest.mark.parametrize("seed", range(3))
def test_wraps_make_whole_counters_of_narrow_ones(seed):
    assert play(seed) > NUMBER << COUNT_BITS - 2


@pytest.mark.parametrize("fault", Wraps.FAULTS)
def test_wraps_fault_is_caught(fault):
    with pytest.raises(AssertionError, match="counter .* in cycle"):
        play(faults=frozenset({fault}))


@pytest.mark.parametrize(("number", "bits"), ((3, 10), (100, 11)))
def test_wraps_refuse_counters_that_may_wrap_unseen(number, bits):
    with pytest.raises(ValueError, match=re.escape(f"{number} counters of {bits} bits cannot be visited")):
        Wraps(number, bits, 4)
