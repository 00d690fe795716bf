"""What the report of a session shows, gathered from the trace records while a comparison runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sim.compare.engine import Traces
from tickgate.sw.files.packer import Frames
from tickgate.sw.report.plots import SymbolSeries
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.events import BUY, NO_SLOT, SELL, FeedItem, ItchStatus, OrderItem, TriggerFlag, TriggerStatus

#: Stages that take cycles between the deciding byte and the order's first word, in their order.
BUDGET_STAGES = ("feed", "itch", "book", "trigger", "risk", "orders")

NANOSECONDS = 1_000_000_000


class Watch:
    """An observer of a comparison (`tickgate.sim.compare.engine.Observer`).

    Parameters
    ----------
    config: which symbol has which slot.

    Members
    -------
    budgets: of each order, the cycles of each of `BUDGET_STAGES`.
    first_order_seq: sequence number of the message that made the first order leave, 0 without one.
    """

    def __init__(self, config: Config):
        self.config = config
        self.budgets: list[tuple[int, ...]] = []
        self.first_order_seq = 0
        self._parts: list[tuple[npt.NDArray[Any], ...]] = []

    def __call__(self, frames: Frames, traces: Traces) -> None:
        """Takes one batch in."""
        self._market(frames, traces["book"])
        self._orders(traces)

    def _market(self, frames: Frames, book: npt.NDArray[Any]) -> None:
        """Slot, time, spread, and what the levels of each side gained, after each record."""
        at = np.searchsorted(frames.first_sequence, book["seq"], side="right") - 1
        bid, ask = book["bid_px_e4"].astype(np.int64), book["ask_px_e4"].astype(np.int64)
        spread = np.where((bid > 0) & (ask > 0), ask - bid, 0)
        gains = [
            (book[f"{half}_side"], (book[f"{half}_level_after"] - book[f"{half}_level_before"]).astype(np.int64))
            for half in ("old", "new")
        ]
        bids, asks = (np.sum([np.where(s == side, gained, 0) for s, gained in gains], axis=0) for side in (BUY, SELL))
        self._parts.append((book["slot"].copy(), frames.times_ns[at], spread, bids, asks))

    def _orders(self, traces: Traces) -> None:
        orders = traces["orders"]
        orders = orders[orders["item"] == OrderItem.ORDER]
        if not len(orders):
            return
        if not self.first_order_seq:
            self.first_order_seq = int(orders["seq"][0])
        feed = traces["feed"]
        trigger = traces["trigger"]
        sent = trigger[(trigger["flags"] & TriggerFlag.EVAL > 0) & (trigger["status"] == TriggerStatus.SENT)]
        emitted = trigger[trigger["flags"] & TriggerFlag.EMIT > 0]
        itch, book, risk = traces["itch"], traces["book"], traces["risk"]
        decided = _cycle_of(sent) | _cycle_of(emitted, "wait_seq")
        seqs = orders["seq"]
        cycles = {
            "feed": _cycles(feed, feed["item"] == FeedItem.MESSAGE, seqs),
            "itch": _cycles(itch, itch["status"] != ItchStatus.NOTICE, seqs),
            "book": _cycles(book, book["slot"] != NO_SLOT, seqs),
            "trigger": [decided[seq] for seq in seqs.tolist()],
            "risk": _cycles(risk, risk["reasons"] == 0, seqs),
            "orders": orders["cycle"].tolist(),
        }
        for edges in zip(orders["stamp"].tolist(), *(cycles[stage] for stage in BUDGET_STAGES), strict=True):
            self.budgets.append(tuple(after - before for before, after in zip(edges, edges[1:], strict=False)))

    def series(self) -> list[SymbolSeries]:
        """The market of each followed symbol of which a message came."""
        if not self._parts:
            return []
        slots, *columns = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        found = []
        for slot, config in enumerate(self.config.slots):
            own = slots == slot
            if not own.any():
                continue
            times, spread, bid, ask = (column[own] for column in columns)
            row = config.symbol
            name = row["symbol"].to_bytes(8, "big").decode("ascii").strip()
            found.append(
                SymbolSeries(name, row["tick_e4"], times / NANOSECONDS, spread, np.cumsum(bid), np.cumsum(ask))
            )
        return found

    def told(self) -> dict[str, dict[str, int]]:
        """The budgets of the orders at the minimum, median, 99th percentile and maximum of the whole way."""
        if not self.budgets:
            return {}
        ranked = sorted(self.budgets, key=lambda budget: (sum(budget), budget))
        last = len(ranked) - 1
        places = {"min": 0, "median": last // 2, "p99": -(-99 * last // 100), "max": last}
        return {name: dict(zip(BUDGET_STAGES, ranked[at], strict=True)) for name, at in places.items()}


def _cycle_of(records: npt.NDArray[Any], key: str = "seq") -> dict[int, int]:
    """Sequence number to cycle."""
    return dict(zip(records[key].tolist(), records["cycle"].tolist(), strict=True))


def _cycles(records: npt.NDArray[Any], chosen: npt.NDArray[np.bool_], seqs: npt.NDArray[np.uint64]) -> list[int]:
    """Cycle of each sequence number, which are all among the chosen records; these are in their order."""
    cycles: list[int] = records["cycle"][chosen][np.searchsorted(records["seq"][chosen], seqs)].tolist()
    return cycles
