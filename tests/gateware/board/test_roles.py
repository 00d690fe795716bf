"""Roles on ports: the device of the simulation answers, counts and tells through the ports of a board."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from tickgate.gateware.board.arbiter import LIMIT_WORDS
from tickgate.gateware.board.roles import Roles
from tickgate.gateware.top import Top
from tickgate.sw.spec import control
from tickgate.sw.spec.control import Operation
from tickgate.sw.spec.registers import BY_NAME
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)
TWO = {"feed_a": 0, "feed_b": 1, "orders": 0, "control": 1}
ONE = {"feed_a": 0, "orders": 0, "control": 0}
MULTICAST, UNICAST, BROADCAST = (bytes.fromhex(address) for address in ("01005e360c6f", "020000000099", "ffffffffffff"))
IPV4, TAGGED, ARP, OWN = (ethertype.to_bytes(2, "big") for ethertype in (0x0800, 0x8100, 0x0806, control.ETHERTYPE))


class Behind(wiring.Component):
    """The device behind its roles."""

    def __init__(self, roles):
        around = {"roles": Roles.COUNTERS}
        self.roles, self.device = Roles(roles), Top(SIZES, trace=False, core_clock_hz=100_000_000, around=around)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.roles, m.submodules.device = self.roles, self.device
        self.roles.attach(m, self.device)
        return m


def words(frame, error=0):
    for at in range(0, len(frame), 8):
        part, last = frame[at : at + 8], at + 8 >= len(frame)
        yield {"data": int.from_bytes(part, "little"), "count": len(part), "last": last, "error": error * last}


def frame_of(destination, ethertype, size=60, fill=0):
    return (destination + bytes(6) + ethertype).ljust(size, bytes([fill]))


async def send(ctx, port, frame, look):
    for word in words(frame):
        ctx.set(port.payload, word)
        ctx.set(port.valid, 1)
        look()
        await ctx.tick()
    ctx.set(port.valid, 0)
    for _ in range(4):
        look()
        await ctx.tick()


def simulate(dut, testbench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("roles", (ONE, TWO), ids=("one port", "two ports"))
def test_host_reads_the_device_over_the_control_port_and_feeds_are_counted_by_line(roles):
    dut, came = Behind(roles), {0: [b""], 1: [b""]}
    asked = ("frames", "core_clock_khz", "bridge_to_host_lost", "bridge_from_host_lost")

    async def testbench(ctx):
        ports = sorted(set(roles.values()))

        def look():
            for number in ports:
                out = getattr(dut.roles, f"tx_{number}")
                ctx.set(out.ready, 1)
                if ctx.get(out.valid):
                    word = out.payload
                    came[number][-1] += ctx.get(word.data).to_bytes(8, "little")[: ctx.get(word.count)]
                    if ctx.get(word.last):
                        came[number].append(b"")

        host = getattr(dut.roles, f"rx_{roles['control']}")
        feed, long = frame_of(MULTICAST, IPV4), frame_of(UNICAST, IPV4, 8 * LIMIT_WORDS + 1)
        await send(ctx, host, control.encode(Operation.HELLO, 7, 1), look)
        for number in ports:
            await send(ctx, getattr(dut.roles, f"rx_{number}"), feed, look)
        await send(ctx, host, long, look)
        for _ in range(100):
            look()
            await ctx.tick()
        await send(ctx, host, control.encode(Operation.READ, 7, 2, [(BY_NAME[name].offset, 0) for name in asked]), look)
        for _ in range(100):
            look()
            await ctx.tick()

    simulate(dut, testbench)
    answers = [control.decode(f) for f in came[roles["control"]] if control.is_control(f)]
    assert [a.operation for a in answers] == [Operation.HELLO, Operation.READ]
    frames, khz, *lost = (value for _, value in answers[1].entries)
    assert khz == 100_000
    # Every frame of line A's port began on it, the host's own three where that is the host's port too; line B hears
    # what may be a feed's.
    assert frames == (2 if roles is TWO else 4)
    assert lost == ([0, 1] if roles is TWO else [0, 0])
    if roles is TWO:
        assert came[0] == [b""]


def heard_of(frame, faults=frozenset()):
    """Words that each line hears of a frame on the host's port of two."""
    dut, heard = Roles(TWO, faults=faults), {"i_a": 0, "i_b": 0, "i_control": 0}

    async def testbench(ctx):
        def look():
            for name in heard:
                heard[name] += ctx.get(getattr(dut, name).valid)

        await send(ctx, dut.rx_1, frame, look)

    simulate(dut, testbench)
    return heard


