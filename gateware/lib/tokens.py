"""Token bucket: how many orders may leave in any window of time."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class TokenBucket(wiring.Component):
    """A bucket of `burst` tokens that gets one back every `period_cycles` while it is not full.

    If a token is taken from the full bucket in cycle c, refills come in c + T, c + 2T, ... until it is full again. A
    refill counts before a take of the same cycle, `load` after it: it takes burst and period over, fills the bucket and
    stops the timer. Empty and without a timer after reset.

    A take is told one cycle late, in the cycle after the one in which `ready` was looked at, so that a verdict has time
    to be made; everything is as if it had been told in time. A cycle that follows one with a take does not show in its
    `ready` and `tokens` that the token is gone: takes are at least two cycles apart.

    Members
    -------
    load: In(1), take `burst` and `period_cycles` over.
    burst: In(16), tokens of the full bucket.
    period_cycles: In(32), cycles for one token, 1 or more.
    took: In(1), a token was taken in the cycle before; only where `ready` was 1.
    ready: Out(1), there is a token, one that comes back in this cycle included.
    tokens: Out(16), how many there are, one that comes back in this cycle included.
    """

    FAULTS = {"never_refilled": "no token ever comes back"}

    load: In(1)
    burst: In(16)
    period_cycles: In(32)
    took: In(1)
    ready: Out(1)
    tokens: Out(16)

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = faults
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        period = Signal(32)
        tokens, missing = Signal(16), Signal(16)  # what is there, and what a full bucket has beyond that
        timer = Signal(32)  # cycles to the next refill; the whole period while the bucket is full
        # Comparisons are kept beside the counts, so that none stands between `took` and a register.
        some, full, due = Signal(), Signal(init=1), Signal()
        every_cycle, loaded = Signal(), Signal()

        m.d.comb += [self.ready.eq(some | due), self.tokens.eq(tokens + due)]
        # A load in the cycle of the take has filled the bucket since. A token that is back after one cycle never left.
        take = Signal()
        m.d.comb += take.eq(self.took & ~loaded & ~(full & every_cycle))

        full_next, timer_next = Signal(), Signal(32)
        m.d.comb += full_next.eq(full)
        with m.If(take & ~due):
            m.d.comb += full_next.eq(0)
            m.d.sync += [tokens.eq(tokens - 1), missing.eq(missing + 1), some.eq(tokens != 1)]
        with m.If(due & ~take):
            m.d.comb += full_next.eq(missing == 1)
            m.d.sync += [tokens.eq(tokens + 1), missing.eq(missing - 1), some.eq(1)]
        m.d.comb += timer_next.eq(Mux(due | (full & ~take), period, timer - 1))
        m.d.sync += [full.eq(full_next), timer.eq(timer_next), loaded.eq(self.load)]
        if "never_refilled" not in self._faults:
            m.d.sync += due.eq((timer_next == 1) & ~full_next)
        with m.If(self.load):
            m.d.sync += [
                period.eq(self.period_cycles),
                timer.eq(self.period_cycles),
                every_cycle.eq(self.period_cycles == 1),
                tokens.eq(self.burst),
                missing.eq(0),
                some.eq(self.burst != 0),
                full.eq(1),
                due.eq(0),
            ]
        return m
