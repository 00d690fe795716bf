import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from tickgate.gateware.book.pricing import LEVEL_STAGES, PriceToLevel, fraction_bits, offset_bits, shortened
from tickgate.sw.spec.sizes import LADDER, Sizes
from tickgate.sw.spec.state import OrderClass
from tickgate.sw.spec.units import RECIPROCALS, TICKS_E4


@pytest.mark.parametrize("levels", [64, 256, 1024, 4096])
@pytest.mark.parametrize("tick", range(len(TICKS_E4)))
def test_shortened_reciprocal_divides_every_offset_exactly(levels, tick):
    sizes = Sizes(levels=levels)
    tick_e4 = TICKS_E4[tick]
    offsets = np.arange(1 << offset_bits(sizes), dtype=np.uint64)
    reciprocal = shortened(RECIPROCALS[tick], sizes)
    products = offsets * np.uint64(reciprocal)
    fractions = products & np.uint64((1 << fraction_bits(sizes)) - 1)
    assert np.array_equal(products >> np.uint64(fraction_bits(sizes)), offsets // np.uint64(tick_e4))
    assert np.array_equal(fractions < np.uint64(reciprocal), offsets % np.uint64(tick_e4) == 0)


def test_price_to_level_classifies_like_a_division():
    sizes = LADDER["small"]
    rng = random.Random(1)
    cases = []
    for tick, tick_e4 in enumerate(TICKS_E4):
        base_e4, span_e4 = 700 * tick_e4, sizes.levels * tick_e4
        window = {"base_e4": base_e4, "span_e4": span_e4, "tick_e4": tick_e4,
                  "reciprocal": shortened(RECIPROCALS[tick], sizes)}  # fmt: skip
        edges = [base_e4, base_e4 - 1, base_e4 + span_e4, base_e4 + span_e4 - 1, base_e4 + span_e4 - tick_e4, 1,
                 (1 << 32) - 1]  # fmt: skip
        prices = edges + [base_e4 + rng.randrange(span_e4) for _ in range(30)]
        prices += [base_e4 + tick_e4 * rng.randrange(sizes.levels) for _ in range(30)]
        cases += [(window, price_e4) for price_e4 in prices]
    dut = PriceToLevel(sizes)
    found = []

    async def bench(ctx):
        ctx.set(dut.valid, 1)
        for n in range(len(cases) + LEVEL_STAGES):
            if n < len(cases):
                ctx.set(dut.window, cases[n][0])
                ctx.set(dut.price_e4, cases[n][1])
            if n >= LEVEL_STAGES:
                found.append((ctx.get(dut.level), ctx.get(dut.buy_class), ctx.get(dut.sell_class)))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()
    placed, far, off = OrderClass.PLACED, OrderClass.FAR, OrderClass.OFF
    for (window, price_e4), (level, buy, sell) in zip(cases, found, strict=True):
        offset = price_e4 - window["base_e4"]
        if offset < 0:
            assert (buy, sell) == (far, off)
        elif offset >= window["span_e4"]:
            assert (buy, sell) == (off, far)
        elif offset % window["tick_e4"]:
            assert (buy, sell) == (off, off)
        else:
            assert (buy, sell, level) == (placed, placed, offset // window["tick_e4"])
