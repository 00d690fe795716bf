"""One self-contained HTML page of a compared session: market, latencies, rejects, and where each cycle goes."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sw.spec.errors import UserError

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2430; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .2rem .8rem; border-bottom: 1px solid #dde3ea; text-align: right; }
td:first-child, th:first-child { text-align: left; }
svg { max-width: 100%; height: auto; } .bad { color: #b00020; font-weight: 600; } .good { color: #1a7f37; }
.note { color: #5b6675; }
"""


@dataclass(frozen=True)
class SymbolSeries:
    """Spread and depth of one symbol over the session.

    Members
    -------
    time_s: seconds since midnight. spread_e4: best ask less best bid, in 1/10,000 of a dollar.
    bid_qty, ask_qty: shares at the best.
    """

    symbol: str
    tick_e4: int
    time_s: npt.NDArray[np.float64]
    spread_e4: npt.NDArray[np.int64]
    bid_qty: npt.NDArray[np.int64]
    ask_qty: npt.NDArray[np.int64]


def _pyplot() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError as missing:
        raise UserError("plots need matplotlib: pip install 'tickgate[sim]'") from missing
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "tickgate", "axes.spines.top": False, "axes.spines.right": False,
                                "font.size": 9, "axes.grid": True, "grid.alpha": 0.25})  # fmt: skip
    import matplotlib.pyplot as pyplot

    return pyplot


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _market(pyplot: Any, series: list[SymbolSeries]) -> str:
    figure, (top, bottom) = pyplot.subplots(2, 1, figsize=(9, 5.5), sharex=True)
    for s in series:
        two_sided = s.spread_e4 > 0
        top.step(s.time_s[two_sided], s.spread_e4[two_sided] / s.tick_e4, where="post", lw=0.7, label=s.symbol)
        bottom.step(s.time_s, (s.bid_qty + s.ask_qty) / 2, where="post", lw=0.7, label=s.symbol)
    top.set_ylabel("spread, ticks")
    top.set_yscale("log")
    bottom.set_ylabel("depth at the best, shares")
    bottom.set_yscale("symlog", linthresh=100)
    bottom.set_xlabel("seconds since midnight")
    top.legend(ncol=4, fontsize=7, frameon=False)
    return _svg(figure)


def _histogram(pyplot: Any, bins: dict[str, npt.NDArray[np.int64]], row: str) -> str:
    counts = bins.get(row)
    if counts is None:
        return "<p class='note'>No order left.</p>"
    used = np.flatnonzero(counts)
    figure, axes = pyplot.subplots(figsize=(9, 2.8))
    axes.bar(used, counts[used], width=0.9, color="#2463a8")
    axes.set_xlabel("core cycles from the deciding byte at the input to the order's first word (simulated)")
    axes.set_ylabel("orders")
    axes.set_yscale("symlog", linthresh=10)
    return _svg(figure)


def _bars(pyplot: Any, values: dict[str, int]) -> str:
    if not values:
        return "<p class='note'>None.</p>"
    figure, axes = pyplot.subplots(figsize=(9, 0.5 + 0.32 * len(values)))
    names = list(values)[::-1]
    axes.barh(names, [values[n] for n in names], color="#b3541e")
    for at, name in enumerate(names):
        axes.text(values[name], at, f" {values[name]:,}", va="center", fontsize=8)
    axes.set_xlabel("orders rejected, a reason may share an order with others")
    return _svg(figure)


def _budget(pyplot: Any, budget: dict[str, int]) -> str:
    figure, axes = pyplot.subplots(figsize=(9, 1.5))
    left = 0
    for number, (stage, cycles) in enumerate(budget.items()):
        axes.barh([0], [cycles], left=left, label=f"{stage} ({cycles})", color=f"C{number}", edgecolor="white")
        if cycles:
            axes.text(left + cycles / 2, 0, str(cycles), ha="center", va="center", color="white", fontsize=8)
        left += cycles
    axes.set_yticks([])
    axes.set_xlabel(
        f"core cycles, median order: {left} from the deciding byte to the first word of the order (simulated)"
    )
    axes.legend(ncol=len(budget), fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _svg(figure)


def _table(head: list[str], rows: list[list[Any]]) -> str:
    def cell(value: Any) -> str:
        return html.escape(f"{value:,}" if isinstance(value, int) else str(value))

    lines = ["<table><tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell(v)}</td>" for v in row) + "</tr>" for row in rows]
    return "\n".join([*lines, "</table>"])


def render(
    title: str,
    summary: dict[str, Any],
    bins: dict[str, npt.NDArray[np.int64]],
    series: list[SymbolSeries],
    budget: dict[str, int],
) -> str:
    """The page.

    Parameters
    ----------
    title: its heading.
    summary: the JSON object of `tickgate compare`.
    bins: latency histograms by row (`LatencyTable.bins`).
    series: market of each symbol.
    budget: median cycles of each stage on the way of an order.

    Raises
    ------
    UserError: matplotlib is not installed.
    """
    pyplot = _pyplot()
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
        _market(pyplot, series),
        "<h2>From the deciding byte to the order</h2>",
        _histogram(pyplot, bins, "actionable/order"),
        "<h2>Where each cycle goes</h2>",
        _budget(pyplot, budget),
        "<h2>Rejects by reason</h2>",
        _bars(pyplot, summary["rejects"]),
        "<h2>Latency by stage and class, core cycles of the simulation</h2>",
        _table(["row", "count", "min", "median", "p99", "max"], latency),
        "<h2>Messages by type</h2>",
        _table(["type", "messages"], [[k, v] for k, v in summary["types"].items()]),
        "<h2>Coverage</h2>",
        _table(["what", "share of messages"],
               [[k, f"{v:.4%}"] for k, v in _flat_coverage(summary["coverage"]).items()]),
    ]  # fmt: skip
    pyplot.close("all")
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _flat_coverage(coverage: dict[str, Any]) -> dict[str, float]:
    flat = {"on a valid book": float(coverage["valid"])}
    flat.update({f"validity bit {name}": float(share) for name, share in coverage["by_bit"].items()})
    return flat