def test_line_b_hears_the_feed_and_not_the_host():
    feed, tagged, request, session = (
        frame_of(destination, ethertype)
        for destination, ethertype in ((MULTICAST, IPV4), (MULTICAST, TAGGED), (UNICAST, OWN), (UNICAST, IPV4))
    )
    assert heard_of(feed) == heard_of(tagged) == {"i_a": 0, "i_b": 8, "i_control": 0}
    assert heard_of(request) == {"i_a": 0, "i_b": 0, "i_control": 8}
    assert heard_of(session) == heard_of(frame_of(BROADCAST, IPV4)) == {"i_a": 0, "i_b": 0, "i_control": 0}
    assert heard_of(request, frozenset({"host_blocks_feed"}))["i_b"] == 8
    assert heard_of(session, frozenset({"unicast_on_line_b"}))["i_b"] == 8


def exchange(faults=frozenset(), roles=TWO):
    """Streams of a device that sends on everything at once: what leaves on which port, and what each line hears."""
    dut, came, heard = Roles(roles, faults=faults), {0: [], 1: []}, {"i_a": 0, "i_b": 0}
    ports = sorted(set(roles.values()))

    async def testbench(ctx):
        frame = list(words(frame_of(MULTICAST, IPV4, 64)))
        left = {name: list(frame) for name in ("o_orders", "o_control", "o_telemetry")}
        copy = list(frame)
        for cycle in range(80):
            for number in ports:
                port = getattr(dut, f"rx_{number}")
                ctx.set(port.valid, number == 0 and cycle < 8)
                ctx.set(port.payload, frame[cycle % 8])
                out = getattr(dut, f"tx_{number}")
                ctx.set(out.ready, 1)
                if ctx.get(out.valid) and ctx.get(out.payload.last):
                    came[number].append("frame")
            for name, rest in left.items():
                stream = getattr(dut, name)
                ctx.set(stream.valid, bool(rest))
                if rest:
                    ctx.set(stream.payload, rest[0])
            ctx.set(dut.o_copy.valid, bool(copy))
            if copy:
                ctx.set(dut.o_copy.payload, copy.pop(0))
            for name in heard:
                heard[name] += ctx.get(getattr(dut, name).valid)
            taken = [name for name, rest in left.items() if rest and ctx.get(getattr(dut, name).ready)]
            await ctx.tick()
            for name in taken:
                left[name].pop(0)
                if not left[name]:
                    came[roles[{"o_orders": "orders"}.get(name, "control")]].append(name)

    simulate(dut, testbench)
    return came, heard


def test_two_ports_send_orders_alone_and_copies_beside_answers():
    came, heard = exchange()
    assert came[0] == ["o_orders", "frame"]
    assert came[1].count("frame") == 3
    assert [name for name in came[1] if name != "frame"] == ["o_control", "o_telemetry"]
    assert heard == {"i_a": 8, "i_b": 0}


def test_one_port_sends_orders_first_and_no_copies():
    came, heard = exchange(roles=ONE)
    assert [name for name in came[0] if name != "frame"] == ["o_orders", "o_control", "o_telemetry"]
    assert came[0].count("frame") == 3 and heard == {"i_a": 8, "i_b": 0}


def test_planted_faults_are_caught():
    assert exchange(frozenset({"lines_swapped"}))[1] == {"i_a": 0, "i_b": 8}
    came, _ = exchange(frozenset({"telemetry_first"}))
    assert [name for name in came[1] if name != "frame"] == ["o_telemetry", "o_control"]
    came, _ = exchange(frozenset({"copies_on_the_wire"}), roles=ONE)
    assert came[0].count("frame") == 4


