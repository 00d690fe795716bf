"""Orders that leave while the frame that decided them turns out bad: equal to the model, and the comparison bites."""

from dataclasses import replace

import numpy as np
import pytest

from tickgate.gateware.feed import Feed
from tickgate.gateware.orders import Orders
from tickgate.gateware.risk import Risk
from tickgate.sim.compare.engine import Comparison
from tickgate.sim.compare.inputs import FeedIdentity, frames_of
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import update_latency
from tickgate.sim.device import ORDERS_PORT, Device
from tickgate.sim.mac_device import MacDevice
from tickgate.sim.nic.nic import Nic
from tickgate.sim.nic.wires import ROLES
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate import SessionOptions, blocks
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import POISON_CYCLES, UNAWARE_CYCLES, VOID_CYCLES, ReferencePipeline
from tickgate.sw.model.survey import Selection
from tickgate.sw.spec.config import Action
from tickgate.sw.spec.events import OrderItem
from tickgate.sw.spec.sizes import LADDER

SMALL = LADDER["small"]


@pytest.fixture(scope="module")
def session():
    return list(blocks(SessionOptions(seed=3, symbols=4, messages=6_000)))


@pytest.fixture(scope="module")
def config(session):
    derived = derive_config(lambda: (m for block in session for m in block), SMALL, Selection(top=SMALL.slots)).config
    return replace(derived, feed=FeedIdentity().row(), actions=())


@pytest.fixture(scope="module")
def device():
    with Device(SMALL) as made:
        yield made


def packed(session, per_packet):
    return frames_of(frame for batch in Packer(per_packet=per_packet).pack_all(session) for frame in batch)


def comparison(device, config):
    device.reset()
    device.clear()
    model = ReferencePipeline(config, SMALL, update_latency_cycles=update_latency())
    return Comparison(device, model, CompareResult("", {}), keep_orders=True)


def spoiled(device, config, frames):
    """Which frames to end with an error so that an order is on its way, and a configuration with a mark behind each."""
    run = comparison(device, config)
    deciding = []
    run.observers.append(lambda _, found: deciding.extend(found["risk"]["seq"][found["risk"]["reasons"] == 0].tolist()))
    run.begin()
    run.run(frames)
    assert run.result.equal, run.result.first_mismatch
    errors, marks = np.zeros(len(frames), dtype=np.uint8), []
    first = frames.first_sequence.astype(np.int64)
    for seq in deciding:
        at = int(np.searchsorted(first, seq, side="right")) - 1
        # The frame behind it is good: the mark in it has to hold for a while.
        if at + 2 < len(frames) and not errors[max(0, at - 2) : at + 1].any():
            errors[at] = 1
            marks.append(Action(int(first[at + 1]), "mark"))
    return errors, replace(config, actions=tuple(marks))


def compared(device, config, frames, errors):
    """The comparison, how many of each item there were, and how many orders of a bad frame count all the same."""
    run, seen = comparison(device, config), []
    run.observers.append(lambda _, found: seen.append(found["orders"][["item", "seq"]]))
    run.begin()
    run.run(frames, errors)
    run.finish()
    orders = np.concatenate(seen)
    found = {item: int((orders["item"] == item).sum()) for item in OrderItem}
    at = np.searchsorted(frames.first_sequence, orders["seq"][orders["item"] == OrderItem.ORDER], side="right") - 1
    return run, found, int(errors[at].sum()) - found[OrderItem.POISONED]


