"""The host against the Verilated device through its control role: limits that change at once, heartbeat, telemetry."""

import pytest
from firing_feed import SIZES, TOML, add, delete, firing

from tickgate.gateware.registers import READ_CYCLES
from tickgate.sim.compare.inputs import frames_of
from tickgate.sim.device import CONTROL_PORT, ORDERS_PORT, TELEMETRY_PORT
from tickgate.sim.device import Device as SimDevice
from tickgate.sim.transport import SimTransport, open_sim
from tickgate.sw.files.block import block_of
from tickgate.sw.files.packer import Packer
from tickgate.sw.host import order_session
from tickgate.sw.host.device import Device
from tickgate.sw.host.errors import DeviceError
from tickgate.sw.host.telemetry import TelemetryMonitor
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec import config_toml, control, registers, rows
from tickgate.sw.spec.control import Operation, Status
from tickgate.sw.spec.registers import BY_NAME
from tickgate.sw.spec.risk import Reason
from tickgate.sw.spec.sizes import Sizes

#: Longest way from a frame's last word to the verdict on what it fired, and some more.
SETTLE_CYCLES = 120


@pytest.fixture(scope="module")
def compiled():
    with SimDevice(SIZES) as device:
        yield device


@pytest.fixture
def sim(compiled):
    compiled.reset()
    compiled.clear()
    compiled.stall(0)
    compiled.step(2000)  # the sweep after reset
    compiled.clear()
    return compiled


@pytest.fixture
def host(sim):
    return Device(SimTransport(sim), timeout_s=5)


def test_device_of_the_simulation_is_what_the_model_says(host):
    model = Registers(SIZES)
    for name in registers.IDENTITY:
        assert host.read(name) == {name: model.values[name]}
    found = host.registers()
    assert found["scratch"] == 0 and found["now"] > 2000
    host.write("scratch", 0x12345678)
    assert host.read("scratch")["scratch"] == 0x12345678


def test_limits_are_applied_and_read_back_from_the_device(host):
    config = config_toml.loads(TOML, SIZES)
    assert {c.at.label for c in host.apply(config, everything=True)} >= {"slot 0 limits", "gate", "session", "feed"}
    assert host.plan(config, everything=True) == []
    host.arm()
    assert config_toml.dumps(host.config()) == config_toml.dumps(config)


def test_rows_do_not_survive_a_reset(host, sim):
    config = config_toml.loads(TOML, SIZES)
    host.apply(config, everything=True)
    sim.reset()
    sim.step(2000)
    fresh = Device(SimTransport(sim), timeout_s=5)
    assert fresh.config().slots == () and not any(fresh.read_row(a)["open"] for a in [session_row()])


def session_row():
    from tickgate.sw.host.device import RowAt

    return RowAt(rows.SESSION_ROW)


def test_direct_bus_and_control_role_share_the_registers(host, sim):
    host.write("scratch", 7)
    assert sim.read("scratch") == 7
    sim.write("scratch", 8)
    assert host.read("scratch")["scratch"] == 8
    # Reads of both within each other's answers.
    request = control.encode(Operation.READ, host.client.nonce, 0, ())
    assert len(request) == 32
    for offset in range(READ_CYCLES + 14):
        host.client._sequence = host.client._sequence + 1 & 0xFFFFFFFF
        entries = ((BY_NAME["size_slots"].offset, 0),) * 3
        sim.clear()
        sim.control(control.encode(Operation.READ, host.client.nonce, host.client._sequence, entries))
        sim.step(offset)
        assert sim.read("size_orders") == SIZES.orders
        sim.step(40)
        ((_, answer),) = sim.frames(CONTROL_PORT)
        assert [value for _, value in control.decode(answer).entries] == [SIZES.slots] * 3


OLD, NEW = Reason.MAX_QUANTITY, Reason.MAX_NOTIONAL | Reason.RATE_SESSION


def sets():
    """Two sets of limits and gate: what one rejects the other lets pass, for every reason of either."""
    config = config_toml.loads(TOML, SIZES)
    limits, gate = config.slots[0].limits, config.gate
    old = ({**limits, "max_quantity": 100}, gate)
    new = ({**limits, "max_notional_e4": 1_000_000}, {**gate, "rate_valid": 0})
    return config, old, new


