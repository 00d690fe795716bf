"""Two feed lines joined into one stream of frame words."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.layouts import flow
from tickgate.gateware.lib.logic import next_place
from tickgate.sw.spec.events import FRAME_WORD

#: Words of a frame that are told apart by their number; the last bit stands for all words behind these.
INDEXED_WORDS = 9

#: A frame word with its place in the frame (`index`, one-hot), which of its bytes are there (`mask`), the line, and
#: the core cycle of its arrival.
LINE_WORD = data.StructLayout(
    {
        "data": 64,
        "mask": 8,
        "count": 4,
        "last": 1,
        "error": 1,
        "port": 1,
        "index": INDEXED_WORDS + 1,
        "stamp": 64,
    }
)


class LineMerge(wiring.Component):
    """Takes frames from two lines, one at a time, a cycle later.

    A frame that begins while the other line is in a frame is dropped whole; when both begin in one cycle, line A's is
    taken. `flush` drops the rest of the frames in progress and what arrives in its cycle.

    Members
    -------
    now: In(64), core cycle.
    i_a, i_b: In(flow(FRAME_WORD)).
    flush: In(1), pulse.
    o: Out(LINE_WORD), kept until the next word.
    o_valid: Out(1).
    began: Out(2), frames that begin in this cycle, dropped ones too.
    busy: Out(2), frames dropped in this cycle because the other line is in one.
    """

    now: In(64)
    i_a: In(flow(FRAME_WORD))
    i_b: In(flow(FRAME_WORD))
    flush: In(1)
    o: Out(LINE_WORD)
    o_valid: Out(1)
    began: Out(2)
    busy: Out(2)

    def elaborate(self, platform):
        m = Module()
        in_a, in_b = Signal(), Signal()  # the line is in a frame
        own_a, own_b = Signal(), Signal()  # and this frame is taken
        begins_a = self.i_a.valid & ~in_a
        begins_b = self.i_b.valid & ~in_b
        free_a = ~(in_b & own_b)
        free_b = ~(in_a & own_a) & ~(begins_a & free_a)
        takes_a, takes_b = Signal(), Signal()
        m.d.comb += [
            takes_a.eq(self.i_a.valid & Mux(in_a, own_a, free_a)),
            takes_b.eq(self.i_b.valid & Mux(in_b, own_b, free_b)),
            self.began.eq(begins_a + begins_b),
            self.busy.eq((begins_a & ~free_a) + (begins_b & ~free_b)),
        ]
        for line, inside, own, takes in ((self.i_a, in_a, own_a, takes_a), (self.i_b, in_b, own_b, takes_b)):
            with m.If(line.valid):
                m.d.sync += [inside.eq(~line.payload.last), own.eq(takes)]
            with m.If(self.flush):
                m.d.sync += own.eq(0)

        word = Mux(takes_b, self.i_b.payload.as_value(), self.i_a.payload.as_value())
        word = data.View(self.i_a.payload.shape(), word)
        first = Mux(takes_b, ~in_b, ~in_a)
        m.d.sync += self.o_valid.eq((takes_a | takes_b) & ~self.flush)
        with m.If(takes_a | takes_b):
            m.d.sync += [
                self.o.data.eq(word.data),
                self.o.mask.eq(Cat(word.count > lane for lane in range(8))),
                self.o.count.eq(word.count),
                self.o.last.eq(word.last),
                self.o.error.eq(word.last & word.error),
                self.o.port.eq(takes_b),
                self.o.index.eq(Mux(first, 1, next_place(self.o.index))),
                self.o.stamp.eq(self.now),
            ]
        return m
