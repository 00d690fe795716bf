"""Token bucket: how many orders may leave in any window of time."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
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
    burst: In(16), tokens of the full bucket. burst_any: In(1), it is not 0.
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
    burst_any: In(1)
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
        period = Signal(32, reset_less=True)
        # What is there, and what a full bucket has beyond that. A take is counted a cycle after it was told.
        tokens, missing, counts = Signal(16), Signal(16, reset_less=True), Signal()
        # Cycles to the next refill; the whole period while the bucket is full, and in the cycle after, by one too many.
        timer, was_full = Signal(32, reset_less=True), Signal()
        # Comparisons are made a cycle ahead and kept, so that neither `ready` nor what follows `took` waits for one. Of
        # what `took` changes the timer takes nothing but `full`, a cycle late.
        some, full, due, soon = Signal(), Signal(init=1), Signal(), Signal()
        one_missing, every_cycle, every_second, every_third = Signal(), Signal(), Signal(), Signal()
        loaded = Signal()

        # A load in the cycle of the take has filled the bucket since. A token that is back after one cycle never left.
        take, refill = Signal(), Signal()
        m.d.comb += take.eq(self.took & ~loaded & ~(full & every_cycle))
        if "never_refilled" not in self._faults:
            m.d.comb += refill.eq(due & ~full)
        m.d.comb += [
            self.tokens.eq(tokens + Cat(refill ^ counts, (counts & ~refill).replicate(15))),  # 1, 0 or -1
            self.ready.eq(Mux(self.load, self.burst_any, some | refill | (soon & ~full))),
        ]
        # One that is returned to a full bucket, or to one that a refill fills in this cycle, is one too many.
        back = Signal()
        m.d.comb += back.eq(self.returned & ~(full | (refill & one_missing)))
        if "refund_overflows" in self._faults:
            m.d.comb += back.eq(self.returned)

        m.d.sync += [loaded.eq(self.load), was_full.eq(full), counts.eq(take)]
        two_missing = Mux(counts, missing == 1, missing == 2)
        three_missing = Mux(counts, missing == 2, missing == 3)
        # What is so without a take stands beside what is with one: a take, which comes from far away, only chooses.
        one, both = refill ^ back, refill & back
        full_untaken = full | (one & one_missing) | (both & two_missing)
        one_untaken = (one & two_missing) | (both & three_missing) | (~(one | both) & one_missing)
        one_taken = (refill & one_missing) | (~refill & full)
        m.d.sync += [
            full.eq(full_untaken & ~take),
            one_missing.eq((one_untaken & ~take) | (one_taken & take)),
            some.eq(refill | back | (some & ~(take & (tokens == 1)))),
        ]
        # What comes and goes in a cycle: -1, 0, 1 or 2.
        less = counts & ~refill & ~back
        step = Cat(refill ^ back ^ counts, less | (refill & back & ~counts), less.replicate(14))
        with m.If(refill | back | counts):
            m.d.sync += [tokens.eq(tokens + step), missing.eq(missing - step)]

        # A full bucket has its whole period before it.
        with m.If(full):
            m.d.sync += [due.eq(every_second), soon.eq(every_third)]
        with m.Elif(due):
            m.d.sync += [due.eq(every_cycle), soon.eq(every_second)]
        with m.Else():
            m.d.sync += [due.eq(soon), soon.eq(timer == Mux(was_full, 4, 3))]
        m.d.sync += timer.eq(Mux(full | due, period, timer + Cat(~was_full, Const(-1, 31))))
        with m.If(self.load):
            m.d.sync += [
                period.eq(self.period_cycles),
                every_cycle.eq(self.period_cycles == 1),
                every_second.eq(self.period_cycles == 2),
                every_third.eq(self.period_cycles == 3),
                tokens.eq(self.burst),
                missing.eq(0),
                counts.eq(0),
                some.eq(self.burst_any),
                full.eq(1),
                one_missing.eq(0),
            ]
        return m