@pytest.mark.parametrize("grouped", (True, False), ids=("group", "one_by_one"))
def test_commit_at_every_offset_against_an_order_gives_the_old_or_the_new_verdict(host, sim, grouped):
    """Where the rows are committed one by one, mixtures are seen: so the test would see them."""
    offsets = range(60)
    config, old, new = sets()
    host.apply(config, everything=True)
    host.arm()
    feed = firing(len(offsets))
    sim.run(feed.select(0, 1))
    commits = [(BY_NAME["limits_commit"].offset, 0), (BY_NAME["gate_commit"].offset, 0)]
    if grouped:
        commits = [(BY_NAME["commit_group"].offset, registers.group_value(("limits", "gate")))]
    verdicts = []
    for offset in offsets:
        for limits, gate in (old, new):
            # In force is the old set, in the shadows stands the new one.
            host.client.write(registers.row_writes(rows.LIMITS_ROW, limits)[:-1])
            host.client.write(registers.row_writes(rows.GATE_ROW, gate)[:-1])
            if limits is old[0]:
                host.client.write(commits)
        sim.drain()
        sim.clear()
        sim.run(feed.select(1 + 2 * offset, 2 + 2 * offset), gap=0)
        sim.step(offset)
        host.client._sequence = host.client._sequence + 1 & 0xFFFFFFFF
        sequence = host.client._sequence
        sim.control(control.encode(Operation.WRITE, host.client.nonce, sequence, tuple(commits)))
        sim.step(SETTLE_CYCLES)
        (verdict,) = sim.traces()["risk"]
        verdicts.append(Reason(int(verdict["reasons"])))
        ((_, answer),) = sim.frames(CONTROL_PORT)
        assert control.decode(answer).sequence == sequence
        sim.run(feed.select(2 + 2 * offset, 3 + 2 * offset))
        sim.drain()
    assert verdicts[0] == NEW and verdicts[-1] == OLD, verdicts
    if grouped:
        assert set(verdicts) == {OLD, NEW}
        assert verdicts == sorted(verdicts, key=lambda v: v == OLD), "a later commit acted on an earlier order"
    else:
        assert set(verdicts) > {OLD, NEW}


def test_session_of_an_armed_device_is_not_taken_over_by_another_address(host, sim):
    host.arm()
    stranger = SimTransport(sim)
    stranger.mac = control.HOST_MAC + 1
    with pytest.raises(DeviceError, match="another host may hold the session while the device is armed"):
        Device(stranger, timeout_s=0.01, tries=2)
    assert host.status()["armed"] and sim.read("control_foreign") == 2
    host.kill()
    assert Device(stranger, timeout_s=5).sizes == SIZES


