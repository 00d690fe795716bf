"""A host and a device over the model: sessions, losses, rows, limits, the kill switch, and who is older."""

import dataclasses
import time
import tomllib
from importlib.metadata import EntryPoint

import pytest

from tickgate.sw.host import transport
from tickgate.sw.host.client import Client
from tickgate.sw.host.device import Device, RowAt, _groups
from tickgate.sw.host.errors import DeviceError, WrongDeviceError
from tickgate.sw.host.identity import check_identity
from tickgate.sw.host.model_transport import ModelTransport, open_model
from tickgate.sw.host.transport import open_transport
from tickgate.sw.model.control import Served
from tickgate.sw.model.registers import Registers
from tickgate.sw.spec import config_toml, control, registers, rows
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.registers import BY_NAME
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=4, orders=256, levels=64, stash=4)
TOML = """
[gate]
rate_burst = 10
rate_period_cycles = 1000

[[slot]]
locate = 13
symbol = "AAPL"
tick_e4 = 100
base_e4 = 3100000

[slot.buy]
kind = "take"
threshold_e4 = 3200000
price_source = "best_ask"
quantity = 100

[slot.sell]
kind = "spread"
min_spread_e4 = 300
quantity = 50

[slot.limits]
max_quantity = 500
max_notional_e4 = 9000000000000

[[slot]]
[[slot]]
locate = 14
symbol = "MSFT"
tick_e4 = 100
base_e4 = 1000000
"""


def pair(**rest):
    transport = ModelTransport(Registers(SIZES, build_id=0x55), **rest)
    return transport, Device(transport, timeout_s=0.002, tries=30)


def config(text=TOML):
    return config_toml.loads(text, SIZES)


def test_device_tells_its_identity_and_registers():
    _, device = pair()
    assert device.sizes == SIZES and device.identity.build_id == 0x55
    assert device.identity.cycles(1e-6) == 156 and device.identity.ns(156.25) == pytest.approx(1000)
    found = device.registers()
    assert found["map_hash"] == registers.map_hash() and "limits_max_quantity" not in found and "orders" not in found
    assert set(device.counters()) == set(registers.counter_names())
    assert set(device.histograms()) == {"feed", "itch", "book", "trigger", "risk", "orders"}


def test_device_registers_are_written_by_name():
    transport, device = pair()
    device.write("scratch", 0xDEADBEEF)
    assert device.read("scratch", "map_hash") == {"scratch": 0xDEADBEEF, "map_hash": registers.map_hash()}
    for call, message in (
        (lambda: device.write("map_hash", 1), "read only"),
        (lambda: device.read("kill"), "write only"),
        (lambda: device.write("telemetry_mask", 256), "takes 0 to 0xff, not 0x100"),
        (lambda: device.read("scrach"), "no register 'scrach'; did you mean 'scratch'"),
    ):
        with pytest.raises(DeviceError, match=message):
            call()


def test_device_kill_switch():
    _, device = pair()
    assert not device.status()["armed"]
    device.arm()
    assert device.status()["armed"]
    device.kill()
    assert not device.status()["armed"]


def test_limits_apply_changes_what_differs_and_reads_back():
    transport, device = pair()
    changes = device.plan(config())
    assert {change.at.label for change in changes} == {
        "gate", "slot 0 symbol", "slot 0 buy", "slot 0 sell", "slot 0 limits", "slot 2 symbol",
    }  # fmt: skip
    assert transport.registers.rows == {}, "a plan wrote a row"
    assert device.apply(config()) == changes
    assert device.plan(config()) == [] and transport.registers.cleared == 1
    assert transport.registers.rows["limits_row", 0]["max_quantity"] == 500
    again = device.plan(config(TOML.replace("max_quantity = 500", "max_quantity = 400")))
    assert [(change.at.label, change.fields) for change in again] == [("slot 0 limits", {"max_quantity": (500, 400)})]


def test_limits_of_a_slot_are_committed_in_one_write():
    transport, device = pair()
    commits = []
    real = transport.registers.write

    def write(address, value):
        if address == BY_NAME["commit_group"].offset:
            commits.append(value)
        real(address, value)

    transport.control._write = write
    device.apply(config())
    assert commits == [
        registers.group_value(("symbol", "limits", "trigger"), 0, 0),
        registers.group_value(("trigger",), 0, 1),
        registers.group_value(("symbol",), 2, 0),
        registers.group_value(("gate",)),
    ]


