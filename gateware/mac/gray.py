"""A small asynchronous FIFO whose pointers are registers and nothing but registers.

`amaranth.lib.fifo.AsyncFIFO` adds the transfer to a pointer and makes its gray code of the sum, all in the cycle of the
transfer, which is too slow for 125 MHz on the parts of hobby boards. Here the next pointer waits in a register in both
codes, and a transfer only enables it.
"""

from amaranth.hdl import Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import AsyncFFSynchronizer, FFSynchronizer
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

#: Words that it holds, and bits of an address.
DEPTH, ADDRESS_BITS = 16, 4


class GrayFifo(wiring.Component):
    """Takes words in one clock and gives them in another, in order.

    A word can be read 1 cycle of the writing clock and 2 to 3 of the reading clock after it was written. A reset of the
    writing side empties the FIFO; one of the reading side does not, and whoever reads goes on where it was.

    Parameters
    ----------
    shape: of the words. w_domain, r_domain: names of the clock domains; they may be the same.

    Members
    -------
    w_data: In(shape). w_en: In(1), write where `w_rdy` is 1. w_rdy: Out(1), there is room.
    r_data: Out(shape), the oldest word where `r_rdy` is 1. r_rdy: Out(1). r_en: In(1), take it where `r_rdy` is 1.
    r_rst: Out(1), the writing side was reset: high for a cycle or more, while nothing can be read.
    """

    def __init__(self, shape, w_domain: str, r_domain: str):
        self._shape, self._w, self._r = shape, w_domain, r_domain
        super().__init__(
            {
                "w_data": In(shape),
                "w_en": In(1),
                "w_rdy": Out(1),
                "r_data": Out(shape),
                "r_rdy": Out(1),
                "r_en": In(1),
                "r_rst": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=self._shape, depth=DEPTH, init=[])
        write, read = words.write_port(domain=self._w), words.read_port(domain="comb")
        emptied = Signal()
        moves = self.r_en & self.r_rdy
        w_at, w_gray, _ = _pointer(m, "w", self._w, self.w_en & self.w_rdy)
        r_at, r_gray, r_gray_next = _pointer(m, "r", self._r, moves, emptied)
        taken = Signal(ADDRESS_BITS + 1)
        m.submodules.taken = FFSynchronizer(r_gray, taken, o_domain=self._w)
        # The reading side is held empty until it has seen the pointer that a reset of the writing side leaves.
        m.submodules.emptied = AsyncFFSynchronizer(
            ResetSignal(self._w, allow_reset_less=True), emptied, o_domain=self._r
        )
        m.d[self._r] += self.r_rst.eq(emptied)
        # Words begin a long way here: whether there is one is compared a cycle ahead, and its register is the second
        # one behind the other clock. Of a gray code one bit is under way at most, so that it is either so or so.
        written, some = Signal(ADDRESS_BITS + 1, reset_less=True), Signal(reset_less=True)
        m.d[self._r] += [
            written.eq(w_gray),
            some.eq(Mux(moves, r_gray_next != written, r_gray != written) & ~emptied),
        ]
        m.d.comb += [
            write.addr.eq(w_at),
            write.data.eq(self.w_data),
            write.en.eq(self.w_en & self.w_rdy),
            read.addr.eq(r_at),
            self.r_data.eq(read.data),
            # A lap ahead: the two upper bits of the gray code differ, the others are the same.
            self.w_rdy.eq(w_gray != (taken ^ (3 << ADDRESS_BITS - 1))),
            self.r_rdy.eq(some & ~emptied),
        ]
        return m


def _pointer(m: Module, name: str, domain: str, moves, clears=None) -> tuple[Signal, Signal, Signal]:
    """Address, gray code and the next one of a pointer that moves on where `moves`; only `clears` resets a reader's."""
    bits, reset_less = ADDRESS_BITS + 1, clears is not None
    at = Signal(bits, name=f"{name}_at", reset_less=reset_less)
    gray = Signal(bits, name=f"{name}_gray", reset_less=reset_less)
    at_next = Signal(bits, name=f"{name}_at_next", init=1, reset_less=reset_less)
    gray_next = Signal(bits, name=f"{name}_gray_next", init=1, reset_less=reset_less)
    behind = Signal(bits, name=f"{name}_behind")
    m.d.comb += behind.eq(at_next + 1)
    with m.If(moves):
        m.d[domain] += [at.eq(at_next), gray.eq(gray_next), at_next.eq(behind), gray_next.eq(behind ^ behind >> 1)]
    if clears is not None:
        with m.If(clears):
            m.d[domain] += [at.eq(0), gray.eq(0), at_next.eq(1), gray_next.eq(1)]
    return at[:ADDRESS_BITS], gray, gray_next