def test_heartbeat_that_stops_kills_within_its_cycles(host, sim):
    config = config_toml.loads(TOML, SIZES)
    host.apply(config, everything=True)
    feed = firing(4)
    sim.run(feed.select(0, 1))
    limit = 3000
    host.write("heartbeat_limit_cycles", limit)
    host.arm()
    sim.clear()
    for _ in range(3):
        sim.step(limit // 2)
        host.beat()
    assert host.status()["armed"]
    host.beat()
    sim.clear()
    sim.run(feed.select(1, 3))
    sim.drain()
    assert len(list(sim.frames(ORDERS_PORT))) == 1
    sim.step(limit)
    assert host.status() | {"was_cleared": True} == {
        "armed": False, "clearing": False, "mark_pending": False, "session_open": True, "was_cleared": True,
        "heartbeat_lost": True,
    }  # fmt: skip
    sim.clear()
    sim.run(feed.select(3, 5))
    sim.drain()
    assert not list(sim.frames(ORDERS_PORT))
    host.write("heartbeat_limit_cycles", 0)
    host.arm()
    assert host.status()["armed"]


def test_order_cycles_are_the_same_with_telemetry_on_off_and_overflowing(host, sim):
    """The same frames in the same cycles: every order's bytes and cycle, whatever telemetry does."""
    config = config_toml.loads(TOML, SIZES)
    messages = [add(1, b"B", 995_000)]
    for number in range(300):
        messages += [add(10 + number, b"S", 1_000_000), delete(10 + number)]
    batches = Packer(per_packet=4).pack_all([block_of(messages)])
    feed = frames_of(frame for batch in batches for frame in batch)
    runs, lost = [], []
    for mask, every in ((0, 0), (0b1, 50), (0x3F, 1)):
        sim.reset()
        sim.step(2000)
        device = Device(SimTransport(sim), timeout_s=5)
        device.write("telemetry_mask", mask)
        device.write("telemetry_every", every)
        device.apply(config, everything=True)
        device.arm()
        sim.drain()
        sim.clear()
        began = sim.cycle
        sim.run(feed, gap=100)
        sim.drain()
        runs.append([(cycle - began, frame) for cycle, frame in sim.frames(ORDERS_PORT)])
        monitor = TelemetryMonitor()
        for _, frame in sim.frames(TELEMETRY_PORT):
            monitor.frame(frame)
        assert monitor.frames_lost == 0
        lost.append(device.read("telemetry_lost")["telemetry_lost"])
        assert monitor.device_lost <= lost[-1] and (mask or monitor.orders == len(runs[-1]))
    assert len(runs[0]) > 100 and runs[0] == runs[1] == runs[2]
    assert lost[0] == 0 < lost[2], lost


def test_transport_of_the_simulation_is_found_by_its_size(monkeypatch):
    made = []
    monkeypatch.setattr("tickgate.sim.transport.Device", lambda sizes: made.append(sizes) or open_sim)
    open_sim("small")
    assert made == [Sizes(slots=4, orders=1024, levels=256)]


def payloads(sim):
    """TCP payloads that left on the order port since the last `clear`, and where their numbers begin."""
    found = [order_session.parse(frame) for _, frame in sim.frames(ORDERS_PORT)]
    return [(header["sequence"], payload) for header, payload in found]


def injected(host, sim, message):
    """Gives an INJECT, which is returned, and waits for nothing: a transport would take what leaves."""
    host.client._sequence = host.client._sequence + 1 & 0xFFFFFFFF
    frame = control.encode(Operation.INJECT, host.client.nonce, host.client._sequence, message=message)
    sim.control(frame)
    return frame


def test_messages_of_the_control_role_and_the_direct_port_are_numbered_by_one_arbiter(host, sim):
    host.apply(config_toml.loads(TOML, SIZES), everything=True)
    row = host.read_row(session_row())
    sim.clear()
    sent = []
    for number in range(12):
        message = bytes([number]) * (1 + 7 * number % control.INJECT_SIZE_MAX)
        sent.append(message)
        if number % 3 == 2:
            sim.inject(message)
        else:
            injected(host, sim, message)
        sim.step(60)
    answers = [control.decode(frame) for _, frame in sim.frames(CONTROL_PORT)]
    assert [(a.operation, a.status, a.entries) for a in answers] == [(Operation.INJECT, Status.OK, ())] * 8
    due, at = [], row["next_seq"]
    for message in sent:
        due.append((at, message))
        at = (at + len(message)) % (1 << 32)
    assert payloads(sim) == due
    assert host.read("injects")["injects"] == 12


def test_message_is_refused_while_the_one_before_waits_and_taken_once(host, sim):
    """The session is closed: the first message waits for it, and repeats of a request do nothing."""
    config = config_toml.loads(TOML, SIZES)
    host.apply(config)
    sim.clear()
    first = injected(host, sim, b"first")
    sim.step(60)
    sim.control(first)  # the host asks again
    sim.step(60)
    injected(host, sim, b"second")
    sim.step(60)
    found = [control.decode(frame).status for _, frame in sim.frames(CONTROL_PORT)]
    assert found == [Status.OK, Status.OK, Status.BUSY]
    with pytest.raises(DeviceError, match="did not take a message within 0.01 s"):
        host.client.inject(b"second", patience_s=0.01)
    sim.clear()
    sim.write_row(rows.PEER_ROW, config.peer)
    sim.write_row(rows.SESSION_ROW, config.session)
    sim.step(60)
    injected(host, sim, b"second")
    sim.step(60)
    assert payloads(sim) == [(config.session["next_seq"], b"first"), (config.session["next_seq"] + 5, b"second")]