@pytest.mark.parametrize(("per_packet", "stall"), [(12, 0.0), (16, 0.5), (24, 0.7)])
def test_compare_orders_of_frames_that_turn_out_bad_are_poisoned_as_the_model_says(
    device, session, config, per_packet, stall
):
    frames = packed(session, per_packet)
    device.stall(stall)
    errors, marked = spoiled(device, config, frames)
    device.stall(stall)
    run, found, late = compared(device, marked, frames, errors)
    device.stall(0)
    assert run.result.equal, run.result.first_mismatch
    assert found[OrderItem.VOID] > 0 and found[OrderItem.POISONED] > 5 and late > 0
    assert run.result.orders == found[OrderItem.ORDER] - found[OrderItem.POISONED]
    # What counts is numbered without a hole.
    ends = [(int.from_bytes(f[38:42], "big"), len(f) - 54) for _, f in run.order_frames]
    poisoned = [n for n in range(len(ends) - 1) if ends[n + 1][0] == ends[n][0]]
    assert len(poisoned) in (found[OrderItem.POISONED], found[OrderItem.POISONED] - 1)


def test_verdict_reaches_each_stage_in_the_cycles_that_the_model_has():
    ((verdict, most),) = {b for (_, sink, _), b in Feed.latency_cycles.items() if sink == "frame_bad"}
    assert verdict == most == UNAWARE_CYCLES
    assert Orders.latency_cycles["is_void", "o", "dropped"] == (0, 0)
    assert VOID_CYCLES == verdict + Risk(SMALL).latency_cycles["frame_bad", "is_void", "any"][0]
    assert POISON_CYCLES == VOID_CYCLES + Orders.latency_cycles["is_void", "o", "poisoned"][0]


def doctored(device, monkeypatch, how):
    """The device tells its orders as `how` has them: a function of its records and its ends."""
    traces, ends = device.traces, device.order_ends
    monkeypatch.setattr(device, "traces", lambda: how(traces(), ends())[0])
    monkeypatch.setattr(device, "order_ends", lambda: how(traces(), ends())[1])


def _untold(found, ends):
    kept = found["orders"][found["orders"]["item"] != OrderItem.POISONED]
    return {**found, "orders": kept}, ends


def _good_fcs(found, ends):
    return found, [(cycle, False) for cycle, _ in ends]


def _sooner(found, ends):
    """Every last word was presented before any verdict could come."""
    return found, [(cycle - 60, error) for cycle, error in ends]


def _later(found, ends):
    return found, [(cycle + 60, error) for cycle, error in ends]


@pytest.mark.parametrize("how", [_untold, _good_fcs, _sooner, _later])
def test_compare_sees_that_too_much_or_too_little_is_poisoned(device, session, config, monkeypatch, how):
    frames = packed(session, 12)
    errors, marked = spoiled(device, config, frames)
    doctored(device, monkeypatch, how)
    run, _, _ = compared(device, marked, frames, errors)
    assert run.result.mismatches >= 1 and run.result.first_mismatch.stage in ("orders", "order bytes")


@pytest.mark.long
def test_compare_mac_poisoned_orders_leave_with_a_wrong_fcs(session, config):
    frames = packed(session[:1], 5).select(0, 400)
    with MacDevice(SMALL) as device:
        errors, marked = spoiled(device, config, frames)
        device.port = type(device.port)()
        run, found, _ = compared(device, marked, frames, errors)
        assert run.result.equal, run.result.first_mismatch
        assert found[OrderItem.POISONED] > 0
        assert device.port.counters["mac_tx_poisoned"] == found[OrderItem.POISONED]
        assert device.differences() == {}


class Words:
    """A device of which two order frames have left, the second one with an error."""

    def words(self):
        rows = [(5 + at, 7, 8, at % 2, at == 3, ORDERS_PORT) for at in range(4)]
        return np.array(rows, dtype=[(n, "<u8") for n in ("cycle", "data", "count", "last", "error", "port")])

    def clear(self):
        """There is nothing to forget."""


class Wire:
    def __init__(self):
        self.sent = []

    def send(self, frame):
        self.sent.append(frame)
        return True

    def send_burst(self, frames):
        """Nothing is held back."""


def test_nic_leaves_a_frame_with_a_wrong_fcs_out():
    ports = {role: Wire() for role in ROLES}
    assert Nic(Words(), ports).emit() == 1
    assert ports["orders"].sent == [(7).to_bytes(8, "little") * 2]
