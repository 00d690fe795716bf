"""Frame words from one clock domain to another: whole frames, or frames that end with an error."""

from amaranth.hdl import DomainRenamer, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.layouts import FRAME, elastic, flow
from tickgate.gateware.mac.gray import GrayFifo
from tickgate.sw.spec.events import FRAME_WORD

#: What ends a frame of which the rest was lost: one byte that means nothing.
ABORT = {"data": 0, "count": 1, "last": 1, "error": 1}


class Spill(wiring.Component):
    """A stream that cannot wait in front of one that can: what finds no room is lost, a frame at a time, and told.

    A frame that loses a word ends with `ABORT` as soon as there is room; a frame that loses its first word is gone.

    Members
    -------
    i: In(flow(FRAME_WORD)).
    o: Out(elastic(FRAME_WORD)).
    lost: Out(1), pulse for each frame cut or gone, a cycle later.
    """

    i: In(flow(FRAME_WORD))
    o: Out(elastic(FRAME_WORD))
    lost: Out(1)

    def elaborate(self, platform):
        m = Module()
        first = Signal(init=1)  # the next word begins a frame
        dropping = Signal()  # the rest of the frame that arrives is dropped
        owes = Signal()  # the frame that the reader is in wants its end
        arrives = self.i.valid & (first | ~dropping)
        m.d.comb += [
            self.o.valid.eq(arrives | owes),
            self.o.payload.eq(Mux(owes, FRAME.const(ABORT).as_value(), self.i.payload.as_value())),
        ]
        misses = arrives & (owes | ~self.o.ready)
        m.d.sync += self.lost.eq(misses)
        with m.If(self.i.valid):
            m.d.sync += first.eq(self.i.payload.last)
            m.d.sync += dropping.eq(~self.i.payload.last & (dropping & ~first | misses))
        with m.If(owes & self.o.ready):
            m.d.sync += owes.eq(0)
        with m.Elif(misses & ~first):
            m.d.sync += owes.eq(1)
        return m


class Crossing(wiring.Component):
    """An asynchronous FIFO of frame words with gray pointers, which a reset of either side does not confuse.

    When the writing side is reset in a frame, the reader gets `ABORT` as that frame's end. When the reading side is
    reset in a frame, the rest of the frame is dropped. Words pass in order, each 1 cycle of the writing clock and 2 to
    3 cycles of the reading clock after its transfer.

    Parameters
    ----------
    w_domain, r_domain: names of the clock domains of `i` and `o`; they may be the same.

    Members
    -------
    i: In(elastic(FRAME_WORD)), in `w_domain`.
    o: Out(elastic(FRAME_WORD)), in `r_domain`.
    """

    def __init__(self, w_domain: str, r_domain: str):
        self._w, self._r = w_domain, r_domain
        super().__init__({"i": In(elastic(FRAME_WORD)), "o": Out(elastic(FRAME_WORD))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = GrayFifo(FRAME, self._w, self._r)
        begins, begins_next, between = Signal(init=1), Signal(), Signal(init=1)
        m.d.comb += [
            fifo.w_data.eq(self.i.payload),
            fifo.w_en.eq(self.i.valid),
            self.i.ready.eq(fifo.w_rdy),
            begins_next.eq(Mux(self.i.valid & self.i.ready, self.i.payload.last, begins)),
        ]
        # Rises a cycle behind the pointer of a frame's last word: a reader that sees it has seen that word too.
        m.d[self._w] += [begins.eq(begins_next), between.eq(begins & begins_next)]

        # A reader that comes out of reset knows that the next word begins a frame when the FIFO is empty between two
        # frames, or behind a last word.
        known, ended, inside, owes, idle = Signal(), Signal(), Signal(), Signal(), Signal()
        m.submodules.idle = FFSynchronizer(between, idle, o_domain=self._r)
        m.d.comb += [
            self.o.valid.eq((fifo.r_rdy & known) | owes),
            self.o.payload.eq(Mux(owes, FRAME.const(ABORT).as_value(), fifo.r_data.as_value())),
            fifo.r_en.eq(Mux(known, self.o.ready & ~owes, ~ended)),
        ]
        m.d[self._r] += ended.eq(~known & ~ended & fifo.r_rdy & fifo.r_data.last)
        with m.If(ended | (~fifo.r_rdy & idle) | fifo.r_rst):
            m.d[self._r] += known.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d[self._r] += [inside.eq(~self.o.payload.last), owes.eq(0)]
        with m.Elif(fifo.r_rst & inside):
            m.d[self._r] += owes.eq(1)
        return m


def crossed(m: Module, name: str, pulse, domain: str) -> Signal:
    """A pulse of `domain` as one of `sync`, two to three cycles later; a reset of either neither makes nor eats one.

    Pulses must be three cycles of `sync` apart.
    """
    turned = Signal(name=f"{name}_turned", reset_less=True)
    there, before = Signal(name=f"{name}_there"), Signal(name=f"{name}_before", reset_less=True)
    with m.If(pulse):
        m.d[domain] += turned.eq(~turned)
    m.submodules[f"{name}_crossing"] = FFSynchronizer(turned, there)
    m.d.sync += before.eq(there)
    return there ^ before


def renamed(component, domain: str):
    """A component of the domain `sync` in another one."""
    return component if domain == "sync" else DomainRenamer(domain)(component)
