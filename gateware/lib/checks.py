"""The checks of stage `risk`, in the order of their reason bits: one function for each reason that is evaluated.

Every function gets a `Check`, its own view of the gate's pipeline, and calls `reject` for each way to fail, in the
first stage in which that is known and no later than `VERDICT_STAGE`. All of them run for every order, side by side, so
that a check costs no time; it may not depend on another one's result. To add a check, write its function, put it in
`CHECKS` under its `Reason` (every row of the risk table has its number already) and in `ACTIVE_REASONS`, and give the
model the same rule; what it reads beyond the values below is put into the pipeline by `Risk`. State that an accepted
order changes is written from the gate's `accept`, never by the check itself: an order that another check rejects must
leave no trace in it.

Values of the pipeline, with the first stage in which they are known:

- stage 0: the fields of `INTENT` under their own names; `kill`, `session_ok`; `validity`, `state`, `reference`,
  `has_reference` and `crossed` of the slot's book; the fields of the slot's `LIMITS_ROW`, but for its rate;
  `collar_low` and `collar_high`, 10,000 less and plus `collar_bps`; `symbol_valid` and `reciprocal` of its
  `SYMBOL_ROW`;
- stage 2: `notional_e4`;
- stage `VERDICT_STAGE` - 1, but late in it: `symbol_ready` and `session_ready`, whether the buckets have a token.
"""

from collections.abc import Callable, Container, Mapping

from amaranth.hdl import Cat, Mux, Value

from tickgate.gateware.lib.logic import carry_save, minus, sum_is_less
from tickgate.gateware.lib.pipe import Pipe, Scope
from tickgate.sw.spec.risk import QUANTITY_END_SHARES, Reason
from tickgate.sw.spec.units import RECIPROCAL_SHIFT

#: Stage of the gate's pipeline in which the verdict is made.
VERDICT_STAGE = 3

#: 100 % in basis points.
WHOLE_BPS = 10_000


class Check(Scope):
    """What a check may use, and how it rejects."""

    def __init__(self, pipe: Pipe, name: str, faults: frozenset[str] = frozenset()):
        super().__init__(pipe, name, faults)
        self._rejects: list[tuple[str, int]] = []

    def reject(self, bit, stage: int) -> None:
        """The order is rejected where `bit`, a value of `stage`, is 1.

        Raises
        ------
        ValueError: the stage is after the verdict.
        """
        if stage > VERDICT_STAGE:
            raise ValueError(f"a check must be done in stage {VERDICT_STAGE}, not {stage}")
        name = f"rejects_{len(self._rejects)}"
        self.put(name, bit, stage)
        self._rejects.append((name, stage))

    def rejects(self, stage: int, known: Container[int] = range(VERDICT_STAGE + 1)) -> Value:
        """In `stage`: whether something rejects that was first known in one of the stages `known`."""
        bits = [self.get(name, stage) for name, since in self._rejects if since in known]
        return Cat(*bits).any()


def order_format(c: Check) -> None:
    """Quantity of 1 to 999,999, price above 0 and on the tick of a slot that has a symbol."""
    price, quantity = c.common("price_e4", 1), c.common("quantity", 1)
    c.reject((quantity == 0) | (quantity >= QUANTITY_END_SHARES) | (price == 0) | ~c.common("symbol_valid", 1), 1)
    # With q the ticks in a price and r the rest, the product's fraction is q x e + r x reciprocal, where
    # e = reciprocal x tick - 2**SHIFT < tick. For a 32-bit price q x e stays below the reciprocal, which is above
    # 2**32 for every tick of the table, and nothing wraps: the fraction is below the reciprocal exactly where r is 0.
    # There the product less the reciprocal has the same whole ticks, or one less, which its lowest bit tells.
    bits = RECIPROCAL_SHIFT + 1
    c.multiply("ticks", price, c.common("reciprocal", 1), 1, keep=bits)
    c.put("odd", c.get("ticks", 2)[-1], 2)
    one, other = carry_save([*c.rows("ticks"), minus(c.common("reciprocal", 2), bits)], bits=bits, ones=1)
    c.put("less_odd", (one + other)[bits - 1], 2)
    c.reject(c.get("odd", 3) == c.get("less_odd", 3), 3)


def kill(c: Check) -> None:
    """The kill switch is latched."""
    c.reject(c.common("kill", 0), 0)


def max_quantity(c: Check) -> None:
    """Quantity above the slot's limit."""
    quantity, limit = c.common("quantity", 1), c.common("max_quantity", 1)
    c.reject(quantity >= limit if "quantity_less" in c.faults else quantity > limit, 1)
    c.reject(~c.common("max_quantity_valid", 1), 1)


def max_notional(c: Check) -> None:
    """Price x quantity, at 64 bits, above the slot's limit."""
    limit = c.common("max_notional_e4", 2)
    over = sum_is_less([limit], c.common_rows("notional_e4"))
    if "notional_truncated" in c.faults:
        over = c.common("notional_e4", 2)[:32] > limit
    c.reject(over, 2)
    c.reject(~c.common("max_notional_valid", 1), 1)


def collar(c: Check) -> None:
    """Price outside either band around the reference, or no reference."""
    price, reference = c.common("price_e4", 1), c.common("reference", 1)
    c.reject(~(c.common("collar_valid", 1) & c.common("has_reference", 1)), 1)
    c.put("over", price - reference, 1)
    c.put("under", reference - price, 1)
    over, under = c.get("over", 2), c.get("under", 2)
    c.reject(Mux(over < 0, under[:32], over[:32]) > c.common("collar_abs_e4", 2), 2)
    # abs(price - reference) x 10,000 <= reference x bps, without the difference in front of the product:
    # reference x (10,000 - bps) <= price x 10,000 <= reference x (10,000 + bps).
    c.multiply("price", price, WHOLE_BPS, 1)
    c.multiply("low", reference, c.common("collar_low", 1), 1)
    c.multiply("high", reference, c.common("collar_high", 1), 1, chunk=17)
    if "collar_one_band" not in c.faults:
        c.reject(sum_is_less(c.rows("price"), c.rows("low")), 2)
        c.reject(sum_is_less(c.rows("high"), c.rows("price")), 2)


def stale(c: Check) -> None:
    """A validity bit of the slot is set."""
    if "validity_ignored" not in c.faults:
        c.reject(c.common("validity", 1) != 0, 1)


def crossed(c: Check) -> None:
    """Best bid at or above best ask."""
    c.reject(c.common("crossed", 1), 1)


def rate_symbol(c: Check) -> None:
    """No token in the slot's bucket, which is empty until it is configured."""
    c.reject(~c.common("symbol_ready", VERDICT_STAGE), VERDICT_STAGE)


def rate_session(c: Check) -> None:
    """No token in the session's bucket, which is empty until it is configured."""
    c.reject(~c.common("session_ready", VERDICT_STAGE), VERDICT_STAGE)


def market_state(c: Check) -> None:
    """The symbol does not trade."""
    c.reject(c.common("state", 1) != 0, 1)


def session(c: Check) -> None:
    """The order session is closed or has no room."""
    c.reject(~c.common("session_ok", 0), 0)


CHECKS: Mapping[Reason, Callable[[Check], None]] = {
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
