"""Frames held back until their verdict: a bad one never leaves."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.layouts import FRAME, flow
from tickgate.sw.spec.events import FRAME_WORD

#: The longest frame fits with room for what comes while it leaves, a word a cycle: at most every second one is new.
DEPTH = 512


class Store(wiring.Component):
    """Passes frames on whose last word has no `error`, each whole and at a word a cycle, and drops the others.

    The first word of a frame leaves two cycles after its last one came, or behind the frame in front of it.

    Members
    -------
    i: In(flow(FRAME_WORD)); frames of up to 255 words, a word at most every second cycle on average.
    o: Out(flow(FRAME_WORD)); `error` is never set.
    """

    i: In(flow(FRAME_WORD))
    o: Out(flow(FRAME_WORD))

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=FRAME, depth=DEPTH, init=[])
        write, read = memory.write_port(), memory.read_port()
        bits = range(DEPTH)
        put, good, take = Signal(bits), Signal(bits), Signal(bits)
        behind = put + 1
        m.d.comb += [
            write.addr.eq(put),
            write.data.eq(self.i.payload),
            write.en.eq(self.i.valid),
            read.addr.eq(take),
            read.en.eq(1),
            self.o.payload.eq(read.data),
        ]
        with m.If(self.i.valid):
            m.d.sync += put.eq(behind)
            with m.If(self.i.payload.last):
                with m.If(self.i.payload.error):
                    m.d.sync += put.eq(good)
                with m.Else():
                    m.d.sync += good.eq(behind)
        waits = take != good
        m.d.sync += [self.o.valid.eq(waits), take.eq(take + waits)]
        return m
