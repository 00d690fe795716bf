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

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tickgate.sw.model.price_statistics import (
    KINDS,
    RATIOS,
    OffTick,
    SymbolStatistics,
    best_base,
    column,
    follow,
    off_ticks,
    percentile,
)
from tickgate.sw.model.survey import DEFAULT_TOP, Selection, select_locates, survey
from tickgate.sw.spec.config import Config, SlotConfig, symbol_row
from tickgate.sw.spec.config_toml import FEED, PEER, SESSION, default_row
from tickgate.sw.spec.events import BUY, SELL
from tickgate.sw.spec.ouch import Capacity, Display, TimeInForce
from tickgate.sw.spec.rows import PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import TICKS_E4

Source = Callable[[], Iterable[bytes]]
"""Opens the messages from the start; called once for each pass."""

QUANTITY_SHARES = 100
MAX_QUANTITY_SHARES = 500
_FIRES_MIN = 4


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
    statistics, peak = follow(source(), locates)
    candidates = {
        locate: [
            (tick, best_base(s.ranges, tick, sizes.levels * tick)[0], sizes.levels * tick) for tick in TICKS_E4
        ]
        for locate, s in statistics.items()
    }  # fmt: skip
    off = off_ticks(source(), candidates)
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
        low_e4, high_e4 = (percentile(column(numbers.ranges, at), 0.5) for at in (0, 1))
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


def _choose_tick(numbers: SymbolStatistics, off: OffTick, sizes: Sizes) -> tuple[int, int, int]:
    """(tick, base, messages inside) of the best candidate; of equal ones the coarsest tick."""
    best = (-1 << 62, 0, 0, 0)
    for (tick_e4, base_e4, span_e4), spoiled in zip(off.windows, off.messages, strict=True):
        inside = best_base(numbers.ranges, tick_e4, span_e4)[1]
        best = max(best, (inside - spoiled, tick_e4, base_e4, inside))
    return best[1:]


def _trigger(numbers: SymbolStatistics, slot: int, side: int, tick_e4: int) -> tuple[dict[str, int], int]:
    """The trigger row of a slot and side, and how often it will fire at most.

    Kinds take turns, but one that would hardly fire gives way to another.
    """
    kind = KINDS[(2 * slot + side) % len(KINDS)]
    fires = {k: numbers.crossings[k, side].best()[0] for k in KINDS}
    if fires[kind] < _FIRES_MIN:
        kind = max(KINDS, key=lambda k: fires[k])
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
    prices = column(numbers.ranges, 1)
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
