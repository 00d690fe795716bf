"""Two masters on the register bus."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.registers import READ_CYCLES, Bus


class SharedBus(wiring.Component):
    """Gives the register bus to `first` in every cycle in which it wants it, and to `second` in all others.

    Nothing is registered on the way: the latencies are those of the registers. Each master gets the answers to its own
    reads.

    Members
    -------
    first: In(Bus()).
    second: In(Bus()); what it wants is done in this cycle where `granted` is 1, else it keeps wanting it.
    granted: Out(1), `first` does not use the bus.
    o: Out(Bus()), to the registers.
    """

    def __init__(self):
        super().__init__({"first": In(Bus()), "second": In(Bus()), "granted": Out(1), "o": Out(Bus())})

    def elaborate(self, platform):
        m = Module()
        first, second, out = self.first, self.second, self.o
        m.d.comb += [
            self.granted.eq(~(first.w_en | first.r_en)),
            out.addr.eq(Mux(self.granted, second.addr, first.addr)),
            out.w_data.eq(Mux(self.granted, second.w_data, first.w_data)),
            out.w_en.eq(Mux(self.granted, second.w_en, first.w_en)),
            out.r_en.eq(Mux(self.granted, second.r_en, first.r_en)),
            first.r_data.eq(out.r_data),
            second.r_data.eq(out.r_data),
        ]
        # Whose answer comes: a read is answered a fixed number of cycles later.
        asked = Signal(READ_CYCLES)
        m.d.sync += asked.eq(Cat(self.granted, asked))
        m.d.comb += [
            first.r_valid.eq(out.r_valid & ~asked[-1]),
            second.r_valid.eq(out.r_valid & asked[-1]),
        ]
        return m
