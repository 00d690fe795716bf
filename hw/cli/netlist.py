"""`tickgate netlist`: the device synthesised for ECP5, for `tickgate compare --via netlist:`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tickgate.hw import netlist
from tickgate.hw.steps import Steps
from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.spec.sizes import LADDER, sizes_named

help = "synthesise the device for ECP5, as a netlist that tickgate compare can run"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--size", default="small", choices=sorted(LADDER), help="sizes of the device (default small)")
    parser.add_argument("-o", "--output", type=Path, help="file (default build/netlist/<size>.v)")
    parser.add_argument("--json", action="store_true", help="print one JSON object that tells what was written")


def run(args: argparse.Namespace) -> int:
    """Writes the file and says where it is, and of what cells."""
    path = args.output or Path("build") / "netlist" / f"{args.size}.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    with Steps() as steps, steps.step("synthesis", "elaborating") as watch:
        found = netlist.synthesised(sizes_named(args.size), path.parent / f"{path.stem}.work", watch)
    with atomic_output(path) as out:
        out.write(found.text.encode())
    if args.json:
        moved = found.moved.flip_flops
        print(json.dumps({"size": args.size, "file": str(path), "cells": found.cells, "moved_flip_flops": moved}))
    else:
        print(f"{path}: {', '.join(f'{count:,} {kind}' for kind, count in found.cells.items())}")
        print(found.moved)
        print(f"compare it: tickgate compare --via netlist:{path} --size {args.size} FILE")
    return 0
