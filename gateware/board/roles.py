"""Which role of the device hears and speaks on which physical port."""

from collections.abc import Mapping

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from tickgate.gateware.board.arbiter import PRIORITY, CopyStore, EthertypeFilter, PortArbiter
from tickgate.gateware.board.description import ROLES
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import elastic, flow
from tickgate.sw.spec import net
from tickgate.sw.spec.control import ETHERTYPE
from tickgate.sw.spec.events import FRAME_WORD

#: Streams of `tickgate.gateware.top.Top` that are put on ports.
STREAMS = ("i_a", "i_b", "i_control", "o_orders", "o_copy", "o_control", "o_telemetry")


class Roles(wiring.Component):
    """Between the ports and the device.

    A feed line hears every frame of its port in the cycle in which it comes and drops what is not for it. Line B on
    the port of the control role hears what may be a feed's, IPv4 and tagged frames, a word late: while one line is in a
    frame the other one's are not heard (`LineMerge`), and the host's frames must not have that effect. The control role
    hears the frames of its EtherType.

    On a port that several roles send on, orders go first, then copies of orders, answers, telemetry (`PortArbiter`).
    Copies of what left on the order port are sent on the control port where that is another one; on a shared port the
    frame itself passes by. There is no way in for frames to inject, and frames that no role claims are dropped.

    Parameters
    ----------
    roles: port number by role; `feed_b` may be missing.
    faults: names of `FAULTS`, for the tests of the tests.

    Members
    -------
    rx_<n>: In(flow(FRAME_WORD)), frames of port n.
    tx_<n>: Out(elastic(FRAME_WORD)), frames to it.
    i_a, i_b, i_control: Out(flow(FRAME_WORD)), to the device.
    o_orders, o_control, o_telemetry: In(elastic(FRAME_WORD)), from it.
    o_copy: In(flow(FRAME_WORD)), from it.

    Raises
    ------
    ValueError: a role that is not known, or without a port; a fault that is not in `FAULTS`.
    """

    FAULTS = {
        "lines_swapped": "feed line A hears the port of line B, and the other way round",
        "telemetry_first": "telemetry goes before answers",
        "host_blocks_feed": "line B hears the host's frames too",
        "copies_on_the_wire": "copies of orders are sent on the order port too",
    }
    latency_cycles = {
        ("rx_<n>", "i_a", "word"): (0, 0),
        ("o_orders", "tx_<n>", "idle"): PortArbiter.latency_cycles["i_<source>", "o", "idle"],
    }

    def __init__(self, roles: Mapping[str, int], *, faults: frozenset[str] = frozenset()):
        if strange := sorted(set(roles) - set(ROLES)):
            raise ValueError(f"a role is one of {', '.join(ROLES)}, not {strange[0]!r}")
        if missing := sorted({"feed_a", "orders", "control"} - set(roles)):
            raise ValueError(f"the role {missing[0]} has no port")
        self._roles, self._faults = dict(roles), checked_faults(faults, self.FAULTS)
        self._ports = max(roles.values()) + 1
        super().__init__(
            {
                **{f"rx_{n}": In(flow(FRAME_WORD)) for n in range(self._ports)},
                **{f"tx_{n}": Out(elastic(FRAME_WORD)) for n in range(self._ports)},
                **{name: Out(flow(FRAME_WORD)) for name in ("i_a", "i_b", "i_control")},
                **{name: In(elastic(FRAME_WORD)) for name in ("o_orders", "o_control", "o_telemetry")},
                "o_copy": In(flow(FRAME_WORD)),
            }
        )

    def attach(self, m, device):
        """Connects the streams of a device to these."""
        for name in STREAMS:
            connect(m, getattr(self, name), getattr(device, name))

    def elaborate(self, platform):
        m, roles = Module(), self._roles
        lines = (self.i_b, self.i_a) if "lines_swapped" in self._faults else (self.i_a, self.i_b)
        for role, line in zip(("feed_a", "feed_b"), lines, strict=True):
            if role not in roles:
                continue
            heard = getattr(self, f"rx_{roles[role]}")
            if role == "feed_b" and roles[role] == roles["control"] and "host_blocks_feed" not in self._faults:
                m.submodules.feed_filter = market = EthertypeFilter(net.ETHERTYPE_IPV4, net.ETHERTYPE_VLAN)
                m.d.comb += [market.i.valid.eq(heard.valid), market.i.payload.eq(heard.payload)]
                heard = market.o
            m.d.comb += [line.valid.eq(heard.valid), line.payload.eq(heard.payload)]
        m.submodules.control_filter = only = EthertypeFilter(ETHERTYPE)
        port = getattr(self, f"rx_{roles['control']}")
        m.d.comb += [only.i.valid.eq(port.valid), only.i.payload.eq(port.payload)]
        connect(m, only.o, flipped(self.i_control))

        senders = {name: flipped(getattr(self, f"o_{name}")) for name in ("orders", "control", "telemetry")}
        where = {"orders": roles["orders"], "control": roles["control"], "telemetry": roles["control"]}
        if roles["orders"] != roles["control"] or "copies_on_the_wire" in self._faults:
            m.submodules.copies = copies = CopyStore()
            connect(m, flipped(self.o_copy), copies.i)
            senders["copy"], where["copy"] = copies.o, roles["control"]
        order = PRIORITY
        if "telemetry_first" in self._faults:
            order = ("orders", "copy", "telemetry", "control")
        for number in sorted(set(where.values())):
            names = tuple(name for name in order if where.get(name) == number)
            arbiter = PortArbiter(names)
            m.submodules[f"arbiter_{number}"] = arbiter
            for name in names:
                connect(m, senders[name], getattr(arbiter, f"i_{name}"))
            connect(m, arbiter.o, flipped(getattr(self, f"tx_{number}")))
        return m
