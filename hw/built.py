"""The table of what was built, from the reports of the builds: for the documentation, and kept beside it as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tickgate.hw.boards import BOARDS
from tickgate.sw.files.atomic import atomic_output

_HEAD = """# What was built

Written by `make bitstream-all` from the reports of the builds; none was run on silicon. A clock is met when the best
seed meets it; the figures are those of nextpnr after routing. What it tells
of the best seed stands beside a clock that was [timed again](../adr/0075-clocks-are-timed-again.md). The latency is
{what}.

"""
#: Kept of a report.
_KEPT = ("board", "title", "part", "top", "sizes", "build_id", "built", "met", "faults", "label", "checks", "seed",
         "seeds", "core_hz", "clocks", "latency", "utilization", "versions")  # fmt: skip
_COLUMNS = ("board", "part", "slots, orders, levels", "core clock MHz: target", "best", "median", "worst", "seeds",
            "other clocks", "LUTs", "block RAMs", "order, cycles", "order, ns", "")  # fmt: skip


def kept(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the table keeps of a report."""
    return {name: report[name] for name in _KEPT if name in report}


def merged(old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the table, one a board in the order of the boards; new ones replace old ones of the same board."""
    rows = {row["board"]: kept(row) for row in [*old, *new]}
    return [rows[name] for name in BOARDS if name in rows]


def render(rows: Iterable[Mapping[str, Any]]) -> str:
    """The page."""
    from tickgate.hw.bitstream import LATENCY_MEANS

    rows = list(rows)
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows if "clocks" in row]
    text = _HEAD.format(what=LATENCY_MEANS) + "\n".join(lines) + "\n"
    emitted = [row for row in rows if "label" in row]
    if emitted:
        text += "\n## Emitted only\n\n" + "".join(
            f"- `{row['board']}` ({row['part']}, {row['core_hz'] / 1e6:g} MHz): {row['label']}. "
            f"{'; '.join(row['checks'])}.\n"
            for row in emitted
        )
    small = [board for board in BOARDS.values() if board.status == "too large"]
    if small:
        text += "\n## Too small a part\n\n" + "".join(
            f"- `{board.name}` ({board.part.name}): {board.notes[0]}.\n" for board in small
        )
    versions = sorted({f"{name} {version}" for row in rows for name, version in row["versions"].items()})
    return text + f"\nMade with {', '.join(versions)}.\n" if versions else text


def _cells(row: Mapping[str, Any]) -> list[str]:
    core = next((c for c in row["clocks"] if c["name"] == "sync"), None)
    others = [
        f"{c['name']} {_best(c)} of {c['target_mhz']:g}" + ("" if c["met"] else " **missed**")
        for c in row["clocks"]
        if c is not core
    ]
    sizes = row["sizes"]
    latency = row["latency"] or {}
    state = "met" if row["built"] and row["met"] else "slow" if row["built"] else f"fails: {'; '.join(row['faults'])}"
    clock = (
        [
            f"{core['target_mhz']:g}",
            _best(core),
            f"{statistics.median(core['seeds_mhz']):.1f}",
            f"{min(core['seeds_mhz']):.1f}",
        ]
        if core
        else [""] * 4
    )
    return [
        f"`{row['board']}`",
        row["part"],
        f"{sizes['slots']}, {sizes['orders']:,}, {sizes['levels']:,}" if row["top"] == "board" else "probe",
        *clock,
        f"{len(row['seeds'])}",
        ", ".join(others),
        _share(row, "LUTs", "logic cells"),
        _share(row, "block RAMs"),
        str(latency.get("cycles", "")),
        f"{latency['ns']:g}" if latency else "",
        state,
    ]


def _best(clock: Mapping[str, Any]) -> str:
    """MHz of the best seed, and what nextpnr tells where that is another figure; older builds have nothing else."""
    told = clock.get("told_by_nextpnr_mhz", clock["fmax_mhz"])
    return f"{clock['fmax_mhz']:.1f}" + (f" (nextpnr: {told:.1f})" if told != clock["fmax_mhz"] else "")


def _share(row: Mapping[str, Any], *names: str) -> str:
    for used in row["utilization"]:
        if used["name"] in names:
            return f"{used['used']:,} ({used['used'] / used['available']:.0%})"
    return ""


def write(page: Path, reports: Iterable[Mapping[str, Any]]) -> None:
    """Writes the page and the JSON beside it, with what the JSON already holds of other boards."""
    data = page.with_suffix(".json")
    old = json.loads(data.read_text()) if data.is_file() else []
    rows = merged(old, reports)
    page.parent.mkdir(parents=True, exist_ok=True)
    for path, text in ((data, json.dumps(rows, indent=1) + "\n"), (page, render(rows))):
        with atomic_output(path) as out:
            out.write(text.encode())
