"""The page of a benchmark: tables, a percentile curve and a violin of every path."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tickgate.drivers.bench.paths import BASELINE
from tickgate.sw.report import plots
from tickgate.sw.report.html import note, page, table

_COLOURS = (
    "#1f4e79",
    "#2a7f9e",
    "#3a9d6e",
    "#b58900",
    "#b3541e",
    "#7a3b69",
    "#5b6675",
    "#8fae3c",
    "#c2185b",
    "#00695c",
    "#8d6e63",
    "#37474f",
)
#: Half the height of a violin, in rows; slices on the logarithmic axis of times.
_HALF, _SLICES_MIN, _SLICES_A_DECADE = 0.42, 24, 50
#: Label of a path, and the buckets of its histogram: lowest and highest time in ns, count.
Series = tuple[str, list[list[int]]]
TIMES = ("p50", "p99", "p99_9", "p99_99", "max")
_TITLES = ("p50", "p99", "p99.9", "p99.99", "max")


def curve(buckets: list[list[int]]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share of round trips that took longer (from 1 down to one in all), and the time in ns at each."""
    high = np.array([bucket[1] for bucket in buckets], dtype=np.float64)
    counts = np.array([bucket[2] for bucket in buckets], dtype=np.float64)
    total = counts.sum()
    return np.maximum(1 - np.cumsum(counts) / total, 1 / total), high


