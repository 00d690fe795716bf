"""How an ITCH message becomes an event: one rule a type, from which the model and the gateware are both derived.

A rule names the event's kind, which ITCH field fills which event field, the *deciding* field (the event's stamp is the
cycle in which the word that holds this field's last byte was valid at the device's input), and what the message does
to the trading state. Event fields that a rule does not name are 0.

Order of judgement, for every message that the feed delivers:

1. the type byte is not in ITCH 5.0: `ItchStatus.UNKNOWN_TYPE`, no event;
2. the length is not the type's: `WRONG_LENGTH`, an event of kind NOTICE with notice NONE (every slot);
3. the rule is not `every_slot` and no slot has the message's locate: `UNSUBSCRIBED`, no event;
4. else `EVENT`, one event.

Trace records of cases 1 to 3 carry the type byte and the sequence number; their slot is NO_SLOT and all event fields
(reference to price, side, state) are 0. An event of kind NOTICE (also WRONG_LENGTH) has itch_type 0, slot 0 and
every_slot 1; its `seq` is the message's (WRONG_LENGTH), or the notice's `notice_seq` (0 for FCS and NEW_SESSION).
`itch_type` in the trace of a WRONG_LENGTH is the type byte.

Source: SEMANTICS "Trading state", Nasdaq TotalView-ITCH 5.0 sections 1.2 to 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tickgate.sw.spec import itch
from tickgate.sw.spec.events import EventKind, StateOp
from tickgate.sw.spec.fields import Message
from tickgate.sw.spec.state import SymbolState


@dataclass(frozen=True)
class StateChange:
    """Set or clear bits of `SymbolState`."""

    op: StateOp
    bits: SymbolState


#: In a choice of `Rule.state_changes`: whatever byte stands there.
ANY: Final = ord("*")

NO_CHANGE: Final = StateChange(StateOp.SET, SymbolState(0))


@dataclass(frozen=True)
class Rule:
    """What one ITCH type becomes.

    Parameters
    ----------
    message: table of the type.
    kind: kind of the event.
    fields: event field (`reference`, `new_reference`, `quantity`, `price_e4`, `side`) to the ITCH field that fills it.
    deciding: ITCH field whose last byte decides; "" means the last byte of the message.
    every_slot: concerns all slots; the locate is not looked at.
    state_fields: one-byte ITCH fields that select the state change; none where there is none or only one.
    state_changes: bytes of `state_fields`, one each, `ANY` for any, to the change; the first that fits counts.
    state_else: the change for any other bytes.

    Raises
    ------
    ValueError: a field that is not in the message, a state field of more than one byte, or a choice of another length.
    """

    message: Message
    kind: EventKind
    fields: tuple[tuple[str, str], ...] = ()
    deciding: str = ""
    every_slot: bool = False
    state_fields: tuple[str, ...] = ()
    state_changes: tuple[tuple[bytes, StateChange], ...] = ()
    state_else: StateChange = NO_CHANGE

    def __post_init__(self) -> None:
        names = [name for _, name in self.fields] + [name for name in (self.deciding, *self.state_fields) if name]
        missing = sorted(set(names) - set(self.message.names))
        if missing:
            raise ValueError(f"{self.message.name} has no field {', '.join(missing)}")
        for name in self.state_fields:
            if self.message.field(name).size != 1:
                raise ValueError(f"{self.message.name}.{name} must be one byte to select a state")
        if any(len(choice) != len(self.state_fields) for choice, _ in self.state_changes):
            raise ValueError(f"{self.message.name}: a choice of state needs {len(self.state_fields)} bytes")

    @property
    def type_byte(self) -> int:
        """The type's ASCII code."""
        return self.message.type_byte

    @property
    def deciding_offset(self) -> int:
        """Offset of the deciding byte from the start of the message."""
        return self.message.field(self.deciding).end - 1 if self.deciding else self.message.size - 1

    def field_map(self) -> dict[str, str]:
        """Event field to ITCH field."""
        return dict(self.fields)

    @property
    def state_offsets(self) -> tuple[int, ...]:
        """Offsets of the state fields from the start of the message."""
        return tuple(self.message.field(name).offset for name in self.state_fields)

    def state_change(self, found: bytes) -> StateChange:
        """What a message with these bytes in its state fields does to the trading state."""
        for choice, change in self.state_changes:
            if all(want in (ANY, got) for want, got in zip(choice, found, strict=True)):
                return change
        return self.state_else


