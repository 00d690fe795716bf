"""Token bucket: how many orders may leave in any window of time."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class TokenBucket(wiring.Component):
    """A bucket of `burst` tokens that gets one back every `period_cycles` while it is not full.

    If a token is taken from the full bucket in cycle c, refills come in c + T, c + 2T, ... until it is full again. A
    refill counts before a take of the same cycle, `load` after it: it takes burst and period over, fills the bucket and
    stops the timer. Empty and without a timer after reset.

    `ready` is told one cycle early, and a take one cycle late, so that a verdict has time to be made; everything is as
    if both had been told in time. `ready` in the cycle of a take and in the one after it does not know of that take:
    takes are at least three cycles apart.

    A token may be returned: the bucket is then as if it had never been taken, whatever came back since. Between its
    take and its return no other one is taken.

    Members
    -------
    load: In(1), take `burst` and `period_cycles` over.
    burst: In(16), tokens of the full bucket.
    period_cycles: In(32), cycles for one token, 1 or more.
    took: In(1), a token was taken in the cycle before; only where there was one.
    returned: In(1), the token taken last comes back, after a refill of the same cycle; not in a cycle of `took`.
    ready: Out(1), there is a token in the next cycle, one that comes back in that cycle included.
    tokens: Out(16), how many there are, one that comes back in this cycle included.
    """

    FAULTS = {
        "never_refilled": "no token ever comes back",
        "refund_overflows": "a token is returned to a full bucket",
    }

    load: In(1)
    burst: In(16)
    period_cycles: In(32)
    took: In(1)
    returned: In(1)
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
        # Comparisons are made a cycle ahead and kept, so that neither `ready` nor what follows `took` waits for one.
        some, full, due, soon = Signal(), Signal(init=1), Signal(), Signal()
        one_missing, every_cycle, every_second, loaded = Signal(), Signal(), Signal(), Signal()

        # A load in the cycle of the take has filled the bucket since. A token that is back after one cycle never left.
        take = Signal()
        m.d.comb += take.eq(self.took & ~loaded & ~(full & every_cycle))
        refill = Const(0) if "never_refilled" in self._faults else due
        m.d.comb += [
            self.tokens.eq(tokens + refill),
            self.ready.eq(Mux(self.load, self.burst != 0, some | refill | (soon & ~full))),
        ]
        # One that is returned to a full bucket, or to one that a refill fills in this cycle, is one too many.
        back = Signal()
        m.d.comb += back.eq(self.returned & ~(full | (refill & one_missing)))
        if "refund_overflows" in self._faults:
            m.d.comb += back.eq(self.returned)
        restart, full_next = Signal(), Signal()
        m.d.comb += [restart.eq(due | (full & ~take) | (back & one_missing)), full_next.eq(full)]
        m.d.sync += loaded.eq(self.load)
        # A full bucket has its whole period before it, and stays so until something is taken.
        with m.If(~full | self.took | self.load | back):
            with m.If(take & ~refill):
                m.d.comb += full_next.eq(0)
                m.d.sync += [tokens.eq(tokens - 1), missing.eq(missing + 1), some.eq(tokens != 1), one_missing.eq(full)]
            with m.If((refill ^ back) & ~take):
                m.d.comb += full_next.eq(one_missing)
                m.d.sync += [tokens.eq(tokens + 1), missing.eq(missing - 1), some.eq(1), one_missing.eq(missing == 2)]
            with m.If(refill & back):
                m.d.comb += full_next.eq(missing == 2)
                m.d.sync += [tokens.eq(tokens + 2), missing.eq(missing - 2), some.eq(1), one_missing.eq(missing == 3)]
            m.d.sync += [
                full.eq(full_next),
                timer.eq(Mux(restart, period, timer - 1)),
                due.eq(Mux(restart, every_cycle, soon) & ~full_next),
                soon.eq(Mux(restart, every_second, timer == 3)),
            ]
        with m.If(self.load):
            m.d.sync += [
                period.eq(self.period_cycles),
                every_cycle.eq(self.period_cycles == 1),
                every_second.eq(self.period_cycles == 2),
                timer.eq(self.period_cycles),
                tokens.eq(self.burst),
                missing.eq(0),
                some.eq(self.burst != 0),
                full.eq(1),
                one_missing.eq(0),
                due.eq(0),
                soon.eq(self.period_cycles == 2),
            ]
        return m
