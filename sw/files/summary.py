"""What is in a feed: types, symbols, times, live orders, and which size of device holds it."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from tickgate.sw.files.block import Block
from tickgate.sw.spec import itch
from tickgate.sw.spec.fields import text
from tickgate.sw.spec.sizes import LADDER

LOAD_LIMIT = 0.7
"""Share of the order table that may be in use without overflow."""
DEFAULT_SYMBOLS = 8
"""How many of the busiest symbols are followed where the user names none."""

_ADDS = (itch.ADD_ORDER.type_byte, itch.ADD_ORDER_MPID.type_byte)
_REDUCES = (
    itch.ORDER_EXECUTED.type_byte,
    itch.ORDER_EXECUTED_WITH_PRICE.type_byte,
    itch.ORDER_CANCEL.type_byte,
)
_REPLACE = itch.ORDER_REPLACE.type_byte
_REFERENCE = itch.ADD_ORDER.field("reference").offset
_NEW_REFERENCE = itch.ORDER_REPLACE.field("new_reference").offset
_ADD_SHARES = itch.ADD_ORDER.field("shares").offset
_REDUCE_SHARES = itch.ORDER_EXECUTED.field("shares").offset
_REPLACE_SHARES = itch.ORDER_REPLACE.field("shares").offset
_LOCATE_BITS = 16
_LOCATE_MASK = (1 << _LOCATE_BITS) - 1


@dataclass
class SymbolSummary:
    """One stock locate.

    Members
    -------
    locate : int
    symbol : str
        "" where no message names it.
    messages, live, peak_live : int
        Messages of all types; orders on the book at the end, and at most.
    """

    locate: int
    symbol: str = ""
    messages: int = 0
    live: int = 0
    peak_live: int = 0


@dataclass
class FeedSummary:
    """Counts over all messages given to `add`.

    Members
    -------
    messages : int
        Unknown types included.
    types : Counter of int
        Messages of each known type byte.
    unknown, wrong_length : Counter of int
        Messages of each unknown type byte; of known types with a wrong length.
    first_ns, last_ns : None or int
        Timestamps of the first and last message of known type, nanoseconds since midnight.
    symbols : dict of SymbolSummary
        By locate; only locates that some message names (0 is no symbol).
    live, peak_live : int
        Orders on all books, at the end and at most.
    unknown_references : int
        Messages that name an order that is not on the book.
    """

    messages: int = 0
    types: Counter[int] = field(default_factory=Counter)
    unknown: Counter[int] = field(default_factory=Counter)
    wrong_length: Counter[int] = field(default_factory=Counter)
    first_ns: int | None = None
    last_ns: int | None = None
    symbols: dict[int, SymbolSummary] = field(default_factory=dict)
    peak_live: int = 0
    unknown_references: int = 0
    # reference -> shares and locate in one integer: a full day has over a million live orders.
    _orders: dict[int, int] = field(default_factory=dict, repr=False)

    @property
    def live(self) -> int:
        """Orders on all books now."""
        return len(self._orders)

    def add(self, block: Block) -> None:
        """Count the messages of a block."""
        self.messages += len(block)
        codes, known = block.types, block.known
        for code, number in zip(*np.unique(codes[known], return_counts=True), strict=True):
            self.types[int(code)] += int(number)
        for code, number in zip(*np.unique(codes[~known], return_counts=True), strict=True):
            target = self.wrong_length if int(code) in itch.LENGTHS else self.unknown
            target[int(code)] += int(number)
        if not known.any():
            return
        times = block.timestamps_ns[known]
        if self.first_ns is None:
            self.first_ns = int(times[0])
        self.last_ns = int(times[-1])
        self._name_symbols(block)
        for locate, number in zip(*np.unique(block.locates[known], return_counts=True), strict=True):
            if locate:
                self._symbol(int(locate)).messages += int(number)
        self._follow_orders(block)

    def _symbol(self, locate: int) -> SymbolSummary:
        found = self.symbols.get(locate)
        if found is None:
            found = self.symbols[locate] = SymbolSummary(locate)
        return found

    def _name_symbols(self, block: Block) -> None:
        codes, known, locates = block.types, block.known, block.locates
        for code, message in itch.MESSAGES.items():
            if "stock" not in message.names:
                continue
            which = np.flatnonzero((codes == code) & known)
            if not len(which):
                continue
            place = message.field("stock")
            _values, firsts = np.unique(locates[which], return_index=True)
            for number in which[firsts].tolist():
                symbol = self._symbol(int(locates[number])) if locates[number] else None
                if symbol is not None and not symbol.symbol:
                    start = int(block.offsets[number]) + place.offset
                    symbol.symbol = text(block.data[start : start + place.size])

    def _follow_orders(self, block: Block) -> None:
        orders = self._orders
        codes = block.types
        which = np.flatnonzero(np.isin(codes, np.frombuffer(bytes(itch.BOOK_TYPES), dtype=np.uint8)) & block.known)
        data = block.data
        for code, offset in zip(codes[which].tolist(), block.offsets[which].tolist(), strict=True):
            start = offset + _REFERENCE
            reference = int.from_bytes(data[start : start + 8], "big")
            if code in _ADDS:
                locate = data[offset + 1] << 8 | data[offset + 2]
                start = offset + _ADD_SHARES
                self._enter(reference, int.from_bytes(data[start : start + 4], "big") << _LOCATE_BITS | locate)
                continue
            held = orders.get(reference)
            if held is None:
                self.unknown_references += 1
            elif code in _REDUCES:
                start = offset + _REDUCE_SHARES
                left = (held >> _LOCATE_BITS) - int.from_bytes(data[start : start + 4], "big")
                if left > 0:
                    orders[reference] = left << _LOCATE_BITS | held & _LOCATE_MASK
                else:
                    self._leave(reference)
            else:
                self._leave(reference)
                if code == _REPLACE:
                    start = offset + _NEW_REFERENCE
                    new_reference = int.from_bytes(data[start : start + 8], "big")
                    start = offset + _REPLACE_SHARES
                    shares = int.from_bytes(data[start : start + 4], "big")
                    self._enter(new_reference, shares << _LOCATE_BITS | held & _LOCATE_MASK)

    def _enter(self, reference: int, held: int) -> None:
        if reference in self._orders:
            return
        self._orders[reference] = held
        self.peak_live = max(self.peak_live, len(self._orders))
        symbol = self._symbol(held & _LOCATE_MASK)
        symbol.live += 1
        symbol.peak_live = max(symbol.peak_live, symbol.live)

    def _leave(self, reference: int) -> None:
        self._symbol(self._orders.pop(reference) & _LOCATE_MASK).live -= 1

    def busiest(self, count: int) -> list[SymbolSummary]:
        """The symbols with most messages, busiest first."""
        return sorted(self.symbols.values(), key=lambda symbol: (-symbol.messages, symbol.locate))[:count]

    def suggest_size(self, symbols: int = DEFAULT_SYMBOLS) -> tuple[str, bool]:
        """The smallest rung of the ladder for the busiest symbols, and whether their orders fit it.

        A rung fits when it has a slot for each (at most `symbols`) and the sum of their peaks is at most 70 % of its
        order table. The last rung is named when none fits.
        """
        chosen = self.busiest(symbols)
        peak = sum(symbol.peak_live for symbol in chosen)
        name = ""
        for name, size in LADDER.items():
            if len(chosen) <= size.slots and peak <= LOAD_LIMIT * size.orders:
                return name, True
        return name, False
