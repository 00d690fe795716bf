"""The plots of a compared session: market, latencies, rejects, and where each cycle goes; for the page and the picture.

matplotlib is asked for when the first plot is drawn, and used without a display.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.sw.spec.errors import UserError

#: Points of one curve at most: more than a panel is wide in pixels.
POINTS_MAX = 900

_RC: dict[Any, Any] = {
    "svg.hashsalt": "tickgate",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 8,
}
_STAGE_COLOURS = ("#1f4e79", "#2a7f9e", "#3a9d6e", "#b58900", "#b3541e", "#7a3b69")


@dataclass(frozen=True)
class SymbolSeries:
    """Spread and depth of one symbol over the session.

    Members
    -------
    symbol: its name. tick_e4: its tick.
    time_s: seconds since midnight, of each message of the symbol.
    spread_e4: best ask less best bid, in 1/10,000 of a dollar; 0 where a side is empty.
    bid_qty, ask_qty: shares on all levels of the window.
    """

    symbol: str
    tick_e4: int
    time_s: npt.NDArray[np.float64]
    spread_e4: npt.NDArray[np.int64]
    bid_qty: npt.NDArray[np.int64]
    ask_qty: npt.NDArray[np.int64]


def thin(time_s: npt.NDArray[np.float64], points: int = POINTS_MAX) -> npt.NDArray[np.int64]:
    """Which samples of a step curve to draw: the last one of each of `points` equal parts of the time."""
    if len(time_s) <= points:
        return np.arange(len(time_s))
    span = float(time_s[-1] - time_s[0]) or 1.0
    part = np.minimum((time_s - time_s[0]) * (points / span), points - 1).astype(np.int64)
    return np.append(np.flatnonzero(np.diff(part)), len(part) - 1)


def figure(width_in: float, height_in: float, draw: Callable[[Any], None], layout: Any = "constrained") -> Any:
    """A figure on which `draw` has drawn, in the style of all of them; `layout` as matplotlib's, None places nothing.

    Raises
    ------
    UserError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise UserError("plots need matplotlib: pip install 'tickgate[sim]'") from missing
    with matplotlib.rc_context(_RC):
        made = Figure(figsize=(width_in, height_in), layout=layout)
        draw(made)
    return made


