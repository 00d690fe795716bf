"""The itch stage: messages in, normalised events out.

What each type becomes is `tickgate.sw.spec.normalise.RULES`; the order of judgement stands there too.
Reference: Nasdaq TotalView-ITCH 5.0.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from tickgate.sw.spec import itch
from tickgate.sw.spec.events import BUY, EVENT, ITCH_TRACE, NO_SLOT, SELL, EventKind, ItchStatus, Notice
from tickgate.sw.spec.fields import Message
from tickgate.sw.spec.normalise import RULES, Rule

COUNTERS = ("drop_unknown_type", "drop_wrong_length", "drop_unsubscribed")

BAD_SIDE = 2
"""`side` of a trace record whose order is neither buy nor sell."""

_Record: Any = ITCH_TRACE.tuple_type
_Event: Any = EVENT.tuple_type
_record, _event = _Record._make, _Event._make  # faster than a call with so many arguments
_SIDES = {itch.BUY: BUY, itch.SELL: SELL}
_KIND_NOTICE = int(EventKind.NOTICE)
_EVENT, _UNSUBSCRIBED = int(ItchStatus.EVENT), int(ItchStatus.UNSUBSCRIBED)


def picker(message: Message, *names: str) -> Callable[[bytes], tuple[Any, ...]]:
    """A function that takes the named fields, in the order of the table, out of a message of the right length."""
    codes = [f.struct_code if f.name in names else f"{f.size}x" for f in message.fields]
    return struct.Struct(">" + "".join(codes)).unpack


class _Parser:
    """A rule made ready for use.

    Members
    -------
    take: the fields that the rule names, in the order of the message.
    places: where reference, new reference, quantity, price and side stand in what `take` gives; -1 for none.
    state_at: offsets of the bytes that select the change of trading state.
    state_else: the change where there are none: operation and bits.
    """

    __slots__ = ("every_slot", "kind", "length", "places", "rule", "state_at", "state_else", "take")

    def __init__(self, rule: Rule):
        self.rule = rule
        filled = rule.field_map()
        present = [name for name in rule.message.names if name in filled.values()]
        self.take = picker(rule.message, *present)
        wanted = ("reference", "new_reference", "quantity", "price_e4", "side")
        self.places = tuple(present.index(filled[name]) if name in filled else -1 for name in wanted)
        self.kind = int(rule.kind)
        self.length = rule.message.size
        self.every_slot = rule.every_slot
        self.state_at = rule.state_offsets
        self.state_else = (int(rule.state_else.op), int(rule.state_else.bits))


_PARSERS = {code: _Parser(rule) for code, rule in RULES.items()}


class Itch:
    """The parser.

    Parameters
    ----------
    locates: stock locate to slot.

    Members
    -------
    locates: may be replaced when symbol rows are written.
    counters: this stage's counters by register name.
    """

    def __init__(self, locates: Mapping[int, int]):
        self.locates = locates
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def notice(self, notice: int, seq: int) -> tuple[Any, Any]:
        """Trace record and event of a notice from the feed."""
        status, notice = int(ItchStatus.NOTICE), int(notice)
        record = _record((0, 0, seq, 0, 0, 0, 0, 0, status, _KIND_NOTICE, notice, NO_SLOT, 0, 0, 0))
        return record, _event((_KIND_NOTICE, notice, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, seq, 0))

    def message(self, seq: int, data: bytes) -> tuple[Any, Any | None]:
        """Trace record of a message, and its event where the book gets one."""
        code = data[0]
        parser = _PARSERS.get(code)
        if parser is None:
            self.counters["drop_unknown_type"] += 1
            return _unused(seq, code, int(ItchStatus.UNKNOWN_TYPE)), None
        if parser.length != len(data):
            self.counters["drop_wrong_length"] += 1
            event = _event((_KIND_NOTICE, int(Notice.NONE), 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, seq, 0))
            return _unused(seq, code, int(ItchStatus.WRONG_LENGTH), _KIND_NOTICE), event
        every = 1 if parser.every_slot else 0
        slot = NO_SLOT if every else self.locates.get(data[1] << 8 | data[2])
        if slot is None:
            self.counters["drop_unsubscribed"] += 1
            return _unused(seq, code, _UNSUBSCRIBED), None
        values = (*parser.take(data), 0)
        at_reference, at_new, at_quantity, at_price, at_side = parser.places
        reference, new_reference = values[at_reference], values[at_new]
        quantity, price_e4 = values[at_quantity], values[at_price]
        side = _SIDES.get(values[at_side], BAD_SIDE) if at_side >= 0 else 0
        op, bits = parser.state_else
        if parser.state_at:
            change = parser.rule.state_change(bytes([data[at] for at in parser.state_at]))
            op, bits = int(change.op), int(change.bits)
        kind = parser.kind
        record = _record(
            (0, 0, seq, reference, new_reference, quantity, price_e4, code, _EVENT, kind, 0, slot, side, op, bits)
        )
        event = _event((
            kind, 0, 0 if every else slot, every, side & 1, side >> 1, reference, new_reference, quantity, price_e4,
            op, bits, code, seq, 0,
        ))  # fmt: skip
        return record, event


def _unused(seq: int, code: int, status: int, kind: int = 0) -> Any:
    """Trace record of a message without an order event."""
    return _record((0, 0, seq, 0, 0, 0, 0, code, status, kind, 0, NO_SLOT, 0, 0, 0))
