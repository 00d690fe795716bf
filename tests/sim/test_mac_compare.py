"""The whole device behind its MAC equals the models, byte by byte on the wire; and the comparison bites."""

import random
from dataclasses import replace

import numpy as np
import pytest

from tickgate.sim import mac_scenarios as scenarios
from tickgate.sim.cli import compare as cli
from tickgate.sim.compare import run as compare_run
from tickgate.sim.compare.inputs import FeedIdentity
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import CompareOptions, compare, update_latency
from tickgate.sim.device import DeviceError
from tickgate.sim.mac_device import MacDevice
from tickgate.sw.files.binaryfile import write_binaryfile
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model import mac as model
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import ReferencePipeline
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import LADDER

SMALL = LADDER["small"]
FOUR = Selection(top=SMALL.slots)
#: Longest frame, without FCS, of those that every device has to take or refuse rightly.
LONGEST = 1530


@pytest.fixture(scope="module")
def session():
    return list(blocks(SessionOptions(seed=3, symbols=4, messages=3_000)))


@pytest.fixture(scope="module")
def config(session):
    derived = derive_config(lambda: (m for block in session for m in block), SMALL, FOUR).config
    return replace(derived, feed=FeedIdentity().row())


@pytest.fixture(scope="module")
def shared_device():
    with MacDevice(SMALL) as device:
        yield device


@pytest.fixture
def device(shared_device):
    shared_device.reset()
    shared_device.clear()
    shared_device.port = model.Mac()
    return shared_device


def comparison(device, config):
    model_ = ReferencePipeline(config, SMALL, update_latency_cycles=update_latency())
    return compare_run.Comparison(device, model_, CompareResult("", {}), gap=3)


def test_compare_mac_session_is_equal_with_orders(device, session, config):
    run = comparison(device, config)
    run.begin()
    for frames in Packer(per_packet=20).pack_all(session):
        run.run(frames)
    run.finish()
    assert run.result.equal, run.result.first_mismatch
    assert run.result.messages == 3_000 and run.result.orders > 0
    assert device.differences() == {}
    assert device.port.counters["mac_tx_good"] == run.result.orders


def test_compare_mac_frames_with_a_wrong_fcs_turn_symbols_invalid_and_are_counted(device, session, config):
    run, rng, bad = comparison(device, config), random.Random(5), 0
    run.begin()
    for frames in Packer(per_packet=20).pack_all(session):
        errors = np.array([rng.random() < 0.05 for _ in range(len(frames))], dtype=np.uint8)
        bad += int(errors.sum())
        run.run(frames, errors)
    run.finish()
    assert run.result.equal, run.result.first_mismatch
    assert bad and device.port.counters["mac_rx_fcs"] == bad == device.read("drop_error_frame")
    assert device.differences() == {}


def test_compare_mac_order_that_is_not_the_models_on_the_wire_is_a_difference(device, session, config, monkeypatch):
    sent = model.Mac.send
    monkeypatch.setattr(model.Mac, "send", lambda self, frame, error=False: sent(self, frame, not error))
    run = comparison(device, config)
    run.begin()
    for frames in Packer(per_packet=20).pack_all(session):
        run.run(frames)
    assert run.result.first_mismatch.stage == "order bytes"


def test_mac_device_takes_every_length_at_the_minimum_gap_with_right_and_wrong_fcs(device):
    """Every length from 0 bytes on, twice, and RX_ER in each: the compiled device counts each as the model does."""
    rng = random.Random(7)
    for length in range(LONGEST + 1):
        frame = rng.randbytes(length)
        data = model.on_wire(frame)
        symbols = model.carrier(data) + [0] * 12
        symbols += model.carrier(model.on_wire(frame, bad_fcs=1 << rng.randrange(32))) + [0] * 12
        if length % 5 == 0:
            symbols += model.carrier(data, {rng.randrange(len(data))}) + [0] * 12
        list(device.port.receive(symbols))
        device.play(symbols)
    device.drain()
    assert device.differences() == {}
    assert device.port.counters["mac_rx_oversize"] == 2 * 12 and device.port.counters["mac_rx_runt"] == 2 * 60
    assert device.read("frames") == sum(device.port.counters.values()) - 2 - 1  # those of 0 bytes leave no word
    assert device.read("drop_error_frame") == device.read("frames") - device.port.counters["mac_rx_good"]


def test_mac_device_counts_traffic_of_every_kind_as_the_model(device):
    symbols = scenarios.traffic(random.Random(8), 400)
    list(device.port.receive(symbols))
    device.play(symbols)
    device.drain()
    assert device.differences() == {}
    device.port.counters["mac_rx_fcs"] += 1
    assert device.differences().keys() == {"mac_rx_fcs"}


def test_mac_device_gap_that_is_too_small_is_told(device, monkeypatch):
    found = np.zeros(4, dtype=[("cycle", "<u8"), ("symbol", "<u4")])
    found["cycle"] = [5, 6, 18, 19]
    monkeypatch.setattr(device, "sent", lambda: found)
    with pytest.raises(DeviceError, match="a gap of 11 byte times"):
        list(device.carriers())


def test_compare_mac_command_compares_a_file(tmp_path, session, capsys, device):
    from argparse import ArgumentParser

    path = tmp_path / "session.itch"
    write_binaryfile(path, (message for block in session for message in block))
    parser = ArgumentParser()
    cli.configure(parser)
    args = ["--size", "small", "--top", "4", "--mac", "gmii", "--limit", "1000"]
    assert cli.run(parser.parse_args([str(path), *args])) == 0
    assert "through the MAC, as bytes of a GMII" in " ".join(capsys.readouterr().out.split())


def test_compare_mac_refuses_a_second_way(tmp_path):
    path = tmp_path / "session.itch"
    with pytest.raises(UserError, match="--mac and --via"):
        CompareOptions(path=path, sizes=SMALL, selection=FOUR, mac="gmii", via="nic").open_device()


def test_mac_device_refuses_what_the_wire_does_not_take(device):
    from tickgate.sim.compare.inputs import frames_of

    with pytest.raises(UserError, match="1518 bytes, not 1519"):
        device.run(frames_of([(0, bytes(1519))]))
    with pytest.raises(UserError, match="feed line A only"):
        device.run(frames_of([(0, bytes(60))]), line=1)


def test_compare_mac_counter_that_differs_is_a_mismatch(tmp_path, session, monkeypatch, device):
    path = tmp_path / "session.itch"
    write_binaryfile(path, list(session[0]))
    monkeypatch.setattr(MacDevice, "differences", lambda self: {"mac_rx_fcs": (1, 2)})
    options = CompareOptions(path=path, sizes=SMALL, selection=FOUR, mac="gmii", limit=200, work=tmp_path)
    result, _ = compare(options)
    assert result.first_mismatch.stage == "counter mac_rx_fcs"
