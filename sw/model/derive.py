"""A configuration derived from the messages themselves: symbols, windows, triggers that fire, limits that bite.

Three passes over the messages: which symbols there are; what their true best prices do; and which orders lie off the
candidate ticks. From these follow

* tick and base of each slot: those for which most messages leave both sides of the book inside the window and on tick;
* triggers of all three kinds over slots and sides, each with the threshold that its prices cross most often;
* limits that pass most orders and reject some: collars at the 95th percentile of the spread, for every fourth slot a
  notional at the 90th percentile of its price, and token buckets that bursts empty;
* `assume_trading` for a symbol of which no H is seen.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tickgate.sw.model.bbo import apply_message
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec import itch, mold, net
from tickgate.sw.spec.config import Action, Config, SlotConfig, symbol_row
from tickgate.sw.spec.config_toml import FEED, PEER, SESSION, default_row
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import BUY, SELL
from tickgate.sw.spec.ouch import Capacity, Display, TimeInForce
from tickgate.sw.spec.risk import QUANTITY_END_SHARES
from tickgate.sw.spec.rows import PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import TICKS_E4

Source = Callable[[], Iterable[bytes]]
"""Opens the messages from the start; called once for each pass."""

DEFAULT_TOP = 8
#: About how long one message takes, one a frame at line rate; and the TCP payload of an order without a firm.
MESSAGE_CYCLES = 16
ORDER_BYTES = 50
QUANTITY_SHARES = 100
MAX_QUANTITY_SHARES = 500

#: Imbalance thresholds tried, as num / den of the quantities.
RATIOS = ((1, 8), (1, 4), (1, 2), (1, 1), (2, 1), (4, 1), (8, 1))
_RATIO_VALUES = [num / den for num, den in RATIOS]
_GRID_ENTRIES_MAX = 20_000
_SPREAD_GRID_MAX = 20_000
_KINDS = (TriggerKind.TAKE, TriggerKind.IMBALANCE, TriggerKind.SPREAD)
_FIRES_MIN = 4

#: Where each type that names its symbol has it.
_STOCK_AT = {m.type_byte: m.field("stock").offset for m in itch.ALL if "stock" in m.names}
#: Types that concern no symbol; their locate (0) is none of a symbol.
_MARKET_WIDE = {m.type_byte for m in (itch.SYSTEM_EVENT, itch.MWCB_DECLINE_LEVEL, itch.MWCB_STATUS)}


@dataclass(frozen=True)
class Selection:
    """Which symbols get a slot: by name, by locate, or the busiest; the first that is given counts."""

    symbols: tuple[str, ...] = ()
    locates: tuple[int, ...] = ()
    top: int = DEFAULT_TOP


@dataclass(frozen=True)
class Derivation:
    """What was derived, and what a report says of it.

    Members
    -------
    config: the configuration.
    symbols: name of each slot's symbol, `#` and the locate where no message names it.
    messages: messages looked at.
    shares_in_window: of each slot, the share of its messages that leave both best prices inside the window.
    assumed_trading: names of symbols that are assumed to trade, because no H was seen of them.
    peak_live_orders: most orders that the selected symbols had at once.
    best_prices_e4: of each slot, the medians of the lower and of the higher best price.
    fires: about how often the triggers will fire.
    """

    config: Config
    symbols: tuple[str, ...]
    messages: int
    shares_in_window: tuple[float, ...]
    assumed_trading: tuple[str, ...]
    peak_live_orders: int
    best_prices_e4: tuple[tuple[int, int], ...]
    fires: int


@dataclass
class Survey:
    """The first pass: which symbols occur.

    Members
    -------
    messages: messages looked at, unknown ones included.
    per_locate: messages of known type and length by locate; market_wide: those of them that concern no symbol.
    names: the symbol of each locate that a message names one for.
    with_state: locates of which a trading action (H) was seen.
    """

    messages: int = 0
    per_locate: Counter[int] = field(default_factory=Counter)
    market_wide: Counter[int] = field(default_factory=Counter)
    names: dict[int, str] = field(default_factory=dict)
    with_state: set[int] = field(default_factory=set)


def survey(messages: Iterable[bytes]) -> Survey:
    """Count messages by locate, and note names and whether a trading state is told."""
    found = Survey()
    per_locate: Counter[bytes] = Counter()
    names = found.names
    lengths = itch.LENGTHS
    for data in messages:
        found.messages += 1
        code = data[0] if data else 0
        if lengths.get(code) != len(data):
            continue
        key = data[1:3]
        per_locate[key] += 1
        at = _STOCK_AT.get(code)
        if at is not None:
            locate = data[1] << 8 | data[2]
            if locate not in names:
                names[locate] = data[at : at + 8].decode("ascii", "replace").strip()
            if code == itch.TRADING_ACTION.type_byte:
                found.with_state.add(locate)
        elif code in _MARKET_WIDE:
            found.market_wide[data[1] << 8 | data[2]] += 1
    for key, count in per_locate.items():
        found.per_locate[int.from_bytes(key, "big")] = count
    return found


def select_locates(found: Survey, selection: Selection, slots: int) -> list[int]:
    """The locates that get a slot, in the order asked for, or the busiest first.

    Where no message names a symbol (a part of a session that holds executions and deletions only) the busiest locates
    are taken without a name.

    Raises
    ------
    UserError: a symbol or locate that does not occur, more than the device has slots, or no message of any symbol.
    """
    if selection.symbols:
        by_name = {name: locate for locate, name in found.names.items()}
        for name in selection.symbols:
            if name not in by_name:
                close = difflib.get_close_matches(name, list(by_name), 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise UserError(f"symbol {name} does not occur in these messages{hint}")
        wanted = [by_name[name] for name in selection.symbols]
    elif selection.locates:
        wanted = list(selection.locates)
        for locate in wanted:
            if locate not in found.per_locate:
                raise UserError(f"locate {locate} does not occur in these messages")
    else:
        if selection.top < 1:
            raise UserError(f"the number of symbols must be 1 or more, not {selection.top}")
        known = set(found.names) or {k for k, n in found.per_locate.items() if n > found.market_wide[k]}
        busiest = sorted((-n, locate) for locate, n in found.per_locate.items() if locate in known)
        wanted = [locate for _, locate in busiest[: selection.top]]
        if not wanted:
            raise UserError("no message belongs to a symbol")
    wanted = list(dict.fromkeys(wanted))
    if len(wanted) > slots:
        raise UserError(f"{len(wanted)} symbols do not fit a device of {slots} slots")
    return wanted


class _Crossings:
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
    """The second pass: what the true best prices of one symbol did.

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
        self.crossings = {(kind, side): _Crossings() for kind in _KINDS for side in (BUY, SELL)}
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


