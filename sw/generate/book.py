"""The generator's own price-time book of one symbol, made for speed: who is at the head of the best level's queue.

Both sides work on a *key*: the price in ticks for bids, its negative for asks, so that the highest key is the best
price of either side, and the book is locked or crossed exactly when the two best keys add up to 0 or more.
"""

from typing import Final

EMPTY: Final = -(1 << 50)
"""Best key of a side without orders."""
_BASE_STEP: Final = 1 << 10


class Order:
    """A live order: reference, the side it is on, its key, what remains, and its place in the symbol's list."""

    __slots__ = ("key", "place", "reference", "shares", "side")

    def __init__(self, reference: int, side: "Side", key: int, shares: int, place: int):
        self.reference = reference
        self.side = side
        self.key = key
        self.shares = shares
        self.place = place


class Side:
    """One side of a book.

    Members
    -------
    levels : dict
        Orders of each key in the order of their arrival, by reference.
    best : int
        Highest key, or `EMPTY`.
    count : int
        Live orders.
    letter : bytes
        `B` or `S`.
    sign : int
        1 for bids, -1 for asks: price in ticks = key x sign.
    """

    __slots__ = ("_base", "_mask", "best", "count", "letter", "levels", "sign")

    def __init__(self, letter: bytes, sign: int, around: int):
        self.levels: dict[int, dict[int, Order]] = {}
        self.best = EMPTY
        self.count = 0
        self.letter = letter
        self.sign = sign
        # Occupied levels as bits of an integer: the best one is its bit length.
        self._base = around - 4 * _BASE_STEP
        self._mask = 0

    def insert(self, order: Order) -> None:
        """Put an order at the end of its level's queue."""
        self.count += 1
        key = order.key
        level = self.levels.get(key)
        if level is not None:
            level[order.reference] = order
            return
        self.levels[key] = {order.reference: order}
        index = key - self._base
        if index < 0:
            shift = _BASE_STEP - index
            self._mask <<= shift
            self._base -= shift
            index += shift
        self._mask |= 1 << index
        if key > self.best:
            self.best = key

    def remove(self, order: Order) -> None:
        """Take an order out."""
        self.count -= 1
        key = order.key
        level = self.levels[key]
        if len(level) > 1:
            del level[order.reference]
            return
        del self.levels[key]
        self._mask &= ~(1 << (key - self._base))
        if key == self.best:
            self.best = self._base + self._mask.bit_length() - 1 if self._mask else EMPTY
