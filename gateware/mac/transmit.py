"""Frame words to bytes of a GMII PHY."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import elastic
from tickgate.gateware.mac.crc import CRC_INIT, crc32_step
from tickgate.gateware.mac.gmii import Gmii
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.events import FRAME_WORD

#: One bit for each way in which a frame was sent; none or one is 1 in a cycle.
TRANSMIT_EVENTS = ("good", "poisoned", "underrun")


class Transmit(wiring.Component):
    """Sends frames: preamble, SFD, the words, padding to 60 bytes, FCS, and a gap of 12 byte times.

    The preamble begins in the cycle after the first word is valid. While a frame is sent, word n (the first is 0) is
    taken 8 n + 7 cycles after the first one: a word may come as late as that, and later is an underrun. With an
    underrun the frame ends at once with TX_ER and an inverted FCS, so that no receiver takes it, and what remains of
    it is dropped up to the last word. `error` on the last word inverts the FCS.

    Parameters
    ----------
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(elastic(FRAME_WORD)); `count` is 8 except on the last word, and never 0.
    gmii: Out(Gmii()).
    events: Out(3), pulse for each of `TRANSMIT_EVENTS`, behind the frame's FCS.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    IEEE 802.3 clauses 3.2, 4.2.3 and 35.2.
    """

    COUNTERS: tuple[str, ...] = ()
    FAULTS = {
        "pad_short": "frames are padded to 59 bytes",
        "gap_short": "the gap is 11 byte times",
        "poison_lost": "`error` on the last word leaves the FCS right",
        "underrun_silent": "a frame cut by an underrun has a right FCS and no TX_ER",
        "underrun_goes_on": "the words behind an underrun are sent as a frame",
        "preamble_short": "the preamble has six bytes",
    }
    #: From the first word's `valid`; `data`: to the frame's first byte.
    latency_cycles = {
        ("i", "gmii", "preamble"): (1, 1),
        ("i", "gmii", "data"): (1 + net.PREAMBLE_BYTES, 1 + net.PREAMBLE_BYTES),
    }

    def __init__(self, *, faults: frozenset[str] = frozenset()):
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "i": In(elastic(FRAME_WORD)),
                "gmii": Out(Gmii()),
                "events": Out(data.StructLayout({name: 1 for name in TRANSMIT_EVENTS})),
            }
        )

    def elaborate(self, platform):
        m = Module()
        word, left = Signal(64), Signal(4)  # bytes still to be sent, the next one lowest, and how many
        final, poison, late = Signal(), Signal(), Signal()
        drops = Signal()  # words up to the last one belong to a frame that was cut
        step = Signal(4)
        sent, enough = Signal(range(net.FRAME_SIZE_MIN)), Signal()
        crc = Signal(32, init=CRC_INIT)
        byte, valid, error = Signal(8), Signal(), Signal()
        m.d.sync += [self.gmii.data.eq(byte), self.gmii.valid.eq(valid), self.gmii.error.eq(error)]
        m.d.sync += self.events.eq(0)

        def load():
            m.d.sync += [word.eq(self.i.payload.data), left.eq(self.i.payload.count), final.eq(self.i.payload.last)]
            if "poison_lost" not in self._faults:
                m.d.sync += poison.eq(self.i.payload.last & self.i.payload.error)

        def counted():
            """A byte that the FCS covers."""
            least = net.FRAME_SIZE_MIN - ("pad_short" in self._faults)
            m.d.comb += valid.eq(1)
            m.d.sync += crc.eq(crc32_step(crc, byte))
            with m.If(sent == least - 1):
                m.d.sync += enough.eq(1)
            with m.Else():
                m.d.sync += sent.eq(sent + 1)
            return enough | (sent == least - 1)

        dropped = Signal()  # the last of them was, in the cycle before
        m.d.sync += dropped.eq(drops & ~dropped & self.i.valid & self.i.payload.last)
        with m.If(drops):
            m.d.comb += self.i.ready.eq(~dropped)
            with m.If(dropped):
                m.d.sync += drops.eq(0)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += byte.eq(mac.PREAMBLE_BYTE)
                m.d.sync += [crc.eq(CRC_INIT), sent.eq(0), enough.eq(0), poison.eq(0), late.eq(0)]
                m.d.sync += step.eq(1 + ("preamble_short" in self._faults))
                load()  # whether there is a word or not: nothing but the state waits for it
                with m.If(~drops):
                    m.d.comb += [self.i.ready.eq(1), valid.eq(self.i.valid)]
                    with m.If(self.i.valid):
                        m.next = "Preamble"
            with m.State("Preamble"):
                ends = step == net.PREAMBLE_BYTES - 1
                m.d.comb += [byte.eq(Mux(ends, mac.SFD_BYTE, mac.PREAMBLE_BYTE)), valid.eq(1)]
                m.d.sync += step.eq(step + 1)
                with m.If(ends):
                    m.next = "Data"
            with m.State("Data"):
                m.d.comb += byte.eq(word[:8])
                m.d.sync += [word.eq(word[8:]), left.eq(left - 1), step.eq(0)]
                long_enough = counted()
                with m.If(left == 1):
                    with m.If(final):
                        with m.If(long_enough):
                            m.next = "Fcs"
                        with m.Else():
                            m.next = "Pad"
                    with m.Else():
                        m.d.comb += self.i.ready.eq(1)
                        load()
                        with m.If(~self.i.valid):
                            m.d.sync += [late.eq(1), final.eq(0)]
                            m.d.sync += poison.eq("underrun_silent" not in self._faults)
                            if "underrun_goes_on" not in self._faults:
                                m.d.sync += drops.eq(1)
                            m.next = "Fcs"
            with m.State("Pad"):
                with m.If(counted()):
                    m.next = "Fcs"
            with m.State("Fcs"):
                m.d.comb += [byte.eq(Mux(poison, crc[:8], ~crc[:8])), valid.eq(1), error.eq(late & poison)]
                m.d.sync += [crc.eq(crc[8:]), step.eq(step + 1)]
                with m.If(step == net.FCS_BYTES - 1):
                    m.d.sync += [
                        step.eq("gap_short" in self._faults),
                        self.events.good.eq(~late & ~poison),
                        self.events.poisoned.eq(~late & poison),
                        self.events.underrun.eq(late),
                    ]
                    m.next = "Gap"
            with m.State("Gap"):
                m.d.sync += step.eq(step + 1)
                with m.If(step == net.INTERFRAME_GAP_BYTES - 1):
                    m.next = "Idle"
        return m
