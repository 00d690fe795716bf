"""One self-contained HTML page of a compared session: market, latencies, rejects, and where each cycle goes."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sw.report import plots
from tickgate.sw.report.plots import SymbolSeries

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .8rem; border-bottom: 1px solid #dde3ea; text-align: right; }
td:first-child, th:first-child { text-align: left; }
svg { max-width: 100%; height: auto; } .bad { color: #b00020; font-weight: 600; } .good { color: #1a7f37; }
.note { color: #5b6675; }
"""

#: Row of the latency table that tells of whole orders.
ORDER_ROW = "actionable/order"


def _market(series: Sequence[SymbolSeries]) -> str:
    if not series:
        return note("No symbol was followed.")
    return plots.svg(
        plots.figure(9.5, 0.6 + 1.25 * len(series), lambda made: plots.draw_market(made, series), None)
    ) + note(
        f"Spreads are drawn where both sides have a best price; a curve shows the last message of each of at most "
        f"{plots.POINTS_MAX:,} equal parts of the time. Depth counts all levels of the window."
    )


def _histogram(counts: npt.NDArray[np.int64] | None) -> str:
    if counts is None:
        return note("No order left.")
    return plots.svg(plots.figure(9.5, 2.6, lambda made: plots.draw_histogram(made.subplots(), counts)))


def _rejects(values: Mapping[str, int]) -> str:
    if not any(values.values()):
        return note("None.")
    return plots.svg(plots.figure(9.5, 0.7 + 0.25 * len(values), lambda made: plots.draw_bars(made.subplots(), values)))


def _budgets(budgets: Mapping[str, Mapping[str, int]]) -> str:
    if not budgets:
        return note("No order left.")
    return plots.svg(
        plots.figure(9.5, 0.9 + 0.3 * len(budgets), lambda made: plots.draw_budgets(made.subplots(), budgets))
    ) + note(
        "The orders at the minimum, median, 99th percentile and maximum. The trigger's part holds the wait for the "
        "order port, where there was one."
    )


def note(text: str) -> str:
    """A paragraph that explains what is above it."""
    return f"<p class='note'>{html.escape(text)}</p>"


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A table; whole numbers with separators."""

    def cell(value: Any) -> str:
        return html.escape(f"{value:,}" if isinstance(value, int) else str(value))

    lines = ["<table><tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell(v)}</td>" for v in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def render(
    title: str,
    summary: Mapping[str, Any],
    bins: Mapping[str, npt.NDArray[np.int64]],
    series: Sequence[SymbolSeries],
    budgets: Mapping[str, Mapping[str, int]],
) -> str:
    """The page.

    Parameters
    ----------
    title: its heading.
    summary: the JSON object of `tickgate compare`.
    bins: latency histograms by row (`LatencyTable.bins`).
    series: market of each symbol.
    budgets: name of an order to the cycles of each stage on its way.

    Raises
    ------
    UserError: matplotlib is not installed.
    """
    verdict = (
        "<span class='good'>0 mismatches</span>"
        if not summary["mismatches"]
        else f"<span class='bad'>{summary['mismatches']:,} mismatches</span>"
    )
    latency = [[row, f["count"], f["min"], f["median"], f["p99"], f["max"]]
               for row, f in summary["latency_cycles"].items()]  # fmt: skip
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{summary['messages']:,} messages, gateware against the reference model after each: {verdict}. "
        f"{summary['orders']:,} orders left. {summary['rate_msgs_s']:,.0f} messages a second compared.</p>",
        "<h2>Spread and depth</h2>",
        _market(series),
        "<h2>From the deciding byte to the order</h2>",
        _histogram(bins.get(ORDER_ROW)),
        "<h2>Where each cycle goes</h2>",
        _budgets(budgets),
        "<h2>Rejects by reason</h2>",
        _rejects(summary["rejects"]),
        "<h2>Latency by stage and class, core cycles of the simulation</h2>",
        table(["row", "count", "min", "median", "p99", "max"], latency),
        "<h2>Messages by type</h2>",
        table(["type", "messages"], [[k, v] for k, v in summary["types"].items()]),
        "<h2>Coverage</h2>",
        table(["what", "share of messages"],
               [[k, f"{v:.4%}"] for k, v in _flat_coverage(summary["coverage"]).items()]),
    ]  # fmt: skip
    return page(title, parts)


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page of HTML parts."""
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _flat_coverage(coverage: Mapping[str, Any]) -> dict[str, float]:
    flat = {"on a valid book": float(coverage["valid"])}
    flat.update({f"validity bit {name}": float(share) for name, share in coverage["by_bit"].items()})
    return flat