def test_limits_apply_that_fails_puts_the_old_rows_back():
    transport, device = pair()
    device.apply(config())
    before = {key: dict(row) for key, row in transport.registers.rows.items()}
    real = transport.registers.write
    writes = []

    def write(address, value):
        writes.append(address)
        if address == BY_NAME["limits_max_quantity"].offset and value == 400:
            value = 4000  # a bit that fell over
        real(address, value)

    transport.control._write = write
    text = TOML.replace("max_quantity = 500", "max_quantity = 400").replace("rate_burst = 10", "rate_burst = 20")
    with pytest.raises(DeviceError, match="slot 0 limits does not read back.*\nthe rows before are in force again"):
        device.apply(config(text))
    assert transport.registers.rows == before and writes


def test_limits_apply_over_a_wire_that_dies_says_what_may_be_left():
    transport, device = pair()
    device.client._tries = 2

    def write(address, value):
        transport._loss = 1.1  # nothing comes through any more
        transport.registers.write(address, value)

    transport.control._write = write
    with pytest.raises(DeviceError, match="no device answers"):
        device.apply(config())


def test_limits_with_everything_include_feed_and_session():
    _, device = pair()
    labels = {change.at.label for change in device.plan(config(), everything=True)}
    assert {"feed", "session", "peer"} <= labels
    device.apply(config(), everything=True)
    assert device.plan(config(), everything=True) == []


def test_limits_that_were_applied_are_shown_as_the_same_text():
    _, device = pair()
    empty = config_toml.loads(config_toml.dumps(device.config()), SIZES)
    assert empty.slots == () and not empty.armed
    device.apply(config(), everything=True)
    device.arm()
    shown = config_toml.dumps(device.config())
    assert config_toml.loads(shown, SIZES) == config() and shown == config_toml.dumps(config())


def test_row_of_both_sides_is_never_in_one_group():
    changes = [
        dataclasses.replace(change)
        for change in pair()[1].plan(config())
        if change.at.slot == 0 and change.at.record is not rows.GATE_ROW
    ]
    for group in _groups(changes):
        names = [change.at.record.name for change in group]
        assert len(set(names)) == len(names)
    assert RowAt(rows.TRIGGER_ROW, 3, 1).label == "slot 3 sell"


@pytest.mark.parametrize("seed", range(3))
def test_requests_over_a_wire_that_loses_and_repeats_are_executed_once(seed):
    transport, device = pair(loss=0.2, twice=0.2, seed=seed)
    done = []
    transport.control._write = lambda address, value: done.append(value)
    for number in range(100):
        device.write("scratch", number)
    assert done == list(range(100))
    assert device.client.statistics.repeats > 5 and transport.control.counters["control_repeats"] > 5


def test_no_answer_is_an_error_of_the_user():
    transport = ModelTransport(Registers(SIZES), loss=1.1)
    transport.name = "model"
    began = time.monotonic()
    with pytest.raises(DeviceError, match="no device says hello on model: asked 3 times, 0.01 s apart"):
        Device(transport, timeout_s=0.01, tries=3)
    assert time.monotonic() - began < 2


def test_other_frames_are_kept_and_counted():
    transport, device = pair()
    client = device.client
    stray = control.encode(control.Operation.READ, 1, 2, is_answer=True)
    transport.waiting = [b"telemetry", stray, stray[:20]]
    device.read("scratch")
    assert client.take_others() == [b"telemetry"] and client.take_others() == []
    assert client.statistics.strays == 2
    transport.waiting = [b"more", stray]
    client.poll(0)
    assert client.take_others() == [b"more"] and client.statistics.strays == 3


def test_address_that_the_device_refuses_is_named():
    _, device = pair()
    with pytest.raises(DeviceError, match="the device refuses the address 0x1002"):
        device.client.read([0, 0x1002])
    assert device.client.read([0]) == [registers.map_hash()]


def test_heartbeat_keeps_the_device_alive_and_is_switched_off():
    transport, device = pair(cycles=10)
    with device.heartbeat(1e-3, period_s=0.002):  # 156,250 cycles, of which few go by
        device.arm()
        time.sleep(0.05)
        assert device.status()["armed"]
        transport.registers.cycle += 200_000
        status = device.status()
        assert not status["armed"]
    assert transport.registers.values["heartbeat_limit_cycles"] == 0


def test_heartbeat_that_is_lost_keeps_the_device_killed():
    transport, device = pair()
    device.write("heartbeat_limit_cycles", 10_000)
    transport.registers.cycle += 20_000
    with pytest.raises(DeviceError, match="its heartbeat is lost"):
        device.arm()
    with pytest.raises(DeviceError, match="two device cycles to 27.5 s, not 100 s"), device.heartbeat(100):
        pass


def identity(**changed):
    _, device = pair()
    return dataclasses.replace(device.identity, **changed)