def density(buckets: list[list[int]], slices: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Middles of slices of the logarithmic axis of times in ns, and what part of the fullest slice each holds."""
    middle = np.array([max(1.0, (bucket[0] + bucket[1]) / 2) for bucket in buckets])
    counts = np.array([bucket[2] for bucket in buckets], dtype=np.float64)
    low, high = np.log10(middle[0]), np.log10(middle[-1])
    edges = np.linspace(low - 0.01, high + 0.01, slices + 1)
    held, _ = np.histogram(np.log10(middle), bins=edges, weights=counts)
    return 10 ** ((edges[:-1] + edges[1:]) / 2), held / held.max()


def _measured(result: dict[str, Any], size: str) -> list[Series]:
    found = [(path["label"], path["round_trip"].get(size, {}).get("buckets_ns", []))
             for path in result["paths"].values()]  # fmt: skip
    return [(label, buckets) for label, buckets in found if buckets]


def draw_curves(axes: Any, series: list[Series]) -> None:
    """Time over percentile, both logarithmic, a curve a path."""
    for number, (label, buckets) in enumerate(series):
        rest, time_ns = curve(buckets)
        axes.step(1 / rest, time_ns, where="pre", lw=1.1, label=label, color=_COLOURS[number % len(_COLOURS)])
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = {1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999"}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set_xlabel("percentile")
    axes.set_ylabel("round trip, ns")
    axes.legend(frameon=False, fontsize=7, loc="upper left")


def draw_violins(axes: Any, series: list[Series]) -> None:
    """How the round trips of each path lie on a logarithmic axis of times."""
    for number, (_, buckets) in enumerate(series):
        decades = np.log10(max(1, buckets[-1][1]) / max(1, buckets[0][0]))
        at, width = density(buckets, max(_SLICES_MIN, int(decades * _SLICES_A_DECADE)))
        colour = _COLOURS[number % len(_COLOURS)]
        row = len(series) - 1 - number
        axes.fill_between(at, row - _HALF * width, row + _HALF * width, lw=0, alpha=0.8, color=colour)
    axes.set_yticks(range(len(series)), [label for label, _ in series][::-1])
    axes.set_xscale("log")
    axes.set_xlabel("round trip, ns")


def _plot(draw: Callable[[Any, list[Series]], None], series: list[Series], height_in: float) -> str:
    return plots.svg(plots.figure(9.5, height_in, lambda made: draw(made.subplots(), series)))


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _us(ns: float | None) -> str:
    if ns is None:
        return "-"
    return f"{ns / 1000:,.{3 if ns < 10_000 else 1 if ns < 1_000_000 else 0}f}"


def _of(result: dict[str, Any], what: str, size: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, path[what][size]) for name, path in result["paths"].items() if size in path[what]]


def _trips_rows(result: dict[str, Any], size: str) -> list[list[Any]]:
    return [
        [result["paths"][name]["label"], *(_number(found[f"{key}_ns"]) for key in TIMES), found["lost"],
         _number(found["ratio"], 3)]
        for name, found in _of(result, "round_trip", size)
        if found["count"]
    ]  # fmt: skip


def _flood_rows(result: dict[str, Any], size: str) -> list[list[Any]]:
    return [
        [result["paths"][name]["label"], _number(found["rate_fps"]), found["received"], found["lost"],
         _number(found["ratio"], 2)]
        for name, found in _of(result, "one_way", size)
    ]  # fmt: skip


def render(result: dict[str, Any]) -> str:
    """The page of the object of docs/reference/bench.schema.json.

    Raises: UserError where matplotlib is not installed.
    """
    machine = result["machine"]
    parts = [
        "<h1>Ports: round trips and one-way rates</h1>",
        f"<p>{html.escape(machine['cpu'])}, {html.escape(machine['kernel'])}, clock {html.escape(machine['clock'])}; "
        f"{result['rounds_done']} of {result['rounds']} rounds.</p>",
        note(
            "Ratios are to the spinning UDP socket: the median over rounds of the ratio of both medians of that round. "
            "Between rounds, and more so between runs, the whole machine may be faster or slower: quote no time alone."
        ),
    ]
    missing = [[path["label"], path["missing"]] for path in result["paths"].values() if path["missing"]]
    if missing:
        parts += ["<h2>Missing in this run</h2>", table(["path", "why"], missing)]
    for size in map(str, result["sizes"]):
        series = _measured(result, size)
        parts.append(f"<h2>Round trips, {size} bytes</h2>")
        parts.append(table(["path", "p50 ns", *_TITLES[1:], "lost", "ratio"], _trips_rows(result, size)))
        if series:
            parts += [_plot(draw_curves, series, 4.2), _plot(draw_violins, series, 0.9 + 0.35 * len(series))]
        parts.append(f"<h2>One way, {size} bytes</h2>")
        parts.append(table(["path", "frames/s received", "received", "lost", "ratio"], _flood_rows(result, size)))
    if result["cython"] is not None:
        cost = result["cython"]
        parts.append("<h2>Cython against C</h2>")
        parts.append(
            table(["loop", "p50 ns"], [["C", _number(cost["c_p50_ns"])], ["Cython", _number(cost["cython_p50_ns"])]])
        )
        parts.append(
            note(f"Median of the ratios of each round's means: {_number(cost['ratio'], 3)}, over {cost['path']}.")
        )
    answers = _answers(result)
    parts += ["<h2>Our own answer against the peers'</h2>", *map(note, answers)] if answers else []
    parts += _pipeline(result)
    parts.append("<h2>A bare cache line</h2>")
    parts.append(
        note(
            f"To the other CPU and back: {_number(result['cache_line']['median_ns'])} ns, the median over rounds. "
            "No path can be faster, and it changes when a hypervisor moves a CPU."
        )
    )
    rows = [[name.replace("_", " "), _fact(value)] for name, value in machine.items()]
    parts += ["<h2>Machine</h2>", table(["fact", "value"], rows)]
    return page("tickgate bench", parts)


def _answers(result: dict[str, Any]) -> list[str]:
    """A line a peer: how long our own answer takes beside the peer's."""
    return [
        f"AF_XDP against {path['label']}, ratio of round trips: "
        + ", ".join(f"{_number(found['echo_ratio'], 3)} ({size} bytes)" for size, found in path["round_trip"].items())
        for path in result["paths"].values()
        if any(found["echo_ratio"] for found in path["round_trip"].values())
    ]


def _pipeline(result: dict[str, Any]) -> list[str]:
    flows = result["pipeline"]
    if flows is None:
        return []
    parts = ["<h2>From frame to order through the software pipeline</h2>"]
    rows = [
        [flow["label"], *(_number(flow["orders"][f"{key}_ns"]) for key in TIMES), _number(flow["inside_p50_ns"]),
         flow["orders"]["count"], _number(flow["orders"]["ratio"], 3)]
        for flow in flows.values()
    ]  # fmt: skip
    parts.append(table(["path", "p50 ns", *_TITLES[1:], "p50 inside", "orders", "ratio"], rows))
    parts.append(
        note(
            "A market data frame in at one port, its order out at another; the stages are the reference models in "
            "Python. Inside: from receipt by the pipeline until the order was given to its port."
        )
    )
    series: list[Series] = [(flow["label"], flow["orders"]["buckets_ns"]) for flow in flows.values()]
    series = [(label, buckets) for label, buckets in series if buckets]
    if series:
        parts += [_plot(draw_curves, series, 4.2), _plot(draw_violins, series, 0.9 + 0.35 * len(series))]
    parts += [note(f"Missing: {flow['label']}: {flow['missing']}") for flow in flows.values() if flow["missing"]]
    return parts


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {text}" for name, text in value.items())
    return "-" if value in (None, "") else str(value)


def lines(result: dict[str, Any]) -> Any:
    """The same as tables for a terminal (rich renderables), the missing last."""
    from rich import box
    from rich.console import Group
    from rich.table import Table

    def made(title: str, names: tuple[str, ...], rows: list[list[str]]) -> Table:
        out = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1))
        for at, name in enumerate(names):
            out.add_column(name, justify="right" if at else "left", no_wrap=True)
        for row in rows:
            out.add_row(*row)
        return out

    parts: list[Any] = []
    for size in map(str, result["sizes"]):
        trips = [
            [name, *(_us(found[f"{key}_ns"]) for key in TIMES), f"{found['lost']:,}", _number(found["ratio"], 3)]
            for name, found in _of(result, "round_trip", size)
            if found["count"]
        ]
        floods = [
            [name, _number(found["rate_fps"]), f"{found['received']:,}", f"{found['lost']:,}",
             _number(found["ratio"], 2)]
            for name, found in _of(result, "one_way", size)
        ]  # fmt: skip
        parts.append(made(f"round trip, {size} bytes, microseconds", ("path", *_TITLES, "lost", "ratio"), trips))
        parts.append(made(f"one way, {size} bytes", ("path", "frames/s", "received", "lost", "ratio"), floods))
    flows = result["pipeline"] or {}
    if flows:
        orders = [
            [name, *(_us(flow["orders"][f"{key}_ns"]) for key in TIMES), _us(flow["inside_p50_ns"]),
             f"{flow['orders']['count']:,}", _number(flow["orders"]["ratio"], 3)]
            for name, flow in flows.items()
        ]  # fmt: skip
        columns = ("path", *_TITLES, "inside", "orders", "ratio")
        parts.append(made("from frame to order through the software pipeline, microseconds", columns, orders))
    parts += _answers(result)
    parts.append(
        f"{result['rounds_done']} of {result['rounds']} rounds; ratio: to spinning UDP, the median over rounds"
    )
    if result["cython"] is not None:
        parts.append(f"Cython against C over {result['cython']['path']}: {_number(result['cython']['ratio'], 3)}")
    parts.append(f"a bare cache line to the other CPU and back: {_us(result['cache_line']['median_ns'])} microseconds")
    parts += [f"missing: pipeline, {flow['label']}: {flow['missing']}" for flow in flows.values() if flow["missing"]]
    parts += [f"missing: {path['label']}: {path['missing']}" for path in result["paths"].values() if path["missing"]]
    if BASELINE not in (*result["paths"], *flows):
        parts.append("no ratios: the spinning UDP socket was not among the paths")
    return Group(*parts)
