"""Conditions of trigger rows: how market data makes a row of each kind true.

`docs/guide/write-a-trigger.md` shows how to add one of one's own.
"""

from collections.abc import Callable, Mapping

from amaranth.hdl import Signal, Value

from tickgate.gateware.lib.logic import sum_is_less
from tickgate.gateware.lib.pipe import Pipe, Scope
from tickgate.sw.spec.rows import TriggerKind

#: Stage of the trigger's pipeline in which a condition is true or false.
CONDITION_STAGE = 3


class Condition(Scope):
    """What a condition may use: the update and its own row, in stages 1 to `CONDITION_STAGE`, and values of its own.

    Stage 1 is the first cycle in which the row is known; a condition's result is a value of stage `CONDITION_STAGE`.

    Parameters
    ----------
    pipe: pipeline of the trigger.
    side: 0 for the buy row, 1 for the sell row.
    name: of the kind.
    faults: planted faults of the trigger.
    """

    def __init__(self, pipe: Pipe, side: int, name: str, faults: frozenset[str] = frozenset()):
        super().__init__(pipe, f"{name}_{side}", faults)
        self.side = side

    def update(self, field: str, stage: int) -> Signal:
        """A field of `BOOK_UPDATE`."""
        return self.common(field, stage)

    def row(self, field: str, stage: int) -> Signal:
        """A field of `TRIGGER_ROW`."""
        return self.common(f"row{self.side}_{field}", stage)


def take(c: Condition) -> Value:
    """Buy: best ask exists and is at or below the threshold; sell: best bid exists and is at or above it."""
    price = c.update("bid_px_e4" if c.side else "ask_px_e4", 1)
    threshold = c.row("threshold_e4", 1)
    c.put("true", (price != 0) & (price >= threshold if c.side else price <= threshold), 1)
    return c.get("true", CONDITION_STAGE)


def imbalance(c: Condition) -> Value:
    """Both sides exist and the quantity of the own side x den exceeds that of the other x num."""
    own, other = ("ask", "bid") if c.side else ("bid", "ask")
    c.multiply("left", c.update(f"{own}_qty", 1), c.row("den", 1), 1)
    c.multiply("right", c.update(f"{other}_qty", 1), c.row("num", 1), 1)
    c.put("both", (c.update("bid_px_e4", 1) != 0) & (c.update("ask_px_e4", 1) != 0), 1)
    more = sum_is_less(c.rows("right"), c.rows("left"))
    if "product_truncated" in c.faults:
        more = c.get("left", 2)[:32] > c.get("right", 2)[:32]
    c.put("more", more, 2)  # alone: behind so many carries there is no time for a gate
    return c.get("both", CONDITION_STAGE) & c.get("more", CONDITION_STAGE)


def spread(c: Condition) -> Value:
    """Both sides exist and best ask - best bid is at least the row's spread."""
    bid, ask = c.update("bid_px_e4", 1), c.update("ask_px_e4", 1)
    c.put("width", ask - bid, 1)  # one bit more than the prices, negative where the book is crossed
    c.put("both", (bid != 0) & (ask != 0), 1)
    width = c.get("width", 2)
    c.put("true", c.get("both", 2) & (width >= c.row("min_spread_e4", 2)), 2)
    return c.get("true", CONDITION_STAGE)


#: How each kind of row turns true. A trigger of one's own takes the place of one of them.
CONDITIONS: Mapping[TriggerKind, Callable[[Condition], Value]] = {
    TriggerKind.TAKE: take,
    TriggerKind.IMBALANCE: imbalance,
    TriggerKind.SPREAD: spread,
}