class _OffTick:
    """The third pass for one symbol: messages after which an order lay off the tick inside a candidate's window."""

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


def _follow(messages: Iterable[bytes], locates: Iterable[int]) -> tuple[dict[int, SymbolStatistics], int]:
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


def _off_ticks(messages: Iterable[bytes], windows: Mapping[int, Sequence[tuple[int, int, int]]]) -> dict[int, _OffTick]:
    """The third pass: how long each symbol has orders off the tick of each of its candidate windows."""
    book = TrueBook()
    found = {locate: _OffTick(candidates) for locate, candidates in windows.items()}
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


def derive_config(source: Source, sizes: Sizes, selection: Selection | None = None) -> Derivation:
    """Derive a configuration from messages.

    Parameters
    ----------
    source: opens the messages; called three times.
    sizes: of the device; the levels decide how wide a window is.
    selection: which symbols; the busiest 8 (or as many as there are slots) by default.

    Raises
    ------
    UserError: as `select_locates`.
    """
    found = survey(source())
    locates = select_locates(found, selection or Selection(top=min(DEFAULT_TOP, sizes.slots)), sizes.slots)
    statistics, peak = _follow(source(), locates)
    candidates = {
        locate: [
            (tick, best_base(s.ranges, tick, sizes.levels * tick)[0], sizes.levels * tick) for tick in TICKS_E4
        ]
        for locate, s in statistics.items()
    }  # fmt: skip
    off = _off_ticks(source(), candidates)
    slots = []
    shares = []
    assumed = []
    names = []
    best = []
    fires = 0
    for slot, locate in enumerate(locates):
        numbers = statistics[locate]
        tick_e4, base_e4, inside = _choose_tick(numbers, off[locate], sizes)
        name = found.names.get(locate) or f"#{locate}"
        assume = locate not in found.with_state
        names.append(name)
        if assume:
            assumed.append(name)
        shares.append((inside + numbers.free) / numbers.messages if numbers.messages else 1.0)
        low_e4, high_e4 = (percentile(_column(numbers.ranges, at), 0.5) for at in (0, 1))
        best.append((low_e4, high_e4))
        symbol = symbol_row(locate, name[:8], tick_e4, base_e4, sizes.levels, assume)
        (buy, buys), (sell, sells) = (_trigger(numbers, slot, side, tick_e4) for side in (BUY, SELL))
        fires += buys + sells
        slots.append(SlotConfig(symbol, (buy, sell), _limits(numbers, slot, tick_e4)))
    config = Config(
        feed=default_row(FEED),
        slots=tuple(slots),
        gate={
            "rate_valid": 1,
            "rate_burst": 16,
            "rate_period_cycles": 150,
            "intent_limit_valid": 1,
            "intent_limit_cycles": 100,
        },
        session=default_row(SESSION),
        peer=default_row(PEER),
    )
    return Derivation(
        config, tuple(names), found.messages, tuple(shares), tuple(assumed), peak, tuple(best), fires
    )  # fmt: skip


