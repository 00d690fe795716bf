"""A latency histogram: one memory of counts, readable while it counts."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.logic import first_one
from tickgate.sw.spec.telemetry import BINS, LINEAR_BINS

_BIN_BITS = (BINS - 1).bit_length()
#: Bits of a latency below the range of the last bin.
_REACH = LINEAR_BINS.bit_length() - 1 + (BINS - LINEAR_BINS) // 2


def bin_number(latency) -> object:
    """The bin of a latency, as `tickgate.sw.spec.telemetry.bin_of` says."""
    low = LINEAR_BINS.bit_length() - 1
    tops = range(_REACH - 1, low - 1, -1)
    above, place = first_one(Cat(latency[top] for top in tops))
    # Two bins for every highest bit; the bit below it tells which.
    half = Array(latency[top - 1] for top in tops)[place]
    found = Mux(above, Cat(half, ~place, Const(1, 1)), latency[:low])
    return Mux(latency[_REACH:].any(), BINS - 1, found)[:_BIN_BITS]


class Histogram(wiring.Component):
    """Counts latencies in the bins of `tickgate.sw.spec.telemetry`; counts are 32 bits and wrap.

    A latency may come in every cycle. The counts are swept to 0 in the first `BINS` + 1 cycles after reset; a latency
    that comes in these is not counted.

    Members
    -------
    valid: In(1), `latency_cycles` is one more.
    latency_cycles: In(32).
    select: In(5), the bin that `count` tells.
    count: Out(32), in the cycle of `select`; a latency shows three cycles after it came.
    """

    FAULTS = {"bin_off_by_one": "latencies of the first bin above the linear ones are counted one bin lower"}

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = faults
        super().__init__({"valid": In(1), "latency_cycles": In(32), "select": In(_BIN_BITS), "count": Out(32)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=32, depth=BINS, init=[])
        change, look, write = memory.read_port(domain="comb"), memory.read_port(domain="comb"), memory.write_port()
        counted, number = Signal(reset_less=True), Signal(_BIN_BITS, reset_less=True)
        m.d.sync += counted.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += number.eq(bin_number(self.latency_cycles))
        if "bin_off_by_one" in self._faults:
            with m.If((self.latency_cycles >= LINEAR_BINS) & (self.latency_cycles < LINEAR_BINS + LINEAR_BINS // 2)):
                m.d.sync += number.eq(LINEAR_BINS - 1)
        # Memories of six stages lie far apart: one register of each is reset, and starts the sweep from close by.
        begins, starts = Signal(init=1), Signal(init=1, reset_less=True)
        m.d.sync += [begins.eq(0), starts.eq(begins)]
        sweep, swept = Signal(range(BINS + 1), reset_less=True), Signal()
        # Read in one cycle, counted and written in the next; what is being written then is not in memory yet.
        changes, place = Signal(reset_less=True), Signal(_BIN_BITS, reset_less=True)
        before, more = Signal(32, reset_less=True), Signal(32)
        again = changes & (place == number)
        m.d.sync += [changes.eq(counted & swept), place.eq(number), before.eq(Mux(again, more, change.data))]
        m.d.comb += [swept.eq(sweep == BINS), more.eq(before + 1)]
        m.d.comb += [change.addr.eq(number), look.addr.eq(self.select), self.count.eq(look.data)]
        with m.If(starts):
            m.d.sync += sweep.eq(0)
        with m.Elif(~swept):
            m.d.sync += sweep.eq(sweep + 1)
        with m.If(~swept):
            m.d.comb += [write.addr.eq(sweep), write.data.eq(0), write.en.eq(1)]
        with m.Else():
            m.d.comb += [write.addr.eq(place), write.data.eq(more), write.en.eq(changes)]
        return m
