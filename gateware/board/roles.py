"""Which role of the device hears and speaks on which physical port."""

from collections.abc import Mapping

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from tickgate.gateware.board.arbiter import LIMIT_WORDS, PRIORITY, CopyStore, PortArbiter
from tickgate.gateware.board.bridge import Bridge
from tickgate.gateware.board.description import ROLES
from tickgate.gateware.board.filter import Destination, FrameFilter
from tickgate.gateware.lib.counting import count
from tickgate.gateware.lib.faults import checked_faults
from tickgate.gateware.lib.layouts import FRAME, counters, elastic, flow
from tickgate.gateware.lib.skid import Skid
from tickgate.sw.spec import net
from tickgate.sw.spec.control import ETHERTYPE
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.registers import BRIDGE_COUNTERS

#: Streams of `tickgate.gateware.top.Top` that are put on ports.
STREAMS = ("i_a", "i_b", "i_control", "o_orders", "o_copy", "o_control", "o_telemetry")


class Roles(wiring.Component):
    """Between the ports and the device.

    A feed line hears every frame of its port in the cycle in which it comes and drops what is not for it. Line B on
    the port of the control role hears what may be a feed's, multicast IPv4 and tagged frames, a word late: while one
    line is in a frame the other one's are not heard (`LineMerge`), and the host's frames must not have that effect. The
    control role hears the frames of its EtherType.

    Where the control role has a port of its own, the device stands between the host and the order port (`Bridge`).
    Whole frames to a unicast or the broadcast address that are not of the device's own EtherType pass: from the order
    port to the host at any length, behind all else; from the host to the order port behind orders, up to `LIMIT_WORDS`,
    so that no order waits for longer. Multicast is the feed's and does not pass. The two ports must not be on one
    segment: frames would go round for ever. What finds no room or is too long is dropped whole and counted. With a
    single port the host is on the segment itself, and what no role claims is dropped.

    On a port that several roles send on, the order is that of `PRIORITY`. Where orders leave, others' frames are cut at
    `LIMIT_WORDS`. Copies of what left on the order port are sent on the control port where that is another one; on a
    shared port the frame itself passes by.

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
    counters: Out(counters(COUNTERS)), of frames between the ports; all 0 where there is a single one.

    Raises
    ------
    ValueError: a role that is not known, or without a port; a fault that is not in `FAULTS`.
    """

    COUNTERS = tuple(name for name, _ in BRIDGE_COUNTERS)
    FAULTS = {
        "lines_swapped": "feed line A hears the port of line B, and the other way round",
        "telemetry_first": "telemetry goes before answers",
        "host_blocks_feed": "line B hears the host's frames too",
        "copies_on_the_wire": "copies of orders are sent on the order port too",
        "unicast_on_line_b": "line B hears IPv4 to any destination, the host's too",
        "host_first": "frames of the host go before orders",
        "host_unlimited": "frames of the host to the order port may have any length",
        "punts_cut": "long frames to the host are cut",
        "punts_before_copies": "frames for nobody go to the host before copies of orders",
        "own_type_passed": "frames of the device's own EtherType go to the other port too",
        "losses_mixed": "frames that are lost between the ports are counted as lost on the other way",
    }
    latency_cycles = {
        ("rx_<n>", "i_a", "word"): (0, 0),
        ("o_orders", "tx_<n>", "idle"): PortArbiter.latency_cycles["i_<source>", "o", "idle"],
        # From the last word of a frame for the other port to its first one there.
        ("rx_<n>", "tx_<n>", "bridged"): (
            Bridge.latency_cycles["i", "o", "idle"][0] + PortArbiter.latency_cycles["i_<source>", "o", "idle"][0],
        )
        * 2,
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
                "counters": Out(counters(self.COUNTERS)),
            }
        )

    def attach(self, m, device):
        """Connects the streams of a device to these, and the counters to its input for those of `roles`."""
        for name in STREAMS:
            connect(m, getattr(self, name), getattr(device, name))
        m.d.comb += device.counters_roles.eq(self.counters)

    def elaborate(self, platform):
        m, roles = Module(), self._roles
        lines = (self.i_b, self.i_a) if "lines_swapped" in self._faults else (self.i_a, self.i_b)
        for role, line in zip(("feed_a", "feed_b"), lines, strict=True):
            if role not in roles:
                continue
            heard = getattr(self, f"rx_{roles[role]}")
            if role == "feed_b" and roles[role] == roles["control"] and "host_blocks_feed" not in self._faults:
                m.submodules.feed_filter = market = FrameFilter(
                    net.ETHERTYPE_IPV4,
                    net.ETHERTYPE_VLAN,
                    destination=Destination.ANY if "unicast_on_line_b" in self._faults else Destination.MULTICAST,
                )
                _hear(m, heard, market.i)
                heard = market.o
            _hear(m, heard, line)
        m.submodules.control_filter = only = FrameFilter(ETHERTYPE)
        port = getattr(self, f"rx_{roles['control']}")
        # A register: words of a crossing come late in the cycle, and requests are not in such a hurry as the feed.
        m.d.sync += only.i.valid.eq(port.valid)
        with m.If(port.valid):
            m.d.sync += only.i.payload.eq(port.payload)
        connect(m, only.o, flipped(self.i_control))

        senders = {name: flipped(getattr(self, f"o_{name}")) for name in ("orders", "control", "telemetry")}
        where = {"orders": roles["orders"], "control": roles["control"], "telemetry": roles["control"]}
        if roles["orders"] != roles["control"] or "copies_on_the_wire" in self._faults:
            m.submodules.copies = copies = CopyStore()
            connect(m, flipped(self.o_copy), copies.i)
            senders["copy"], where["copy"] = copies.o, roles["control"]
        if roles["orders"] != roles["control"]:
            own, lost = frozenset({"own_type_passed"}) & self._faults, {}
            for name, source, target, words_max in (
                ("inject", "control", "orders", None if "host_unlimited" in self._faults else LIMIT_WORDS),
                ("punt", "orders", "control", None),
            ):
                m.submodules[name] = bridge = Bridge(words_max=words_max, faults=own)
                _hear(m, getattr(self, f"rx_{roles[source]}"), bridge.i)
                senders[name], where[name] = bridge.o, roles[target]
                lost[name] = bridge.lost
            ways = ("inject", "punt") if "losses_mixed" in self._faults else ("punt", "inject")
            count(m, self.counters, dict(zip(self.COUNTERS, (lost[name] for name in ways), strict=True)))
        order = list(PRIORITY)
        for fault, first, second in (
            ("telemetry_first", "control", "telemetry"),
            ("host_first", "orders", "inject"),
            ("punts_before_copies", "copy", "punt"),
        ):
            if fault in self._faults:
                one, other = order.index(first), order.index(second)
                order[one], order[other] = second, first
        for number in sorted(set(where.values())):
            names = tuple(name for name in order if where.get(name) == number)
            arbiter = PortArbiter(names, limited=number == roles["orders"] or "punts_cut" in self._faults)
            m.submodules[f"arbiter_{number}"] = arbiter
            connect(m, senders[names[0]], getattr(arbiter, f"i_{names[0]}"))
            for name in names[1:]:
                # Whose turn it is turns out late in the cycle, when the first sender has made its offer.
                m.submodules[f"skid_{name}"] = skid = Skid(FRAME)
                connect(m, senders[name], skid.i)
                connect(m, skid.o, getattr(arbiter, f"i_{name}"))
            # Whether a port takes a word depends on the pointers of a crossing, and who may send on much more.
            m.submodules[f"skid_tx_{number}"] = skid = Skid(FRAME)
            connect(m, arbiter.o, skid.i)
            connect(m, skid.o, flipped(getattr(self, f"tx_{number}")))
        return m


def _hear(m, source, target):
    """A stream that is heard by several."""
    m.d.comb += [target.valid.eq(source.valid), target.payload.eq(source.payload)]