def _choose_tick(numbers: SymbolStatistics, off: _OffTick, sizes: Sizes) -> tuple[int, int, int]:
    """(tick, base, messages inside) of the best candidate; of equal ones the coarsest tick."""
    best = (-1 << 62, 0, 0, 0)
    for (tick_e4, base_e4, span_e4), spoiled in zip(off.windows, off.messages, strict=True):
        inside = best_base(numbers.ranges, tick_e4, span_e4)[1]
        best = max(best, (inside - spoiled, tick_e4, base_e4, inside))
    return best[1:]


def _column(ranges: Mapping[tuple[int, int], int], at: int) -> Counter[int]:
    """How often each lower (0) or higher (1) best price occurred."""
    counts: Counter[int] = Counter()
    for pair, count in ranges.items():
        counts[pair[at]] += count
    return counts


def _trigger(numbers: SymbolStatistics, slot: int, side: int, tick_e4: int) -> tuple[dict[str, int], int]:
    """The trigger row of a slot and side, and how often it will fire at most.

    Kinds take turns, but one that would hardly fire gives way to another.
    """
    kind = _KINDS[(2 * slot + side) % len(_KINDS)]
    fires = {k: numbers.crossings[k, side].best()[0] for k in _KINDS}
    if fires[kind] < _FIRES_MIN:
        kind = max(_KINDS, key=lambda k: fires[k])
    count, at = numbers.crossings[kind, side].best()
    row = {
        "kind": int(kind),
        "quantity": QUANTITY_SHARES,
        "tif": TimeInForce.IOC.value[0],
        "display": Display.VISIBLE.value[0],
        "capacity": Capacity.PRINCIPAL.value[0],
        "rearm": int(Rearm.COOLDOWN),
        "cooldown_cycles": 200 * (slot % 3),
        "threshold_e4": 0,
        "num": 0,
        "den": 0,
        "min_spread_e4": 0,
        "price_e4": 0,
    }
    if kind == TriggerKind.TAKE:
        row["threshold_e4"] = min(abs(at), (1 << 32) - 1)
        row["price_source"] = int(PriceSource.BEST_ASK if side == BUY else PriceSource.TEMPLATE)
        row["price_e4"] = row["threshold_e4"] // tick_e4 * tick_e4 if side == SELL else 0
    elif kind == TriggerKind.IMBALANCE:
        row["num"], row["den"] = RATIOS[max(0, at - 1)]
        row["price_source"] = int(PriceSource.BEST_ASK if side == BUY else PriceSource.BEST_BID)
    else:
        row["min_spread_e4"] = max(1, at)
        row["price_source"] = int(PriceSource.BEST_BID if side == BUY else PriceSource.BEST_ASK)
    return row, count


