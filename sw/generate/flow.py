"""The order flow: adds, deletes, replaces, executions, cancels and imbalances of all symbols, one message at a time.

Every message keeps the books true: references are live, quantities never exceed what remains, executions take the head
of the best level's queue, and no book locks or crosses but by an order that the options ask for. A kind of message that
a symbol's book does not allow gives way to another one, and the balance is made up for later, so that the shares hold.
"""

from collections.abc import Iterator
from itertools import islice
from math import floor
from typing import Any, Final

import numpy as np

from tickgate.sw.generate import draws as tables
from tickgate.sw.generate import wire
from tickgate.sw.generate.book import Order
from tickgate.sw.generate.draws import Draws, Integers
from tickgate.sw.generate.options import SessionOptions
from tickgate.sw.generate.symbols import FLOOR, SymbolBook
from tickgate.sw.spec import itch

ADD, DELETE, REPLACE, EXECUTE, CANCEL, IMBALANCE, OTHER = range(7)

CHUNK: Final = 1 << 14
_SEGMENT: Final = 64
_STORM_256THS: Final = 16
"""One segment of 64 messages in 16 is a storm: all of them at the minimum gap, half the storms in one symbol."""
_SAME_SYMBOL_256THS: Final = 64
_LONG_256THS: Final = 90
_CHASE: Final = 0.8
"""Share of the deletes and executions that go to a best level which the fair price has passed."""
_MIN_SIDE: Final = 2
"""A side keeps at least this many orders."""
_THIN: Final = 64
"""A book of fewer orders gets its new ones nearer to the fair price, so that the spread stays narrow."""
MPIDS: Final = (b"NITE", b"CDRG", b"GSCO", b"UBSS")

_SHARES = (
    (100, 46.0), (200, 12.0), (300, 7.0), (400, 4.0), (500, 5.0), (1_000, 3.0), (2_000, 1.0), (5_000, 0.5),
    (10_000, 0.2), (10, 4.0), (25, 3.0), (37, 2.0), (50, 6.0), (73, 2.0), (5, 1.5), (2, 0.8), (150, 1.5), (999, 0.5),
)  # fmt: skip


