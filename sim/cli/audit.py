"""`tickgate audit`: stated latencies and ports against the emitted Verilog."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from tickgate.gateware.build import STAGES
from tickgate.sim.audit import audit_stage

help = "hold stated latencies and ports to the emitted Verilog"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--stage", action="append", choices=sorted(STAGES), help="only this stage (repeatable)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Audits the stages; 0 when nothing disagrees, 1 otherwise."""
    progress = Console(stderr=True)
    audits = []
    for stage in args.stage or list(STAGES):
        with progress.status(f"{stage}: reading the Verilog"):
            audits.append(audit_stage(stage))
    bad = any(a.problems for a in audits)
    if args.json:
        print(json.dumps({"stages": [asdict(a) for a in audits]}))
        return int(bad)
    table = Table(title="registers between ports")
    for column in ("stage", "from", "to", "stated", "in the Verilog"):
        table.add_column(column)
    for audit in audits:
        for row in audit.rows:
            table.add_row(audit.stage, row.source, row.sink, str(row.stated), str(row.found))
    console = Console()
    console.print(table)
    for audit in audits:
        for problem in audit.problems:
            console.print(f"[red]{audit.stage}: {problem}[/red]", highlight=False)
    return int(bad)
