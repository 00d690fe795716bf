"""A register in the way back of a stream: its sender does not wait for what decides in the same cycle."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults


class Skid(wiring.Component):
    """Passes words on in the cycle in which they come; `i.ready` is a register.

    A word that is taken and cannot go on is kept, and the next one waits for it.

    Parameters
    ----------
    shape: of the words.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(stream.Signature(shape)).
    o: Out(stream.Signature(shape)).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "word_lost": "a word that cannot go on at once is lost",
        "word_twice": "a word that is kept goes on twice",
    }
    latency_cycles = {("i", "o", "word"): (0, 0)}

    def __init__(self, shape: data.StructLayout, *, faults: frozenset[str] = frozenset()):
        self._shape, self._faults = shape, checked_faults(faults, self.FAULTS)
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        full, kept = Signal(), Signal(self._shape, reset_less=True)
        m.d.comb += [
            self.i.ready.eq(~full),
            self.o.valid.eq(full | self.i.valid),
            self.o.payload.eq(Mux(full, kept.as_value(), self.i.payload.as_value())),
        ]
        # What is kept needs no word of who takes it: it counts where `full` says so only.
        with m.If(~full):
            m.d.sync += kept.eq(self.i.payload)
        m.d.sync += full.eq(self.o.valid & ~self.o.ready)
        if "word_lost" in self._faults:
            m.d.sync += full.eq(0)
        if "word_twice" in self._faults:
            twice = Signal()
            m.d.sync += twice.eq(full & self.o.ready & ~twice)
            m.d.sync += full.eq(self.o.valid & ~self.o.ready | full & ~twice)
        return m
