"""The trigger stage: from the top of the book to order intents. Discrete events: the caller says which cycle it is.

A slot has two rows, 0 buys and 1 sells. Times are core cycles of decisions; only differences of them matter, so any
clock that runs with the decisions will do. See `events.TriggerFlag` for what happens in which order within a cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickgate.sw.spec.events import BUY, INTENT, NO_SLOT, SELL, TRIGGER_TRACE, TriggerFlag, TriggerStatus
from tickgate.sw.spec.rows import PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.state import Validity

COUNTERS = ("intents", "intents_held", "intents_lower_row", "intents_busy", "intents_too_old", "intents_killed")

_Record = TRIGGER_TRACE.tuple_type
_Intent = INTENT.tuple_type
_VALIDITY_INIT = int(Validity.UNSYNCED | Validity.CLEARING)
_INCOMPLETE = int(Validity.INCOMPLETE)

# Plain integers: looking up the member of an enumeration is slow, and so are the operators of an IntFlag.
_EVAL, _DONE, _EMIT = int(TriggerFlag.EVAL), int(TriggerFlag.DONE), int(TriggerFlag.EMIT)
_OFF, _TAKE, _IMBALANCE = int(TriggerKind.OFF), int(TriggerKind.TAKE), int(TriggerKind.IMBALANCE)
_EXPIRE, _KILLED = int(TriggerFlag.EXPIRE), int(TriggerFlag.KILLED)

_NONE, _SENT, _HELD = int(TriggerStatus.NONE), int(TriggerStatus.SENT), int(TriggerStatus.HELD)

#: seq, slot, conditions, fired, row, status, price, quantity of a record that tells of no evaluation.
_NOT_EVALUATED: tuple[int, ...] = (0, NO_SLOT, 0, 0, 0, _NONE, 0, 0)


def condition(row: Mapping[str, int], side: int, bid_px: int, bid_qty: int, ask_px: int, ask_qty: int) -> bool:
    """Whether a trigger row is true for these best prices and quantities (0: none)."""
    kind = row.get("kind", _OFF)
    if kind == _TAKE:
        if side == BUY:
            return ask_px != 0 and ask_px <= row.get("threshold_e4", 0)
        return bid_px != 0 and bid_px >= row.get("threshold_e4", 0)
    if kind == _OFF or bid_px == 0 or ask_px == 0:
        return False
    if kind == _IMBALANCE:
        own, other = (bid_qty, ask_qty) if side == BUY else (ask_qty, bid_qty)
        return own * row.get("den", 0) > other * row.get("num", 0)
    return ask_px - bid_px >= row.get("min_spread_e4", 0)


def limit_price(row: Mapping[str, int], bid_px: int, ask_px: int) -> int:
    """The limit price that a row selects; 0 where the best price it asks for is missing."""
    source = row.get("price_source", PriceSource.TEMPLATE)
    if source == PriceSource.BEST_BID:
        return bid_px
    if source == PriceSource.BEST_ASK:
        return ask_px
    return row.get("price_e4", 0)


class _Row:
    """One trigger row: its values, its condition at the last evaluation, and when it fired since it was written."""

    __slots__ = ("condition", "fired_cycle", "values")

    def __init__(self, values: Mapping[str, int]):
        self.values = values
        self.condition = False
        self.fired_cycle: int | None = None

    def armed(self, cycle: int) -> bool:
        """Whether it may fire in this cycle."""
        if self.fired_cycle is None:
            return True
        if self.values.get("rearm", Rearm.ONE_SHOT) != Rearm.COOLDOWN:
            return False
        return cycle - self.fired_cycle >= self.values.get("cooldown_cycles", 0)


class Trigger:
    """All trigger rows and the one place in which an intent may wait.

    Parameters
    ----------
    slots: how many.

    Members
    -------
    sent: intents that went to risk, oldest first; whoever hands them on takes them off.
    kill: level of the kill switch, 1 after reset.
    counters: this stage's counters by register name.
    """

    def __init__(self, slots: int):
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.sent: list[Any] = []
        self.kill = True
        self.intent_limit_cycles = 0
        self._rows = [(_Row({}), _Row({})) for _ in range(slots)]
        self._validity = [_VALIDITY_INIT] * slots
        self._busy = False
        self._waiting: Any = None
        self._held_cycle = self._kill_cycle = 0

    # What the host does.

    def commit_trigger(self, slot: int, side: int, row: Mapping[str, int]) -> None:
        """Take a trigger row over: it is armed, and its last condition is forgotten."""
        rows = list(self._rows[slot])
        rows[side] = _Row(row)
        self._rows[slot] = (rows[0], rows[1])

    def commit_gate(self, row: Mapping[str, int]) -> None:
        """Take the gate row over: how long an intent may wait."""
        self.intent_limit_cycles = row.get("intent_limit_cycles", 0) if row.get("intent_limit_valid") else 0

    def set_kill(self, level: bool, cycle: int = 0) -> None:
        """The kill switch changes to `level` in `cycle`."""
        self.kill = level
        self._kill_cycle = cycle

    # Time.

    def note(self, update: Any) -> bool:
        """Take in the validity of a book update; returns whether the update is evaluated.

        It is, if it carries a message of one slot and changed a best price, a best quantity or the slot's validity.
        """
        if update.every_slot:
            clear, set_bits = update.every_clear, update.every_set
            self._validity = [v & ~clear | set_bits for v in self._validity]
            return False
        slot = update.slot
        changed = update.bbo_changed or update.validity != self._validity[slot]
        self._validity[slot] = update.validity
        if update.other:
            self._validity[update.other_slot] |= _INCOMPLETE
        return bool(changed and update.itch_type)

    def expire(self, cycle: int) -> list[Any]:
        """What happens by itself before `cycle`: the record of a waiting intent that grew too old or was killed."""
        if self._waiting is None:
            return []
        due = self._held_cycle + self.intent_limit_cycles + 1
        if self.kill:
            due = min(due, max(self._held_cycle + 1, self._kill_cycle))
        return self.step(due) if due < cycle else []

    def evaluate(self, update: Any, cycle: int) -> Any:
        """Trace record of the evaluation, in `cycle`, of an update for which `note` was true."""
        return self.step(cycle, update)[0]

    def done(self, cycle: int) -> Any:
        """Trace record of the order path's pulse `done` in `cycle`."""
        return self.step(cycle, done=True)[0]

    def step(self, cycle: int, update: Any = None, done: bool = False) -> list[Any]:
        """Everything that happens in one cycle; returns its trace record, if it has one.

        Parameters
        ----------
        cycle: core cycle; never smaller than in the call before. Call `expire` first.
        update: the book update that is evaluated in this cycle, if there is one.
        done: the order path reports the last intent rejected, killed or sent.
        """
        flags = 0
        free = not self._busy or done
        if done:
            flags |= _DONE
        waited = self._waiting
        evaluated = _NOT_EVALUATED
        fresh = None
        if update is not None:
            flags |= _EVAL
            fresh, evaluated = self._evaluate(update, cycle, free)
        status = evaluated[5]
        if status == _SENT:
            self.sent.append(fresh)
            free = False

        fate = 0
        if waited is not None:
            if free:
                fate = _EMIT
                self.sent.append(waited)
                free = False
            elif cycle - self._held_cycle > self.intent_limit_cycles:
                fate = _EXPIRE
                self.counters["intents_too_old"] += 1
            elif self.kill:
                fate = _KILLED
                self.counters["intents_killed"] += 1
            if fate:
                self._waiting = None
        self._busy = not free
        if status == _HELD:
            self._waiting, self._held_cycle = fresh, cycle

        flags |= fate
        if not flags:
            return []
        seq, slot, conditions, fired, winner, status, price_e4, quantity = evaluated
        wait_seq, wait_slot, wait_row = (waited.seq, waited.slot, waited.side) if fate else (0, NO_SLOT, 0)
        return [
            _Record(
                0, 0, seq, wait_seq, price_e4, quantity, flags, slot, conditions, fired, winner, status,
                wait_slot, wait_row,
            )
        ]  # fmt: skip

    def _evaluate(self, update: Any, cycle: int, free: bool) -> tuple[Any, tuple[int, ...]]:
        """The intent that an update fires, if any, and what the trace tells of the evaluation."""
        conditions = fired = 0
        rows = self._rows[update.slot]
        best = update.bid_px_e4, update.bid_qty, update.ask_px_e4, update.ask_qty
        for side, row in enumerate(rows):
            true = condition(row.values, side, *best)
            if true:
                conditions |= 1 << side
                if not row.condition and row.armed(cycle):
                    fired |= 1 << side
                    row.fired_cycle = cycle
            row.condition = true
        if not fired:
            return None, (update.seq, update.slot, conditions, 0, 0, _NONE, 0, 0)
        self.counters["intents"] += 1
        winner = BUY if fired & 1 else SELL
        if fired == 3:
            self.counters["intents_lower_row"] += 1
        waits = self._waiting is not None
        status = TriggerStatus.SENT
        if free and waits or not free and not waits:
            status = TriggerStatus.HELD
            self.counters["intents_held"] += 1
        elif waits:
            status = TriggerStatus.BUSY
            self.counters["intents_busy"] += 1
        values = rows[winner].values
        price_e4 = limit_price(values, update.bid_px_e4, update.ask_px_e4)
        quantity = values.get("quantity", 0)
        intent = _Intent(
            update.slot, winner, price_e4, quantity, values.get("tif", 0), values.get("display", 0),
            values.get("capacity", 0), update.seq, 0,
        )  # fmt: skip
        return intent, (update.seq, update.slot, conditions, fired, winner, int(status), price_e4, quantity)
