"""The host's end of telemetry: frames to records, what was lost on either side, and the figures of what arrived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tickgate.sw.spec import net, telemetry
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import FeedItem, OrderItem, TriggerFlag
from tickgate.sw.spec.risk import Reason

_MODULUS = 1 << 32
#: Rows that a recording keeps before it writes them.
ROWS_KEPT = 8192
PERCENTILES = (50.0, 99.0, 99.9, 99.99)


def is_telemetry(frame: bytes) -> bool:
    """Whether a frame is one of telemetry, whatever its length."""
    head = net.ETHERNET_SIZE
    return (
        len(frame) > head
        and int.from_bytes(frame[head - 2 : head], "big") == telemetry.ETHERTYPE
        and frame[head] == telemetry.VERSION
    )


@dataclass
class TelemetryMonitor:
    """Counts what arrives and what does not.

    Members
    -------
    frames: telemetry frames that arrived.
    frames_lost: frames that the device sent and that did not arrive, by their numbers.
    frames_late: frames that arrived behind a later one, or twice; their records are not counted again.
    device_lost: records that the device could not keep, since its reset.
    malformed: frames that are none, or not whole.
    records: by stage, that arrived.
    unsent: by stage, records between the arrived ones: not asked for, lost by the device, or in lost frames.
    latency_cycles: by stage, how often each latency arrived.
    rejects: by reason.
    fired, accepted, orders, injects, killed: intents that fired, verdicts that passed, and what left.
    """

    frames: int = 0
    frames_lost: int = 0
    frames_late: int = 0
    device_lost: int = 0
    malformed: int = 0
    fired: int = 0
    accepted: int = 0
    orders: int = 0
    injects: int = 0
    killed: int = 0
    records: Counter[str] = field(default_factory=Counter)
    unsent: Counter[str] = field(default_factory=Counter)
    latency_cycles: dict[str, Counter[int]] = field(default_factory=lambda: {s: Counter() for s in telemetry.CLASSES})
    rejects: Counter[str] = field(default_factory=Counter)
    _next: int | None = None
    _numbers: dict[str, int] = field(default_factory=dict)

    def frame(self, frame: bytes) -> list[tuple[str, dict[str, Any]]]:
        """Take one frame in: its records, (stage, values) each; none of a frame that is malformed or late."""
        if not is_telemetry(frame):
            self.malformed += 1
            return []
        try:
            header, records = telemetry.decode(frame)
        except ValueError:
            self.malformed += 1
            return []
        sequence = header["frame_sequence"]
        missing = 0 if self._next is None else (sequence - self._next) % _MODULUS
        if missing >= _MODULUS // 2:  # before the one that is due
            self.frames_late += 1
            self.frames_lost = max(0, self.frames_lost - 1)
            return []
        self.frames += 1
        self.frames_lost += missing
        self._next = (sequence + 1) % _MODULUS
        self.device_lost = header["lost"]
        for stage, values in records:
            self._record(stage, values)
        return records

    def _record(self, stage: str, values: dict[str, Any]) -> None:
        self.records[stage] += 1
        number = values["number"]
        if stage in self._numbers:
            self.unsent[stage] += (number - self._numbers[stage] - 1) % _MODULUS
        self._numbers[stage] = number
        if _is_timed(stage, values):
            self.latency_cycles[stage][(values["cycle"] - values["stamp"]) % (1 << 64)] += 1
        if stage == "trigger":
            self.fired += bool(values["fired"])
        elif stage == "risk":
            self.accepted += not values["reasons"]
            for reason in Reason:
                if values["reasons"] & reason:
                    self.rejects[(reason.name or "").lower()] += 1
        elif stage == "orders":
            self.orders += values["item"] == OrderItem.ORDER
            self.injects += values["item"] == OrderItem.INJECT
            self.killed += values["item"] == OrderItem.KILLED

    def percentiles(self, stage: str) -> dict[float, int]:
        """Latencies in cycles of the stage's records at `PERCENTILES`, and at 100; empty where none arrived."""
        found = self.latency_cycles[stage]
        return {p: percentile(found, p) for p in (*PERCENTILES, 100.0)} if found else {}

    def summary(self, ns_per_cycle: float) -> dict[str, Any]:
        """All of it as plain values; latencies in cycles, and in ns at the stated clock."""
        latencies = {}
        for stage in telemetry.CLASSES:
            points = self.percentiles(stage)
            if points:
                latencies[stage] = {
                    "count": self.latency_cycles[stage].total(),
                    "cycles": {f"p{p:g}": value for p, value in points.items()},
                    "ns": {f"p{p:g}": round(value * ns_per_cycle, 1) for p, value in points.items()},
                }
        plain = ("frames", "frames_lost", "frames_late", "device_lost", "malformed", "fired", "accepted", "orders",
                 "injects", "killed")  # fmt: skip
        return {
            **{name: getattr(self, name) for name in plain},
            "records": {stage: self.records[stage] for stage in telemetry.CLASSES},
            "unsent": {stage: self.unsent[stage] for stage in telemetry.CLASSES},
            "rejects": dict(self.rejects),
            "ns_per_cycle": ns_per_cycle,
            "latency": latencies,
        }


