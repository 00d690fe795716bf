"""What a comparison found: the object that `--json` prints (schema: docs/reference/compare.schema.json)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.state import Validity


@dataclass(frozen=True)
class Mismatch:
    """The first difference: where, and what each side says.

    Members
    -------
    seq: sequence number of the message. stage: stage, or what a dump compared. expected: the model's fields that
    differ. found: the device's.
    """

    seq: int
    stage: str
    expected: dict[str, Any]
    found: dict[str, Any]

    def __str__(self) -> str:
        return f"message {self.seq}, {self.stage}: expected {self.expected}, found {self.found}"


@dataclass
class CompareResult:
    """Everything that a run counted.

    Members
    -------
    messages: delivered by the feed. compared: trace records held against the model's. on_slots: messages of followed
    symbols. valid: those of them after which the slot was valid. by_bit: those with each Validity bit set.
    """

    file: str
    config: dict[str, Any]
    messages: int = 0
    compared: int = 0
    types: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    mismatches: int = 0
    first_mismatch: Mismatch | None = None
    reproducer: str | None = None
    on_slots: int = 0
    valid: int = 0
    by_bit: Counter[str] = field(default_factory=Counter)
    orders: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    anomalies: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    overflows: int = 0
    dumps: int = 0
    latency_cycles: dict[str, dict[str, int]] = field(default_factory=dict)
    rate_msgs_s: float = 0.0
    device_msgs_s: float = 0.0
    floor: dict[str, Any] | None = None
    below_floor: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def valid_share(self) -> float:
        """Share of the followed symbols' messages that ended on a valid book."""
        return self.valid / self.on_slots if self.on_slots else 0.0

    @property
    def equal(self) -> bool:
        """Whether device and model agreed throughout and every floor was held."""
        return self.mismatches == 0 and not self.below_floor

    def note_mismatch(self, seq: int, stage: str, expected: dict[str, Any], found: dict[str, Any]) -> None:
        """Counts a difference; the first one is kept."""
        self.mismatches += 1
        if self.first_mismatch is None:
            self.first_mismatch = Mismatch(seq, stage, expected, found)

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            release = version("tickgate")
        except PackageNotFoundError:
            release = "unpackaged"
        bits = {bit.name or "": self.by_bit.get(bit.name or "", 0) for bit in Validity}
        first = self.first_mismatch
        return {
            "tool": "tickgate compare",
            "version": release,
            "file": self.file,
            "config": self.config,
            "messages": self.messages,
            "compared_records": self.compared,
            "types": dict(sorted(self.types.items())),
            "skipped": dict(self.skipped),
            "mismatches": self.mismatches,
            "first_mismatch": None if first is None else {
                "seq": first.seq, "stage": first.stage, "expected": first.expected, "found": first.found},
            "reproducer": self.reproducer,
            "coverage": {
                "on_slots": self.on_slots,
                "valid": round(self.valid_share, 6),
                "by_bit": {n.lower(): round(c / self.on_slots, 6) if self.on_slots else 0.0 for n, c in bits.items()},
                "anomalies": dict(self.anomalies),
                "triggers_fired": dict(self.fired),
                "full_dumps": self.dumps,
            },
            "orders": self.orders,
            "rejects": {(r.name or "").lower(): self.rejects.get((r.name or "").lower(), 0)
                        for r in Reason if r & ACTIVE_REASONS},
            "drops": dict(self.drops),
            "overflows": self.overflows,
            "latency_cycles": self.latency_cycles,
            "rate_msgs_s": round(self.rate_msgs_s, 1),
            "device_msgs_s": round(self.device_msgs_s, 1),
            "floor": self.floor,
            "below_floor": self.below_floor,
            "notes": self.notes,
        }  # fmt: skip
