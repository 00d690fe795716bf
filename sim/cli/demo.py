"""`tickgate demo`: the whole pipeline once, on a session made for it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tickgate.sim.demo import MESSAGES, DemoOptions, DemoResult, run_demo
from tickgate.sw.generate import SessionOptions

help = "generate a session, replay it through gateware and models, compare, and leave a report"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--seed", type=int, default=SessionOptions().seed, metavar="N", help="same seed, same session")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, metavar="N",
        help=f"messages of the session (default {MESSAGES:,}; with fewer, orders and rejects are not checked)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("build") / "demo", metavar="FOLDER", help="what it leaves")
    parser.add_argument("--no-waves", action="store_true", help="no waveform: one compilation less")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="also write the report's plots as a picture")
    parser.add_argument("--json", action="store_true", help="print one JSON object, as in summary.json")


class Bars:
    """A progress bar for each step on standard error; a line a step where that is no terminal."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<32}"), BarColumn(), TaskProgressColumn(show_speed=False),
            TextColumn("{task.fields[count]}"), TimeElapsedColumn(), console=Console(stderr=True),
        )  # fmt: skip
        self._live = sys.stderr.isatty()
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Bars:
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def __call__(self, what: str, share: float, count: int) -> None:
        """Moves the bar of the step `what`; a share below 0 is not known."""
        if what not in self._tasks:
            if not self._live:
                print(what, file=sys.stderr, flush=True)
            self._tasks[what] = int(self._bars.add_task(what, total=None, count=""))
        if not self._live:
            return
        task = self._bars.tasks[self._tasks[what]]
        shown = f"{count:,} messages" if count else task.fields["count"]
        total = 1.0 if share >= 0 else None
        self._bars.update(task.id, total=total, completed=max(share, 0.0), count=shown)


def run(args: argparse.Namespace) -> int:
    """Shows; 0 when both sides agree and the session reached what it should, 1 otherwise."""
    options = DemoOptions(args.out, args.seed, args.messages, not args.no_waves, args.picture)
    with Bars() as bars:
        result = run_demo(options, bars)
    if args.json:
        print(json.dumps(result.as_json()))
    else:
        print_result(result, Console())
    for line in result.short:
        print(f"tickgate demo: {line}", file=sys.stderr)
    return 0 if result.good else 1


def print_result(result: DemoResult, console: Console) -> None:
    """The result as tables."""
    found = result.compared.as_json()
    coverage = found["coverage"]
    table = Table(title=f"session of seed {result.options.seed}", show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("figure", justify="right", overflow="fold")
    right, wrong = "[green]", "[red]"
    colour = wrong if found["mismatches"] else right
    table.add_row("messages", f"{found['messages']:,}")
    table.add_row("by type", _listed(found["types"]))
    table.add_row("records compared", f"{found['compared_records']:,}")
    table.add_row("mismatches", f"{colour}{found['mismatches']:,}[/]")
    table.add_row("messages on a valid book", f"{coverage['valid']:.2%}")
    table.add_row("not valid, by bit", _listed({k: f"{v:.2%}" for k, v in coverage["by_bit"].items() if v}))
    table.add_row("full dumps compared", f"{coverage['full_dumps']:,}")
    table.add_row("triggers fired", _listed(coverage["triggers_fired"]))
    table.add_row("orders sent", f"{found['orders']:,}")
    table.add_row("rejects", _listed(found["rejects"]))
    table.add_row("compared, messages a second", f"{found['rate_msgs_s']:,.0f}")
    table.add_row("packing and device, messages a second", f"{found['device_msgs_s']:,.0f}")
    console.print(table)
    latency = Table(title="latency in core cycles of the simulation")
    for column in ("stage/class", "count", "min", "median", "p99", "max"):
        latency.add_column(column, justify="left" if column == "stage/class" else "right")
    for row, figures in found["latency_cycles"].items():
        latency.add_row(row, *(f"{figures[k]:,}" for k in ("count", "min", "median", "p99", "max")))
    console.print(latency)
    if result.compared.first_mismatch:
        console.print(f"[red]first difference: {result.compared.first_mismatch}[/]", highlight=False)
    if result.compared.reproducer:
        console.print(f"shown again by: {result.compared.reproducer}", highlight=False)
    times = ", ".join(f"{step} {seconds:.1f}" for step, seconds in result.seconds.items())
    console.print(f"seconds: {times}", highlight=False)
    for name, path in result.files.items():
        console.print(f"{_WHAT.get(name, name)}: {path}", highlight=False, soft_wrap=True)


def _listed(values: dict[str, object]) -> str:
    ordered = [f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in values.items()]
    return ", ".join(ordered) or "none"


_WHAT = {
    "session.pcap": "the feed, for Wireshark",
    "orders.pcap": "the orders, for Wireshark",
    "report.html": "the report, for a browser",
    "summary.json": "all figures",
    "journey.vcd": "the first order's journey as a waveform",
    "journey.gtkw": "and how GTKWave shows it",
    "picture": "the plots as a picture",
}
