"""A token bucket against its rule, one cycle at a time."""

import copy
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.lib.tokens import TokenBucket


class PlainBucket:
    """The rule word for word, one cycle at a time."""

    def __init__(self):
        self.tokens = self.burst = self.period = 0
        self.refills: int | None = None  # cycle of the next refill, while not full
        self.untaken: PlainBucket | None = None  # as it would be without the last take

    def cycle(self, now: int, want: bool, load: tuple[int, int] | None, back: bool = False) -> tuple[int, bool]:
        if self.untaken is not None:
            self.untaken.cycle(now, False, load)
            if back:
                self.tokens, self.refills = self.untaken.tokens, self.untaken.refills
                self.untaken = None
                return self.tokens if load is None else -1, False
        if self.refills == now:
            self.tokens += 1
            self.refills = None if self.tokens == self.burst else now + self.period
        before, took = self.tokens, want and self.tokens > 0
        if took:
            self.untaken = copy.copy(self)
            self.untaken.untaken = None
            if self.tokens == self.burst:
                self.refills = now + self.period
            self.tokens -= 1
        if load is not None:
            self.burst, self.period = load
            self.tokens, self.refills = self.burst, None
            if took:
                self.untaken = copy.copy(self)
        return before, took


def run(dut: TokenBucket, testbench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def drive(ctx, dut: TokenBucket, took: bool, load: tuple[int, int] | None) -> None:
    """The inputs of a cycle: whether a token was taken in the one before, and burst and period of a row."""
    ctx.set(dut.took, took)
    ctx.set(dut.load, load is not None)
    if load is not None:
        ctx.set(dut.burst, load[0])
        ctx.set(dut.burst_any, load[0] != 0)
        ctx.set(dut.period_cycles, load[1])


@pytest.mark.parametrize("gap", [3, 4, 7])
def test_token_bucket_matches_the_rule_word_for_word(gap):
    rng, plain, dut = random.Random(gap), PlainBucket(), TokenBucket()

    async def testbench(ctx):
        took, last, ready, shown = False, -gap, False, -gap
        for now in range(4000):
            load = None
            if rng.random() < 0.02:
                load = (rng.choice((0, 1, 1, 2, 3, 40, 0xFFFF)), rng.choice((1, 1, 2, 2, 3, 4, 5, 7, 19)))
            want = now - last >= gap and rng.random() < 0.5
            drive(ctx, dut, took, load)
            before, took = plain.cycle(now, want, load)
            if want:
                last = now
            # A take shows in `tokens` two cycles later, in `ready` three.
            if now - shown >= 2:
                assert ctx.get(dut.tokens) == before, f"cycle {now}"
            if now - shown >= 3:
                assert ready == (before > 0), f"cycle {now}"
            if took:
                shown = now
            ready = bool(ctx.get(dut.ready))
            await ctx.tick()

    run(dut, testbench)


@pytest.mark.parametrize("gap", [5, 7, 12])
def test_token_bucket_with_a_token_returned_is_as_if_it_had_never_been_taken(gap):
    rng, plain, dut = random.Random(gap), PlainBucket(), TokenBucket()
    returned = 0

    async def testbench(ctx):
        nonlocal returned
        took, last, shown = False, -gap, -gap
        for now in range(6000):
            load = None
            if rng.random() < 0.01:
                load = (rng.choice((0, 1, 1, 2, 3, 9, 40)), rng.choice((1, 1, 2, 2, 3, 4, 5, 7, 19)))
            want = now - last >= gap and rng.random() < 0.5
            # Not in the cycle in which a take is told, and no take between it and its return.
            back = not want and plain.untaken is not None and now - last >= 2 and load is None and rng.random() < 0.2
            drive(ctx, dut, took, load)
            ctx.set(dut.returned, back)
            before, took = plain.cycle(now, want, load, back)
            returned += back
            if want:
                last = now
            if back:
                shown = now - 1  # it shows in the next cycle
            elif now - shown >= 2:
                assert ctx.get(dut.tokens) == before, f"cycle {now}"
            if took:
                shown = now
            await ctx.tick()

    run(dut, testbench)
    assert returned > 100