@pytest.mark.parametrize(
    ("changed", "build", "message"),
    (
        (
            {"map_hash": registers.MAP_HISTORY[1], "map_version": 16},
            None,
            "the device is older: map version 1, this host",
        ),
        ({"map_hash": 1, "map_version": registers.MAP_VERSION + 1}, None, "this host is older"),
        ({"map_hash": 1, "map_version": 0}, None, "the device is older"),
        ({"map_hash": 1}, None, "neither says that it is older"),
        ({}, 0x56, "the build 0x0000000000000055, not 0x0000000000000056\nneither"),
        ({"release": 0x02000000}, 0x56, "this host is older .*release 2.0.0"),
        ({"release": 0x00000001, "build_id": 0}, 0x56, "a simulated design, not .*\nthe device is older"),
    ),
)
def test_device_of_another_map_or_build_is_refused_and_the_older_side_named(changed, build, message):
    with pytest.raises(WrongDeviceError, match=message):
        check_identity(identity(**changed), build)


def test_device_of_this_map_and_build_is_taken():
    check_identity(identity(), 0x55)
    with pytest.raises(WrongDeviceError, match="sizes that none has"):
        identity(size_slots=3).sizes  # noqa: B018


def test_transport_is_found_by_name():
    assert open_transport("model:small").name == "model:small"
    assert Device(open_model(""), timeout_s=0.01).sizes.slots == 8
    with pytest.raises(UserError, match="no transport 'pigeon'; the transports are model, sim, nic, shm"):
        open_transport("pigeon:1")
    with pytest.raises(UserError, match="size must be one of small"):
        open_transport("model:huge")


def test_transports_of_the_package_are_the_hosts_own_table(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"][transport.GROUP]
    assert declared == {name: target for name, (target, *_) in transport.BUILTIN.items()}
    assert {extra for *_, extra in transport.BUILTIN.values() if extra} <= set(project["optional-dependencies"])


def test_transport_of_another_package_is_found_and_its_mistakes_are_told(monkeypatch):
    good = EntryPoint("mine", "tickgate.sw.host.model_transport:open_model", transport.GROUP)
    bad = EntryPoint("bad", "tickgate.sw.host.model_transport:open_nothing", transport.GROUP)
    monkeypatch.setattr(transport, "entry_points", lambda group: [good, bad])
    assert open_transport("mine:small").name == "mine:small" and "mine: from tickgate" in transport.describe()
    with pytest.raises(UserError, match="the transport 'bad' .* cannot be loaded"):
        open_transport("bad")


def test_sweep_that_does_not_end_is_an_error(monkeypatch):
    _, device = pair()
    monkeypatch.setattr("tickgate.sw.host.device.CLEAR_TIMEOUT_S", 0.01)
    monkeypatch.setattr(device, "status", lambda: {"clearing": True})
    with pytest.raises(DeviceError, match="not clear after 0.01 s"):
        device.clear()


def test_client_of_another_session_is_foreign():
    transport, device = pair()
    Client(transport, timeout_s=0.002).hello()
    device.client._tries = 2
    with pytest.raises(DeviceError, match="another host may hold the session"):
        device.read("scratch")


@pytest.mark.parametrize("seed", range(3))
def test_messages_over_a_wire_that_loses_and_repeats_reach_the_session_once(seed):
    transport, device = pair(loss=0.2, twice=0.2, seed=seed)
    sent = [bytes([number]) * (1 + number) for number in range(20)]
    for number, message in enumerate(sent):
        transport.waits = number % 3
        device.client.inject(message, patience_s=60)
    assert transport.messages == sent
    assert device.client.statistics.busy == sum(number % 3 for number in range(20))


def test_message_is_given_up_where_the_one_before_waits_for_ever():
    transport, device = pair()
    transport.waits = 1_000_000
    with pytest.raises(
        DeviceError, match="did not take a message within 0.02 s: the one before still waits\nthe session"
    ):
        device.client.inject(b"x", patience_s=0.02)
    assert transport.messages == [] and device.client.statistics.busy
    # What others ask goes on.
    assert not device.status()["armed"]


@pytest.mark.parametrize("size", (0, 75))
def test_message_of_a_size_that_no_segment_has_is_refused(size):
    _, device = pair()
    with pytest.raises(UserError, match=f"has 1 to 74 bytes, not {size}"):
        device.inject(bytes(size))


def test_message_is_refused_by_a_device_that_does_not_know_the_operation(monkeypatch):
    transport, device = pair()
    monkeypatch.setattr(transport.control, "_execute", lambda head: (Served(), control.Status.OPERATION, 0, ()))
    with pytest.raises(DeviceError, match="the device refuses the request: operation"):
        device.inject(b"x")
