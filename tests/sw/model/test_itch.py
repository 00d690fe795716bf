"""The model of the itch stage: what each message becomes."""

import pytest
from model_flow import (
    add,
    add_mpid,
    breaker,
    cancel,
    delete,
    directory,
    execute,
    execute_at,
    operational_halt,
    replace,
    system_event,
    trade,
    trading_action,
)
from sample_feed import every_type

from tickgate.sw.model.itch import COUNTERS, Itch
from tickgate.sw.spec.events import NO_SLOT, EventKind, ItchStatus, Notice, StateOp
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.state import SymbolState

S = SymbolState


def parse(data, locates=None):
    return Itch({1: 3} if locates is None else locates).message(9, data)


MESSAGES = [
    (add(5, "B", 70, 123), EventKind.ADD, {"reference": 5, "quantity": 70, "price_e4": 123, "side": 0}),
    (add(5, "S", 70, 123), EventKind.ADD, {"reference": 5, "quantity": 70, "price_e4": 123, "side": 1}),
    (add_mpid(6, "S", 1, 2), EventKind.ADD, {"reference": 6, "quantity": 1, "price_e4": 2, "side": 1}),
    (add(5, "X"), EventKind.ADD, {"reference": 5, "quantity": 100, "price_e4": 1_000_000, "side": 2}),
    (execute(5, 4), EventKind.EXECUTE, {"reference": 5, "quantity": 4}),
    (execute_at(5, 4, 99, "N"), EventKind.EXECUTE, {"reference": 5, "quantity": 4, "price_e4": 99}),
    (cancel(5, 4), EventKind.CANCEL, {"reference": 5, "quantity": 4}),
    (delete(5), EventKind.DELETE, {"reference": 5}),
    (replace(5, 6, 7, 8), EventKind.REPLACE, {"reference": 5, "new_reference": 6, "quantity": 7, "price_e4": 8}),
    (trade(0, "S", 3, 4), EventKind.TRADE, {"quantity": 3, "price_e4": 4, "side": 1}),
    (directory(), EventKind.OTHER, {}),
]


@pytest.mark.parametrize("data, kind, fields", MESSAGES)
def test_itch_message_becomes_its_event(data, kind, fields):
    record, event = parse(data)
    blank = {"reference": 0, "new_reference": 0, "quantity": 0, "price_e4": 0, "side": 0}
    told = record._asdict()
    assert {name: told[name] for name in blank} == blank | fields
    assert (record.seq, record.itch_type, record.status, record.kind, record.slot) == (
        9, data[0], ItchStatus.EVENT, kind, 3,
    )  # fmt: skip
    assert (event.kind, event.slot, event.every_slot, event.itch_type, event.seq) == (kind, 3, 0, data[0], 9)
    assert (event.reference, event.new_reference) == (told["reference"], told["new_reference"])
    assert (event.quantity, event.price_e4) == (told["quantity"], told["price_e4"])
    assert (event.bad_side, event.side) == divmod(told["side"], 2)


STATES = [
    (trading_action("T"), 3, StateOp.CLEAR, S.NO_STATE | S.HALTED | S.BREAKER),
    (trading_action("H"), 3, StateOp.SET, S.HALTED),
    (trading_action("P"), 3, StateOp.SET, S.HALTED),
    (trading_action("Q"), 3, StateOp.SET, S.HALTED),
    (operational_halt("H"), 3, StateOp.SET, S.OPERATIONAL_HALT),
    (operational_halt("T"), 3, StateOp.CLEAR, S.OPERATIONAL_HALT),
    *[(operational_halt(action, market=other), 3, StateOp.SET, S(0)) for other in "BX" for action in "HT?"],
    (operational_halt("?"), 3, StateOp.SET, S.OPERATIONAL_HALT),
    (operational_halt("H", market="?"), 3, StateOp.SET, S.OPERATIONAL_HALT),
    (operational_halt("T", market="?"), 3, StateOp.SET, S(0)),
    (breaker("2"), NO_SLOT, StateOp.SET, S.BREAKER),
    (system_event("M"), NO_SLOT, StateOp.SET, S.CLOSED),
    (system_event("E"), NO_SLOT, StateOp.SET, S.CLOSED),
    (system_event("C"), NO_SLOT, StateOp.SET, S.CLOSED),
    (system_event("O"), NO_SLOT, StateOp.CLEAR, S.CLOSED | S.BREAKER),
    (system_event("S"), NO_SLOT, StateOp.CLEAR, S.CLOSED | S.BREAKER),
    (system_event("Q"), NO_SLOT, StateOp.CLEAR, S.CLOSED | S.BREAKER),
    (system_event("?"), NO_SLOT, StateOp.SET, S(0)),
]


@pytest.mark.parametrize("data, slot, op, bits", STATES)
def test_itch_state_message_sets_or_clears_its_bits(data, slot, op, bits):
    record, event = parse(data)
    assert (record.slot, record.kind, record.state_op, record.state_bits) == (slot, EventKind.STATE, op, bits)
    assert (event.every_slot, event.slot) == ((1, 0) if slot == NO_SLOT else (0, slot))
    assert (event.state_op, event.state_bits) == (op, bits)


def test_itch_unmapped_locate_is_unsubscribed():
    stage = Itch({2: 0})
    record, event = stage.message(9, add(5))
    assert event is None
    assert record == (0, 0, 9, 0, 0, 0, 0, ord("A"), ItchStatus.UNSUBSCRIBED, 0, 0, NO_SLOT, 0, 0, 0)
    assert stage.counters["drop_unsubscribed"] == 1


def test_itch_unknown_type_is_counted():
    stage = Itch({1: 0})
    record, event = stage.message(9, b"z" * 30)
    assert event is None
    assert record == (0, 0, 9, 0, 0, 0, 0, ord("z"), ItchStatus.UNKNOWN_TYPE, 0, 0, NO_SLOT, 0, 0, 0)
    assert stage.counters["drop_unknown_type"] == 1


@pytest.mark.parametrize("data", [add(5)[:-1], add(5) + b" ", system_event("O") + b" "])
def test_itch_wrong_length_concerns_every_slot(data):
    stage = Itch({1: 0})
    record, event = stage.message(9, data)
    kind = EventKind.NOTICE
    assert record == (0, 0, 9, 0, 0, 0, 0, data[0], ItchStatus.WRONG_LENGTH, kind, 0, NO_SLOT, 0, 0, 0)
    assert (event.kind, event.notice, event.every_slot, event.itch_type, event.seq) == (kind, Notice.NONE, 1, 0, 9)
    assert stage.counters["drop_wrong_length"] == 1


def test_itch_notice_becomes_an_event_of_every_slot():
    record, event = Itch({}).notice(Notice.GAP, 7)
    assert (record.status, record.kind, record.notice) == (ItchStatus.NOTICE, EventKind.NOTICE, Notice.GAP)
    assert record.seq == 7
    assert (event.kind, event.notice, event.every_slot, event.seq) == (EventKind.NOTICE, Notice.GAP, 1, 7)


def test_itch_every_type_is_understood():
    for data in every_type():
        record, event = parse(data, {locate: 0 for locate in range(8)})
        assert record.status == ItchStatus.EVENT
        assert event is not None


def test_itch_counters_are_registers():
    assert set(COUNTERS) <= set(counter_names())
