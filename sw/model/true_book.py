"""The true book: every symbol, every order in queue order, every level, without windows or capacity.

Symbols are known by a key of the caller's choice: the stock locate, or a slot. Anomalies are decided as the book stage
decides them, so that both hold the same orders while neither lacks room.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from tickgate.sw.spec.events import BUY, SELL, StateOp
from tickgate.sw.spec.state import Anomaly, SymbolState

_NO_BBO = (0, 0, 0, 0)


class TrueOrder:
    """One live order: its symbol, side (0 buy, 1 sell), price in 1/10,000 and open shares."""

    __slots__ = ("key", "price_e4", "quantity", "side")

    def __init__(self, key: int, side: int, price_e4: int, quantity: int):
        self.key = key
        self.side = side
        self.price_e4 = price_e4
        self.quantity = quantity


class TrueLevel:
    """One price of one side: shares, and the references of its orders, first in the queue first."""

    __slots__ = ("quantity", "queue")

    def __init__(self) -> None:
        self.quantity = 0
        self.queue: dict[int, None] = {}


class TrueSide:
    """One side of a symbol: its levels by price, and the prices in rising order."""

    __slots__ = ("levels", "prices")

    def __init__(self) -> None:
        self.levels: dict[int, TrueLevel] = {}
        self.prices: list[int] = []


class TrueSymbol:
    """One symbol: bids and asks, best prices, and its trading state."""

    __slots__ = ("bbo", "sides", "state")

    def __init__(self, state: int) -> None:
        self.sides = (TrueSide(), TrueSide())
        self.bbo: tuple[int, int, int, int] = _NO_BBO
        self.state = state


class TrueBook:
    """All symbols' books.

    Members
    -------
    symbols: key to `TrueSymbol`, of every key that an order or a state has named.
    orders: reference to `TrueOrder`.
    anomalies: how often each `Anomaly` occurred.
    """

    def __init__(self) -> None:
        self.symbols: dict[int, TrueSymbol] = {}
        self.orders: dict[int, TrueOrder] = {}
        self.anomalies: dict[Anomaly, int] = {}
        self._market_state = int(SymbolState.NO_STATE)

    def symbol(self, key: int) -> TrueSymbol:
        """The symbol of a key, made when it is new."""
        found = self.symbols.get(key)
        if found is None:
            found = self.symbols[key] = TrueSymbol(self._market_state)
        return found

    def bbo(self, key: int) -> tuple[int, int, int, int]:
        """Best bid, its shares, best ask, its shares; 0 where there is none."""
        found = self.symbols.get(key)
        return found.bbo if found is not None else _NO_BBO

    def levels(self, key: int, side: int) -> list[tuple[int, int]]:
        """(price, shares) of each level of a side, best first."""
        found = self.symbols.get(key)
        if found is None:
            return []
        table = found.sides[side]
        prices = reversed(table.prices) if side == BUY else iter(table.prices)
        return [(price, table.levels[price].quantity) for price in prices]

    def queue(self, key: int, side: int, price_e4: int) -> list[tuple[int, int]]:
        """(reference, open shares) of the orders of one level, first in the queue first."""
        level = self.symbol(key).sides[side].levels.get(price_e4)
        return [(reference, self.orders[reference].quantity) for reference in level.queue] if level else []

    # Messages. Each returns what was wrong with it, Anomaly.NONE for nothing.

    def add(self, key: int, reference: int, side: int, quantity: int, price_e4: int) -> Anomaly:
        """A or F; a side other than 0 and 1 is bad."""
        if side not in (BUY, SELL):
            return self._wrong(Anomaly.BAD_SIDE)
        if quantity == 0:
            return self._wrong(Anomaly.ZERO_QUANTITY)
        if price_e4 == 0:
            return self._wrong(Anomaly.ZERO_PRICE)
        if reference in self.orders:
            return self._wrong(Anomaly.DUPLICATE_REFERENCE)
        self._insert(key, reference, side, quantity, price_e4)
        return Anomaly.NONE

    def reduce(self, key: int, reference: int, quantity: int) -> Anomaly:
        """E, C or X."""
        if quantity == 0:
            return self._wrong(Anomaly.ZERO_QUANTITY)
        order = self.orders.get(reference)
        if order is None:
            return self._wrong(Anomaly.UNKNOWN_REFERENCE)
        if order.key != key:
            return self._wrong(Anomaly.WRONG_LOCATE)
        excess = quantity > order.quantity
        self._take(reference, order, min(quantity, order.quantity))
        return self._wrong(Anomaly.EXCESS_QUANTITY) if excess else Anomaly.NONE

    def delete(self, key: int, reference: int) -> Anomaly:
        """D."""
        order = self.orders.get(reference)
        if order is None:
            return self._wrong(Anomaly.UNKNOWN_REFERENCE)
        if order.key != key:
            return self._wrong(Anomaly.WRONG_LOCATE)
        self._take(reference, order, order.quantity)
        return Anomaly.NONE

    def replace(self, key: int, reference: int, new_reference: int, quantity: int, price_e4: int) -> Anomaly:
        """U: side and symbol are the old order's, and the new one goes to the end of its queue."""
        if quantity == 0:
            return self._wrong(Anomaly.ZERO_QUANTITY)
        if price_e4 == 0:
            return self._wrong(Anomaly.ZERO_PRICE)
        order = self.orders.get(reference)
        if order is None:
            return self._wrong(Anomaly.UNKNOWN_REFERENCE)
        if order.key != key:
            return self._wrong(Anomaly.WRONG_LOCATE)
        self._take(reference, order, order.quantity)
        if new_reference in self.orders:
            return self._wrong(Anomaly.DUPLICATE_REFERENCE)
        self._insert(key, new_reference, order.side, quantity, price_e4)
        return Anomaly.NONE

    def set_state(self, key: int | None, op: int, bits: int) -> None:
        """A change of trading state of one symbol, or of all (`key` None), as `events.StateOp`."""
        if key is None:
            self._market_state = _changed(self._market_state, op, bits)
        for symbol in [self.symbol(key)] if key is not None else self.symbols.values():
            symbol.state = _changed(symbol.state, op, bits)

    def forget_orders(self) -> None:
        """Every order and level is gone; symbols and their states stay."""
        self.orders.clear()
        for symbol in self.symbols.values():
            symbol.sides = (TrueSide(), TrueSide())
            symbol.bbo = _NO_BBO

    def _wrong(self, anomaly: Anomaly) -> Anomaly:
        self.anomalies[anomaly] = self.anomalies.get(anomaly, 0) + 1
        return anomaly

    def _insert(self, key: int, reference: int, side: int, quantity: int, price_e4: int) -> None:
        self.orders[reference] = TrueOrder(key, side, price_e4, quantity)
        symbol = self.symbol(key)
        table = symbol.sides[side]
        level = table.levels.get(price_e4)
        if level is None:
            level = table.levels[price_e4] = TrueLevel()
            insort(table.prices, price_e4)
        level.quantity += quantity
        level.queue[reference] = None
        symbol.bbo = _best(symbol)

    def _take(self, reference: int, order: TrueOrder, quantity: int) -> None:
        symbol = self.symbols[order.key]
        table = symbol.sides[order.side]
        level = table.levels[order.price_e4]
        order.quantity -= quantity
        level.quantity -= quantity
        if order.quantity == 0:
            del self.orders[reference]
            del level.queue[reference]
            if not level.queue:
                del table.levels[order.price_e4]
                del table.prices[bisect_left(table.prices, order.price_e4)]
        symbol.bbo = _best(symbol)


def _changed(state: int, op: int, bits: int) -> int:
    return state & ~bits if op == StateOp.CLEAR else state | bits


def _best(symbol: TrueSymbol) -> tuple[int, int, int, int]:
    bids, asks = symbol.sides
    bid_px = bid_qty = ask_px = ask_qty = 0
    if bids.prices:
        bid_px = bids.prices[-1]
        bid_qty = bids.levels[bid_px].quantity
    if asks.prices:
        ask_px = asks.prices[0]
        ask_qty = asks.levels[ask_px].quantity
    return bid_px, bid_qty, ask_px, ask_qty