def svg(made: Any) -> str:
    """The figure as an SVG element; the same bytes for the same figure."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context(_RC):
        made.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def png(made: Any, dots_an_inch: int = 110) -> bytes:
    """The figure as a PNG file."""
    import matplotlib

    out = io.BytesIO()
    with matplotlib.rc_context(_RC):
        made.savefig(out, format="png", dpi=dots_an_inch, metadata={"Software": None})
    return out.getvalue()


def draw_spread(axes: Any, series: SymbolSeries) -> None:
    """Spread in ticks over the time of day."""
    two_sided = np.flatnonzero(series.spread_e4 > 0)
    if len(two_sided):
        hours = series.time_s[two_sided] / 3600
        at = thin(hours)
        axes.step(hours[at], series.spread_e4[two_sided][at] / series.tick_e4, where="post", lw=0.6, color="#1f4e79")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    axes.set_ylabel(f"{series.symbol}\nspread, ticks")


def draw_depth(axes: Any, series: SymbolSeries) -> None:
    """Shares in the window over the time of day, bids upwards and asks downwards."""
    hours = series.time_s / 3600
    at = thin(hours)
    for sign, shares, colour, name in ((1, series.bid_qty, "#2f7d32", "bid"), (-1, series.ask_qty, "#b3261e", "ask")):
        axes.fill_between(hours[at], sign * shares[at], step="post", lw=0, color=colour, alpha=0.7, label=name)
    axes.axhline(0, lw=0.5, color="black")
    axes.yaxis.set_major_formatter(lambda shares, _: f"{abs(shares):,.0f}")
    axes.set_ylabel("depth, shares")


def draw_market(made: Any, series: Sequence[SymbolSeries]) -> None:
    """A row a symbol: spread, and depth."""
    height_in = made.get_size_inches()[1]
    made.subplots_adjust(
        left=0.08, right=0.99, top=1 - 0.1 / height_in, bottom=0.45 / height_in, wspace=0.18, hspace=0.1
    )
    grid = made.subplots(len(series), 2, sharex=True, squeeze=False)
    for number, (one, (left, right)) in enumerate(zip(series, grid, strict=True)):
        draw_spread(left, one)
        draw_depth(right, one)
        if not number:
            right.legend(frameon=False, fontsize=7, loc="upper left", ncol=2)
    for axes in grid[-1]:
        axes.set_xlabel("hours since midnight")


def draw_histogram(axes: Any, counts: npt.NDArray[np.int64]) -> None:
    """Orders by cycles from the deciding byte."""
    used = np.flatnonzero(counts)
    axes.bar(used, counts[used], width=0.9, color="#1f4e79")
    axes.set_xlabel("core cycles from the deciding byte to the order's first word (simulated)")
    axes.set_ylabel("orders")
    axes.set_yscale("symlog", linthresh=10)
    axes.yaxis.set_major_formatter("{x:g}")


def draw_bars(axes: Any, values: Mapping[str, int]) -> None:
    """Rejects by reason."""
    names = list(values)[::-1]
    axes.barh(names, [values[n] for n in names], color="#b3541e")
    for at, name in enumerate(names):
        axes.text(values[name], at, f" {values[name]:,}", va="center", fontsize=7)
    axes.set_xlabel("intents rejected; one may have several reasons")


def draw_budgets(axes: Any, budgets: Mapping[str, Mapping[str, int]]) -> None:
    """A bar an order: the cycles that each stage took of the way from the deciding byte to the first word."""
    names = list(budgets)[::-1]
    stages = list(dict.fromkeys(stage for budget in budgets.values() for stage in budget))
    left = dict.fromkeys(names, 0)
    for number, stage in enumerate(stages):
        colour = _STAGE_COLOURS[number % len(_STAGE_COLOURS)]
        widths = [budgets[name].get(stage, 0) for name in names]
        axes.barh(names, widths, left=[left[n] for n in names], color=colour, edgecolor="white", label=stage)
        for at, (name, cycles) in enumerate(zip(names, widths, strict=True)):
            if cycles:
                axes.text(left[name] + cycles / 2, at, cycles, ha="center", va="center", color="white", fontsize=7)
            left[name] += cycles
    for at, name in enumerate(names):
        axes.text(left[name], at, f" {left[name]}", va="center", fontsize=7)
    axes.set_xlabel("core cycles from the deciding byte to the order's first word (simulated)")
    axes.legend(ncol=len(stages), fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def picture(
    series: Sequence[SymbolSeries],
    counts: npt.NDArray[np.int64],
    rejects: Mapping[str, int],
    budgets: Mapping[str, Mapping[str, int]],
) -> bytes:
    """A PNG with the plots of the page; of the market the first symbol.

    Parameters
    ----------
    series: at least one. counts: orders by cycles. rejects: by reason. budgets: as `draw_budgets`.

    Raises
    ------
    UserError: matplotlib is not installed.
    """

    def draw(made: Any) -> None:
        places = made.subplot_mosaic([["spread", "depth"], ["latency", "rejects"], ["budget", "budget"]],
                                     height_ratios=[1.0, 1.0, 0.75])  # fmt: skip
        draw_spread(places["spread"], series[0])
        draw_depth(places["depth"], series[0])
        for name in ("spread", "depth"):
            places[name].set_xlabel("hours since midnight")
        draw_histogram(places["latency"], counts)
        draw_bars(places["rejects"], rejects)
        draw_budgets(places["budget"], budgets)

    return png(figure(10, 7.5, draw))
