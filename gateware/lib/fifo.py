"""A small first-in, first-out buffer behind a stream that cannot wait."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Elasticity(wiring.Component):
    """Takes a word in any cycle and gives it a cycle later, or when the reader is ready.

    It holds `depth` words and one more at its output. A word that finds no room is lost: `lost` tells.

    Parameters
    ----------
    shape: of the words.
    depth: words of memory, a power of two of 4 or more.
    overwrites: planted fault: a word that finds no room replaces the oldest one, silently.

    Members
    -------
    i: In(stream.Signature(shape, always_ready=True)).
    o: Out(stream.Signature(shape)).
    lost: Out(1), pulse, a cycle after the word.

    Raises
    ------
    ValueError: a depth that is not a power of two of 4 or more.
    """

    def __init__(self, shape: data.StructLayout, depth: int = 16, *, overwrites: bool = False):
        if depth < 4 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two of 4 or more, not {depth}")
        self._shape, self._depth, self._overwrites = shape, depth, overwrites
        super().__init__(
            {
                "i": In(stream.Signature(shape, always_ready=True)),
                "o": Out(stream.Signature(shape)),
                "lost": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = (self._depth - 1).bit_length()
        m.submodules.memory = memory = Memory(shape=self._shape, depth=self._depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        put, take, level = Signal(bits), Signal(bits), Signal(bits + 1)
        word, full_output = Signal(self._shape), Signal()
        m.d.comb += [self.o.valid.eq(full_output), self.o.payload.eq(word)]

        free = ~full_output | self.o.ready
        stored = level != 0
        full = level[bits] & ~free
        stores = self.i.valid & (stored | ~free) & ~full
        fetches = stored & free
        if self._overwrites:
            stores = self.i.valid & (stored | ~free)
        m.d.comb += [
            write.addr.eq(put),
            write.data.eq(self.i.payload),
            write.en.eq(stores),
            read.addr.eq(take),
        ]
        with m.If(stores):
            m.d.sync += put.eq(put + 1)
        with m.If(fetches):
            m.d.sync += take.eq(take + 1)
        if self._overwrites:
            m.d.sync += level.eq(Mux(stores & full, level, level + stores - fetches))
        else:
            m.d.sync += level.eq(level + stores - fetches)
            m.d.sync += self.lost.eq(self.i.valid & full)
        # The output loads wherever it is free, with or without a word: what enables so many registers is known early.
        with m.If(free):
            m.d.sync += full_output.eq(stored | self.i.valid)
            m.d.sync += word.eq(Mux(stored, read.data.as_value(), self.i.payload.as_value()))
        return m
