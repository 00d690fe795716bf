"""Bytes of a GMII PHY to frame words."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import flow
from tickgate.gateware.mac.crc import CRC_INIT, crc32_step
from tickgate.gateware.mac.gmii import Gmii
from tickgate.gateware.mac.store import Store
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.units import WORD_BYTES

#: One bit for each kind of end of a carrier; none or one is 1 in a cycle.
RECEIVE_EVENTS = ("good", "error", "runt", "oversize", "fcs", "no_sfd")


def received_cycles(
    *, store_and_forward: bool = False, size_max: int = mac.FRAME_SIZE_MAX
) -> dict[tuple[str, str, str], tuple[int, int]]:
    """Latencies of `Receive`.

    `shown`: from the fifth byte behind a word; `byte`: from a byte of a word that is not the last; `end`: from the
    first cycle without carrier.
    """
    if store_and_forward:
        # The shortest good frame close behind the longest one waits until that one has left.
        waits = -(-size_max // WORD_BYTES) - (net.FRAME_SIZE_MIN + net.FCS_BYTES + 2)
        return {("gmii", "o", "end"): (3, 3 + waits)}
    behind = net.FCS_BYTES + 1
    return {
        ("gmii", "o", "shown"): (1, 1),
        ("gmii", "o", "byte"): (behind + 1, behind + WORD_BYTES),
        ("gmii", "o", "end"): (1, 1),
    }


class Receive(wiring.Component):
    """Takes frames out of a byte stream: no preamble, no FCS, words that leave as soon as they are known to be whole.

    The byte behind an SFD is the frame's first, after any number of bytes of any value: a preamble may be short, long
    or spoilt. The last four bytes are the FCS. As a byte is part of the frame only when four more came, and a word is
    the last one only when no fifth came, a full word leaves when the fifth byte behind it has come; the last word
    leaves when the carrier ends, with the verdict. A frame longer than the limit ends at the limit, with `error`.

    Frames may follow each other with a single cycle without carrier. RX_ER without a carrier means nothing.

    Parameters
    ----------
    store_and_forward: a frame leaves whole when its verdict is good, and not at all otherwise.
    size_max: longest frame in bytes, without FCS.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    gmii: In(Gmii()).
    o: Out(flow(FRAME_WORD)); bytes beyond `count` are 0.
    events: Out(6), pulse for each of `RECEIVE_EVENTS`, a cycle after the carrier's end or the cut.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    IEEE 802.3 clauses 3.2, 4.2.4 and 35.2.
    """

    COUNTERS: tuple[str, ...] = ()
    FAULTS = {
        "fcs_unchecked": "a frame with a wrong FCS is said to be good",
        "crc_not_preset": "the checksum of a frame begins where that of the frame before ended",
        "fcs_leaks": "the first byte of the FCS leaves with the frame",
        "rx_error_ignored": "RX_ER does not make a frame bad",
        "runt_passes": "a frame of 63 bytes with its FCS is said to be good",
        "oversize_late": "the limit is a byte higher than stated",
        "preamble_exact": "only a preamble of exactly seven bytes is taken",
    }

    def __init__(
        self,
        *,
        store_and_forward: bool = False,
        size_max: int = mac.FRAME_SIZE_MAX,
        faults: frozenset[str] = frozenset(),
    ):
        self._stores, self._size_max = store_and_forward, size_max
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "gmii": In(Gmii()),
                "o": Out(flow(FRAME_WORD)),
                "events": Out(data.StructLayout({name: 1 for name in RECEIVE_EVENTS})),
            }
        )

    @property
    def latency_cycles(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """See `received_cycles`."""
        return received_cycles(store_and_forward=self._stores, size_max=self._size_max)

    def elaborate(self, platform):
        m = Module()
        rx = Signal(data.StructLayout({"data": 8, "valid": 1, "error": 1}))
        m.d.sync += rx.eq(Cat(self.gmii.data, self.gmii.valid, self.gmii.error))

        carrier = Signal()  # there was one in the cycle before
        inside = Signal()  # behind the SFD
        cut = Signal()  # and behind the limit
        failed = Signal()  # RX_ER since the carrier began
        error = (rx.valid & rx.error) | failed
        if "rx_error_ignored" in self._faults:
            error = failed & ~failed
        m.d.sync += [carrier.eq(rx.valid), failed.eq(rx.valid & error)]
        starts = rx.valid & ~inside & (rx.data == mac.SFD_BYTE)
        if "preamble_exact" in self._faults:
            seen = Signal(4)
            m.d.sync += seen.eq(Mux(rx.valid, Mux(seen == 15, 15, seen + 1), 0))
            starts = starts & (seen == net.PREAMBLE_BYTES - 1)
        with m.If(starts):
            m.d.sync += inside.eq(1)
        with m.Elif(~rx.valid):
            m.d.sync += [inside.eq(0), cut.eq(0)]

        # The last four bytes wait, because they may be the FCS.
        held = net.FCS_BYTES - ("fcs_leaks" in self._faults)
        takes = rx.valid & inside & ~cut
        tail, there = Signal(8 * held), Signal(held)
        crc = Signal(32, init=CRC_INIT)
        with m.If(takes):
            m.d.sync += [
                tail.eq(Cat(rx.data, tail)),
                there.eq(Cat(1, there)),
                crc.eq(crc32_step(crc, rx.data)),
            ]
        with m.Elif(~rx.valid):
            m.d.sync += there.eq(0)
            if "crc_not_preset" not in self._faults:
                m.d.sync += crc.eq(CRC_INIT)
        moves = takes & there[-1]
        byte = tail[-8:]

        word, count = Signal(64), Signal(4)
        size, enough, whole = Signal(range(self._size_max + 2)), Signal(), Signal()
        full = count[3]
        limit = self._size_max + ("oversize_late" in self._faults)
        least = net.FRAME_SIZE_MIN - ("runt_passes" in self._faults)
        over = moves & whole
        with m.If(moves):
            m.d.sync += [size.eq(size + 1), enough.eq(enough | (size == least - 1)), whole.eq(size == limit - 1)]
            m.d.sync += count.eq(Mux(full, 1, count + 1))
            with m.If(full | (count == 0)):
                m.d.sync += word.eq(byte)
            for lane in range(1, WORD_BYTES):
                with m.If(count == lane):
                    m.d.sync += word.word_select(lane, 8).eq(byte)
        with m.If(over):
            m.d.sync += cut.eq(1)
        with m.If(~rx.valid):
            m.d.sync += [size.eq(0), enough.eq(0), whole.eq(0), count.eq(0)]

        ends = inside & ~rx.valid & ~cut
        wrong = Signal()
        m.d.comb += wrong.eq(crc != mac.FCS_RESIDUE)
        if "fcs_unchecked" in self._faults:
            m.d.comb += wrong.eq(0)
        o = self.o
        if self._stores:
            m.submodules.store = store = Store()
            wiring.connect(m, store.o, wiring.flipped(self.o))
            o = store.i
        m.d.comb += [
            o.valid.eq((moves & full) | over | (ends & (count != 0))),
            o.payload.data.eq(word),
            o.payload.count.eq(count),
            o.payload.last.eq(ends | over),
            o.payload.error.eq(over | (ends & (wrong | error | ~enough))),
        ]
        m.d.sync += [
            self.events.good.eq(ends & ~error & enough & ~wrong),
            self.events.error.eq((ends | over) & error),
            self.events.runt.eq(ends & ~error & ~enough),
            self.events.oversize.eq(over & ~error),
            self.events.fcs.eq(ends & ~error & enough & wrong),
            self.events.no_sfd.eq(carrier & ~rx.valid & ~inside),
        ]
        return m