class Wire:
    """Frames into ports and from the device, one behind the other, and what leaves on each port, with its cycles.

    Members
    -------
    came: (frame, error, cycle of its first word) by port.
    taken: the cycle in which the first word of each frame from the device was taken, by stream.
    counters: those of the roles in the end.

    Nothing leaves on the ports in `busy`.
    """

    def __init__(self, roles, into, faults=frozenset(), cycles=600, gap=3, busy=()):
        self.dut = Roles(roles, faults=faults)
        self.came, self.taken = {0: [], 1: []}, {name: [] for name in into}
        self._into = {
            name: [word for start, frame, error in frames for word in [start, *words(frame, error), *[None] * gap]]
            for name, frames in into.items()
        }
        self._ports, self._cycles, self._busy = sorted(set(roles.values())), cycles, busy
        simulate(self.dut, self._run)

    async def _run(self, ctx):
        waiting = {name: list(script) for name, script in self._into.items()}
        parts, begun = dict.fromkeys(self._ports, b""), dict.fromkeys(self._ports, 0)
        fresh = dict.fromkeys(waiting, True)
        for cycle in range(self._cycles):
            for name, script in waiting.items():
                if script and isinstance(script[0], int) and script[0] <= cycle:
                    script.pop(0)
                stream = getattr(self.dut, name)
                word = script[0] if script and not isinstance(script[0], int) else None
                ctx.set(stream.valid, word is not None)
                if word is not None:
                    ctx.set(stream.payload, word)
            for number in self._ports:
                out = getattr(self.dut, f"tx_{number}")
                ctx.set(out.ready, number not in self._busy)
                if ctx.get(out.valid) and number not in self._busy:
                    begun[number] = begun[number] if parts[number] else cycle
                    word = out.payload
                    parts[number] += ctx.get(word.data).to_bytes(8, "little")[: ctx.get(word.count)]
                    if ctx.get(word.last):
                        self.came[number].append((parts[number], ctx.get(word.error), begun[number]))
                        parts[number] = b""
            moved = []
            for name, script in waiting.items():
                if not script or isinstance(script[0], int):
                    continue
                stream = getattr(self.dut, name)
                if script[0] is None or not hasattr(stream, "ready") or ctx.get(stream.ready):
                    moved.append(script)
                    if script[0] is not None:
                        if fresh[name]:
                            self.taken[name].append(cycle)
                        fresh[name] = script[0]["last"]
            await ctx.tick()
            for script in moved:
                script.pop(0)
        self.counters = {name: ctx.get(self.dut.counters[name]) for name in Roles.COUNTERS}

    def frames(self, port):
        """Frames that left there; a bad one is told apart."""
        return [frame if not error else b"bad " + frame for frame, error, _ in self.came[port]]


def test_frames_for_nobody_go_to_the_host_and_its_own_to_the_order_port():
    """Each kind of destination and EtherType, both ways, good and bad; both at once."""
    rng = random.Random(1)
    into = {"rx_0": [], "rx_1": []}
    due, lost = {0: [], 1: []}, 0
    for port, frames in (("rx_0", into["rx_0"]), ("rx_1", into["rx_1"])):
        for number in range(40):
            destination, ethertype = rng.choice((UNICAST, BROADCAST, MULTICAST)), rng.choice((IPV4, TAGGED, ARP, OWN))
            error = int(rng.random() < 0.2)
            frame = frame_of(destination, ethertype, rng.choice((60, 110, 128, 129, 300, 1514)), number + 1)
            frames.append((0, frame, error))
            limit = 1514 if port == "rx_0" else 8 * LIMIT_WORDS
            if not error and destination != MULTICAST and ethertype != OWN:
                lost += len(frame) > limit
                if len(frame) <= limit:
                    due[1 if port == "rx_0" else 0].append(frame)
    wire = Wire(TWO, into, cycles=6000)
    assert min(len(due[0]), len(due[1]), lost) > 5
    assert [wire.frames(port) for port in (0, 1)] == [due[0], due[1]]
    assert wire.counters == {"bridge_to_host_lost": 0, "bridge_from_host_lost": lost}
    wire = Wire(TWO, into, frozenset({"losses_mixed"}), cycles=6000)
    assert wire.counters == {"bridge_to_host_lost": lost, "bridge_from_host_lost": 0}
    wire = Wire(TWO, into, frozenset({"own_type_passed"}), cycles=6000)
    assert wire.frames(0) != due[0] and wire.frames(1) != due[1]
    wire = Wire(TWO, into, frozenset({"host_unlimited"}), cycles=6000)
    assert wire.frames(0) != due[0] and any(frame.startswith(b"bad ") for frame in wire.frames(0))


