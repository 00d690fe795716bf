"""Seeded event flows for the book: every event kind, every anomaly, window edges, reuse of references, hazards.

A flow knows just enough of the orders it made to name live ones; what is right is decided elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tickgate.sw.spec.events import EVENT, EventKind, Notice, StateOp
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import SymbolState
from tickgate.sw.spec.units import RECIPROCALS, TICKS_E4

Event: Any = EVENT.tuple_type
_TYPES = {EventKind.ADD: "AF", EventKind.EXECUTE: "EC", EventKind.CANCEL: "X", EventKind.DELETE: "D",
          EventKind.REPLACE: "U", EventKind.TRADE: "P", EventKind.STATE: "Hh", EventKind.OTHER: "IL"}  # fmt: skip


def symbol_rows(sizes: Sizes, assume_trading: int = 1) -> list[dict[str, int]]:
    """A symbol row for every slot; ticks differ from slot to slot."""
    rows = []
    for slot in range(sizes.slots):
        tick = (2 + slot) % len(TICKS_E4)
        tick_e4 = TICKS_E4[tick]
        rows.append({
            "valid": 1, "locate": slot + 1, "tick": tick, "tick_e4": tick_e4, "reciprocal": RECIPROCALS[tick],
            "base_e4": (1000 + 77 * slot) * tick_e4, "span_e4": sizes.levels * tick_e4,
            "assume_trading": assume_trading,
        })  # fmt: skip
    return rows


@dataclass
class Mix:
    """What a flow is made of, in shares of 1.

    Parameters
    ----------
    live: orders that are kept alive on average.
    wrong: share of messages with an anomaly.
    again: share of messages that name the reference of the message before.
    near: share of prices that lie near the middle of the window.
    news: share of notices and changes of trading state.
    calm: notices that spoil all slots for good, NEW_SESSION among them, are left out.
    """

    live: int = 60
    wrong: float = 0.06
    again: float = 0.25
    near: float = 0.7
    news: float = 0.04
    calm: bool = False


class Flow:
    """An endless seeded flow of events.

    Parameters
    ----------
    seed: of everything random.
    sizes, rows: slots and their windows.
    mix: what it is made of.
    """

    def __init__(self, seed: int, sizes: Sizes, rows: list[dict[str, int]], mix: Mix | None = None):
        self._rng = random.Random(seed)
        self._sizes, self._rows, self._mix = sizes, rows, mix or Mix()
        self._live: dict[int, tuple[int, int, int]] = {}
        self._order: list[int] = []
        self._gone: list[int] = []
        self._next = self._rng.randrange(1 << 40)
        self._last = 0
        self._seq = 0

    @property
    def mix(self) -> Mix:
        """What the flow is made of; it may be changed on the way."""
        return self._mix

    def __iter__(self) -> Iterator[Any]:
        while True:
            self._seq += 1
            draw = self._rng.random()
            if draw < self._mix.news:
                yield self._news()
            elif draw < self._mix.news + 0.03:
                yield self._make(self._rng.choice((EventKind.TRADE, EventKind.OTHER)), self._slot())
            elif draw < self._mix.news + 0.03 + self._mix.wrong:
                yield self._wrong()
            else:
                yield self._fine()

    def drain(self) -> Iterator[Any]:
        """Deletes every live order."""
        for reference in list(self._live):
            self._seq += 1
            yield self._delete(reference)

    def forget(self) -> None:
        """The device was swept: no order is live."""
        self._live.clear()
        self._order.clear()

    def _slot(self) -> int:
        # A few busy slots: hazards need the same slot again and again.
        return self._rng.randrange(self._sizes.slots) if self._rng.random() < 0.4 else 0

    def _make(self, kind: EventKind, slot: int, **fields: int) -> Any:
        values = dict.fromkeys(Event._fields, 0)
        values |= {"kind": int(kind), "slot": slot, "seq": self._seq, "stamp": self._rng.randrange(1 << 63)}
        if kind in _TYPES:
            values["itch_type"] = ord(self._rng.choice(_TYPES[kind]))
        return Event(**(values | fields))

    def _price(self, slot: int) -> int:
        rng, row = self._rng, self._rows[slot]
        tick_e4, levels = row["tick_e4"], self._sizes.levels
        draw = rng.random()
        if draw < self._mix.near:
            level = levels // 2 + rng.randrange(-4, 5)
        elif draw < 0.9:
            level = rng.randrange(levels)
        elif draw < 0.97:
            level = rng.choice((-1, 0, 1, levels - 2, levels - 1, levels, levels + 1))
        else:
            return rng.choice((1, tick_e4, 199_999_9900, (1 << 32) - 1, row["base_e4"] - 1, row["base_e4"] + 1))
        off = rng.randrange(tick_e4) if rng.random() < 0.04 else 0
        return max(1, row["base_e4"] + level * tick_e4 + off)

    def _reference(self) -> int:
        rng = self._rng
        if self._gone and rng.random() < 0.2:
            reference = self._gone.pop(rng.randrange(len(self._gone)))
            if reference not in self._live:
                return reference
        if rng.random() < 0.02:
            return rng.getrandbits(64)
        self._next += 4 * rng.randrange(1, 4)
        return self._next

    def _pick(self) -> int:
        """A live reference, often the last one used."""
        if self._last in self._live and self._rng.random() < self._mix.again:
            return self._last
        while True:
            at = self._rng.randrange(len(self._order))
            reference = self._order[at]
            if reference in self._live:
                return reference
            self._order[at] = self._order[-1]
            self._order.pop()

    def _remember(self, reference: int, slot: int, side: int, quantity: int) -> None:
        self._live[reference] = (slot, side, quantity)
        self._order.append(reference)
        self._last = reference

    def _remove(self, reference: int) -> None:
        if self._live.pop(reference, None):
            self._gone.append(reference)
            del self._gone[:-50]

    def _quantity(self) -> int:
        return self._rng.choice((1, 2, 100, 100, 100, 200, self._rng.randrange(1, 1000), (1 << 32) - 1))

    def _fine(self) -> Any:
        rng = self._rng
        if not self._live or (
            len(self._live) < 2 * self._mix.live and rng.random() * 2 * self._mix.live > len(self._live)
        ):
            reference, slot, side, quantity = self._reference(), self._slot(), rng.randrange(2), self._quantity()
            if reference in self._live:
                return self._delete(reference)
            self._remember(reference, slot, side, quantity)
            return self._make(EventKind.ADD, slot, side=side, reference=reference, quantity=quantity,
                              price_e4=self._price(slot))  # fmt: skip
        reference = self._pick()
        slot, side, open_ = self._live[reference]
        self._last = reference
        draw = rng.random()
        if draw < 0.35:
            return self._delete(reference)
        if draw < 0.6:
            new = reference if rng.random() < 0.15 else self._reference()
            price_e4, quantity = self._price(slot), self._quantity()
            if rng.random() < 0.2:
                quantity = open_
            self._remove(reference)
            if new not in self._live:
                self._remember(new, slot, side, quantity)
            return self._make(EventKind.REPLACE, slot, reference=reference, new_reference=new, quantity=quantity,
                              price_e4=price_e4)  # fmt: skip
        kind = EventKind.EXECUTE if rng.random() < 0.6 else EventKind.CANCEL
        taken = open_ if rng.random() < 0.3 else rng.randint(1, open_)
        if taken == open_:
            self._remove(reference)
        else:
            self._live[reference] = (slot, side, open_ - taken)
        return self._make(kind, slot, reference=reference, quantity=taken, price_e4=rng.randrange(1 << 32))

    def _delete(self, reference: int) -> Any:
        slot = self._live[reference][0]
        self._remove(reference)
        return self._make(EventKind.DELETE, slot, reference=reference)

    def _wrong(self) -> Any:
        rng = self._rng
        slot = self._slot()
        fields = {"side": rng.randrange(2), "reference": self._reference(), "quantity": 100,
                  "price_e4": self._price(slot)}  # fmt: skip
        if fields["reference"] in self._live:
            return self._delete(fields["reference"])
        takes = (EventKind.EXECUTE, EventKind.CANCEL, EventKind.DELETE, EventKind.REPLACE)
        what = rng.randrange(9)
        if what == 0:
            return self._make(EventKind.ADD, slot, **(fields | {"bad_side": 1}))
        if what == 1:
            return self._make(rng.choice((EventKind.ADD, EventKind.EXECUTE, EventKind.CANCEL, EventKind.REPLACE)), slot,
                              **(fields | {"quantity": 0}))  # fmt: skip
        if what == 2:
            return self._make(rng.choice((EventKind.ADD, EventKind.REPLACE)), slot, **(fields | {"price_e4": 0}))
        if what == 3 or not self._live:
            return self._make(rng.choice(takes), slot, **(fields | {"new_reference": self._reference()}))
        reference = self._pick()
        home, side, open_ = self._live[reference]
        fields["reference"] = reference
        if what == 4:
            return self._make(EventKind.ADD, slot, **fields)
        if what == 5:
            other = (home + 1 + rng.randrange(self._sizes.slots - 1)) % self._sizes.slots
            return self._make(rng.choice(takes), other, **(fields | {"new_reference": self._reference()}))
        if what == 6 and open_ < (1 << 32) - 1:
            self._remove(reference)
            kind = EventKind.EXECUTE if rng.random() < 0.5 else EventKind.CANCEL
            return self._make(kind, home, reference=reference, quantity=rng.randint(open_ + 1, (1 << 32) - 1))
        if what == 7:
            new = self._pick()  # live: the old order goes, the new one is not added
            self._remove(reference)
            if new == reference:
                self._remember(new, home, side, 100)
            return self._make(EventKind.REPLACE, home, reference=reference, new_reference=new, quantity=100,
                              price_e4=self._price(home))  # fmt: skip
        return self._make(EventKind.NOTICE, 0, every_slot=1, notice=int(Notice.NONE), itch_type=ord("A"))

    def _news(self) -> Any:
        rng = self._rng
        if rng.random() < 0.5:
            every = rng.random() < 0.4
            market = (SymbolState.BREAKER, SymbolState.CLOSED, SymbolState.CLOSED | SymbolState.BREAKER)
            own = (SymbolState.NO_STATE | SymbolState.HALTED, SymbolState.HALTED, SymbolState.OPERATIONAL_HALT)
            bits = rng.choice(market if every else own)
            return self._make(EventKind.STATE, 0 if every else self._slot(), every_slot=int(every),
                              state_op=rng.choice((StateOp.SET, StateOp.CLEAR)), state_bits=int(bits))  # fmt: skip
        notices = [Notice.MARK, Notice.MARK, Notice.SYNC]
        if not self._mix.calm:
            notices += [Notice.GAP, Notice.FCS]
        return self._make(EventKind.NOTICE, 0, every_slot=1, notice=int(rng.choice(notices)))
