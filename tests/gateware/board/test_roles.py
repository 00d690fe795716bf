"""Roles on ports: the device of the simulation answers, counts and tells through the ports of a board."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from tickgate.gateware.board.roles import Roles
from tickgate.gateware.top import Top
from tickgate.sw.spec import control
from tickgate.sw.spec.control import Operation
from tickgate.sw.spec.registers import BY_NAME
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)
TWO = {"feed_a": 0, "feed_b": 1, "orders": 0, "control": 1}
ONE = {"feed_a": 0, "orders": 0, "control": 0}


class Behind(wiring.Component):
    """The device behind its roles."""

    def __init__(self, roles):
        self.roles, self.device = Roles(roles), Top(SIZES, trace=False, core_clock_hz=100_000_000)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.roles, m.submodules.device = self.roles, self.device
        self.roles.attach(m, self.device)
        return m


def words(frame):
    for at in range(0, len(frame), 8):
        part = frame[at : at + 8]
        yield {"data": int.from_bytes(part, "little"), "count": len(part), "last": at + 8 >= len(frame), "error": 0}


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
    counter = BY_NAME["frames"].offset
    clock = BY_NAME["core_clock_khz"].offset

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
        feed = bytes(12) + b"\x08\x00" + bytes(46)
        await send(ctx, host, control.encode(Operation.HELLO, 7, 1), look)
        for number in ports:
            await send(ctx, getattr(dut.roles, f"rx_{number}"), feed, look)
        for _ in range(100):
            look()
            await ctx.tick()
        await send(ctx, host, control.encode(Operation.READ, 7, 2, ((counter, 0), (clock, 0))), look)
        for _ in range(100):
            look()
            await ctx.tick()

    simulate(dut, testbench)
    answers = [control.decode(f) for f in came[roles["control"]] if control.is_control(f)]
    assert [a.operation for a in answers] == [Operation.HELLO, Operation.READ]
    frames, khz = (value for _, value in answers[1].entries)
    assert khz == 100_000
    # Every frame of line A's port began on it, the host's own two where that is the host's port too; line B hears what
    # may be a feed's.
    assert frames == (2 if roles is TWO else 3)
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
    feed, tagged, request = (bytes(12) + ethertype + bytes(46) for ethertype in (b"\x08\x00", b"\x81\x00", b"\x88\xb5"))
    assert heard_of(feed) == heard_of(tagged) == {"i_a": 0, "i_b": 8, "i_control": 0}
    assert heard_of(request) == {"i_a": 0, "i_b": 0, "i_control": 8}
    assert heard_of(request, frozenset({"host_blocks_feed"}))["i_b"] == 8


def exchange(faults=frozenset(), roles=TWO):
    """Streams of a device that sends on everything at once: what leaves on which port, and what each line hears."""
    dut, came, heard = Roles(roles, faults=faults), {0: [], 1: []}, {"i_a": 0, "i_b": 0}
    ports = sorted(set(roles.values()))

    async def testbench(ctx):
        frame = list(words(bytes(range(64))))
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


def test_roles_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="the role orders has no port"):
        Roles({"feed_a": 0, "control": 0})
    with pytest.raises(ValueError, match="a role is one of feed_a, feed_b, orders, control, not 'host'"):
        Roles(ONE | {"host": 0})
