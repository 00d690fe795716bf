"""The comparison itself: a batch of frames through the device, the same through the model, record against record.

The model decides. Device cycles are used as hints of *when* only (`tickgate.sw.model.pipeline`), and each piece is run
to rest before the next, so that dumps and host actions see both sides at the same message
(`tickgate.sim.compare.device_side`).
"""

from __future__ import annotations

import functools
import gc
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sim.compare.device_side import Compared, DeviceSide, Errors, Piece, Traces, one_ahead
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.device import MINIMUM_GAP_CYCLES
from tickgate.sw.files.packer import Frames
from tickgate.sw.model.pipeline import ReferencePipeline, Step
from tickgate.sw.report.latency import LatencyTable
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.events import (
    NO_SLOT,
    TIMED,
    TRACES,
    EventKind,
    ItchStatus,
    Notice,
    OrderItem,
    TriggerFlag,
    TriggerStatus,
)
from tickgate.sw.spec.risk import Reason
from tickgate.sw.spec.rows import TriggerKind
from tickgate.sw.spec.state import Anomaly, Drop, Validity

#: A full dump of levels and order entries is compared whenever this many messages went by.
DUMP_EVERY = 10_000

# Plain integers: an IntFlag's operators are slow.
_EMIT, _DONE = int(TriggerFlag.EMIT), int(TriggerFlag.DONE)
_SENT = int(TriggerStatus.SENT)
_INJECT, _POISONED = int(OrderItem.INJECT), int(OrderItem.POISONED)

#: What the `struct` module calls unsigned numbers of so many bytes.
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}

Observer = Callable[[Frames, Traces], None]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Leaves the cyclic garbage collector out: it would walk over all records of a piece again and again, and none of
    them refers back."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@functools.cache
def _rows(dtype: np.dtype[Any]) -> struct.Struct:
    """Takes records of trace fields apart, in less than half of the time in which numpy does."""
    return struct.Struct("<" + "".join(_CODES[dtype[name].itemsize] for name in dtype.names or ()))


