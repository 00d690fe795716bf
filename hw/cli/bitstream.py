"""`tickgate bitstream`: a board's bitstream, or the project for Vivado of a board whose tool is not open."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tickgate.hw import bitstream, bitstream_report, built, emitted
from tickgate.hw.boards import BOARDS, Board, board_named
from tickgate.hw.tools import ToolFailed
from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.spec.errors import UserError

help = "build a board's bitstream: synthesis, place and route with several seeds, report"

#: State of a board whose part the smallest device does not fit.
TOO_LARGE = "too large"
#: Where builds go, a folder a board.
FOLDER = Path("build") / "bitstream"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("board", metavar="BOARD", nargs="*", help="names of boards: `tickgate boards` lists them")
    parser.add_argument("--all", action="store_true", help="every board whose part the design fits")
    parser.add_argument("--seeds", type=_at_least_one, default=bitstream.SEEDS, metavar="N",
                        help="seeds of the placer to try; the best is taken (default %(default)s)")  # fmt: skip
    parser.add_argument("--jobs", type=_at_least_one, default=bitstream.JOBS, metavar="N",
                        help="tools that run at the same time (default %(default)s)")  # fmt: skip
    parser.add_argument("--seed-minutes", type=_at_least_one, default=bitstream.SEED_MINUTES, metavar="N",
                        help="give a seed up that takes longer (default %(default)s)")  # fmt: skip
    parser.add_argument("--allow-slow", action="store_true",
                        help="write a bitstream that misses a clock; its name says so")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help=f"folder (default {FOLDER}/BOARD)")
    parser.add_argument("--table", type=Path, metavar="PAGE", help="write what was built into this table (Markdown)")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"takes a whole number of at least 1, not {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Builds; 1 where a bitstream is not written because a check failed."""
    names = [n for n, b in BOARDS.items() if b.status != TOO_LARGE] if args.all else list(dict.fromkeys(args.board))
    if not names:
        raise UserError("which board? tickgate bitstream BOARD; `tickgate boards` lists them")
    if args.output and len(names) > 1:
        raise UserError("--output is for one board")
    boards = [board_named(name) for name in names]
    reports, failed = [], False
    for board in boards:
        folder = args.output or FOLDER / board.name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            reports.append(_one(board, folder, args))
        except (UserError, ToolFailed) as error:
            if len(boards) == 1:
                raise UserError(str(error)) from error
            print(f"tickgate: {board.name}: {error}", file=sys.stderr)
            failed = True
        if args.table:
            built.write(args.table, reports)
    if args.json:
        print(json.dumps(reports[0] if len(boards) == 1 else reports))
    return int(failed or any(report.get("faults") for report in reports))


def _one(board: Board, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Builds a board, or emits its project, and tells what there is."""
    if not board.open:
        report = emitted.emit(board, folder)
        _write(folder / "report.json", json.dumps(report, indent=1))
        if not args.json:
            print(f"{board.name}: {report['label']} ({'; '.join(report['checks'])})")
            print("\n".join(str(folder / file["name"]) for file in report["files"]))
        return report
    made = bitstream.build(
        board, folder, seeds=args.seeds, jobs=args.jobs, seed_minutes=args.seed_minutes, allow_slow=args.allow_slow
    )
    report = bitstream.as_json(made)
    _write(folder / "report.json", json.dumps(report, indent=1))
    _write(folder / "report.html", bitstream_report.render(report))
    if not args.json:
        _print(board, report, folder)
    for fault in report["faults"]:
        print(f"tickgate: {board.name}: {fault}", file=sys.stderr)
    if not report["met"] and not args.allow_slow:
        print("  more seeds (--seeds) may find a better place; --allow-slow writes it all the same", file=sys.stderr)
    return report


def _write(path: Path, text: str) -> None:
    with atomic_output(path) as out:
        out.write(text.encode())


def _print(board: Board, report: dict[str, Any], folder: Path) -> None:
    table = Table(title=f"{board.title}: {report['part']}, seed {report['seed']} of {len(report['seeds'])}")
    for column in ("clock", "target MHz", "Fmax MHz", "median of seeds", "worst seed"):
        table.add_column(column, justify="left" if column == "clock" else "right")
    for clock in report["clocks"]:
        fmax = f"{clock['fmax_mhz']:.2f}"
        seeds = clock["seeds_mhz"]
        table.add_row(
            clock["name"],
            f"{clock['target_mhz']:g}",
            fmax if clock["met"] else f"[red]{fmax}[/red]",
            f"{statistics.median(seeds):.2f}",
            f"{min(seeds):.2f}",
        )
    console = Console()
    console.print(table)
    if again := bitstream_report.timed_again(report):
        console.print(again, markup=False, highlight=False)
    for path in report["critical_paths"]:
        console.print(f"{path['clock']}: {path['words']}", markup=False, highlight=False)
    if report["latency"]:
        latency = report["latency"]
        console.print(f"order: {latency['cycles']} cycles, {latency['ns']:g} ns ({latency['what']})", highlight=False)
    console.print(f"build id {report['build_id']}; {bitstream_report.NOT_ON_SILICON}", highlight=False)
    for file in report["files"]:
        console.print(str(folder / file["name"]), highlight=False, soft_wrap=True)
    console.print(str(folder / "report.html"), highlight=False, soft_wrap=True)
