"""MII: four bits a clock of 25 MHz outside, GMII at every second clock inside."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.mac.gmii import Gmii
from tickgate.sw.spec.mac import SFD_BYTE

#: One clock of MII.
NIBBLE = data.StructLayout({"data": 4, "valid": 1, "error": 1})


class MiiReceive(wiring.Component):
    """Pairs the nibbles so that the start of frame is a whole byte, wherever the PHY began.

    An odd nibble at the end of a frame is dropped, as the standard wants.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(NIBBLE), a nibble a cycle.
    o: Out(Gmii()), to be taken in the cycles of `enable`.
    enable: Out(1), every second cycle.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    IEEE 802.3 clauses 22.2.3 (the low half comes first) and 22.2.3.2.2 (preamble of any length).
    """

    FAULTS = {
        "never_aligned": "the nibbles are paired as they come",
        "dribble_kept": "an odd nibble at the end counts as a byte",
    }
    latency_cycles = {("i", "o", "byte"): (2, 4)}

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__({"i": In(NIBBLE), "o": Out(Gmii()), "enable": Out(1)})

    def elaborate(self, platform):
        m = Module()
        seen = [Signal(NIBBLE, name=f"nibble_{n}") for n in range(3)]  # the newest first
        m.d.sync += [seen[0].eq(self.i), seen[1].eq(seen[0]), seen[2].eq(seen[1])]
        phase, late, aligned = Signal(), Signal(), Signal()
        m.d.sync += phase.eq(~phase)
        m.d.comb += self.enable.eq(phase)

        starts = self.i.valid & ~aligned & seen[0].valid & (Cat(seen[0].data, self.i.data) == SFD_BYTE)
        with m.If(~self.i.valid):
            m.d.sync += aligned.eq(0)
        with m.Elif(starts):
            m.d.sync += aligned.eq(1)
            if "never_aligned" not in self._faults:
                # The high half of the delimiter is the newest nibble in the next cycle, which is one of `enable` when
                # this one is none; else the pair is looked at a cycle later.
                m.d.sync += late.eq(phase)
        low, high = Signal(NIBBLE), Signal(NIBBLE)
        m.d.comb += [
            low.eq(Mux(late, seen[2].as_value(), seen[1].as_value())),
            high.eq(Mux(late, seen[1].as_value(), seen[0].as_value())),
            self.o.data.eq(Cat(low.data, high.data)),
            self.o.valid.eq(low.valid & (high.valid | ("dribble_kept" in self._faults))),
            self.o.error.eq(low.valid & low.error | high.valid & high.error),
        ]
        return m


class MiiTransmit(wiring.Component):
    """Bytes to nibbles.

    Members
    -------
    i: In(Gmii()), changes behind the cycles of `enable` only.
    enable: Out(1), every second cycle.
    o: Out(NIBBLE), a nibble a cycle, the low half of a byte first.

    References
    ----------
    IEEE 802.3 clause 22.2.3.
    """

    latency_cycles = {("i", "o", "byte"): (1, 1)}

    def __init__(self):
        super().__init__({"i": In(Gmii()), "enable": Out(1), "o": Out(NIBBLE)})

    def elaborate(self, platform):
        m = Module()
        phase = Signal()
        m.d.sync += phase.eq(~phase)
        m.d.comb += self.enable.eq(phase)
        m.d.sync += [
            self.o.data.eq(Mux(phase, self.i.data[4:], self.i.data[:4])),
            self.o.valid.eq(self.i.valid),
            self.o.error.eq(self.i.error),
        ]
        return m
