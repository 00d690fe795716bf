"""Rules that make an event of each ITCH type."""

import pytest

from tickgate.sw.spec import itch
from tickgate.sw.spec.events import EVENT, EventKind, StateOp
from tickgate.sw.spec.normalise import NO_CHANGE, RULES, Rule, StateChange
from tickgate.sw.spec.state import SymbolState


def test_rules_cover_every_type_once():
    assert set(RULES) == set(itch.MESSAGES)
    assert all(code == rule.type_byte for code, rule in RULES.items())
    assert [chr(code) for code, rule in RULES.items() if rule.every_slot] == ["S", "W"]


def test_rules_fill_event_fields():
    names = {f.name for f in EVENT.fields}
    for rule in RULES.values():
        assert set(rule.field_map()) <= names


def test_rules_deciding_byte():
    assert RULES[ord("A")].deciding_offset == 35
    assert RULES[ord("D")].deciding_offset == 18
    assert RULES[ord("R")].deciding_offset == 38


def test_rules_state_changes():
    change = RULES[ord("H")].state_change(b"T")
    assert change.op == StateOp.CLEAR
    assert SymbolState.HALTED in change.bits
    assert RULES[ord("H")].state_change(b"?").bits == SymbolState.HALTED
    assert RULES[ord("S")].state_change(b"?") == NO_CHANGE


def test_rules_operational_halt_of_another_market_is_no_halt_of_nasdaq():
    rule = RULES[ord("h")]
    assert rule.state_offsets == (19, 20)
    assert rule.state_change(b"QT").op == StateOp.CLEAR
    for halted in (b"QH", b"Q?", b"?H"):
        assert rule.state_change(halted) == StateChange(StateOp.SET, SymbolState.OPERATIONAL_HALT)
    for ignored in (b"BH", b"BT", b"XH", b"XT", b"?T"):
        assert rule.state_change(ignored) == NO_CHANGE


def test_rule_of_a_field_that_is_not_there_cannot_be_built():
    with pytest.raises(ValueError, match="order_delete has no field price_e4"):
        Rule(itch.ORDER_DELETE, EventKind.DELETE, (("price_e4", "price_e4"),))
    with pytest.raises(ValueError, match="reference must be one byte to select a state"):
        Rule(itch.ORDER_DELETE, EventKind.STATE, state_fields=("reference",))
    with pytest.raises(ValueError, match="operational_halt: a choice of state needs 1 bytes"):
        Rule(itch.OPERATIONAL_HALT, EventKind.STATE, state_fields=("action",), state_changes=((b"QT", NO_CHANGE),))
