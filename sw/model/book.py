"""The book stage: order events in, price levels and best prices of each slot out, each slot valid or not.

This is the view that the device has: only mapped symbols, only prices inside each slot's window, with the validity of
each slot. `tickgate.sw.model.true_book` is the book without these limits; whenever a slot is valid, both have the same
best prices and quantities.

While tables are swept every order event is dropped, counted, and leaves its slot incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tickgate.sw.spec.events import BOOK_TRACE, BOOK_UPDATE, BUY, NO_SLOT, EventKind, Notice, StateOp
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import STICKY_VALIDITY, Anomaly, OrderClass, SymbolState, Validity

#: Anomalies in register order, by counter name.
_ANOMALY_COUNTERS = tuple(f"anomaly_{a.name.lower()}" for a in Anomaly)
COUNTERS = (*_ANOMALY_COUNTERS[1:], "events", "overflows", "drop_clearing", "drop_event_overflow")

_Record: Any = BOOK_TRACE.tuple_type
_Update: Any = BOOK_UPDATE.tuple_type
_record, _update = _Record._make, _Update._make  # faster than a call with so many arguments
_COUNT_MAX = (1 << 16) - 1
_NO_BBO = (0, 0, 0, 0)

#: Nothing taken or added: level shares before and after, price, quantities, level, side, class.
_NO_OLD: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0, 0)
_NO_NEW: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 0)

# Plain integers: looking up the member of an enumeration is slow, and so are the operators of an IntFlag.
_ADD, _CANCEL, _DELETE, _REPLACE = (
    int(k) for k in (EventKind.ADD, EventKind.CANCEL, EventKind.DELETE, EventKind.REPLACE)
)
_STATE = int(EventKind.STATE)
_NO_ANOMALY, _EXCESS_QUANTITY = int(Anomaly.NONE), int(Anomaly.EXCESS_QUANTITY)
_ALL_BITS = int(STICKY_VALIDITY | Validity.UNSYNCED)
_STICKY = int(STICKY_VALIDITY)
_UNSYNCED = int(Validity.UNSYNCED)
_INCOMPLETE = int(Validity.INCOMPLETE)
_OVERFLOW = int(Validity.OVERFLOW)
_WINDOW = int(Validity.WINDOW)
_CLEARING = int(Validity.CLEARING)
_MARKET_STATE = int(SymbolState.BREAKER | SymbolState.CLOSED)
_PLACED, _FAR, _OFF = int(OrderClass.PLACED), int(OrderClass.FAR), int(OrderClass.OFF)


class _Order:
    """One live order: where it stands, and what is open of it."""

    __slots__ = ("level", "order_class", "price_e4", "quantity", "side", "slot")

    def __init__(self, slot: int, side: int, price_e4: int, quantity: int, level: int, order_class: int):
        self.slot = slot
        self.side = side
        self.price_e4 = price_e4
        self.quantity = quantity
        self.level = level
        self.order_class = order_class


class _Side:
    """One side of a slot: shares of each level, which levels have any (bit a level), and orders without a level."""

    __slots__ = ("far", "levels", "occupied", "off")

    def __init__(self, levels: int):
        self.levels = [0] * levels
        self.occupied = 0
        self.far = 0
        self.off = 0

    @property
    def sound(self) -> bool:
        """Whether the best placed price is the best price."""
        return not self.off and (not self.far or self.occupied != 0)


class _Slot:
    """One slot: its window, both sides, best prices, validity without WINDOW and CLEARING, and trading state."""

    __slots__ = ("base_e4", "bbo", "row", "sides", "span_e4", "state", "tick_e4", "validity", "window")

    def __init__(self, levels: int):
        self.sides = (_Side(levels), _Side(levels))
        self.validity = _UNSYNCED
        self.load({})
        self.empty()

    def load(self, row: Mapping[str, int]) -> None:
        """Take a symbol row over."""
        self.row = row
        self.tick_e4 = row.get("tick_e4", 0) or 1
        self.base_e4 = row.get("base_e4", 0)
        self.span_e4 = row.get("span_e4", 0)
        self.state = 0 if row.get("assume_trading") else int(SymbolState.NO_STATE)

    def empty(self) -> None:
        """Forget all orders."""
        for side in self.sides:
            side.levels = [0] * len(side.levels)
            side.occupied = side.far = side.off = 0
        self.bbo = _NO_BBO
        self.window = 0

    def place(self, side: int, price_e4: int) -> tuple[int, int]:
        """(class, level) of a price; the level is 0 where there is none."""
        offset_e4 = price_e4 - self.base_e4
        if offset_e4 < 0:
            return (_FAR if side == BUY else _OFF), 0
        if offset_e4 >= self.span_e4:
            return (_OFF if side == BUY else _FAR), 0
        level, off_tick = divmod(offset_e4, self.tick_e4)
        return (_OFF, 0) if off_tick else (_PLACED, level)

    def best(self) -> tuple[int, int, int, int]:
        """Best bid, its shares, best ask, its shares, over placed levels; 0 where there is none."""
        bids, asks = self.sides
        bid_px = bid_qty = ask_px = ask_qty = 0
        if bids.occupied:
            level = bids.occupied.bit_length() - 1
            bid_px, bid_qty = self.base_e4 + level * self.tick_e4, bids.levels[level]
        if asks.occupied:
            level = (asks.occupied & -asks.occupied).bit_length() - 1
            ask_px, ask_qty = self.base_e4 + level * self.tick_e4, asks.levels[level]
        return bid_px, bid_qty, ask_px, ask_qty


class BookView:
    """The order book of a device.

    Parameters
    ----------
    sizes: of the device; the number of orders is not limited here: the device's overflow is a hint to `event`.
    rows: symbol rows of the slots, values of `rows.SYMBOL_ROW`; slots without one are not in use.

    Members
    -------
    counters: this stage's counters by register name.
    clearing: tables are being swept.
    """

    def __init__(self, sizes: Sizes, rows: Sequence[Mapping[str, int]] = ()):
        self.sizes = sizes
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.clearing = False
        self.market_state = 0
        self._last_seq = 0
        self._slots = [_Slot(sizes.levels) for _ in range(sizes.slots)]
        self._orders: dict[int, _Order] = {}
        for slot, row in enumerate(rows):
            self.commit_symbol(slot, row)

    # What the host does.

    def commit_symbol(self, slot: int, row: Mapping[str, int]) -> Any:
        """Take a symbol row over; its trading state begins anew. Returns the update that tells.

        Levels are right only after the next sweep, which a feed row or `clear` starts.
        """
        self._slots[slot].load(row)
        return self._own_update(slot, 0)

    def clear(self) -> Any:
        """The host's clear command: a sweep starts and every slot is unsynced; returns the update that tells."""
        self._sweep()
        for slot in self._slots:
            slot.validity |= _UNSYNCED
        return self._every_update(_UNSYNCED | _CLEARING)

    def swept(self) -> list[Any]:
        """The sweep ended; returns the updates that tell, one a slot."""
        self.clearing = False
        return [self._own_update(slot, 1) for slot in range(len(self._slots))]

    def lost_event(self) -> Any:
        """An event was lost in front of the book: every slot turns `overflow`; returns the update that tells."""
        self.counters["drop_event_overflow"] += 1
        for slot in self._slots:
            slot.validity |= _OVERFLOW
        return self._every_update(_OVERFLOW)

    def _own_update(self, slot: int, changed: int) -> Any:
        """An update that no event causes: `itch_type` 0, the sequence number of the last event."""
        row = self._slots[slot]
        return _update(
            (slot, 0, 0, 0, 0, 0, 0, 0, *row.bbo, changed, self.validity(slot), row.state, 0, self._last_seq, 0)
        )

    def _every_update(self, set_bits: int) -> Any:
        return _update((0, 1, set_bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, self._last_seq, 0))

    # What can be looked at.

    def validity(self, slot: int) -> int:
        """Validity mask of a slot."""
        row = self._slots[slot]
        return row.validity | row.window | (_CLEARING if self.clearing else 0)

    def state(self, slot: int) -> int:
        """SymbolState mask of a slot."""
        return self._slots[slot].state

    def bbo(self, slot: int) -> tuple[int, int, int, int]:
        """Best bid, its shares, best ask, its shares; 0 where there is none."""
        return self._slots[slot].bbo

    def levels(self, slot: int, side: int) -> list[int]:
        """Shares of every level of a side, level 0 first."""
        return self._slots[slot].sides[side].levels

    def unplaced(self, slot: int, side: int) -> tuple[int, int]:
        """How many orders of a side are far and off."""
        row = self._slots[slot].sides[side]
        return row.far, row.off

    def orders(self) -> dict[int, tuple[int, int, int, int, int, int]]:
        """Every live order: reference to (slot, side, price_e4, open shares, class, level)."""
        return {
            reference: (o.slot, o.side, o.price_e4, o.quantity, o.order_class, o.level)
            for reference, o in self._orders.items()
        }

    # Events.

    def event(self, event: Any, overflow: bool = False, clearing: bool | None = None) -> tuple[Any, Any]:
        """Apply one event; returns its trace record and the update for trigger and risk.

        Parameters
        ----------
        event: `events.EVENT` values.
        overflow: the device had no room for the order that this event adds (a hint from its trace).
        clearing: tables were being swept when it arrived; None goes by `clearing` of this object.
        """
        self.counters["events"] += 1
        self._last_seq = event.seq
        if event.every_slot:
            return self._every_slot(event)
        kind = event.kind
        row = self._slots[event.slot]
        old, new = _NO_OLD, _NO_NEW
        anomaly = overflowed = other = 0
        other_slot = 0
        bbo = before = row.bbo
        if kind <= _REPLACE:
            if self.clearing if clearing is None else clearing:
                self.counters["drop_clearing"] += 1
                row.validity |= _INCOMPLETE
            else:
                if kind == _ADD:
                    anomaly = self._add_anomaly(event)
                    if not anomaly:
                        new, overflowed = self._add(row, event.slot, event.side, event.reference, event, overflow)
                else:
                    order = self._orders.get(event.reference)
                    anomaly = self._take_anomaly(event, order)
                    if not anomaly or anomaly == _EXCESS_QUANTITY:
                        assert order is not None
                        old = self._take(row, event, order)
                        if kind == _REPLACE:
                            if event.new_reference in self._orders:
                                anomaly = Anomaly.DUPLICATE_REFERENCE
                            else:
                                new, overflowed = self._add(
                                    row, event.slot, order.side, event.new_reference, event, overflow
                                )
                    elif anomaly == Anomaly.WRONG_LOCATE:
                        assert order is not None
                        other, other_slot = 1, order.slot
                        self._slots[order.slot].validity |= _INCOMPLETE
                if anomaly:
                    self.counters[_ANOMALY_COUNTERS[anomaly]] += 1
                    row.validity |= _INCOMPLETE
                bids, asks = row.sides
                row.window = 0 if bids.sound and asks.sound else _WINDOW
                bbo = row.bbo = row.best()
        elif kind == _STATE:
            row.state = row.state & ~event.state_bits if event.state_op else row.state | event.state_bits
        return self._tell(
            event, row, old, new, int(anomaly), overflowed, before != bbo, other, other_slot, bool(clearing)
        )

    def _add_anomaly(self, event: Any) -> int:
        if event.bad_side:
            return Anomaly.BAD_SIDE
        if event.quantity == 0:
            return Anomaly.ZERO_QUANTITY
        if event.price_e4 == 0:
            return Anomaly.ZERO_PRICE
        if event.reference in self._orders:
            return Anomaly.DUPLICATE_REFERENCE
        return _NO_ANOMALY

    def _take_anomaly(self, event: Any, order: _Order | None) -> int:
        """What is wrong with an execute, cancel, delete or replace, before its order is touched."""
        kind = event.kind
        if kind != _DELETE and event.quantity == 0:
            return Anomaly.ZERO_QUANTITY
        if kind == _REPLACE and event.price_e4 == 0:
            return Anomaly.ZERO_PRICE
        if order is None:
            return Anomaly.UNKNOWN_REFERENCE
        if order.slot != event.slot:
            return Anomaly.WRONG_LOCATE
        if kind <= _CANCEL and event.quantity > order.quantity:
            return _EXCESS_QUANTITY
        return _NO_ANOMALY

    def _take(self, row: _Slot, event: Any, order: _Order) -> tuple[int, ...]:
        """Take shares from an order, all of them where the event removes it."""
        side = row.sides[order.side]
        open_before = order.quantity
        taken = open_before if event.kind >= _DELETE else min(event.quantity, open_before)
        order.quantity -= taken
        gone = order.quantity == 0
        if gone:
            del self._orders[event.reference]
        level_before = level_after = 0
        if order.order_class == _PLACED:
            level_before = side.levels[order.level]
            level_after = side.levels[order.level] = level_before - taken
            if level_after == 0:
                side.occupied &= ~(1 << order.level)
        elif gone and order.order_class == _FAR:
            side.far -= 1
        elif gone:
            side.off -= 1
        return (
            level_before, level_after, order.price_e4, open_before, order.quantity, order.level, order.side,
            order.order_class,
        )  # fmt: skip

    def _add(
        self, row: _Slot, slot: int, side: int, reference: int, event: Any, overflow: bool
    ) -> tuple[tuple[int, ...], int]:
        """Put a new order into the table and its level; returns what the trace tells, and 1 where there was no room."""
        if overflow:
            self.counters["overflows"] += 1
            row.validity |= _OVERFLOW
            return _NO_NEW, 1
        price_e4, quantity = event.price_e4, event.quantity
        order_class, level = row.place(side, price_e4)
        self._orders[reference] = _Order(slot, side, price_e4, quantity, level, order_class)
        table = row.sides[side]
        level_before = level_after = 0
        if order_class == _PLACED:
            level_before = table.levels[level]
            level_after = table.levels[level] = level_before + quantity
            table.occupied |= 1 << level
        elif order_class == _FAR:
            table.far += 1
        else:
            table.off += 1
        return (level_before, level_after, price_e4, quantity, level, side, order_class), 0

    def _tell(
        self,
        event: Any,
        row: _Slot,
        old: tuple[int, ...],
        new: tuple[int, ...],
        anomaly: int,
        overflowed: int,
        bbo_changed: bool,
        other: int,
        other_slot: int,
        clearing: bool,
    ) -> tuple[Any, Any]:
        validity = row.validity | row.window
        if clearing or self.clearing:
            validity |= _CLEARING
        bids, asks = row.sides
        bid_px, bid_qty, ask_px, ask_qty = row.bbo
        changed = 1 if bbo_changed else 0
        old_before, old_after, old_price, old_qty_before, old_qty_after, old_level, old_side, old_class = old
        new_before, new_after, new_price, new_qty, new_level, new_side, new_class = new
        unplaced: tuple[int, ...] = (bids.far, asks.far, bids.off, asks.off)
        if max(unplaced) > _COUNT_MAX:
            unplaced = tuple(min(count, _COUNT_MAX) for count in unplaced)
        record = _record((
            0, 0, event.seq, bid_qty, ask_qty, bid_px, ask_px, old_before, old_after, new_before, new_after,
            old_price, old_qty_before, old_qty_after, new_price, new_qty, *unplaced,
            old_level, new_level, event.kind, event.itch_type, event.slot, old_side, old_class, new_side, new_class,
            anomaly, validity, row.state, changed, overflowed,
        ))  # fmt: skip
        update = _update((
            event.slot, 0, 0, 0, 0, 0, other, other_slot, bid_px, bid_qty, ask_px, ask_qty, changed, validity,
            row.state, event.itch_type, event.seq, 0,
        ))  # fmt: skip
        return record, update

    def _every_slot(self, event: Any) -> tuple[Any, Any]:
        """A notice, a message of a wrong length, or a market-wide change of state."""
        set_bits = clear_bits = state_set = state_clear = anomaly = 0
        if event.kind == EventKind.STATE:
            if event.state_op == StateOp.SET:
                state_set = event.state_bits
            else:
                state_clear = event.state_bits
            self.market_state = (self.market_state & ~state_clear | state_set) & _MARKET_STATE
        elif event.notice == Notice.GAP:
            set_bits = int(Validity.GAP)
        elif event.notice == Notice.FCS:
            set_bits = int(Validity.FCS)
        elif event.notice == Notice.NEW_SESSION:
            set_bits, clear_bits = _UNSYNCED, _STICKY
            self._sweep()
        elif event.notice == Notice.MARK:
            clear_bits = _ALL_BITS
        elif event.notice == Notice.SYNC:
            clear_bits = _UNSYNCED
        else:
            set_bits = _INCOMPLETE
            anomaly = int(Anomaly.WRONG_LENGTH)
            self.counters[_ANOMALY_COUNTERS[anomaly]] += 1
        for slot in self._slots:
            slot.validity = slot.validity & ~clear_bits | set_bits
            slot.state = slot.state & ~state_clear | state_set
        record = _record((
            0, 0, event.seq, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, event.kind, event.itch_type,
            NO_SLOT, 0, 0, 0, 0, anomaly, set_bits, self.market_state, 0, 0,
        ))  # fmt: skip
        if event.notice == Notice.NEW_SESSION:
            set_bits |= _CLEARING
        update = _update((
            0, 1, set_bits, clear_bits, state_set, state_clear, 0, 0, 0, 0, 0, 0, 0, 0, 0, event.itch_type, event.seq,
            0,
        ))  # fmt: skip
        return record, update

    def _sweep(self) -> None:
        self.clearing = True
        self._orders.clear()
        for slot in self._slots:
            slot.empty()