def _counted(column: npt.NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Each value of a column of bytes and how often it stands there."""
    counts = np.bincount(column)
    return [(value, int(counts[value])) for value in np.flatnonzero(counts).tolist()]


def untimed(records: npt.NDArray[Any]) -> list[tuple[int, ...]]:
    """Trace records as tuples, their measured fields 0 as the model's are."""
    copy = records.copy()
    for name in TIMED:
        copy[name] = 0
    return list(_rows(copy.dtype).iter_unpack(copy.data))


class Comparison:
    """One run of a device against the model.

    Parameters
    ----------
    device, model: of the same sizes; `begin` loads both.
    result: counted into.
    gap: idle cycles between frames.
    dump_every: messages between full dumps, 0 for one at the end only.
    keep_orders: whether `order_frames` collects the frames of all orders.

    Members
    -------
    order_frames: (cycle, frame) of each order so far, where they are kept.
    """

    def __init__(
        self,
        device: Compared,
        model: ReferencePipeline,
        result: CompareResult,
        *,
        gap: int = MINIMUM_GAP_CYCLES,
        dump_every: int = DUMP_EVERY,
        keep_orders: bool = False,
    ):
        self.device, self.model, self.result = device, model, result
        self.latency = LatencyTable()
        self.observers: list[Observer] = []
        self.order_frames: list[tuple[int, bytes]] = []
        self._side = DeviceSide(model.config, gap, dump_every)
        self._keep_orders = keep_orders
        self._injected: list[bytes] = []
        self._ended = self._told = 0
        self._wire_to_risk: int | None = None

    @property
    def device_ns(self) -> int:
        """Processor time of the device so far."""
        return self._side.busy_ns

    @property
    def config(self) -> Config:
        """What both were loaded with."""
        return self.model.config

    def begin(self) -> None:
        """Loads the configuration into both and compares what the load itself causes."""
        self.device.clear()
        self.device.load(self.config)
        steps = self.model.load()
        found = self.device.traces()
        self._stage("feed", [s.feed for s in steps], found["feed"])
        self._stage("itch", [s.itch for s in steps], found["itch"])
        self._stage("book", [s.book for s in steps if s.book is not None], found["book"])
        self.device.clear()

    @property
    def different(self) -> bool:
        """Whether a difference was found; the two sides have parted then, and going on says nothing more."""
        return self.result.mismatches > 0

    def run(self, frames: Frames, errors: Errors = None) -> None:
        """Compares one batch; host actions that are due before one of its frames split it.

        Parameters
        ----------
        errors: 1 for each frame whose last word carries `error`, None where none does.
        """
        for piece in self._side.pieces(self.device, [(frames, errors)]):
            self._compare(piece)
            if self.different:
                break

    def run_all(self, batches: Iterable[Frames], told: Callable[[], None] = lambda: None) -> None:
        """Compares batches until a difference, the device one piece ahead of the model, in a thread of its own.

        Parameters
        ----------
        told: called whenever a piece was compared.

        Raises
        ------
        DeviceError: as `Device`; and what `batches` raises. The device is at rest then.
        """
        with closing(one_ahead(self._side.pieces(self.device, ((frames, None) for frames in batches)))) as pieces:
            for piece in pieces:
                self._compare(piece)
                told()
                if self.different:
                    break

    def inject(self, payload: bytes) -> None:
        """Sends one host message on both sides."""
        self.device.inject(payload)
        self._injected.append(payload)
        self.device.drain()

    def finish(self) -> None:
        """The last dump, the counters, and the figures."""
        if not self.different and self.device.has_memories:
            self._dump(self.device.memories())
        if not self.different:
            self._counters()
        figures = self.latency.figures()
        self.result.latency_cycles = {
            row: {"count": f.count, "min": f.min, "median": f.median, "p99": f.p99, "max": f.max}
            for row, f in figures.items()
        }

    def _compare(self, piece: Piece) -> None:
        """The model takes the frames of a piece, and is held to what the device made of them."""
        with _no_collection():
            for action, written in piece.actions:
                if self.model.action(action) != written:
                    self.result.note_mismatch(
                        action.seq, f"host action {action.action}", {"writes": "the model's"}, {"writes": written}
                    )
            self._records(piece)
            if piece.memories is not None and not self.different:
                self._dump(piece.memories)

    def _records(self, piece: Piece) -> None:
        model, found = self.model, piece.traces
        self._hints(found["book"])
        marks = [False] * len(piece.frames) if piece.errors is None else piece.errors.astype(bool).tolist()
        steps: list[Step] = []
        bad: list[tuple[int, int]] = []  # first and last message of frames that turned out bad
        for (_, frame), error in zip(piece.frames, marks, strict=True):
            answers = model.frame(frame, error)
            if error and answers and answers[-1].feed.notice == Notice.FCS:
                carried = [step.feed.seq for step in answers if step.data]
                bad.append((carried[0], carried[-1]))
            steps += answers
        told = [step for step in steps if step.book is not None]
        same = self._stage("feed", [step.feed for step in steps], found["feed"])
        same &= self._stage("itch", [step.itch for step in steps], found["itch"])
        same &= self._stage("book", [step.book for step in told], found["book"])
        for seq in model.violations:
            self.result.note_mismatch(seq, "true book", {"best": "the true book's"}, {"best": "the placed book's"})
        model.violations.clear()
        if same:
            book_time = model.book_time
            for step, cycle in zip(told, found["book"]["cycle"].tolist(), strict=True):
                book_time(step.update, cycle)
            # The notice's stamp is that of the frame's last word, as no other one comes right behind it here.
            told_at = found["feed"]["stamp"][found["feed"]["notice"] == Notice.FCS].tolist()
            for (first_seq, last_seq), stamp in zip(bad, told_at, strict=True):
                model.frame_bad(first_seq, last_seq, stamp)
            self._decisions(found, piece)
        self._count(found)
        self.latency.add(found)
        for observer in self.observers:
            observer(piece.frames, found)

    def _hints(self, book: npt.NDArray[Any]) -> None:
        self.model.overflowed.clear()
        self.model.overflowed.update(book["seq"][book["overflow"] > 0].tolist())

    def _stage(self, stage: str, expected: list[Any], found: npt.NDArray[Any]) -> bool:
        """Compares one stage's records of a batch."""
        self.result.compared += len(expected)
        rows = untimed(found)
        if expected == rows:
            return True
        names = [f.name for f in TRACES[stage].fields]
        for want, got in zip(expected, rows, strict=False):
            if want != got:
                self._differ(stage, names, want, got)
        if len(expected) != len(rows):
            longer = expected if len(expected) > len(rows) else rows
            extra = longer[min(len(expected), len(rows))]
            self.result.note_mismatch(int(extra[2]), stage, {"records": len(expected)}, {"records": len(rows)})
        return False

    def _differ(self, stage: str, names: list[str], want: Any, got: Any) -> None:
        wrong = [n for n, w, g in zip(names, want, got, strict=True) if w != g]
        where = names.index("seq")
        self.result.note_mismatch(
            int(want[where] or got[where]),
            stage,
            {n: int(want[names.index(n)]) for n in wrong},
            {n: int(got[names.index(n)]) for n in wrong},
        )

    def _decisions(self, found: Traces, piece: Piece) -> None:
        """Trigger, risk and orders, in the order of the device's cycles."""
        trigger, risk, orders = found["trigger"], found["risk"], found["orders"]
        rows = {stage: untimed(found[stage]) for stage in ("trigger", "risk", "orders")}
        names = {stage: [f.name for f in TRACES[stage].fields] for stage in rows}
        told = list(zip(trigger["flags"].tolist(), trigger["status"].tolist(), strict=True))
        reasons, items = risk["reasons"].tolist(), orders["item"].tolist()
        timeline = sorted(
            (cycle, kind, index)
            for kind, cycles in enumerate((trigger["cycle"], risk["entry_cycle"], orders["cycle"]))
            for index, cycle in enumerate(cycles.tolist())
        )
        sent, ends = piece.orders, piece.ends
        expected_frames: list[bytes] = []
        expected_errors: list[bool] = []
        poison: tuple[int, Any] | None = None  # a record that is due, and its cycle
        emitted: list[int] = []
        for cycle, kind, index in timeline:
            if self.different:
                return
            stage = ("trigger", "risk", "orders")[kind]
            got = rows[stage][index]
            want: Any
            if kind == 0:
                flags, status = told[index]
                records = self.model.trigger_record(cycle, flags)
                want = records[0] if len(records) == 1 else None
                if status == _SENT or flags & _EMIT:
                    emitted.append(cycle)
                if flags & _DONE:
                    self._told += 1
                    if self._told > self._ended:
                        self._note_done(int(got[2]))
            elif kind == 1:
                want = self.model.risk_record(cycle)
                self._ended += bool(reasons[index])
                self._entry(cycle, emitted, int(got[2]))
                if want is not None:
                    want = want._replace(entry_cycle=cycle)
            elif items[index] == _POISONED:
                if not ends and expected_frames:  # a device that shows no words: the frame got lost on its wire
                    poison = self._poison(cycle)
                    expected_frames.pop()
                want = poison[1] if poison is not None and poison[0] == cycle else None
                poison = None
            else:
                if poison is not None:
                    break
                item = items[index]
                self._ended += item != _INJECT
                payload = self._injected.pop(0) if item == _INJECT and self._injected else b""
                answer = self.model.order_record(item, payload, cycle)
                want = None
                if answer is not None:
                    want = answer[0]
                    if answer[1]:
                        expected_frames.append(answer[1])
                        if want.item == OrderItem.ORDER and len(expected_frames) <= len(ends):
                            poison = self._poison(ends[len(expected_frames) - 1][0])
                        expected_errors.append(poison is not None)
            self.result.compared += 1
            if want is None:
                self.result.note_mismatch(
                    int(got[2]), stage, {"record": "none"}, dict(zip(names[stage], got, strict=True))
                )
            elif want != got:
                self._differ(stage, names[stage], want, got)
        if poison is not None:
            self.result.note_mismatch(
                int(poison[1].seq), "orders", {"item": "POISONED", "cycle": poison[0]}, {"record": "none"}
            )
        if any(self.model.pending):
            evaluations, intents, accepted = self.model.pending
            self.result.note_mismatch(
                0, "trigger", {"evaluations": evaluations, "intents": intents, "orders": accepted},
                {"evaluations": 0, "intents": 0, "orders": 0},
            )  # fmt: skip
        if self._told != self._ended:
            self._note_done(int(risk["seq"][-1]) if len(risk) else 0)
        if self._keep_orders:
            self.order_frames += sent
        if ends and not self.different and [error for _, error in ends] != expected_errors:
            self.result.note_mismatch(
                0, "order bytes", {"errors": sum(expected_errors)}, {"errors": sum(error for _, error in ends)}
            )
        bytes_sent = [frame for _, frame in sent]
        if bytes_sent != expected_frames:
            wrong = next((i for i, (a, b) in enumerate(zip(expected_frames, bytes_sent, strict=False)) if a != b),
                         min(len(expected_frames), len(bytes_sent)))  # fmt: skip
            seq = int(orders["seq"][wrong]) if wrong < len(orders) else 0
            self.result.note_mismatch(
                seq, "order bytes",
                {"frame": expected_frames[wrong].hex() if wrong < len(expected_frames) else "none"},
                {"frame": bytes_sent[wrong].hex() if wrong < len(bytes_sent) else "none"},
            )  # fmt: skip

    def _poison(self, cycle: int) -> tuple[int, Any] | None:
        """The record with which the order that is leaving is poisoned, if its last word is presented in `cycle`."""
        record = self.model.poison_record(cycle)
        return None if record is None else (cycle, record)

    def _note_done(self, seq: int) -> None:
        """The trigger is told of the end of every intent, once: of its reject, or of its order sent or dropped.

        When it is told is the device's affair, so the model takes DONE from the trigger's records; that every intent
        ended by the time the device came to rest, and none before its verdict, is held here.
        """
        self.result.note_mismatch(seq, "trigger", {"intents ended": self._ended}, {"DONE": self._told})

    def _entry(self, entry_cycle: int, emitted: list[int], seq: int) -> None:
        """An intent enters risk a fixed number of cycles after the trigger decided; anything else is a difference."""
        if not emitted:
            return
        delay = entry_cycle - emitted.pop(0)
        if self._wire_to_risk is None:
            self._wire_to_risk = delay
        elif delay != self._wire_to_risk:
            self.result.note_mismatch(
                seq, "risk", {"cycles_from_trigger": self._wire_to_risk}, {"cycles_from_trigger": delay}
            )

    def _dump(self, memories: dict[str, list[int]]) -> None:
        """All levels and all order entries of both sides, the device's out of its `memories`."""
        from tickgate.gateware.book.dump import decode_dump

        book = self.model.book
        orders, levels = decode_dump(self.device.sizes, memories)
        self.result.dumps += 1
        expected = {ref: entry[:5] for ref, entry in book.orders().items()}
        if expected != orders:
            missing = sorted(expected.keys() - orders.keys())[:3]
            extra = sorted(orders.keys() - expected.keys())[:3]
            wrong = [r for r in expected.keys() & orders.keys() if expected[r] != orders[r]][:3]
            self.result.note_mismatch(
                self.model.feed.expected - 1, "dump of orders",
                {"only in the model": missing, "differ": {r: expected[r] for r in wrong}},
                {"only in the device": extra, "differ": {r: orders[r] for r in wrong}},
            )  # fmt: skip
        for slot in range(len(self.config.slots)):
            for side in (0, 1):
                want, got = book.levels(slot, side), levels[slot, side]
                if list(want) != list(got):
                    wrong = [i for i, (a, b) in enumerate(zip(want, got, strict=True)) if a != b][:3]
                    self.result.note_mismatch(
                        self.model.feed.expected - 1, f"dump of levels, slot {slot}, side {side}",
                        {str(i): want[i] for i in wrong}, {str(i): int(got[i]) for i in wrong},
                    )  # fmt: skip

    def _counters(self) -> None:
        found = self.device.counters()
        expected = self.model.counters()
        for name, value in expected.items():
            if name in found and found[name] != value & 0xFFFFFFFF:
                self.result.note_mismatch(
                    self.model.feed.expected - 1, f"counter {name}", {"value": value}, {"value": found[name]}
                )
        result = self.result
        for cause in Drop:
            count = expected.get(f"drop_{cause.name.lower()}", 0)
            if count:
                result.drops[cause.name.lower()] = count
        for anomaly in Anomaly:
            count = expected.get(f"anomaly_{anomaly.name.lower()}", 0)
            if count:
                result.anomalies[anomaly.name.lower()] = count

    def _count(self, found: Traces) -> None:
        """Coverage of one batch, from the device's records (which equal the model's, or the run has failed)."""
        result = self.result
        itch, book, risk, trigger = found["itch"], found["book"], found["risk"], found["trigger"]
        # Columns instead of records: a choice of records copies all of their fields.
        status, slots, kinds = itch["status"], book["slot"], book["kind"]
        types = itch["itch_type"][status != ItchStatus.NOTICE]
        result.messages += len(types)
        for code, count in _counted(types):
            result.types[chr(code) if 32 < code < 127 else f"0x{code:02x}"] += count
        for code, count in _counted(status):
            if code in (ItchStatus.UNSUBSCRIBED, ItchStatus.UNKNOWN_TYPE, ItchStatus.WRONG_LENGTH):
                result.skipped[ItchStatus(code).name.lower()] += count
        for mask, count in _counted(book["validity"][(slots != NO_SLOT) & (kinds != EventKind.NOTICE)]):
            result.on_slots += count
            result.valid += 0 if mask else count
            for bit in Validity(mask):
                result.by_bit[bit.name or ""] += count
        result.overflows += int(np.count_nonzero(book["overflow"]))
        ordered = found["orders"]["item"]
        result.orders += int(
            np.count_nonzero(ordered == OrderItem.ORDER) - np.count_nonzero(ordered == OrderItem.POISONED)
        )
        for mask, count in Counter(risk["reasons"].tolist()).items():
            for reason in Reason(mask):
                result.rejects[(reason.name or "").lower()] += count
        fired = trigger[(trigger["flags"] & TriggerFlag.EVAL > 0) & (trigger["status"] > 0)]
        for slot, row in zip(fired["slot"].tolist(), fired["row"].tolist(), strict=True):
            kind = TriggerKind(self.config.slots[slot].triggers[row].get("kind", 0))
            result.fired[kind.name.lower()] += 1
