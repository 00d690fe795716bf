"""The page of a build: clocks, what limits them, the seeds' spread, what is used, and what each part is made of."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tickgate.hw.hierarchy import JUDGED_MIN, KINDS, SHARE_MIN
from tickgate.hw.reset_nets import NETWORK_NS
from tickgate.sw.report import plots
from tickgate.sw.report.html import note, page, table

NOT_ON_SILICON = "Placed, routed and timed by nextpnr; not run on silicon."
WHY_TIMED_AGAIN = (
    "Of a design that it has read back, nextpnr counts 43 ps for the upper one of each pair of carry cells, which "
    "takes none; all other delays are its own."
)


def timed_again(report: Mapping[str, Any]) -> str:
    """Which clocks of the seed taken are other than nextpnr tells, with its own figures and why; empty if none is."""
    told = [
        f"{clock['name']} {clock['fmax_mhz']:.2f} MHz (nextpnr: {clock['told_by_nextpnr_mhz']:.2f})"
        for clock in report["clocks"]
        if clock["told_by_nextpnr_mhz"] != clock["fmax_mhz"]
    ]
    return f"Timed again: {', '.join(told)}. {WHY_TIMED_AGAIN}" if told else ""


def draw_seeds(axes: Any, clocks: Sequence[Mapping[str, Any]]) -> None:
    """A row a clock: what each seed meets as a share of the target, and the target."""
    for row, clock in enumerate(reversed(clocks)):
        shares = [mhz / clock["target_mhz"] for mhz in clock["seeds_mhz"]]
        colours = ["#2f7d32" if share >= 1 else "#b3261e" for share in shares]
        axes.scatter(shares, [row] * len(shares), s=26, c=colours, alpha=0.75, linewidths=0, zorder=3)
        axes.plot([statistics.median(shares)] * 2, [row - 0.3, row + 0.3], color="#1c2430", lw=1.2)
    axes.axvline(1.0, color="#1f4e79", lw=1, ls="--")
    axes.set_yticks(range(len(clocks)), [f"{c['name']}\n{c['target_mhz']:g} MHz" for c in reversed(clocks)])
    axes.set_ylim(-0.6, len(clocks) - 0.4)
    axes.set_xlabel("clock that a seed meets / target; a bar is the median")


def _clocks(report: Mapping[str, Any]) -> str:
    rows = [
        [
            clock["name"],
            f"{clock['target_mhz']:g}",
            f"{clock['fmax_mhz']:.2f}",
            f"{statistics.median(clock['seeds_mhz']):.2f}",
            f"{min(clock['seeds_mhz']):.2f}",
            "met" if clock["met"] else "MISSED",
        ]
        for clock in report["clocks"]
    ]
    head = ["clock", "target MHz", f"Fmax of seed {report['seed']}", "median of seeds", "worst seed", ""]
    spread = plots.figure(
        9.0, 0.9 + 0.45 * len(report["clocks"]), lambda made: draw_seeds(made.subplots(), report["clocks"])
    )
    again = timed_again(report)
    return table(head, rows) + (note(again) if again else "") + plots.svg(spread)


def _crossings(report: Mapping[str, Any]) -> str:
    judged = [c for c in report["crossings"] if c["judged"]]
    rows = [
        [f"{c['from']} to {c['to']}", f"{c['delay_ns']:.2f}", f"{c['period_ns']:.2f}", "met" if c["met"] else "MISSED"]
        for c in judged
    ]
    others = len(report["crossings"]) - len(judged)
    text = table(["from, to", "longest ns", "period ns", ""], rows) if judged else note("No path between clocks.")
    return text + note(
        "Each is to take less than a period of the receiving clock, because the tools know no bound for such paths. "
        f"{others} more begin or end at pins or at what has no clock, and are not judged: the skew of RGMII is set by "
        "delay cells or by the PHY and is not timing-verified."
    )


def _resets(report: Mapping[str, Any]) -> str:
    rows = [
        [
            r["name"],
            f"{r['arrival_ns']:.2f}",
            f"{r['period_ns'] - r['arrival_ns']:.2f}",
            "met" if r["met"] else "MISSED",
        ]
        for r in report["resets"]
    ]
    return table(["register", "arrival ns", "left ns", ""], rows) + note(
        "Arrival at flip-flops as if the global network took no time, because the tools know none: "
        f"{NETWORK_NS:g} ns have to be left for it, which is an estimate."
    )


def _parts(report: Mapping[str, Any]) -> str:
    kinds = [kind for kind in KINDS if any(part["built"].get(kind) for part in report["parts"])]
    if report["top"] == "probe":
        rows = [[part["path"], *(part["built"].get(kind, 0) for kind in kinds)] for part in report["parts"]]
        return table(["part", *kinds], rows) + note(
            "The probe uses a part of each stage; what it does not use is pruned."
        )
    rows = [
        [
            part["path"],
            *(f"{part['built'].get(kind, 0):,} / {part['alone'].get(kind, 0):,}" for kind in kinds),
            f"{part['share']:.0%}" + (" PRUNED" if part["pruned"] else ""),
        ]
        for part in report["parts"]
    ]
    return table(["part", *kinds, "left"], rows) + note(
        "In the bitstream / alone, where nothing around a part can make its logic needless. Logic between two parts is "
        f"counted for the one that it is named after. Less than {SHARE_MIN:.0%} fails the build (parts of at least "
        f"{JUDGED_MIN} cells): what was pruned is no result."
    )


def render(report: Mapping[str, Any]) -> str:
    """The page of a report as `tickgate.hw.bitstream.as_json` gives it.

    Raises
    ------
    UserError: matplotlib is not installed.
    """
    title = f"{report['title']}: bitstream"
    good = report["built"] and report["met"]
    verdict = "built" if good else "built, too slow" if report["built"] else "not built"
    sizes = report["sizes"]
    what = (
        f"{sizes['slots']} slots, {sizes['orders']:,} orders, {sizes['levels']:,} levels a side"
        if report["top"] == "board"
        else "the probe: parser and risk gate behind a UART"
    )
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{html.escape(report['part'])}, {what}. Build id <code>{report['build_id']}</code>: "
        f"<span class='{'good' if good else 'bad'}'>{verdict}</span>.</p>",
    ]
    parts += [f"<p class='bad'>{html.escape(fault)}</p>" for fault in report["faults"]]
    parts += [note(NOT_ON_SILICON), "<h2>Clocks</h2>", _clocks(report)]
    if report["seeds_lost"]:
        parts.append(note(f"Not routed: seed {', '.join(report['seeds_lost'])}."))
    if report["latency"]:
        latency = report["latency"]
        parts += [
            "<h2>From the deciding byte to the order</h2>",
            f"<p>{latency['cycles']} cycles at {report['core_hz'] / 1e6:g} MHz: {latency['ns']:g} ns.</p>",
            note(latency["what"] + "."),
        ]
    parts.append("<h2>What limits each clock</h2>")
    parts += [f"<p><b>{html.escape(p['clock'])}</b>: {html.escape(p['words'])}</p>" for p in report["critical_paths"]]
    parts += ["<h2>Between clocks</h2>", _crossings(report)]
    if report["resets"]:
        parts += ["<h2>Resets in the global network</h2>", _resets(report)]
    used = [[u["name"], u["used"], u["available"], f"{u['used'] / u['available']:.0%}"] for u in report["utilization"]]
    parts += ["<h2>Utilization</h2>", table(["resource", "used", "there are", ""], used)]
    if report["moved_flip_flops"]:
        parts.append(note(f"{report['moved_flip_flops']:,} registers more are those of block RAMs and multipliers."))
    parts += ["<h2>Parts</h2>", _parts(report)]
    files = [[f["name"], f["bytes"], f["sha256"]] for f in report["files"]]
    parts += ["<h2>Files</h2>", table(["file", "bytes", "SHA-256"], files) if files else note("None.")]
    parts += ["<h2>Made with</h2>", table(["package", "version"], [[k, v] for k, v in report["versions"].items()])]
    return page(title, parts)
