"""The derived configuration, spoiled on purpose: what the demo runs with, so that every reject reason occurs."""

from __future__ import annotations

from dataclasses import replace

from tickgate.sw.model.derive import MAX_QUANTITY_SHARES, QUANTITY_SHARES, Derivation
from tickgate.sw.spec.config import Action, Config, SlotConfig
from tickgate.sw.spec.events import BUY, SELL
from tickgate.sw.spec.risk import QUANTITY_END_SHARES
from tickgate.sw.spec.rows import PriceSource, TriggerKind

#: About how long one message takes, one a frame at line rate; and the TCP payload of an order without a firm.
MESSAGE_CYCLES = 16
ORDER_BYTES = 50


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
