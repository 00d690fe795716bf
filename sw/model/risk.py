"""The risk stage: every check on every intent, and a verdict with a bit for each reason.

Time is the core cycle in which the intent entered: the caller brings it, and the buckets are refilled from it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from tickgate.sw.spec.events import ORDER, RISK_TRACE
from tickgate.sw.spec.risk import QUANTITY_END_SHARES, Reason
from tickgate.sw.spec.state import SymbolState, Validity

COUNTERS = (*(f"reject_{(r.name or '').lower()}" for r in Reason), "accepted", "rejected")

BPS = 10_000
"""Basis points in one."""

#: Bit and counter of each reason. Plain integers, here and below: an IntFlag's operators are slow.
_REJECTS = tuple((r.value, f"reject_{(r.name or '').lower()}") for r in Reason)

_Record = RISK_TRACE.tuple_type
_Order = ORDER.tuple_type
_VALIDITY_INIT = int(Validity.UNSYNCED | Validity.CLEARING)


class TokenBucket:
    """A bucket of `burst` tokens, one more each `period_cycles` while it is not full.

    The timer starts when a full bucket is taken from: in any window of e cycles at most burst + ceil(e / period) pass.
    A bucket that is not configured has no token.
    """

    __slots__ = ("burst", "next_cycle", "period_cycles", "tokens")

    def __init__(self, row: Mapping[str, int]):
        self.burst = row.get("rate_burst", 0) if row.get("rate_valid") else 0
        self.period_cycles = max(1, row.get("rate_period_cycles", 0))
        self.tokens = self.burst
        self.next_cycle = 0  # of the next refill; means nothing while the bucket is full

    def refill(self, cycle: int) -> None:
        """Put in what is due by `cycle`, that cycle included."""
        if self.tokens < self.burst and cycle >= self.next_cycle:
            due = 1 + (cycle - self.next_cycle) // self.period_cycles
            self.next_cycle += due * self.period_cycles
            self.tokens = min(self.burst, self.tokens + due)

    def take(self, cycle: int) -> None:
        """Take one token; there must be one."""
        if self.tokens == self.burst:
            self.next_cycle = cycle + self.period_cycles
        self.tokens -= 1

    def give_back(self) -> None:
        """Put back the token taken last, unless the bucket has filled since: it is as if it had never been taken."""
        self.tokens = min(self.burst, self.tokens + 1)


class _Slot:
    """What risk knows of a slot: its rows, bucket, best prices, validity and trading state."""

    __slots__ = ("ask_px", "bid_px", "bucket", "limits", "state", "symbol", "validity")

    def __init__(self) -> None:
        self.symbol: Mapping[str, int] = {}
        self.limits: Mapping[str, int] = {}
        self.bucket = TokenBucket({})
        self.bid_px = self.ask_px = 0
        self.validity = _VALIDITY_INIT
        self.state = int(SymbolState.NO_STATE)


class Risk:
    """The risk gate.

    Parameters
    ----------
    slots: how many.

    Members
    -------
    counters: this stage's counters by register name.
    as_of_seq: sequence number of the last book update taken in.
    """

    def __init__(self, slots: int):
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.as_of_seq = 0
        self._slots = [_Slot() for _ in range(slots)]
        self._session = TokenBucket({})
        self._updates: deque[tuple[int, Any]] = deque()
        self._verdicts: deque[tuple[int, int]] = deque()
        self._bad_until_seq = -1
        self._taken: tuple[TokenBucket, ...] = ()

    # What the host does.

    def commit_symbol(self, slot: int, row: Mapping[str, int]) -> None:
        """Take a symbol row over: tick and symbol are used."""
        self._slots[slot].symbol = row

    def commit_limits(self, slot: int, row: Mapping[str, int]) -> None:
        """Take a slot's limits over; its bucket is full."""
        self._slots[slot].limits = row
        self._slots[slot].bucket = TokenBucket(row)

    def commit_gate(self, row: Mapping[str, int]) -> None:
        """Take the session's limits over; its bucket is full."""
        self._session = TokenBucket(row)

    # Time.

    def update(self, update: Any, cycle: int = 0) -> None:
        """A book update that arrives in `cycle`; intents that enter in that cycle or later are judged with it."""
        self._updates.append((cycle, update))

    def frame_bad(self, last_seq: int, cycle: int) -> None:
        """In `cycle` a frame turned out bad, whose last message was `last_seq`.

        That is known before its notice comes as an update: an intent that enters later, of this message or one before
        it, is judged on a book with the bit `fcs`.
        """
        self._verdicts.append((cycle, last_seq))

    def new_session(self) -> None:
        """Message numbers begin anew: those of bad frames mean nothing any more."""
        self._verdicts.clear()
        self._bad_until_seq = -1

    def refund(self) -> None:
        """The order that passed last has consumed nothing: its tokens are given back."""
        for bucket in self._taken:
            bucket.give_back()

    def check(self, intent: Any, entry_cycle: int, kill: bool, session_ok: bool) -> tuple[Any, Any | None]:
        """Judge an intent; returns the trace record, and the order where it passes (`events.ORDER` values)."""
        while self._updates and self._updates[0][0] <= entry_cycle:
            self._apply(self._updates.popleft()[1])
        while self._verdicts and self._verdicts[0][0] < entry_cycle:
            self._bad_until_seq = self._verdicts.popleft()[1]
        slot = self._slots[intent.slot]
        validity = slot.validity | (Validity.FCS if intent.seq <= self._bad_until_seq else 0)
        slot.bucket.refill(entry_cycle)
        self._session.refill(entry_cycle)
        price_e4, quantity = intent.price_e4, intent.quantity
        both = slot.bid_px != 0 and slot.ask_px != 0
        reference_e4 = (slot.bid_px + slot.ask_px) >> 1 if both else 0
        reasons = self._reasons(slot, validity, price_e4, quantity, reference_e4)
        if kill:
            reasons |= Reason.KILL.value
        if not session_ok:
            reasons |= Reason.SESSION.value
        order = None
        if reasons:
            self.counters["rejected"] += 1
            for bit, counter in _REJECTS:
                if reasons & bit:
                    self.counters[counter] += 1
        else:
            self.counters["accepted"] += 1
            slot.bucket.take(entry_cycle)
            self._session.take(entry_cycle)
            self._taken = slot.bucket, self._session
            order = _Order(
                intent.slot, slot.symbol["symbol"], intent.side, price_e4, quantity, intent.tif, intent.display,
                intent.capacity, intent.seq, 0,
            )  # fmt: skip
        record = _Record(
            0, 0, intent.seq, entry_cycle, self.as_of_seq, price_e4 * quantity, reasons, reference_e4, price_e4,
            quantity, slot.bucket.tokens, self._session.tokens, intent.slot, intent.side, int(validity), slot.state,
        )  # fmt: skip
        return record, order

    def _reasons(self, slot: _Slot, validity: int, price_e4: int, quantity: int, reference_e4: int) -> int:
        """Every check that a slot's rows and book decide."""
        limits = slot.limits
        tick_e4 = slot.symbol.get("tick_e4", 0) if slot.symbol.get("valid") else 0
        reasons = 0
        if not 0 < quantity < QUANTITY_END_SHARES or price_e4 == 0 or tick_e4 == 0 or price_e4 % tick_e4:
            reasons |= Reason.ORDER_FORMAT.value
        if not limits.get("max_quantity_valid") or quantity > limits.get("max_quantity", 0):
            reasons |= Reason.MAX_QUANTITY.value
        if not limits.get("max_notional_valid") or price_e4 * quantity > limits.get("max_notional_e4", 0):
            reasons |= Reason.MAX_NOTIONAL.value
        away_e4 = abs(price_e4 - reference_e4)
        near = away_e4 <= limits.get("collar_abs_e4", 0) and away_e4 * BPS <= reference_e4 * limits.get("collar_bps", 0)
        if not limits.get("collar_valid") or reference_e4 == 0 or not near:
            reasons |= Reason.COLLAR.value
        if validity:
            reasons |= Reason.STALE.value
        if slot.bid_px and slot.ask_px and slot.bid_px >= slot.ask_px:
            reasons |= Reason.CROSSED.value
        if slot.bucket.tokens == 0:
            reasons |= Reason.RATE_SYMBOL.value
        if self._session.tokens == 0:
            reasons |= Reason.RATE_SESSION.value
        if slot.state:
            reasons |= Reason.MARKET_STATE.value
        return reasons

    def _apply(self, update: Any) -> None:
        self.as_of_seq = update.seq
        if update.every_slot:
            for slot in self._slots:
                slot.validity = slot.validity & ~update.every_clear | update.every_set
                slot.state = slot.state & ~update.state_clear | update.state_set
                if update.every_set & Validity.CLEARING:  # a sweep leaves every book empty
                    slot.bid_px = slot.ask_px = 0
            return
        slot = self._slots[update.slot]
        slot.bid_px, slot.ask_px = update.bid_px_e4, update.ask_px_e4
        slot.validity, slot.state = update.validity, update.state
        if update.other:
            self._slots[update.other_slot].validity |= int(Validity.INCOMPLETE)