def _offset_table() -> Integers:
    """How many ticks behind the fair price a new order stands: mostly at or near it, rarely far."""
    size = tables.TABLE_SIZE
    near = tables.geometric_table(9.0)
    table = near.copy()
    at_touch = size * 14 // 100
    table[:at_touch] = 0
    deep = size * 3 // 100
    table[-deep:] = np.linspace(40, 240, deep).astype(np.int64)
    far = max(2, size // 1_000)
    table[-far:] = np.linspace(600, 1_400, far).astype(np.int64)
    return table


class Flow:
    """Makes records of the order flow; the books are its state.

    Parameters
    ----------
    options : SessionOptions
    books : list of SymbolBook
        By rank, the busiest first.
    weights : array
        Cumulated shares of the ranks.
    draws : Draws
        Where the random numbers come from.

    Members
    -------
    records : list of bytes
        What was made and not yet taken.
    time_ns : int
        Time of the latest message.
    match_number : int
        Number of the latest execution or trade.
    """

    def __init__(self, options: SessionOptions, books: list[SymbolBook], weights: Integers, draws: Draws):
        self.records: list[bytes] = []
        self.time_ns = 0
        self.match_number = 0
        self._books = books
        self._weights = weights
        self._draws = draws
        self._volatility = options.volatility_ticks / (1 << 16)
        self._crossed = options.crossed
        self._kinds = tables.cumulated(list(options.mix.shares().values()))
        self._offsets = _offset_table()
        self._shares = tables.weighted_table(_SHARES)
        self._long = tables.exponential_table()
        self._normal = tables.normal_table()
        self._end_ns = 0
        self._mean_gap_ns = 0.0
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        # Next new reference of each class, and one that is gone and may come again.
        self._next_reference = [4, 5, 6, 7]
        self._gone = [0, 0, 0, 0]
        self._last_trade = 0, 0  # locate and match number
        self._surplus = 0  # adds made less adds drawn

    def begin_phase(self, start_ns: int, end_ns: int, messages: int) -> None:
        """From now on messages spread from `start_ns` to `end_ns`, if there are that many."""
        self.time_ns = max(self.time_ns, start_ns)
        self._end_ns = end_ns
        self._mean_gap_ns = (end_ns - self.time_ns) * 0.97 / max(messages, 1)
        self._rows = iter(())

    def new_reference(self, book: SymbolBook) -> int:
        """A reference that was never used."""
        kind = book.reference_class
        reference = self._next_reference[kind]
        self._next_reference[kind] = reference + 4
        return reference

    def run(self, messages: int) -> None:
        """Append that many records."""
        while messages:
            before = len(self.records)
            self._make(islice(self._rows, messages))
            made = len(self.records) - before
            messages -= made
            if messages:
                self._rows = self._draw()

    def _draw(self) -> Iterator[tuple[Any, ...]]:
        """Columns of the next `CHUNK` messages."""
        draws = self._draws
        bits = draws.words(CHUNK)
        storm = np.repeat((draws.words(CHUNK // _SEGMENT) & np.uint64(0xFF)).astype(np.int64), _SEGMENT)
        in_storm = storm < _STORM_256THS
        one_symbol = storm < _STORM_256THS // 2
        return zip(
            draws.choice(CHUNK, self._kinds).tolist(),
            self._draw_ranks(bits, one_symbol).tolist(),
            self._draw_gaps(bits, in_storm).tolist(),
            draws.unit(CHUNK).tolist(),
            draws.unit(CHUNK).tolist(),
            draws.from_table(CHUNK, self._offsets).tolist(),
            draws.from_table(CHUNK, self._shares).tolist(),
            (draws.from_table(CHUNK, self._normal) * self._volatility).tolist(),
            strict=True,
        )

    def _draw_ranks(self, bits: Any, one_symbol: Any) -> Integers:
        ranks = self._draws.choice(CHUNK, self._weights)
        repeats = (bits & np.uint64(0xFF)) < _SAME_SYMBOL_256THS
        repeats |= one_symbol
        number = np.arange(CHUNK, dtype=np.int64)
        repeats &= (number % _SEGMENT) != 0
        source = np.maximum.accumulate(np.where(repeats, 0, number))
        return ranks[source]

    def _draw_gaps(self, bits: Any, in_storm: Any) -> Integers:
        kind = ((bits >> np.uint64(8)) & np.uint64(0xFF)).astype(np.int64)
        tiny = ((bits >> np.uint64(16)) & np.uint64(3) == 3).astype(np.int64)
        short = ((bits >> np.uint64(20)) & np.uint64(0xFFF)).astype(np.int64)
        long_mean = self._mean_gap_ns * 256 / _LONG_256THS * 256 / (256 - _STORM_256THS)
        long = (self._draws.from_table(CHUNK, self._long) * (long_mean / (1 << 16))).astype(np.int64)
        gaps = np.where(kind < _LONG_256THS, long, np.where(kind < 176, short, tiny))
        return np.where(in_storm, tiny, gaps)

    def _make(self, rows: Iterator[tuple[Any, ...]]) -> None:
        """One record for each row. One long function: a call costs as much as a third of a message."""
        out = self.records.append
        books, gone, next_reference = self._books, self._gone, self._next_reference
        time_ns, end_ns, surplus, match = self.time_ns, self._end_ns, self._surplus, self.match_number
        crossed = self._crossed
        for kind, rank, gap, u, v, offset, shares, step in rows:
            time_ns += gap
            if time_ns > end_ns:
                time_ns = end_ns
            book = books[rank]
            orders = book.orders
            live = len(orders)
            locate = book.locate

            if kind == ADD:
                if live >= book.cap or (surplus > 0 and live > 2 * FLOOR):
                    kind = DELETE
                    surplus -= 1
            elif kind == DELETE:
                if live <= FLOOR or (surplus < 0 and live < book.target):
                    kind = ADD
                    surplus += 1
            elif live <= FLOOR and kind < IMBALANCE:
                kind = ADD
                surplus += 1

            if kind == DELETE:
                order = None
                if u < _CHASE:
                    fair = book.fair
                    if book.bid.best > fair:
                        side = book.bid
                        order = next(iter(side.levels[side.best].values()))
                    elif -book.ask.best < fair:
                        side = book.ask
                        order = next(iter(side.levels[side.best].values()))
                if order is None:
                    order = orders[int(v * live)]
                    side = order.side
                if side.count > _MIN_SIDE:
                    reference = order.reference
                    gone[book.reference_class] = reference
                    last = orders.pop()
                    if last is not order:
                        last.place = place = order.place
                        orders[place] = last
                    side.remove(order)
                    out(wire.DELETE(wire.DELETE_SIZE, wire.DELETE_TYPE, locate, time_ns, reference))
                    continue
                kind = ADD
                surplus += 1

            if kind == ADD:
                fair = book.fair
                fair += book.pull * (book.centre - fair) + step + book.drift
                if fair < book.lowest:
                    fair = book.lowest
                elif fair > book.highest:
                    fair = book.highest
                book.fair = fair
                if u < 0.5:
                    side, other = book.bid, book.ask
                else:
                    side, other = book.ask, book.bid
                if side.count > 3 * other.count + 3:
                    side, other = other, side
                if live < _THIN:
                    offset = offset * live // _THIN
                key = floor(side.sign * fair - 0.25) - offset
                limit = -other.best - 1
                if key > limit:
                    key = limit
                if v < crossed and other.count > _MIN_SIDE and side.best <= limit:
                    key = limit + 1 + offset % 3
                reference_class = book.reference_class
                reference = gone[reference_class]
                if reference and 0.5 < v < 0.505:
                    gone[reference_class] = 0
                else:
                    reference = next_reference[reference_class]
                    next_reference[reference_class] = reference + 4
                order = Order(reference, side, key, shares, live)
                orders.append(order)
                side.insert(order)
                price_e4 = key * side.sign * book.tick_e4
                if v > 0.97:
                    mpid = MPIDS[reference >> 2 & 3]
                    out(wire.ADD_MPID(wire.ADD_MPID_SIZE, wire.ADD_MPID_TYPE, locate, time_ns, reference,
                                      side.letter, shares, book.stock, price_e4, mpid))  # fmt: skip
                else:
                    out(wire.ADD(wire.ADD_SIZE, wire.ADD_TYPE, locate, time_ns, reference,
                                 side.letter, shares, book.stock, price_e4))  # fmt: skip
                continue

            if kind == EXECUTE:
                side = None
                if u < _CHASE:
                    fair = book.fair
                    if book.bid.best > fair:
                        side = book.bid
                    elif -book.ask.best < fair:
                        side = book.ask
                if side is None:
                    side = book.bid if u * 16 % 1 < 0.5 else book.ask
                if book.halted or side.count <= _MIN_SIDE:
                    kind = CANCEL
                else:
                    order = next(iter(side.levels[side.best].values()))
                    remaining = order.shares
                    match += 1
                    full = v < (0.8 if live > book.target else 0.15)
                    if full or remaining == 1:
                        shares = remaining
                        gone[book.reference_class] = order.reference
                        last = orders.pop()
                        if last is not order:
                            last.place = place = order.place
                            orders[place] = last
                        side.remove(order)
                    else:
                        shares = 1 + shares % (remaining - 1)
                        order.shares = remaining - shares
                    if u * 64 % 1 < 0.06:
                        price_e4 = (order.key - 1) * side.sign * book.tick_e4
                        printable = b"N" if match % 3 == 0 else b"Y"
                        out(wire.EXECUTE_PRICE(wire.EXECUTE_PRICE_SIZE, wire.EXECUTE_PRICE_TYPE, locate, time_ns,
                                               order.reference, shares, match, printable, price_e4))  # fmt: skip
                    else:
                        out(wire.EXECUTE(wire.EXECUTE_SIZE, wire.EXECUTE_TYPE, locate, time_ns,
                                         order.reference, shares, match))  # fmt: skip
                    continue

            if kind == REPLACE:
                order = orders[int(v * live)]
                side = order.side
                old = order.reference
                side.remove(order)
                if u > 0.4:
                    key = floor(side.sign * book.fair - 0.25) - offset
                    other = book.ask if side is book.bid else book.bid
                    limit = -other.best - 1
                    order.key = key if key < limit else limit
                    if u > 0.8:
                        shares = order.shares
                reference_class = book.reference_class
                reference = next_reference[reference_class]
                next_reference[reference_class] = reference + 4
                order.reference = reference
                order.shares = shares
                side.insert(order)
                out(wire.REPLACE(wire.REPLACE_SIZE, wire.REPLACE_TYPE, locate, time_ns, old, reference, shares,
                                 order.key * side.sign * book.tick_e4))  # fmt: skip
                continue

            if kind == CANCEL:
                order = orders[int(v * live)]
                remaining = order.shares
                if remaining > 1:
                    shares = 1 + shares % (remaining - 1)
                    order.shares = remaining - shares
                    out(wire.CANCEL(wire.CANCEL_SIZE, wire.CANCEL_TYPE, locate, time_ns, order.reference, shares))
                    continue
                kind = IMBALANCE

            if kind == IMBALANCE:
                price_e4 = book.fair_e4
                out(wire.NOII(wire.NOII_SIZE, wire.NOII_TYPE, locate, time_ns, shares * 20, shares,
                              b"B" if u < 0.5 else b"S", book.stock, price_e4 + book.tick_e4, price_e4, price_e4,
                              b"C" if v < 0.5 else b"O", b"L"))  # fmt: skip
                continue

            self.match_number = match
            out(self._other(book, time_ns, u, v, shares))
            match = self.match_number
        self.time_ns, self._surplus, self.match_number = time_ns, surplus, match

    def _other(self, book: SymbolBook, time_ns: int, u: float, v: float, shares: int) -> bytes:
        """A message that changes no book."""
        if u < 0.72 and not book.halted:
            price_e4 = book.fair_e4
            self.match_number += 1
            self._last_trade = book.locate, self.match_number
            return wire.TRADE(wire.TRADE_SIZE, wire.TRADE_TYPE, book.locate, time_ns, 0, b"B", shares, book.stock,
                              price_e4, self.match_number)  # fmt: skip
        which = int(v * 10)
        if which < 4 or (which == 9 and not self._last_trade[1]):
            flag = b"BSAN"[int(u * 64) % 4 :][:1]
            return wire.administrative(itch.RPII, book.locate, time_ns, stock=book.stock, interest_flag=flag)
        if which < 7:
            return participant(book, time_ns, MPIDS[int(u * 64) % 4], b"AEWSD"[int(u * 1024) % 5 :][:1])
        if which < 9:
            action = b"012"[int(u * 64) % 3 :][:1]
            return wire.administrative(itch.REG_SHO, book.locate, time_ns, stock=book.stock, reg_sho_action=action)
        traded_locate, match_number = self._last_trade
        return wire.administrative(itch.BROKEN_TRADE, traded_locate, time_ns, match_number=match_number)


def participant(book: SymbolBook, time_ns: int, mpid: bytes, state: bytes) -> bytes:
    """A record of a market participant's position."""
    return wire.administrative(
        itch.MARKET_PARTICIPANT_POSITION, book.locate, time_ns, mpid=mpid, stock=book.stock,
        primary_market_maker=b"Y" if mpid == MPIDS[0] else b"N", market_maker_mode=b"N", participant_state=state,
    )  # fmt: skip
