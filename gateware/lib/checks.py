"""The checks of stage `risk`, in the order of their reason bits: one function for each reason that is evaluated.

Every function gets a `Scope` of the gate's pipeline and returns one bit of stage `VERDICT_STAGE`: 1 rejects. All of
them run for every order, side by side, so that a check costs no time; it may not depend on another one's result. To
add a check, write its function, put it in `CHECKS` under its `Reason` (every row of the risk table has its number
already) and in `ACTIVE_REASONS`, and give the model the same rule; what it reads beyond the values below is put into
the pipeline by `Risk`. State that an accepted order changes is written from the gate's `accept`, never by the check
itself: an order that another check rejects must leave no trace in it.

Values of the pipeline, with the first stage in which they are known:

- stage 0: the fields of `INTENT` under their own names; `kill`, `session_ok`; `validity`, `state`, `reference`,
  `has_reference` and `crossed` of the slot's book; the fields of the slot's `LIMITS_ROW`, but for its rate;
  `collar_low` and `collar_high`, 10,000 less and plus `collar_bps`; `symbol_valid` and `reciprocal` of its
  `SYMBOL_ROW`;
- stage 2: `notional_e4`;
- stage `VERDICT_STAGE`: `symbol_ready` and `session_ready`, whether the buckets have a token.
"""

from collections.abc import Callable, Mapping

from amaranth.hdl import Mux, Value

from tickgate.gateware.lib.pipe import Scope
from tickgate.sw.spec.risk import QUANTITY_END_SHARES, Reason
from tickgate.sw.spec.units import RECIPROCAL_SHIFT

#: Stage of the gate's pipeline in which the verdict is made.
VERDICT_STAGE = 3

#: 100 % in basis points.
WHOLE_BPS = 10_000


def order_format(c: Scope) -> Value:
    """Quantity of 1 to 999,999, price above 0 and on the tick of a slot that has a symbol."""
    price, quantity = c.common("price_e4", 1), c.common("quantity", 1)
    # With q the ticks in a price and r the rest, the product's fraction is q x e + r x reciprocal, where
    # e = reciprocal x tick - 2**SHIFT < tick. For a 32-bit price q x e stays below the reciprocal, which is above
    # 2**32 for every tick of the table, and nothing wraps: the fraction is below the reciprocal exactly where r is 0.
    c.multiply("fraction", price, c.common("reciprocal", 1), 1, keep=RECIPROCAL_SHIFT)
    off_tick = c.get("fraction", 3) >= c.common("reciprocal", 3)
    bad = (quantity == 0) | (quantity >= QUANTITY_END_SHARES) | (price == 0) | ~c.common("symbol_valid", 1)
    c.put("bad", bad, 1)
    return c.get("bad", 3) | off_tick


def kill(c: Scope) -> Value:
    """The kill switch is latched."""
    return c.common("kill", VERDICT_STAGE)


def max_quantity(c: Scope) -> Value:
    """Quantity above the slot's limit."""
    quantity, limit = c.common("quantity", 1), c.common("max_quantity", 1)
    above = quantity >= limit if "quantity_less" in c.faults else quantity > limit
    c.put("above", above | ~c.common("max_quantity_valid", 1), 1)
    return c.get("above", VERDICT_STAGE)


def max_notional(c: Scope) -> Value:
    """Price x quantity, at 64 bits, above the slot's limit."""
    notional = c.common("notional_e4", 3)
    if "notional_truncated" in c.faults:
        notional = notional[:32]
    return (notional > c.common("max_notional_e4", 3)) | ~c.common("max_notional_valid", 3)


def collar(c: Scope) -> Value:
    """Price outside either band around the reference, or no reference."""
    price, reference = c.common("price_e4", 1), c.common("reference", 1)
    c.put("over", price - reference, 1)
    c.put("under", reference - price, 1)
    over, under = c.get("over", 2), c.get("under", 2)
    distance = Mux(over < 0, under[:32], over[:32])
    c.put("far", distance > c.common("collar_abs_e4", 2), 2)
    # abs(price - reference) x 10,000 <= reference x bps, without the difference in front of the product:
    # reference x (10,000 - bps) <= price x 10,000 <= reference x (10,000 + bps).
    c.multiply("price", price, WHOLE_BPS, 1)
    c.multiply("low", reference, c.common("collar_low", 1), 1)
    c.multiply("high", reference, c.common("collar_high", 1), 1, chunk=17)
    outside = (c.get("price", 3) < c.get("low", 3)) | (c.get("price", 3) > c.get("high", 3))
    if "collar_one_band" in c.faults:
        outside = 0
    return c.get("far", 3) | outside | ~(c.common("collar_valid", 3) & c.common("has_reference", 3))


def stale(c: Scope) -> Value:
    """A validity bit of the slot is set."""
    if "validity_ignored" in c.faults:
        return Value.cast(0)
    c.put("any", c.common("validity", 1) != 0, 1)
    return c.get("any", VERDICT_STAGE)


def crossed(c: Scope) -> Value:
    """Best bid at or above best ask."""
    return c.common("crossed", VERDICT_STAGE)


def rate_symbol(c: Scope) -> Value:
    """No token in the slot's bucket, which is empty until it is configured."""
    return ~c.common("symbol_ready", VERDICT_STAGE)


def rate_session(c: Scope) -> Value:
    """No token in the session's bucket, which is empty until it is configured."""
    return ~c.common("session_ready", VERDICT_STAGE)


def market_state(c: Scope) -> Value:
    """The symbol does not trade."""
    c.put("any", c.common("state", 1) != 0, 1)
    return c.get("any", VERDICT_STAGE)


def session(c: Scope) -> Value:
    """The order session is closed or has no room."""
    return ~c.common("session_ok", VERDICT_STAGE)


CHECKS: Mapping[Reason, Callable[[Scope], Value]] = {
    Reason.ORDER_FORMAT: order_format,
    Reason.KILL: kill,
    Reason.MAX_QUANTITY: max_quantity,
    Reason.MAX_NOTIONAL: max_notional,
    Reason.COLLAR: collar,
    Reason.STALE: stale,
    Reason.CROSSED: crossed,
    Reason.RATE_SYMBOL: rate_symbol,
    Reason.RATE_SESSION: rate_session,
    Reason.MARKET_STATE: market_state,
    Reason.SESSION: session,
}