def percentile(counts: Counter[int], percent: float) -> int:
    """The least value that at least `percent` of all are not above.

    Raises
    ------
    ValueError: nothing was counted.
    """
    total = counts.total()
    if not total:
        raise ValueError("nothing was counted")
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen * 100 >= percent * total:
            return value
    return max(counts)


def _is_timed(stage: str, values: dict[str, Any]) -> bool:
    """Whether the record's latency counts, as the device's own histogram has it."""
    if stage in ("itch", "book"):
        return bool(values["itch_type"])
    if stage == "trigger":
        return bool(values["flags"] & TriggerFlag.EVAL)
    if stage == "orders":
        return bool(values["item"] == OrderItem.ORDER)
    if stage == "feed":
        return bool(values["item"] == FeedItem.MESSAGE)
    return True


class TelemetryRecorder:
    """Records in Parquet files, one a stage, in a folder: the fields of the record under their own names.

    Parameters
    ----------
    folder: made where it is missing; files in it of the same names are replaced.

    Raises
    ------
    UserError: the folder is a file.
    """

    def __init__(self, folder: Path):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is a file; a recording is a folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._rows: dict[str, list[dict[str, Any]]] = {stage: [] for stage in telemetry.CLASSES}
        self._writers: dict[str, Any] = {}

    def add(self, records: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Keep records, and write them when there are many."""
        for stage, values in records:
            self._rows[stage].append(values)
            if len(self._rows[stage]) >= ROWS_KEPT:
                self._write(stage)

    def _write(self, stage: str) -> None:
        import pyarrow
        import pyarrow.parquet

        kinds = {1: pyarrow.uint8(), 2: pyarrow.uint16(), 4: pyarrow.uint32(), 8: pyarrow.uint64()}
        fields = [f for f in telemetry.RECORDS[stage].fields if f.is_integer]
        schema = pyarrow.schema([(f.name, kinds[f.size]) for f in fields])
        rows, self._rows[stage] = self._rows[stage], []
        table = pyarrow.table({f.name: [row[f.name] for row in rows] for f in fields}, schema=schema)
        if stage not in self._writers:
            self._writers[stage] = pyarrow.parquet.ParquetWriter(self._folder / f"{stage}.parquet", schema)
        self._writers[stage].write_table(table)

    def close(self) -> None:
        """Write what is left and finish the files; more than once is fine."""
        for stage, rows in self._rows.items():
            if rows:
                self._write(stage)
        while self._writers:
            self._writers.popitem()[1].close()

    def __enter__(self) -> TelemetryRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
