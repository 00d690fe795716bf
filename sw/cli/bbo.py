"""`tickgate bbo`: the best bid and offer after every message, from the true book or from the gateware."""

import argparse
import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

from tickgate.sw.cli.convert import check_range, describe_source
from tickgate.sw.cli.progress import items_with_progress, progress_bar
from tickgate.sw.files import bbo_io
from tickgate.sw.files.opening import open_source
from tickgate.sw.model.bbo import BboRow, bbo_rows
from tickgate.sw.model.survey import Selection, select_locates, survey
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import DEFAULT_SIZE, LADDER

help = "write the best bid and offer after every message"

ENGINES = ("model", "gateware")

#: Module that runs the gateware; it has `rows(path, args)`, an iterator of `BboRow`.
GATEWARE_ENGINE = "tickgate.sim.bbo_engine"

ALL_LOCATES = 1 << 16


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="BinaryFILE, pcap or pcapng, also .gz")
    parser.add_argument("-o", "--output", metavar="OUT", help=".csv (also .gz) or .parquet (default: CSV to stdout)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="the true book, or the simulated device")
    add_selection(parser)
    parser.add_argument("--size", choices=LADDER, default=DEFAULT_SIZE, help="size of the device (gateware)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="first message whose rows are written")
    parser.add_argument("--limit", type=int, metavar="N", help="at most this many messages")
    parser.add_argument("--json", action="store_true", help="with -o: tell what was done as one JSON object")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose symbols: `--symbols`, `--locates`, `--top`, of which one may be given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--symbols", metavar="A,B", help="symbols by name")
    group.add_argument("--locates", metavar="N,M", help="symbols by stock locate")
    group.add_argument("--top", type=int, metavar="N", help="the busiest symbols")


def selection_of(args: argparse.Namespace) -> Selection | None:
    """What the options of `add_selection` choose; None where none was given.

    Raises
    ------
    UserError: a locate that is no number from 0 to 65,535, a number of symbols below 1, or an empty list.
    """
    if args.symbols is not None:
        names = tuple(name.strip() for name in args.symbols.split(",") if name.strip())
        if not names:
            raise UserError("--symbols takes names like AAPL,MSFT")
        return Selection(symbols=names)
    if args.locates is not None:
        try:
            locates = tuple(int(text) for text in args.locates.split(","))
        except ValueError:
            locates = (-1,)
        if not all(0 <= locate < ALL_LOCATES for locate in locates):
            raise UserError(f"--locates takes numbers from 0 to 65,535 like 13,14, not {args.locates!r}")
        return Selection(locates=locates)
    if args.top is not None:
        if args.top < 1:
            raise UserError(f"--top must be 1 or more, not {args.top}")
        return Selection(top=args.top)
    return None


def run(args: argparse.Namespace) -> int:
    """Do the work; return the exit status.

    Raises
    ------
    UserError: as `open_source`, `selection_of` and `bbo_io.write_bbo`; `--json` without a file; no such engine here.
    """
    check_range(args.start, args.limit)
    if args.json and args.output is None:
        raise UserError("--json tells of a written file: give one with -o")
    selection = selection_of(args)
    report: dict[str, Any] = {"input": args.file, "output": args.output, "engine": args.engine}
    if args.engine == "gateware":
        _write(args.output, _gateware_rows(args), report)
    else:
        wanted = None if selection is None else _locates(args.file, selection)
        with open_source(args.file) as source, progress_bar("book") as update:
            stop = None if args.limit is None else args.start + args.limit
            rows = bbo_rows(items_with_progress(source, stop, update, report))
            chosen = (r for r in rows if r[0] >= args.start and (wanted is None or r[1] in wanted))
            _write(args.output, chosen, report)
        describe_source(source, report)
    if args.json:
        print(json.dumps(report))
    elif args.output is not None:
        print(f"{args.output}: {report['rows']:,} rows from {args.file}")
    return 0


def _locates(path: str, selection: Selection) -> set[int]:
    with open_source(path) as source:
        return set(select_locates(survey(source), selection, ALL_LOCATES))


def _gateware_rows(args: argparse.Namespace) -> Iterator[BboRow]:
    try:
        engine = importlib.import_module(GATEWARE_ENGINE)
    except ModuleNotFoundError as error:
        if error.name is None or not GATEWARE_ENGINE.startswith(error.name):
            raise
        raise UserError(
            "the engine 'gateware' is not part of this installation\ninstall it with: pip install 'tickgate[sim]'"
        ) from None
    return cast(Iterator[BboRow], engine.rows(args.file, args))


def _write(output: str | None, rows: Iterable[BboRow], report: dict[str, Any]) -> None:
    if output is not None:
        report["rows"] = bbo_io.write_bbo(output, rows)
        return
    write = sys.stdout.write
    write(",".join(bbo_io.COLUMNS) + "\n")
    remaining = iter(rows)
    while batch := list(islice(remaining, bbo_io.BATCH_ROWS)):
        write("".join(",".join(map(str, row)) + "\n" for row in batch))
