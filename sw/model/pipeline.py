"""All stages tied together: what a device of this configuration and size has to do.

`ReferencePipeline` follows a device. Everything up to the book is decided by the frames alone: `frame` gives a `Step`
for each message and notice, with the trace record of every stage. From the trigger on, time decides as well, and time
is the device's: `book_time`, `trigger_record`, `risk_record` and `order_record` take the cycles that the device's own
trace tells, and give the record that it has to hold. A cycle is only a hint of *when*; what happens is the model's.

`NominalRun` is the same pipeline with stated latencies instead of a device, for work without one.

In every record made here `cycle` and `stamp` are 0.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tickgate.sw.model.book import BookView
from tickgate.sw.model.feed import Feed, FeedDelivery
from tickgate.sw.model.itch import BAD_SIDE, Itch
from tickgate.sw.model.orders import Orders
from tickgate.sw.model.risk import Risk
from tickgate.sw.model.trigger import Trigger
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec.config import Action, Config
from tickgate.sw.spec.events import EventKind, Notice, OrderItem, TriggerFlag
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, row_writes
from tickgate.sw.spec.rows import MARK_ROW, PEER_ROW, SESSION_ROW
from tickgate.sw.spec.sizes import Sizes

# Plain integers: an IntFlag's operators are slow.
_EVAL, _DONE = int(TriggerFlag.EVAL), int(TriggerFlag.DONE)
_ADD, _CANCEL, _DELETE, _REPLACE = (
    int(k) for k in (EventKind.ADD, EventKind.CANCEL, EventKind.DELETE, EventKind.REPLACE)
)
_STATE = int(EventKind.STATE)

#: From the last word of a bad frame at the input: to the last cycle in which an intent may enter risk unaware of it, to
#: the first in which no first word of an order is presented that it decided, and to the first in which a last word that
#: is presented carries `error`.
UNAWARE_CYCLES, VOID_CYCLES, POISON_CYCLES = 5, 6, 7

RegisterWrites = list[tuple[int, int]]


class Step(NamedTuple):
    """One message or notice on its way through feed, itch and book.

    Members
    -------
    feed, itch: trace records.
    book: trace record, None where nothing reached the book.
    update: `events.BOOK_UPDATE` values, None likewise.
    data: the message, empty for a notice.
    """

    feed: Any
    itch: Any
    book: Any
    update: Any
    data: bytes


class HostActions:
    """What the host writes for an action: its session and peer rows follow the numbers of the order session.

    Parameters
    ----------
    config: the rows that it begins with.

    Members
    -------
    session, peer: the rows as last written.
    """

    def __init__(self, config: Config):
        self.session, self.peer = dict(config.session), dict(config.peer)

    def writes(self, action: Action, next_seq: int, user_ref: int) -> RegisterWrites:
        """Register writes of an action while `next_seq` and `user_ref` are those of the next order."""
        if action.action == "kill":
            return [(BY_NAME["kill"].offset, 1)]
        if action.action == "arm":
            return [(BY_NAME["arm"].offset, ARM_KEY)]
        if action.action == "mark":
            return row_writes(MARK_ROW, {"seq": action.seq})
        if action.action == "acknowledge":
            self.peer["ack_in"] = next_seq
            return row_writes(PEER_ROW, self.peer)
        opened = 1 if action.action == "session_open" else 0
        self.session |= {"open": opened, "next_seq": next_seq, "user_ref": user_ref}
        return row_writes(SESSION_ROW, self.session)


class ReferencePipeline:
    """The model of a device.

    Parameters
    ----------
    config: what the host loads; it is loaded by `load`, not before.
    sizes: of the device.
    true_book: whether the true book runs beside the view, so that `violations` can tell.
    update_latency_cycles: from the cycle of a book trace record to the one in which risk takes its update in.

    Members
    -------
    feed, itch, book, trigger, risk, orders: the stages.
    true: the true book of the mapped symbols, known by slot; None if it was not asked for.
    overflowed: sequence numbers of messages for whose order the device had no room; fill it before `frame`.
    cleared: sequence numbers of messages that met a sweep in the device; fill it before `frame`.
    violations: sequence numbers after which a slot was valid and its best prices were not those of the true book.
    """

    def __init__(self, config: Config, sizes: Sizes, true_book: bool = True, update_latency_cycles: int = 0):
        self.config = config
        self.sizes = sizes
        self.update_latency_cycles = update_latency_cycles
        self.feed = Feed()
        self.itch = Itch({})
        self.book = BookView(sizes)
        self.trigger = Trigger(sizes.slots)
        self.risk = Risk(sizes.slots)
        self.orders = Orders()
        self.true: TrueBook | None = TrueBook() if true_book else None
        self.overflowed: set[int] = set()
        self.cleared: set[int] = set()
        self.violations: list[int] = []
        self.kill = True
        self._evaluations: deque[Any] = deque()
        self._intents: deque[Any] = deque()
        self._accepted: deque[Any] = deque()
        self._bad: deque[tuple[int, int, int]] = deque()  # first and last message, stamp
        self._leaving: Any = None
        self._host = HostActions(config)

    def load(self) -> list[Step]:
        """Load the configuration, as `Config.writes` does; returns the steps that it causes: a new session.

        The sweep that follows is over on return, and trigger and risk know of both: no `book_time` for these steps.
        """
        config = self.config
        for slot, row in enumerate(config.slots):
            self._news(self.book.commit_symbol(slot, row.symbol))
            self.risk.commit_symbol(slot, row.symbol)
            for side, trigger in enumerate(row.triggers):
                self.trigger.commit_trigger(slot, side, trigger)
            self.risk.commit_limits(slot, row.limits)
            if self.true is not None:
                self.true.symbol(slot).state = self.book.state(slot)
        self.itch.locates = config.locates()
        self.trigger.commit_gate(config.gate)
        self.risk.commit_gate(config.gate)
        self._host = HostActions(config)
        self.orders.commit_session(self._host.session)
        self.orders.commit_peer(self._host.peer)
        steps = self.commit_feed(config.feed)
        if config.armed:
            self.set_kill(False)
        return steps

    def commit_feed(self, row: dict[str, int]) -> list[Step]:
        """A feed row is written while no frame is under way: a new session, and a sweep that is over on return."""
        self._bad.clear()
        self.risk.new_session()
        steps = [self._step(delivery) for delivery in self.feed.commit(row)]
        for step in steps:
            self._news(step.update)
        for update in self.book.swept():
            self._news(update)
        return steps

    def set_kill(self, level: bool, cycle: int = 0) -> None:
        """The kill switch changes."""
        self.kill = self.orders.kill = level
        self.trigger.set_kill(level, cycle)

    def action(self, action: Action) -> RegisterWrites:
        """Do one host action in the model; returns the register writes that do it in the device, both drained."""
        orders = self.orders
        writes = self._host.writes(action, orders.next_seq, orders.user_ref)
        if action.action in ("kill", "arm"):
            self.set_kill(action.action == "kill")
        elif action.action == "mark":
            self.feed.mark(action.seq)
        elif action.action == "acknowledge":
            orders.commit_peer(self._host.peer)
        else:
            orders.commit_session(self._host.session)
        return writes

    # Decided by the frames alone.

    def frame(self, data: bytes, error: bool = False, port: int = 0, busy: bool = False) -> list[Step]:
        """The steps of one frame, in order; parameters as `Feed.frame`."""
        return [self._step(delivery) for delivery in self.feed.frame(data, error, port, busy)]

    def _step(self, delivery: FeedDelivery) -> Step:
        record, data = delivery
        seq = record.seq
        if data:
            itch_record, event = self.itch.message(seq, data)
            if event is None:
                return Step(record, itch_record, None, None, data)
        else:
            itch_record, event = self.itch.notice(record.notice, seq)
        if self.overflowed or self.cleared:
            clearing = True if data and seq in self.cleared else None
            book_record, update = self.book.event(event, bool(data) and seq in self.overflowed, clearing)
        else:
            clearing = None
            book_record, update = self.book.event(event)
        if self.true is not None:
            if not clearing:
                apply_event(self.true, event)
            if event.kind <= _REPLACE and update.validity == 0:
                found = (update.bid_px_e4, update.bid_qty, update.ask_px_e4, update.ask_qty)
                if found != self.true.bbo(update.slot):
                    self.violations.append(seq)
        return Step(record, itch_record, book_record, update, data)

    # Decided by time as well.

    def book_time(self, update: Any, cycle: int) -> None:
        """The device's book told of a step's `update` in `cycle` (of its trace record)."""
        self.risk.update(update, cycle + self.update_latency_cycles)
        if self.trigger.note(update):
            self._evaluations.append(update)

    def _news(self, update: Any) -> None:
        self.risk.update(update)
        self.trigger.note(update)

    @property
    def pending(self) -> tuple[int, int, int]:
        """How many evaluations, intents in front of risk, and accepted orders the model still waits to see."""
        return len(self._evaluations), len(self._intents), len(self._accepted)

    def trigger_record(self, cycle: int, flags: int) -> list[Any]:
        """What the trigger has to tell up to `cycle`, in which the device's trigger traced `flags`.

        One record is the rule. None: nothing happens in that cycle. Two: an expiry before it should have been told.
        """
        records = self.trigger.expire(cycle)
        update = self._evaluations.popleft() if flags & _EVAL and self._evaluations else None
        records += self.trigger.step(cycle, update, bool(flags & _DONE))
        self._intents += self.trigger.sent
        self.trigger.sent.clear()
        return records

    def frame_bad(self, first_seq: int, last_seq: int, stamp: int) -> None:
        """A frame that delivered these messages turned out bad with its last word, which came in at cycle `stamp`.

        To be told before the cycles in which that matters, frame by frame.
        """
        self._bad.append((first_seq, last_seq, stamp))
        self.risk.frame_bad(last_seq, stamp + UNAWARE_CYCLES)

    def _bad_by(self, seq: int, cycle: int, cycles: int) -> bool:
        """Whether the frame of message `seq`, none of a later frame having been asked for, was bad since `cycles`."""
        while self._bad and self._bad[0][1] < seq:
            self._bad.popleft()
        return bool(self._bad) and self._bad[0][0] <= seq and self._bad[0][2] + cycles <= cycle

    def risk_record(self, entry_cycle: int) -> Any | None:
        """The verdict on the intent that entered risk in `entry_cycle`; None if the model has sent none."""
        if not self._intents:
            return None
        record, order = self.risk.check(self._intents.popleft(), entry_cycle, self.kill, self.orders.session_ok)
        if order is not None:
            self._accepted.append(order)
        return record

    def order_record(
        self, item: int = OrderItem.ORDER, payload: bytes = b"", cycle: int = 0
    ) -> tuple[Any, bytes] | None:
        """Record and frame of the next order, or of an injected host message; None if there is no order to send.

        Parameters
        ----------
        cycle: in which its first word is presented, or it is dropped.
        """
        if item == OrderItem.INJECT:
            return self.orders.inject(payload)
        if not self._accepted:
            return None
        order = self._accepted.popleft()
        void = self._bad_by(order.seq, cycle, VOID_CYCLES)
        if void:
            self.risk.refund()
        self._leaving, frame = self.orders.order(order, void)
        return self._leaving, frame

    def poison_record(self, cycle: int) -> Any | None:
        """The record of a poisoned end, if the order that is leaving has one; `cycle`: its last word is presented."""
        if not self._bad_by(self._leaving.seq, cycle, POISON_CYCLES):
            return None
        self.risk.refund()
        return self.orders.poison(self._leaving)

    def counters(self) -> dict[str, int]:
        """Every counter that the stages keep, by register name."""
        total: Counter[str] = Counter()
        for stage in (self.feed, self.itch, self.book, self.trigger, self.risk, self.orders):
            total.update(stage.counters)
        return dict(total)


def apply_event(book: TrueBook, event: Any) -> None:
    """Apply an event to a true book whose symbols are known by slot."""
    kind = event.kind
    if kind == _ADD:
        side = BAD_SIDE if event.bad_side else event.side
        book.add(event.slot, event.reference, side, event.quantity, event.price_e4)
    elif kind <= _CANCEL:
        book.reduce(event.slot, event.reference, event.quantity)
    elif kind == _DELETE:
        book.delete(event.slot, event.reference)
    elif kind == _REPLACE:
        book.replace(event.slot, event.reference, event.new_reference, event.quantity, event.price_e4)
    elif kind == _STATE:
        book.set_state(None if event.every_slot else event.slot, event.state_op, event.state_bits)
    elif kind == EventKind.NOTICE and event.notice == Notice.NEW_SESSION:
        book.forget_orders()


class NominalRun:
    """The pipeline with stated latencies in place of a device's cycles.

    Parameters
    ----------
    pipeline: loaded.

    Members
    -------
    trigger_records, risk_records, order_records, order_frames: what came out so far; whoever reads may clear them.
    cycle: of the last step.
    """

    #: From a book update to its evaluation, from there into risk, and from there to `done`.
    EVALUATE_CYCLES, RISK_CYCLES, REJECT_CYCLES, ORDER_CYCLES = 5, 1, 4, 24

    def __init__(self, pipeline: ReferencePipeline):
        self.pipeline = pipeline
        self.cycle = 0
        self.trigger_records: list[Any] = []
        self.risk_records: list[Any] = []
        self.order_records: list[Any] = []
        self.order_frames: list[bytes] = []
        self._done_cycle: int | None = None
        self._actions = deque(sorted(pipeline.config.actions, key=lambda action: action.seq))

    def frame(self, data: bytes, cycles: int) -> list[Step]:
        """One frame, `cycles` after the one before; host actions for its first message come first."""
        self.cycle += cycles
        first = int.from_bytes(data[52:60], "big")
        while self._actions and self._actions[0].seq <= first:
            self._drain()
            self.pipeline.action(self._actions.popleft())
        steps = self.pipeline.frame(data)
        for step in steps:
            if step.update is not None:
                self._update(step.update)
        return steps

    def run(self, frames: Iterable[bytes], cycles: int = 16) -> Iterator[Step]:
        """The steps of frames that follow each other by `cycles`."""
        for data in frames:
            yield from self.frame(data, cycles)
        self._drain()

    def _update(self, update: Any) -> None:
        self.cycle += 2
        pipeline = self.pipeline
        waiting = pipeline.pending[0]
        pipeline.book_time(update, self.cycle)
        evaluates = pipeline.pending[0] > waiting
        if not evaluates:
            return
        cycle = self.cycle + self.EVALUATE_CYCLES
        self._until(cycle)
        done = self._done_cycle == cycle
        self._trigger(cycle, _EVAL | (_DONE if done else 0))

    def _until(self, cycle: int) -> None:
        """Everything that happens before `cycle`."""
        while self._done_cycle is not None and self._done_cycle < cycle:
            self._trigger(self._done_cycle, _DONE)

    def _drain(self) -> None:
        self.cycle += 4 * self.ORDER_CYCLES
        self._until(self.cycle)

    def _trigger(self, cycle: int, flags: int) -> None:
        pipeline = self.pipeline
        if flags & _DONE:
            self._done_cycle = None
        self.trigger_records += pipeline.trigger_record(cycle, flags)
        record = pipeline.risk_record(cycle + self.RISK_CYCLES)
        if record is None:
            return
        self.risk_records.append(record)
        self._done_cycle = cycle + self.RISK_CYCLES + self.REJECT_CYCLES
        sent = pipeline.order_record()
        if sent is not None:
            self.order_records.append(sent[0])
            self.order_frames.append(sent[1])
            self._done_cycle += self.ORDER_CYCLES
