"""What the report of a session shows, gathered from the trace records while a comparison runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sim.compare.engine import Traces
from tickgate.sw.files.packer import Frames
from tickgate.sw.report.plots import SymbolSeries
from tickgate.sw.spec.config import Config
from tickgate.sw.spec.events import BUY, NO_SLOT, SELL, FeedItem, OrderItem, TriggerFlag, TriggerStatus

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
        self._parts: dict[int, list[tuple[npt.NDArray[Any], ...]]] = {slot: [] for slot in range(len(config.slots))}
        self._depth = {(slot, side): 0 for slot in self._parts for side in (BUY, SELL)}

    def __call__(self, frames: Frames, traces: Traces) -> None:
        """Takes one batch in."""
        self._market(frames, traces["book"])
        self._orders(traces)

    def _market(self, frames: Frames, book: npt.NDArray[Any]) -> None:
        for slot, parts in self._parts.items():
            own = book[book["slot"] == slot]
            if not len(own):
                continue
            at = np.searchsorted(frames.first_sequence, own["seq"], side="right") - 1
            bid, ask = own["bid_px_e4"].astype(np.int64), own["ask_px_e4"].astype(np.int64)
            spread = np.where((bid > 0) & (ask > 0), ask - bid, 0)
            parts.append((frames.times_ns[at], spread, self._side(own, slot, BUY), self._side(own, slot, SELL)))

    def _side(self, own: npt.NDArray[Any], slot: int, side: int) -> npt.NDArray[np.int64]:
        """Shares on all levels of a side after each record: what the levels told in it gained and lost, summed."""
        change = np.zeros(len(own), dtype=np.int64)
        for half in ("old", "new"):
            gained = own[f"{half}_level_after"].astype(np.int64) - own[f"{half}_level_before"].astype(np.int64)
            change += np.where(own[f"{half}_side"] == side, gained, 0)
        shares = self._depth[slot, side] + np.cumsum(change)
        self._depth[slot, side] = int(shares[-1])
        return shares

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
        book = traces["book"]
        cycles = {
            "feed": _cycle_of(feed[feed["item"] == FeedItem.MESSAGE]),
            "itch": _cycle_of(traces["itch"]),
            "book": _cycle_of(book[book["slot"] != NO_SLOT]),
            "trigger": _cycle_of(sent) | _cycle_of(emitted, "wait_seq"),
            "risk": _cycle_of(traces["risk"]),
            "orders": _cycle_of(orders),
        }
        for seq, stamp in zip(orders["seq"].tolist(), orders["stamp"].tolist(), strict=True):
            edges = [stamp, *(cycles[stage][seq] for stage in BUDGET_STAGES)]
            self.budgets.append(tuple(after - before for before, after in zip(edges, edges[1:], strict=False)))

    def series(self) -> list[SymbolSeries]:
        """The market of each followed symbol of which a message came."""
        found = []
        for slot, parts in self._parts.items():
            if not parts:
                continue
            times, spread, bid, ask = (np.concatenate(column) for column in zip(*parts, strict=True))
            row = self.config.slots[slot].symbol
            name = row["symbol"].to_bytes(8, "big").decode("ascii").strip()
            found.append(SymbolSeries(name, row["tick_e4"], times / NANOSECONDS, spread, bid, ask))
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
