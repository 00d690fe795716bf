"""A comparison over the wire: equal, nothing lost, a bounded number under way; and it bites."""

import json
import os

import numpy as np
import pytest
from port_flow import need_rights

from tickgate.sim.compare.inputs import frames_of
from tickgate.sim.compare.run import CompareOptions, compare
from tickgate.sim.device import DeviceError
from tickgate.sim.nic import wire_device
from tickgate.sim.nic.wire_device import WINDOW, WireDevice
from tickgate.sw.cli.main import main
from tickgate.sw.files.binaryfile import open_writer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.derive import Selection
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import LADDER

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")

SMALL = LADDER["small"]


@pytest.fixture(autouse=True)
def rights():
    need_rights("sys_admin", "net_admin", "net_raw", "bpf")
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    path = tmp_path_factory.mktemp("session") / "session.itch"
    with open_writer(path) as writer:
        for block in blocks(SessionOptions(seed=3, symbols=4, messages=2_000)):
            writer.write_block(block)
    return path


@pytest.mark.parametrize("backend", ["packet", "xdp-skb", "xdp-drv", "tap-packet", "tap-xdp-drv"])
def test_session_over_the_wire_equals_the_models(session, backend):
    options = CompareOptions(session, SMALL, Selection(top=4), via=f"nic:{backend}")
    result, comparison = compare(options)
    made = comparison.device
    assert result.equal and result.mismatches == 0 and result.messages == 2_000 and result.orders > 20
    assert made.frames_sent > 500 and made.frames_lost == 0
    assert made.orders_received == result.orders
    assert 1 < made.most_under_way <= WINDOW


def test_wire_says_the_same_as_no_wire(session):
    found = [compare(CompareOptions(session, SMALL, Selection(top=4), via=via))[0] for via in ("", "nic")]
    figures = [(r.messages, r.compared, r.types, r.orders, r.fired, r.valid, list(r.latency_cycles)) for r in found]
    assert figures[0] == figures[1]


def test_frames_that_are_lost_are_told(monkeypatch):
    monkeypatch.setattr(wire_device, "ARRIVAL_S", 0.2)
    with WireDevice(SMALL) as device:
        device.wait_clear()
        feed = frames_of((0, bytes(64)) for _ in range(10))
        device.run(feed)
        assert device.frames_sent == 10
        take = device._nic._burst
        monkeypatch.setattr(
            device._nic, "_burst", lambda port: take(port)[1:] if port.name == "dev_feed_a" else take(port)
        )
        with pytest.raises(DeviceError, match="1 of 10 frames did not reach the device"):
            device.run(feed)
        assert device.frames_lost == 1


def test_order_that_is_lost_on_the_way_is_a_mismatch(session, monkeypatch):
    monkeypatch.setattr(wire_device, "ARRIVAL_S", 0.2)
    turn, lost = WireDevice._turn, []

    def forgetful(self):
        turn(self)
        if self._orders and not lost:
            lost.append(self._orders.pop())

    monkeypatch.setattr(WireDevice, "_turn", forgetful)
    result, _ = compare(CompareOptions(session, SMALL, Selection(top=4), via="nic"))
    assert lost and not result.equal and result.first_mismatch.stage == "order bytes"


def test_what_no_interface_takes_is_refused():
    with WireDevice(SMALL) as device:
        device.wait_clear()
        with pytest.raises(UserError, match="frames of 14 to 1514 bytes, not 1600"):
            device.run(frames_of([(0, bytes(1600))]))
        with pytest.raises(UserError, match="without --via"):
            device.run(frames_of([(0, bytes(64))]), errors=np.ones(1, dtype=np.uint8))


def test_via_that_does_not_exist_is_refused(session, capsys):
    assert main(["compare", str(session), "--size", "small", "--via", "pigeon"]) == 2
    assert "no transport 'pigeon'; the transports are" in capsys.readouterr().err


@pytest.mark.parametrize("link, through", [("veth", "(packet, "), ("tap", "(TAP and packet, ")])
def test_demo_over_the_wire(capsys, link, through):
    assert main(["nic", "--demo", "--link", link, "--size", "small", "--messages", "1000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mismatches"] == 0 and found["orders"] > 0 and "0 lost" in found["notes"][0]
    assert through in found["notes"][0]


def test_real_aapl_file_over_the_wire_equals_the_models(data_dir):
    path = data_dir / "itch" / "real_aapl_20200130_pre.itch"
    result, comparison = compare(CompareOptions(path, LADDER["medium"], Selection(), via="nic"))
    assert result.equal and result.messages == 10_000
    assert comparison.device.frames_lost == 0 and comparison.device.frames_sent > 9_000
    assert comparison.device.orders_received == result.orders > 0