@pytest.mark.parametrize(("port", "counter"), list(enumerate(Roles.COUNTERS)))
def test_frames_for_a_port_that_stays_busy_are_counted_once_there_is_no_room(port, counter):
    """Frames have 16 words; 511 are kept, and the first ones stand in registers behind the memory."""
    frames = [(0, frame_of(UNICAST, IPV4, 128, number), 0) for number in range(60)]
    wire = Wire(TWO, {f"rx_{port}": frames}, cycles=1200, busy=(0, 1))
    assert wire.counters == dict.fromkeys(Roles.COUNTERS, 0) | {counter: 60 - (511 + 2) // 16}


def test_one_port_bridges_nothing():
    frame = frame_of(UNICAST, IPV4)
    wire = Wire(ONE, {"rx_0": [(0, frame, 0)]}, cycles=100)
    assert wire.frames(0) == [] and wire.counters == dict.fromkeys(Roles.COUNTERS, 0)


def test_bridged_frames_take_as_long_as_the_table_says():
    for port, other in ((0, 1), (1, 0)):
        wire = Wire(TWO, {f"rx_{port}": [(5, frame_of(UNICAST, IPV4, 64), 0)]}, cycles=60)
        (came,) = wire.came[other]
        assert (came[2] - 12,) * 2 == Roles.latency_cycles["rx_<n>", "tx_<n>", "bridged"]


def order_waits(faults=frozenset()):
    """Cycles from an order's first word offered to its first word on the wire, while the host sends all it can."""
    waits, rng = [], random.Random(1)
    host = [(0, frame_of(UNICAST, IPV4, 128, n), 0) for n in range(60)]
    orders = [(60 + 45 * n + rng.randrange(20), frame_of(UNICAST, IPV4, 104, 0xEE), 0) for n in range(40)]
    for into in ({"o_orders": orders}, {"o_orders": orders, "rx_1": host}):
        wire = Wire(TWO, into, faults, cycles=2600)
        first = [cycle for frame, _, cycle in wire.came[0] if frame[-1] == 0xEE]
        assert len(first) == len(orders)
        waits.append([left - start for left, (start, _, _) in zip(first, orders, strict=True)])
    return waits


def test_orders_leave_as_soon_as_without_a_host_or_wait_for_one_frame():
    alone, shared = order_waits()
    least = Roles.latency_cycles["o_orders", "tx_<n>", "idle"][0]
    assert alone == [least] * len(alone)
    assert min(shared) == least and least < max(shared) <= least + LIMIT_WORDS
    _, shared = order_waits(frozenset({"host_first"}))
    assert max(shared) > least + LIMIT_WORDS


def behind_a_long_frame(faults=frozenset()):
    """The longest frame goes to the host, then orders leave at line rate: port 1, and the order's frames."""
    longest = frame_of(UNICAST, IPV4, 1518, 1)
    orders = [(210, frame_of(UNICAST, IPV4, 128, 0x80 + n), 0) for n in range(40)]
    answers = [(210, frame_of(UNICAST, OWN, 60, 0x30), 0)]
    punts = [(0, longest, 0), (0, frame_of(UNICAST, ARP, 60, 2), 0)]
    dut = {"rx_0": punts, "o_control": answers, "o_copy": orders}
    return Wire(TWO, dut, faults, cycles=1500).frames(1), longest, [frame for _, frame, _ in orders], answers[0][1]


def test_copies_wait_for_the_longest_frame_and_none_is_lost():
    came, longest, orders, answer = behind_a_long_frame()
    assert came[0] == longest
    assert [frame for frame in came if frame in orders] == orders
    # Then all other frames, in the order of their senders.
    assert came[-2:] == [answer, frame_of(UNICAST, ARP, 60, 2)]


@pytest.mark.parametrize("fault", ("punts_cut", "punts_before_copies"))
def test_planted_faults_of_the_way_to_the_host_are_caught(fault):
    came, longest, orders, _ = behind_a_long_frame(frozenset({fault}))
    if fault == "punts_cut":
        assert longest not in came
    else:
        assert came.index(frame_of(UNICAST, ARP, 60, 2)) < came.index(orders[-1])


def test_roles_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="the role orders has no port"):
        Roles({"feed_a": 0, "control": 0})
    with pytest.raises(ValueError, match="a role is one of feed_a, feed_b, orders, control, not 'host'"):
        Roles(ONE | {"host": 0})
