"""What best prices and orders of symbols do over a session, as far as windows, triggers and limits depend on it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tickgate.sw.model.bbo import apply_message
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import BUY, SELL
from tickgate.sw.spec.rows import TriggerKind

#: Imbalance thresholds tried, as num / den of the quantities.
RATIOS = ((1, 8), (1, 4), (1, 2), (1, 1), (2, 1), (4, 1), (8, 1))
_RATIO_VALUES = [num / den for num, den in RATIOS]
_GRID_ENTRIES_MAX = 20_000
_SPREAD_GRID_MAX = 20_000
KINDS = (TriggerKind.TAKE, TriggerKind.IMBALANCE, TriggerKind.SPREAD)


class Crossings:
    """How often a value rises to a threshold, for every threshold at once (differences of a step function)."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: Counter[int] = Counter()

    def rise(self, before: int, after: int) -> None:
        """The value went from `before` up to `after`: it crossed before + 1 .. after."""
        self.steps[before + 1] += 1
        self.steps[after + 1] -= 1

    def best(self) -> tuple[int, int]:
        """(crossings, threshold) of the threshold that is crossed most often, in the middle of where that holds."""
        best = (0, 0)
        count = 0
        places = sorted(self.steps)
        for place, following in zip(places, places[1:], strict=False):
            count += self.steps[place]
            if count > best[0]:
                best = (count, (place + following - 1) // 2)
        return best


class SymbolStatistics:
    """What the true best prices of one symbol did.

    Members
    -------
    messages: messages of the symbol.
    ranges: (lowest, highest) best price after each message, rounded outwards to `grid_e4`, and how often.
    free: messages after which there was no best price at all.
    """

    def __init__(self) -> None:
        self.messages = 0
        self.free = 0
        self.grid_e4 = 1
        self.ranges: Counter[tuple[int, int]] = Counter()
        self.half_spreads: Counter[int] = Counter()
        self.crossings = {(kind, side): Crossings() for kind in KINDS for side in (BUY, SELL)}
        self._bbo = (0, 0, 0, 0)
        self._ratio = {BUY: 0, SELL: 0}
        self._spread = 0

    def add(self, bbo: tuple[int, int, int, int]) -> None:
        """The best prices after one more message."""
        self.messages += 1
        bid, _, ask, _ = bbo
        if bid and ask:
            low, high = (bid, ask) if bid < ask else (ask, bid)
            self.half_spreads[(high - low) >> 1] += 1
            if len(self.half_spreads) > _SPREAD_GRID_MAX:
                self.half_spreads = Counter(dict(self.half_spreads.most_common(_SPREAD_GRID_MAX // 2)))
        elif bid or ask:
            low = high = bid or ask
        else:
            low = high = 0
            self.free += 1
        if high:
            grid = self.grid_e4
            self.ranges[low - low % grid, high + -high % grid] += 1
            if len(self.ranges) > _GRID_ENTRIES_MAX:
                self._coarser()
        if bbo != self._bbo:
            self._cross(bbo)
            self._bbo = bbo

    def _coarser(self) -> None:
        self.grid_e4 = grid = self.grid_e4 * 2
        ranges: Counter[tuple[int, int]] = Counter()
        for (low, high), count in self.ranges.items():
            ranges[low - low % grid, high + -high % grid] += count
        self.ranges = ranges

    def _cross(self, bbo: tuple[int, int, int, int]) -> None:
        bid, bid_qty, ask, ask_qty = bbo
        bid_before, _, ask_before, _ = self._bbo
        # A buy is taken when the ask falls to the threshold: in negative numbers it rises. No ask is very far away.
        falls_from, falls_to = -(ask_before or 1 << 33), -(ask or 1 << 33)
        if falls_to > falls_from:
            self.crossings[TriggerKind.TAKE, BUY].rise(falls_from, falls_to)
        if bid > bid_before:
            self.crossings[TriggerKind.TAKE, SELL].rise(bid_before, bid)
        for side, own, other in ((BUY, bid_qty, ask_qty), (SELL, ask_qty, bid_qty)):
            ratio = bisect_left(_RATIO_VALUES, own / other) if bid and ask else 0  # how many ratios it lies above
            if ratio > self._ratio[side]:
                self.crossings[TriggerKind.IMBALANCE, side].rise(self._ratio[side], ratio)
            self._ratio[side] = ratio
        spread = max(0, ask - bid) if bid and ask else 0
        if spread > self._spread:
            for side in (BUY, SELL):
                self.crossings[TriggerKind.SPREAD, side].rise(self._spread, spread)
        self._spread = spread


def percentile(counts: Mapping[int, int], share: float) -> int:
    """The value that `share` of the counted values do not exceed; 0 without any."""
    wanted = share * sum(counts.values())
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return 0


def best_base(ranges: Mapping[tuple[int, int], int], tick_e4: int, span_e4: int) -> tuple[int, int]:
    """(base, messages inside) of the window of `span_e4` that holds most of the ranges; in the middle of the choice."""
    steps: Counter[int] = Counter()
    last = (1 << 32) - span_e4
    for (low, high), count in ranges.items():
        first_base = max(0, -(-(high - span_e4 + tick_e4) // tick_e4) * tick_e4)
        last_base = min(low, last) // tick_e4 * tick_e4
        if first_base <= last_base:
            steps[first_base] += count
            steps[last_base + tick_e4] -= count
    best = (0, 0)
    inside = 0
    bases = sorted(steps)
    for base, following in zip(bases, bases[1:], strict=False):
        inside += steps[base]
        if inside > best[1]:
            best = ((base + following - tick_e4) // 2 // tick_e4 * tick_e4, inside)
    return best


class OffTick:
    """One symbol: messages after which an order lay off the tick inside a candidate's window."""

    def __init__(self, windows: Sequence[tuple[int, int, int]]):
        self.windows = windows  # tick, base, span
        self.live = [0] * len(windows)
        self.messages = [0] * len(windows)

    def mask(self, price_e4: int) -> int:
        """Bit a candidate: the price would be off its tick."""
        mask = 0
        for bit, (tick_e4, base_e4, span_e4) in enumerate(self.windows):
            if price_e4 % tick_e4 and 0 <= price_e4 - base_e4 < span_e4:
                mask |= 1 << bit
        return mask

    def change(self, mask: int, by: int) -> None:
        """An order with this mask came (+1) or went (-1)."""
        for bit in range(len(self.live)):
            if mask >> bit & 1:
                self.live[bit] += by

    def count(self) -> None:
        """One more message of the symbol is done."""
        for bit, live in enumerate(self.live):
            if live:
                self.messages[bit] += 1


def follow(messages: Iterable[bytes], locates: Iterable[int]) -> tuple[dict[int, SymbolStatistics], int]:
    """What the best prices of each of `locates` did, and the most orders that they had at once."""
    book = TrueBook()
    statistics = {locate: SymbolStatistics() for locate in locates}
    by_key = {locate.to_bytes(2, "big"): statistics[locate] for locate in statistics}
    peak = 0
    for data in messages:
        found = by_key.get(data[1:3])
        if found is None:
            continue
        locate = apply_message(book, data)
        if locate is not None:
            found.add(book.bbo(locate))
            if len(book.orders) > peak:
                peak = len(book.orders)
    return statistics, peak


def off_ticks(messages: Iterable[bytes], windows: Mapping[int, Sequence[tuple[int, int, int]]]) -> dict[int, OffTick]:
    """How long each symbol has orders off the tick of each of its candidate windows."""
    book = TrueBook()
    found = {locate: OffTick(candidates) for locate, candidates in windows.items()}
    by_key = {locate.to_bytes(2, "big"): off for locate, off in found.items()}
    masks: dict[int, int] = {}
    adds, replaces = b"AF", ord("U")
    reference_at = itch.ADD_ORDER.field("reference").offset
    new_at = itch.ORDER_REPLACE.field("new_reference").offset
    for data in messages:
        off = by_key.get(data[1:3])
        if off is None or apply_message(book, data) is None:
            continue
        named = [data[reference_at : reference_at + 8]]
        if data[0] == replaces:
            named.append(data[new_at : new_at + 8])
        for raw in named:
            reference = int.from_bytes(raw, "big")
            order = book.orders.get(reference)
            if order is None:
                mask = masks.pop(reference, 0)
                if mask:
                    off.change(mask, -1)
            elif data[0] == replaces or data[0] in adds:
                before = masks.pop(reference, 0)
                mask = off.mask(order.price_e4)
                if mask != before:
                    off.change(before, -1)
                    off.change(mask, 1)
                if mask:
                    masks[reference] = mask
        off.count()
    return found


def column(ranges: Mapping[tuple[int, int], int], at: int) -> Counter[int]:
    """How often each lower (0) or higher (1) best price occurred."""
    counts: Counter[int] = Counter()
    for pair, count in ranges.items():
        counts[pair[at]] += count
    return counts
