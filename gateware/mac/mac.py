"""Stage `mac`: frames of a GMII PHY to words of the core and back, with the clock crossings and the counters."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.counting import count
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import counters, elastic, flow
from tickgate.gateware.mac.crossing import Crossing, Spill, crossed, renamed
from tickgate.gateware.mac.gmii import Gmii
from tickgate.gateware.mac.receive import RECEIVE_EVENTS, Receive, received_cycles
from tickgate.gateware.mac.store import Store
from tickgate.gateware.mac.transmit import TRANSMIT_EVENTS, Transmit
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.events import FRAME_WORD


class GmiiMac(wiring.Component):
    """A full-duplex MAC for one GMII port: `Receive` and `Transmit` in the PHY's clocks, the words in the core's.

    The core takes and gives 8 bytes a cycle, the wire one a cycle of 125 MHz: a core clock above 15.6 MHz loses nothing
    (below, `mac_rx_lost` counts and the frames cut end with `error`). Each word of a frame at `i` must follow the one
    before within 8 cycles of `tx` (64 ns), with 7 cycles more in front of the second one;
    frames of up to 128 bytes given without a gap always do. `Transmit` says what happens otherwise.

    Each clock domain has its own reset, which may come at any time: a frame in progress then ends with `error` at `o`,
    and as a bad or cut frame on the wire. Words wait while the domain that takes them is in reset.

    Parameters
    ----------
    store_and_forward: only good frames leave at `o`, each behind its verdict.
    rx_domain, tx_domain: clock domains of the PHY's two directions, 125 MHz each, beside `sync`, the core's.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    gmii_rx: In(Gmii()), in `rx_domain`.
    gmii_tx: Out(Gmii()), in `tx_domain`.
    o: Out(flow(FRAME_WORD)), frames received; `error` on the last word of a bad one.
    i: In(elastic(FRAME_WORD)), frames to send; `error` on the last word inverts the FCS.
    counters: Out(counters(COUNTERS)); an event counts when the one before of its kind is 3 or more core cycles past.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    IEEE 802.3 clauses 3, 4.2 and 35.
    """

    COUNTERS = tuple(name for name, _ in mac.COUNTERS)
    FAULTS = Receive.FAULTS | Transmit.FAULTS | {"counter_mixed": "runts are counted as oversize frames"}

    def __init__(
        self,
        *,
        store_and_forward: bool = False,
        rx_domain: str = "rx",
        tx_domain: str = "tx",
        faults: frozenset[str] = frozenset(),
    ):
        self._stores, self._rx, self._tx = store_and_forward, rx_domain, tx_domain
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__(
            {
                "gmii_rx": In(Gmii()),
                "gmii_tx": Out(Gmii()),
                "o": Out(flow(FRAME_WORD)),
                "i": In(elastic(FRAME_WORD)),
                "counters": Out(counters(self.COUNTERS)),
            }
        )

    @property
    def latency_cycles(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """Where all clocks are one; with three, a crossing is 1 cycle of the clock it leaves and 2 to 3 of the other.

        `shown`: from the fifth byte behind a word; `byte`: from a byte of a word that is not the last; `end`: from the
        first cycle without carrier; `preamble` and `data`: from an idle port's first word to those bytes.
        """
        crossing = 3
        sent = 1 + crossing
        rows = {
            ("gmii_rx", "o", what): (low + crossing, high + crossing)
            for (_, _, what), (low, high) in received_cycles().items()
        }
        if self._stores:
            whole = received_cycles(store_and_forward=True)["gmii", "o", "end"]
            rows = {("gmii_rx", "o", "end"): (whole[0] + crossing, whole[1] + crossing)}
        return rows | {
            ("i", "gmii_tx", "preamble"): (sent, sent),
            ("i", "gmii_tx", "data"): (sent + net.PREAMBLE_BYTES, sent + net.PREAMBLE_BYTES),
        }

    def elaborate(self, platform):
        m = Module()
        receive = Receive(faults=self._faults & Receive.FAULTS.keys())
        transmit = Transmit(faults=self._faults & Transmit.FAULTS.keys())
        spill = Spill()
        m.submodules.receive = renamed(receive, self._rx)
        m.submodules.spill = renamed(spill, self._rx)
        m.submodules.transmit = renamed(transmit, self._tx)
        m.submodules.inward = inward = Crossing(self._rx, "sync")
        m.submodules.outward = outward = Crossing("sync", self._tx)
        wiring.connect(m, wiring.flipped(self.gmii_rx), receive.gmii)
        wiring.connect(m, receive.o, spill.i)
        wiring.connect(m, spill.o, inward.i)
        wiring.connect(m, wiring.flipped(self.i), outward.i)
        wiring.connect(m, outward.o, transmit.i)
        wiring.connect(m, transmit.gmii, wiring.flipped(self.gmii_tx))
        words = self.o
        if self._stores:
            m.submodules.store = store = Store()
            wiring.connect(m, store.o, wiring.flipped(self.o))
            words = store.i
        m.d.comb += [words.valid.eq(inward.o.valid), words.payload.eq(inward.o.payload), inward.o.ready.eq(1)]

        events = [(f"mac_rx_{name}", self._rx, receive.events[name]) for name in RECEIVE_EVENTS]
        events += [("mac_rx_lost", self._rx, spill.lost)]
        events += [(f"mac_tx_{name}", self._tx, transmit.events[name]) for name in TRANSMIT_EVENTS]
        pulses = {name: crossed(m, name, event, domain) for name, domain, event in events}
        if "counter_mixed" in self._faults:
            pulses["mac_rx_oversize"] = pulses["mac_rx_oversize"] | pulses["mac_rx_runt"]
            pulses["mac_rx_runt"] = pulses["mac_rx_runt"] & ~pulses["mac_rx_runt"]
        count(m, self.counters, pulses)
        return m
