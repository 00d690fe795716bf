"""The itch stage: messages in, normalised events out.

Reference: Nasdaq TotalView-ITCH 5.0. An unknown type, a wrong length or an unmapped locate yields a trace record and no
order event; the detail fields of a trace record are filled only where its status is EVENT.

Trading state: an H that says `T` clears NO_STATE and HALTED, any other H sets HALTED; an h that says `T` clears
OPERATIONAL_HALT, any other sets it; W sets BREAKER everywhere; an S that says M, E or C sets CLOSED everywhere, and one
that says O, S or Q clears CLOSED and BREAKER everywhere: these open a day.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from tickgate.sw.spec import itch
from tickgate.sw.spec.events import BUY, EVENT, ITCH_TRACE, NO_SLOT, SELL, EventKind, ItchStatus, Notice, StateOp
from tickgate.sw.spec.fields import Message
from tickgate.sw.spec.state import SymbolState

COUNTERS = ("drop_unknown_type", "drop_wrong_length", "drop_unsubscribed")

BAD_SIDE = 2
"""`side` of a trace record whose add is neither buy nor sell."""

_Record = ITCH_TRACE.tuple_type
_Event = EVENT.tuple_type
_SIDES = {itch.BUY: BUY, itch.SELL: SELL}
_LENGTHS = itch.LENGTHS

_CLOSES, _OPENS = b"MEC", b"OSQ"
_NO_CHANGE = (StateOp.SET, SymbolState(0))


def picker(message: Message, *names: str) -> Callable[[bytes], tuple[Any, ...]]:
    """A function that takes the named fields, in the order of the table, out of a message of the right length."""
    codes = [f.struct_code if f.name in names else f"{f.size}x" for f in message.fields]
    return struct.Struct(">" + "".join(codes)).unpack


_ADD = {ord("A"): picker(itch.ADD_ORDER, "reference", "side", "shares", "price_e4"),
        ord("F"): picker(itch.ADD_ORDER_MPID, "reference", "side", "shares", "price_e4")}  # fmt: skip
_EXECUTE = picker(itch.ORDER_EXECUTED, "reference", "shares")
_EXECUTE_PRICE = picker(itch.ORDER_EXECUTED_WITH_PRICE, "reference", "shares", "price_e4")
_CANCEL = picker(itch.ORDER_CANCEL, "reference", "shares")
_DELETE = picker(itch.ORDER_DELETE, "reference")
_REPLACE = picker(itch.ORDER_REPLACE, "original_reference", "new_reference", "shares", "price_e4")
_TRADE = picker(itch.TRADE, "reference", "shares", "price_e4")
_ACTION = picker(itch.TRADING_ACTION, "trading_state")
_HALT = picker(itch.OPERATIONAL_HALT, "action")
_SYSTEM = picker(itch.SYSTEM_EVENT, "event_code")


class Itch:
    """The parser.

    Parameters
    ----------
    locates: stock locate to slot; change it in place when a symbol row is written.

    Members
    -------
    counters: this stage's counters by register name.
    """

    def __init__(self, locates: Mapping[int, int]):
        self.locates = locates
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)

    def notice(self, notice: int, seq: int) -> tuple[Any, Any]:
        """Trace record and event of a notice from the feed."""
        record = _Record(0, 0, seq, 0, 0, 0, 0, 0, ItchStatus.NOTICE, EventKind.NOTICE, notice, NO_SLOT, 0, 0, 0)
        event = _Event(EventKind.NOTICE, notice, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, seq, 0)
        return record, event

    def message(self, seq: int, data: bytes) -> tuple[Any, Any | None]:
        """Trace record of a message, and its event where the book gets one."""
        code = data[0]
        length = _LENGTHS.get(code)
        if length is None:
            self.counters["drop_unknown_type"] += 1
            return _Record(0, 0, seq, 0, 0, 0, 0, code, ItchStatus.UNKNOWN_TYPE, 0, 0, NO_SLOT, 0, 0, 0), None
        if length != len(data):
            self.counters["drop_wrong_length"] += 1
            record = _Record(
                0, 0, seq, 0, 0, 0, 0, code, ItchStatus.WRONG_LENGTH, EventKind.NOTICE, 0, NO_SLOT, 0, 0, 0
            )
            return record, _Event(EventKind.NOTICE, Notice.NONE, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, code, seq, 0)

        if code == 0x53 or code == 0x57:  # S and W concern every symbol, whatever their locate
            op, bits = _market_state(data)
            return self._event(seq, code, EventKind.STATE, NO_SLOT, state=(op, bits))
        slot = self.locates.get(data[1] << 8 | data[2])
        if slot is None:
            self.counters["drop_unsubscribed"] += 1
            return _Record(0, 0, seq, 0, 0, 0, 0, code, ItchStatus.UNSUBSCRIBED, 0, 0, NO_SLOT, 0, 0, 0), None

        if code == 0x41 or code == 0x46:  # A, F
            reference, side_code, quantity, price_e4 = _ADD[code](data)
            side = _SIDES.get(side_code, BAD_SIDE)
            return self._event(seq, code, EventKind.ADD, slot, reference, 0, quantity, price_e4, side)
        if code == 0x44:  # D
            return self._event(seq, code, EventKind.DELETE, slot, *_DELETE(data))
        if code == 0x55:  # U
            return self._event(seq, code, EventKind.REPLACE, slot, *_REPLACE(data))
        if code == 0x45:  # E
            reference, quantity = _EXECUTE(data)
            return self._event(seq, code, EventKind.EXECUTE, slot, reference, 0, quantity)
        if code == 0x58:  # X
            reference, quantity = _CANCEL(data)
            return self._event(seq, code, EventKind.CANCEL, slot, reference, 0, quantity)
        if code == 0x43:  # C, printable or not
            reference, quantity, price_e4 = _EXECUTE_PRICE(data)
            return self._event(seq, code, EventKind.EXECUTE, slot, reference, 0, quantity, price_e4)
        if code == 0x50:  # P
            reference, quantity, price_e4 = _TRADE(data)
            return self._event(seq, code, EventKind.TRADE, slot, reference, 0, quantity, price_e4)
        if code == 0x48:  # H
            return self._event(seq, code, EventKind.STATE, slot, state=_trading_state(data))
        if code == 0x68:  # h
            op = StateOp.CLEAR if _HALT(data)[0] == b"T" else StateOp.SET
            return self._event(seq, code, EventKind.STATE, slot, state=(op, SymbolState.OPERATIONAL_HALT))
        return self._event(seq, code, EventKind.OTHER, slot)

    def _event(
        self,
        seq: int,
        code: int,
        kind: EventKind,
        slot: int,
        reference: int = 0,
        new_reference: int = 0,
        quantity: int = 0,
        price_e4: int = 0,
        side: int = 0,
        state: tuple[int, int] = (0, 0),
    ) -> tuple[Any, Any]:
        op, bits = state
        record = _Record(
            0, 0, seq, reference, new_reference, quantity, price_e4, code, ItchStatus.EVENT, kind, 0, slot, side, op,
            bits,
        )  # fmt: skip
        every = slot == NO_SLOT
        event = _Event(
            kind, 0, 0 if every else slot, 1 if every else 0, side & 1, side >> 1, reference, new_reference, quantity,
            price_e4, op, bits, code, seq, 0,
        )  # fmt: skip
        return record, event


def _market_state(data: bytes) -> tuple[StateOp, SymbolState]:
    """What an S or a W does to every symbol."""
    if data[0] == itch.MWCB_STATUS.type_byte:
        return StateOp.SET, SymbolState.BREAKER
    code = _SYSTEM(data)[0]
    if code in _CLOSES:
        return StateOp.SET, SymbolState.CLOSED
    if code in _OPENS:
        return StateOp.CLEAR, SymbolState.CLOSED | SymbolState.BREAKER
    return _NO_CHANGE


def _trading_state(data: bytes) -> tuple[StateOp, SymbolState]:
    """What an H does to its symbol."""
    if _ACTION(data)[0] == b"T":
        return StateOp.CLEAR, SymbolState.NO_STATE | SymbolState.HALTED
    return StateOp.SET, SymbolState.HALTED