def _limits(numbers: SymbolStatistics, slot: int, tick_e4: int) -> dict[str, int]:
    prices = _column(numbers.ranges, 1)
    share = 0.9 if slot % 4 == 3 else 1.0
    price_e4 = percentile(prices, share) + (0 if share < 1.0 else 100 * tick_e4)
    half_spread_e4 = percentile(numbers.half_spreads, 0.95) + tick_e4
    middle_e4 = max(1, percentile(prices, 0.5))
    return {
        "max_quantity_valid": 1,
        "max_quantity": MAX_QUANTITY_SHARES,
        "max_notional_valid": 1,
        "max_notional_e4": price_e4 * QUANTITY_SHARES,
        "collar_valid": 1,
        "collar_abs_e4": half_spread_e4,
        "collar_bps": min((1 << 16) - 1, 2 * half_spread_e4 * 10_000 // middle_e4 + 10),
        "rate_valid": 1,
        "rate_burst": 4,
        "rate_period_cycles": 400,
    }


def demo_config(derived: Derivation) -> Config:
    """The derived configuration, changed so that every reject reason that rows and host actions can cause occurs.

    Of four or more slots the last has its window moved so that it is not valid about half of the time, one asks for too
    many shares, one for more than any order may have, and one for a notional above its limit. Buckets are as small as
    the number of intents expected. The kill switch strikes for one part in fifty of the messages, the session closes
    for another, and the venue's window is small, with an acknowledgement every hundredth of the messages.
    """
    config, messages = derived.config, derived.messages
    slots = list(config.slots)
    if len(slots) >= 4:
        slots[-1] = _outgrown(slots[-1], *derived.best_prices_e4[-1])
        slots[-2] = _with_quantity(slots[-2], BUY, MAX_QUANTITY_SHARES + 1)
        slots[-3] = _with_quantity(slots[-3], SELL, QUANTITY_END_SHARES)
        slots[-4] = _with_quantity(slots[-4], BUY, 2 * QUANTITY_SHARES)
        slots[0] = replace(
            slots[0], limits={**slots[0].limits, "rate_burst": 1, "rate_period_cycles": 20 * _cycles_a_fire(derived)}
        )
    gate = {**config.gate, "rate_burst": 2, "rate_period_cycles": max(1, _cycles_a_fire(derived) // 2)}
    at = [max(2, messages * part // 100) for part in range(1, 100)]
    actions = [Action(seq, "acknowledge") for seq in at]
    actions += [
        Action(at[29], "kill"),
        Action(at[31], "arm"),
        Action(at[49], "session_close"),
        Action(at[51], "session_open"),
    ]
    actions.sort(key=lambda action: action.seq)
    peer = {**config.peer, "window_in": 60 * ORDER_BYTES}
    return replace(config, slots=tuple(slots), gate=gate, peer=peer, actions=tuple(actions))


def _outgrown(slot: SlotConfig, low_e4: int, high_e4: int) -> SlotConfig:
    """The slot with a window that ends at the median of its higher best price, and a sell trigger for that moment."""
    symbol = slot.symbol
    base_e4 = max(0, high_e4 - symbol["span_e4"]) // symbol["tick_e4"] * symbol["tick_e4"]
    sell = {
        **slot.triggers[SELL],
        "kind": int(TriggerKind.TAKE),
        "threshold_e4": low_e4,
        "price_source": int(PriceSource.BEST_BID),
    }
    return replace(slot, symbol={**symbol, "base_e4": base_e4}, triggers=(slot.triggers[BUY], sell))


def _cycles_a_fire(derived: Derivation) -> int:
    """About how many cycles lie between two intents, one message a frame."""
    return max(1, derived.messages * MESSAGE_CYCLES // max(1, derived.fires))


def _with_quantity(slot: SlotConfig, side: int, quantity: int) -> SlotConfig:
    rows = [dict(row) for row in slot.triggers]
    rows[side]["quantity"] = quantity
    return replace(slot, triggers=(rows[0], rows[1]))


def feed_row_of(frame: bytes) -> dict[str, int] | None:
    """The feed row that accepts the stream to which a frame belongs, from its MoldUDP64 packet on; None if it has none.

    For captures: destination, session and first sequence number are those of the frame.
    """
    at = net.ETHERNET_SIZE + (net.VLAN_SIZE if frame[12:14] == b"\x81\x00" else 0)
    mold_at = at + net.IPV4_SIZE + net.UDP_SIZE
    if len(frame) < mold_at + mold.HEADER_SIZE or frame[at] != net.IPV4_VERSION_IHL:
        return None
    if frame[at - 2 : at] != b"\x08\x00" or frame[at + 9] != net.PROTOCOL_UDP:
        return None
    return {
        "dst_ip": int.from_bytes(frame[at + 16 : at + 20], "big"),
        "dst_port": int.from_bytes(frame[mold_at - 6 : mold_at - 4], "big"),
        "session": int.from_bytes(frame[mold_at : mold_at + mold.SESSION_SIZE], "big"),
        "first_seq": int.from_bytes(frame[mold_at + 10 : mold_at + 18], "big"),
    }
