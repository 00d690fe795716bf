"""The device with its MAC in front: feed line A and the order session are bytes of a GMII."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out, connect, flipped

from tickgate.gateware.mac.gmii import Gmii
from tickgate.gateware.mac.mac import GmiiMac
from tickgate.gateware.top import Top
from tickgate.sw.spec.sizes import Sizes


class MacTop(wiring.Component):
    """`Top` between the two directions of a MAC, with one clock for the wire and the core.

    Members
    -------
    gmii_rx: In(Gmii()), what feed line A gets. gmii_tx: Out(Gmii()), what the order session sends.
    The others are those of `Top`; `i_a` is not used, and `o_orders` shows the words that the MAC takes, which it does
    while `o_orders.ready` is 1.

    Raises
    ------
    ValueError: a fault that is not in `FAULTS`.
    """

    FAULTS = Top.FAULTS | {f"mac.{name}": text for name, text in GmiiMac.FAULTS.items()}

    def __init__(self, sizes: Sizes, *, faults: frozenset[str] = frozenset()):
        of_mac = frozenset(f.removeprefix("mac.") for f in faults if f.startswith("mac."))
        of_top = frozenset(f for f in faults if not f.startswith("mac."))
        self._top = Top(sizes, trace=True, around={"mac0": GmiiMac.COUNTERS}, faults=of_top)
        self._mac = GmiiMac(rx_domain="sync", tx_domain="sync", faults=of_mac)
        members = dict(self._top.signature.members.items())
        del members["counters_mac0"]
        super().__init__(members | {"gmii_rx": In(Gmii()), "gmii_tx": Out(Gmii())})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.top = top = self._top
        m.submodules.mac = mac = self._mac
        for name, member in self.signature.members.items():
            if name in ("i_a", "o_orders"):
                continue
            inside = getattr(mac if name.startswith("gmii") else top, name)
            if not member.is_port:
                connect(m, flipped(getattr(self, name)), inside)
            elif member.flow is Flow.In:
                m.d.comb += inside.eq(getattr(self, name))
            else:
                m.d.comb += getattr(self, name).eq(inside)
        connect(m, mac.o, top.i_a)
        orders, seen = top.o_orders, self.o_orders
        m.d.comb += [
            top.counters_mac0.eq(mac.counters),
            mac.i.payload.eq(orders.payload),
            mac.i.valid.eq(orders.valid & seen.ready),
            orders.ready.eq(mac.i.ready & seen.ready),
            seen.payload.eq(orders.payload),
            seen.valid.eq(orders.valid & mac.i.ready),
        ]
        return m
