"""Latency by stage and class, in core cycles, from the trace records of a device.

Every row is counted in one histogram of whole cycles, so memory stays bounded however long the run. The figures of a
simulated device are cycles of the simulation, not wall-clock time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sw.spec.events import EventKind, ItchStatus, OrderItem, TriggerFlag, TriggerStatus

#: Latencies of this many cycles and more share the last bin.
BINS = 4096

_Times = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""Sequence numbers, and the cycles in which what they number was told."""

_KIND_NAMES = {int(k): k.name.lower() for k in EventKind}


@dataclass(frozen=True)
class LatencyFigures:
    """One row: how many, and min, median, 99th percentile and maximum in cycles."""

    count: int
    min: int
    median: int
    p99: int
    max: int


class LatencyTable:
    """Collects rows `stage/class` from batches of trace records.

    Members
    -------
    bins: row name to counts by cycles.
    """

    def __init__(self) -> None:
        self.bins: dict[str, npt.NDArray[np.int64]] = {}

    def _count(self, row: str, cycles: npt.NDArray[Any]) -> None:
        if not len(cycles):
            return
        counts = np.bincount(np.minimum(cycles.astype(np.int64), BINS - 1), minlength=BINS)
        known = self.bins.get(row)
        self.bins[row] = counts if known is None else known + counts

    def add(self, traces: dict[str, npt.NDArray[Any]]) -> None:
        """Counts one batch of records; a record of which the other end is not in the batch is left out."""
        feed, itch, book = traces["feed"], traces["itch"], traces["book"]
        trigger, risk, orders = traces["trigger"], traces["risk"], traces["orders"]
        # Columns instead of records: a choice of records copies all of their fields.
        messages = feed["item"] == 0
        fed = feed["seq"][messages], feed["cycle"][messages]
        self._count("feed/message", fed[1] - feed["stamp"][messages])
        chosen = (itch["status"] == ItchStatus.EVENT) & (itch["seq"] > 0)
        events = itch["seq"][chosen], itch["cycle"][chosen]
        self._pair("itch", events, fed, itch["kind"][chosen])
        chosen = book["itch_type"] != 0
        told = book["seq"][chosen], book["cycle"][chosen]
        self._pair("book", told, events, book["kind"][chosen])
        chosen = (trigger["flags"] & TriggerFlag.EVAL > 0) & (trigger["status"] == TriggerStatus.SENT)
        self._pair("trigger", (trigger["seq"][chosen], trigger["cycle"][chosen]), told, None, "sent")
        self._count("risk/verdict", risk["cycle"] - risk["entry_cycle"])
        chosen = orders["item"] == OrderItem.ORDER
        own = orders["seq"][chosen], orders["cycle"][chosen]
        self._pair("orders", own, (risk["seq"], risk["cycle"]), None, "order")
        self._count("actionable/order", own[1] - orders["stamp"][chosen])

    def _pair(
        self, stage: str, later: _Times, earlier: _Times, classes: npt.NDArray[np.uint8] | None, name: str = ""
    ) -> None:
        (seq, cycle), (earlier_seq, earlier_cycle) = later, earlier
        if not len(seq) or not len(earlier_seq):
            return
        at = np.searchsorted(earlier_seq, seq)
        found = at < len(earlier_seq)
        found[found] = earlier_seq[at[found]] == seq[found]
        cycles = (cycle[found] - earlier_cycle[at[found]]).astype(np.int64)
        if classes is None:
            self._count(f"{stage}/{name}", cycles)
            return
        kinds = classes[found]
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            self._count(f"{stage}/{_KIND_NAMES[kind]}", cycles[kinds == kind])

    def figures(self) -> dict[str, LatencyFigures]:
        """The figures of every row, in pipeline order."""
        return {row: _figures(counts) for row, counts in self.bins.items()}


def _figures(counts: npt.NDArray[np.int64]) -> LatencyFigures:
    total = int(counts.sum())
    below = np.cumsum(counts)

    def quantile(share: float) -> int:
        return int(np.searchsorted(below, share * total, side="left"))

    used = np.flatnonzero(counts)
    return LatencyFigures(total, int(used[0]), quantile(0.5), quantile(0.99), int(used[-1]))
