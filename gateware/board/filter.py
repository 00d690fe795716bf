"""Which frames of a port are for whom, by destination and EtherType."""

from enum import Enum

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import FRAME, flow
from tickgate.sw.spec.events import FRAME_WORD


class Destination(Enum):
    """Kinds of Ethernet destinations that a filter passes."""

    ANY = "any"
    MULTICAST = "multicast, not broadcast"
    NODE = "unicast and broadcast"


class FrameFilter(wiring.Component):
    """Passes frames by their first 14 bytes, each word with the arrival of the next one, the last one a cycle later.

    A frame that ends before its EtherType passes nowhere.

    Parameters
    ----------
    ethertypes: what may stand directly behind the addresses.
    others: what may stand there is all but these.
    destination: whom a frame may be for.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    i: In(flow(FRAME_WORD)), at least one idle cycle between frames.
    o: Out(flow(FRAME_WORD)).

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.

    References
    ----------
    IEEE 802 clauses 8.2 (group and broadcast addresses) and 9.2 (EtherType).
    """

    FAULTS = {
        "low_byte_ignored": "the low byte of the EtherType is not compared",
        "destination_ignored": "frames to any destination pass",
        "broadcast_is_multicast": "the broadcast address is taken for a multicast one",
    }
    latency_cycles = {("i", "o", "last"): (1, 1)}

    def __init__(
        self,
        *ethertypes: int,
        others: bool = False,
        destination: Destination = Destination.ANY,
        faults: frozenset[str] = frozenset(),
    ):
        self._ethertypes, self._others, self._destination = ethertypes, others, destination
        self._faults = checked_faults(faults, self.FAULTS)
        super().__init__({"i": In(flow(FRAME_WORD)), "o": Out(flow(FRAME_WORD))})

    def elaborate(self, platform):
        m = Module()
        word, before = self.i.payload, Signal(FRAME)
        first, second = Signal(init=1), Signal()
        passes, flush = Signal(), Signal()
        addressed = Signal()  # of the frame under way
        is_type = []
        for ethertype in self._ethertypes:
            same = word.data[32:40] == ethertype >> 8
            if "low_byte_ignored" not in self._faults:
                same = same & (word.data[40:48] == ethertype & 0xFF)
            is_type.append(same)
        wanted = ~Cat(is_type).any() if self._others else Cat(is_type).any()
        goes = Mux(second, addressed & wanted & (word.count >= 6), passes & ~first)
        m.d.sync += flush.eq(0)
        m.d.comb += [self.o.payload.eq(before), self.o.valid.eq(flush | self.i.valid & goes)]
        with m.If(self.i.valid):
            m.d.sync += [before.eq(word), first.eq(word.last), second.eq(first & ~word.last)]
            m.d.sync += [passes.eq(goes), flush.eq(goes & word.last)]
            with m.If(first):
                m.d.sync += addressed.eq(self._is_addressed(word.data[:48]))
        return m

    def _is_addressed(self, address):
        if self._destination is Destination.ANY or "destination_ignored" in self._faults:
            return Const(1)
        multicast = address[0] if "broadcast_is_multicast" in self._faults else address[0] & ~address.all()
        return multicast if self._destination is Destination.MULTICAST else ~multicast
