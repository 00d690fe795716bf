"""`tickgate sim`: the cocotb benches on Verilator."""

from __future__ import annotations

import argparse
import json
import random

from rich.console import Console
from rich.table import Table

from tickgate.sim import cocotb_run

help = "run the gateware's cocotb benches on Verilator"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--stage", action="append", choices=cocotb_run.STAGES, help="only this stage (repeatable)")
    parser.add_argument("--seed", type=int, help="seed of the gaps and data; printed, default random")
    parser.add_argument("--full", action="store_true", help="the long version of every bench")
    parser.add_argument("--waves", action="store_true", help="write a VCD waveform")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Runs the benches; 0 when all tests of all of them passed, 1 otherwise."""
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1, 1 << 31)
    progress = Console(stderr=True)
    results = []
    for stage in args.stage or cocotb_run.STAGES:
        with progress.status(f"{stage}: building and running, seed {seed}"):
            result = cocotb_run.run(stage, seed=seed, full=args.full, waves=args.waves)
        progress.print(
            f"{stage}: {len(result.passed)} passed, {len(result.failed)} failed, {result.seconds:.1f} s",
            highlight=False,
        )
        results.append(result)
    bad = any(r.failed for r in results)
    if args.json:
        print(json.dumps({"seed": seed, "full": args.full, "stages": {
            r.stage: {"passed": r.passed, "failed": r.failed, "seconds": round(r.seconds, 3),
                      "waveform": str(r.waveform) if r.waveform else None} for r in results}}))  # fmt: skip
        return int(bad)
    table = Table(title=f"benches, seed {seed}" + (" (full)" if args.full else ""))
    for column in ("stage", "test", "result"):
        table.add_column(column)
    for r in results:
        for name in r.passed:
            table.add_row(r.stage, name, "passed")
        for name, message in r.failed.items():
            table.add_row(r.stage, name, f"[red]FAILED[/red] {message.splitlines()[0][:100]}")
    console = Console()
    console.print(table)
    for r in results:
        if r.waveform:
            console.print(f"waveform of {r.stage}: {r.waveform}", highlight=False)
    if bad:
        console.print(f"replay with: make sim STAGE=<stage> SEED={seed}", highlight=False)
    return int(bad)
