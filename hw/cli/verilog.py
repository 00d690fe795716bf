"""`tickgate verilog`: the Verilog of the whole design or of one stage, for use anywhere."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tickgate.gateware.build import STAGES, to_verilog
from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.spec.sizes import LADDER, Sizes, sizes_named

help = "write the Verilog of a stage or of the whole design"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--stage", default="top", choices=sorted(STAGES), help="default: top")
    parser.add_argument("--size", default="medium", choices=sorted(LADDER), help="sizes of the device")
    for name in ("slots", "orders", "levels", "stash"):
        parser.add_argument(f"--{name}", type=int, help=f"{name}, instead of the size's")
    parser.add_argument("-o", "--output", type=Path, help="file (default build/verilog/<stage>.v)")
    parser.add_argument("--json", action="store_true", help="print one JSON object that tells what was written")


def run(args: argparse.Namespace) -> int:
    """Writes the file and says where it is."""
    base = sizes_named(args.size)
    given = {n: getattr(args, n) for n in ("slots", "orders", "levels", "stash") if getattr(args, n) is not None}
    sizes = Sizes(**{**base.__dict__, **given})
    path = args.output or Path("build") / "verilog" / f"{args.stage}.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = to_verilog(STAGES[args.stage](sizes, frozenset()), name=f"tickgate_{args.stage}")
    with atomic_output(path) as out:
        out.write(text.encode())
    if args.json:
        print(json.dumps({"stage": args.stage, "sizes": sizes.__dict__, "file": str(path), "bytes": len(text)}))
    else:
        print(f"{path}: {args.stage}, {len(text.splitlines()):,} lines")
    return 0