_ADD = (("reference", "reference"), ("side", "side"), ("quantity", "shares"), ("price_e4", "price_e4"))
_REDUCE = (("reference", "reference"), ("quantity", "shares"))


def _set(bits: SymbolState) -> StateChange:
    return StateChange(StateOp.SET, bits)


def _clear(bits: SymbolState) -> StateChange:
    return StateChange(StateOp.CLEAR, bits)


_CLOSE = _set(SymbolState.CLOSED)
#: What opens a day also ends a breaker of the day before.
_OPEN = _clear(SymbolState.CLOSED | SymbolState.BREAKER)

_STATED: Final[tuple[Rule, ...]] = (
    Rule(itch.ADD_ORDER, EventKind.ADD, _ADD, "price_e4"),
    Rule(itch.ADD_ORDER_MPID, EventKind.ADD, _ADD, "price_e4"),
    Rule(itch.ORDER_EXECUTED, EventKind.EXECUTE, _REDUCE, "shares"),
    # The execution price of a C is told, but the book does not use it: the shares decide.
    Rule(itch.ORDER_EXECUTED_WITH_PRICE, EventKind.EXECUTE, (*_REDUCE, ("price_e4", "price_e4")), "shares"),
    Rule(itch.ORDER_CANCEL, EventKind.CANCEL, _REDUCE, "shares"),
    Rule(itch.ORDER_DELETE, EventKind.DELETE, (("reference", "reference"),), "reference"),
    Rule(
        itch.ORDER_REPLACE,
        EventKind.REPLACE,
        (
            ("reference", "original_reference"),
            ("new_reference", "new_reference"),
            ("quantity", "shares"),
            ("price_e4", "price_e4"),
        ),
        "price_e4",
    ),
    Rule(itch.TRADE, EventKind.TRADE, _ADD, "price_e4"),
    # NO_STATE stands until the first H that lets the symbol trade; an H of another state sets HALTED beside it.
    # T also ends a market-wide breaker for its symbol, because ITCH has no message that lifts one.
    Rule(
        itch.TRADING_ACTION,
        EventKind.STATE,
        deciding="trading_state",
        state_fields=("trading_state",),
        state_changes=((b"T", _clear(SymbolState.HALTED | SymbolState.NO_STATE | SymbolState.BREAKER)),),
        state_else=_set(SymbolState.HALTED),
    ),
    # Of Nasdaq, where the book is and the orders go: BX and PSX are other markets. A market that the specification does
    # not know may halt, but only Nasdaq's own T ends a halt; what is not the end of a halt halts.
    Rule(
        itch.OPERATIONAL_HALT,
        EventKind.STATE,
        deciding="action",
        state_fields=("market_code", "action"),
        state_changes=(
            (b"QT", _clear(SymbolState.OPERATIONAL_HALT)),
            (b"*T", NO_CHANGE),
            (b"B*", NO_CHANGE),
            (b"X*", NO_CHANGE),
        ),
        state_else=_set(SymbolState.OPERATIONAL_HALT),
    ),
    # Of any level.
    Rule(
        itch.MWCB_STATUS,
        EventKind.STATE,
        deciding="breached_level",
        every_slot=True,
        state_else=_set(SymbolState.BREAKER),
    ),
    # A code that the specification does not know changes nothing (an event with no bits).
    Rule(
        itch.SYSTEM_EVENT,
        EventKind.STATE,
        deciding="event_code",
        every_slot=True,
        state_fields=("event_code",),
        state_changes=((b"M", _CLOSE), (b"E", _CLOSE), (b"C", _CLOSE), (b"O", _OPEN), (b"S", _OPEN), (b"Q", _OPEN)),
    ),
)


def _rules() -> dict[int, Rule]:
    stated = {rule.type_byte: rule for rule in _STATED}
    return {m.type_byte: stated.get(m.type_byte) or Rule(m, EventKind.OTHER) for m in itch.ALL}


RULES: Final[Mapping[int, Rule]] = _rules()
"""The rule of each type byte of ITCH 5.0; types that are not stated above are OTHER."""
