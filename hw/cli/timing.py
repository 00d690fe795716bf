"""`tickgate timing`: clock, cells and critical path of each stage on the timing part."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tickgate.gateware.build import STAGES
from tickgate.hw import timing
from tickgate.hw.parts import TIMING_PART, part_named
from tickgate.sw.spec.sizes import LADDER, sizes_named

help = "place and route each stage: clock, cells and the path that limits it"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--stage", action="append", choices=sorted(STAGES), help="only this stage (repeatable)")
    parser.add_argument("--size", default="medium", choices=sorted(LADDER), help="sizes of the device")
    parser.add_argument("--part", default=TIMING_PART, help="part of hw/parts.py (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the placer (default 1)")
    parser.add_argument("--router", choices=timing.ROUTERS, default=timing.ROUTERS[0], help="default %(default)s")
    parser.add_argument("--path", action="store_true", help="print every hop of the critical path")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a stage misses the target")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Runs the stages; 1 when `--strict` is given and one misses the part's target, else 0."""
    part, sizes = part_named(args.part), sizes_named(args.size)
    progress = Console(stderr=True)
    results = []
    for stage in args.stage or list(STAGES):
        with progress.status(f"{stage}: synthesis, placement and routing (the first use of a tool compiles it)"):
            folder = Path("build") / "timing" / f"{stage}-{args.size}-{args.seed}"
            results.append(timing.place_and_route(stage, sizes, part, args.seed, folder, args.router))
        moved = results[-1].moved_flip_flops
        more = f", {moved:,} flip-flops moved into block RAMs and multipliers" if moved else ""
        progress.print(f"{stage}: {results[-1].fmax_hz / 1e6:.1f} MHz{more}", highlight=False)
    status = int(args.strict and not all(r.met for r in results))
    if args.json:
        print(json.dumps({"size": args.size, "stages": [timing.as_json(r) for r in results]}))
        return status
    table = Table(title=f"{part.name}, {args.size}, seed {args.seed}, target {part.target_hz / 1e6:.0f} MHz")
    for column in ("stage", "Fmax MHz", "LUT4", "flip-flops", "block RAM", "multipliers", "limited by"):
        table.add_column(column)
    for r in results:
        clock = f"{r.fmax_hz / 1e6:.1f}"
        table.add_row(
            r.stage,
            clock if r.met else f"[red]{clock}[/red]",
            *(str(r.cells.get(cell, 0)) for cell in ("LUT4", "TRELLIS_FF", "DP16KD", "MULT18X18D")),
            f"{r.path_from} to {r.path_to}: {r.logic_ns} ns logic, {r.routing_ns} ns routing",
        )
    console = Console()
    console.print(table)
    if args.path:
        for r in results:
            for step in r.path:
                console.print(f"{r.stage}: {step.delay_ns:6.3f} ns {step.kind:9} {step.where}", highlight=False)
    return status
