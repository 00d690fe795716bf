"""`tickgate convert`: between BinaryFILE, packet capture, and best bid and offer as CSV or Parquet."""

import argparse
import datetime
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from tickgate.sw.cli.progress import Update, items_with_progress, progress_bar, with_progress
from tickgate.sw.files import bbo_io, binaryfile, pcap
from tickgate.sw.files.block import Block, sliced
from tickgate.sw.files.mold_source import MoldSource
from tickgate.sw.files.opening import open_source
from tickgate.sw.files.packer import Packer
from tickgate.sw.files.source import MessageSource
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.model.bbo import bbo_rows
from tickgate.sw.spec.errors import UserError

help = "convert between ITCH file, packet capture and BBO table"

KINDS = {
    "itch": (".itch", ".bin", ".nasdaq_itch50", ".binaryfile"),
    "pcap": (".pcap", ".cap"),
    "csv": (".csv",),
    "parquet": (".parquet",),
}

_TABLE_STARTS = (b"PAR1", ",".join(bbo_io.COLUMNS).encode("ascii"))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("input", metavar="IN", help="BinaryFILE, pcap or pcapng, also .gz; or a BBO table")
    parser.add_argument("output", metavar="OUT", help=".itch, .pcap or .csv (each also .gz) or .parquet")
    parser.add_argument("--to", choices=sorted(KINDS), help="kind of the output, where its name does not tell")
    parser.add_argument("--pack", type=int, metavar="N", help="at most N messages a packet (else 1,400 bytes, 10 us)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="first message, from 0")
    parser.add_argument("--limit", type=int, metavar="N", help="at most this many messages")
    parser.add_argument("--date", metavar="YYYY-MM-DD", help="day of the capture times (default: 1970-01-01)")
    parser.add_argument("--json", action="store_true", help="tell what was done as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do the work; return the exit status."""
    check_range(args.start, args.limit)
    target = output_kind(args.output, args.to)
    if args.pack is not None and target != "pcap":
        raise UserError(f"--pack is for a packet capture, and {args.output} is none")
    midnight_ns = midnight(args.date)
    stream = ByteStream(args.input)
    if stream.head.startswith(_TABLE_STARTS):
        stream.close()
        return _convert_table(args, target)
    report: dict[str, Any] = {"input": args.input, "output": args.output, "to": target}
    with open_source(stream) as source, progress_bar("converting") as update:
        report["from"] = source.kind.value
        if target in ("csv", "parquet"):
            _write_bbo(args, target, source, update, report)
        else:
            messages = sliced(source.read_blocks(), args.start, args.limit)
            blocks = counted(with_progress(messages, source, update), report)
            if target == "itch":
                _write_itch(args.output, blocks)
            else:
                _write_pcap(args.output, blocks, args.pack, midnight_ns, report)
    describe_source(source, report)
    _tell(report, args.json)
    return 0


def check_range(start: int, limit: int | None) -> None:
    """Refuse a negative start or limit.

    Raises
    ------
    UserError
        Either is negative.
    """
    if start < 0:
        raise UserError(f"--start counts from 0, not {start}")
    if limit is not None and limit < 0:
        raise UserError(f"--limit must not be negative, not {limit}")


def output_kind(path: str, wanted: str | None) -> str:
    """The kind of an output: what was asked for, else what its name says.

    Raises
    ------
    UserError
        The name says nothing, or a kind that is read only.
    """
    name = path.lower().removesuffix(".gz")
    if wanted is not None:
        return wanted
    for kind, endings in KINDS.items():
        if name.endswith(endings):
            if kind == "parquet" and path.lower().endswith(".gz"):
                raise UserError(f"{path}: Parquet is compressed inside; use the ending .parquet")
            return kind
    if name.endswith(".pcapng"):
        raise UserError(f"{path}: pcapng is read, not written; use the ending .pcap")
    raise UserError(f"{path}: the ending does not tell the kind: use .itch, .pcap, .csv, .parquet, or --to")


def midnight(date: str | None) -> int:
    """Nanoseconds from 1970-01-01 00:00 UTC to the start of that day.

    Raises
    ------
    UserError
        Not a date.
    """
    if date is None:
        return 0
    try:
        day = datetime.date.fromisoformat(date)
    except ValueError:
        raise UserError(f"--date takes a day like 2020-01-30, not {date!r}") from None
    if day.year < 1970:
        raise UserError(f"--date must not be before 1970-01-01, not {date}")
    return (day - datetime.date(1970, 1, 1)).days * 86_400 * 1_000_000_000


def counted(blocks: Iterable[Block], report: dict[str, Any]) -> Iterator[Block]:
    """The same blocks, adding their messages to `report`."""
    report["messages"] = 0
    for block in blocks:
        report["messages"] += len(block)
        yield block


def describe_source(source: MessageSource, report: dict[str, Any]) -> None:
    """Add to `report` what was not used of a source, and why."""
    report["unknown"] = {chr(code): count for code, count in sorted(source.unknown.items())}
    if isinstance(source, MoldSource):
        report["drops"] = {cause.name.lower(): count for cause, count in sorted(source.drops.items())}
        report["gaps"] = len(source.gaps)
        report["missing"] = sum(gap.count for gap in source.gaps)


def _write_itch(path: str, blocks: Iterable[Block]) -> None:
    with binaryfile.open_writer(path) as writer:
        for block in blocks:
            writer.write_block(block)


def _write_pcap(
    path: str, blocks: Iterable[Block], per_packet: int | None, midnight_ns: int, report: dict[str, Any]
) -> None:
    packer = Packer(per_packet=per_packet)
    with pcap.open_writer(path) as writer:
        for frames in packer.pack_all(blocks):
            for time_ns, frame in frames:
                writer.write(midnight_ns + time_ns, frame)
    report["packets"] = writer.packets
    report["left_out"] = packer.left_out


def _write_bbo(
    args: argparse.Namespace, target: str, source: MessageSource, update: Update, report: dict[str, Any]
) -> None:
    """Rows of the true book. It starts with the file in any case; `--start` and `--limit` choose among its rows."""
    stop = None if args.limit is None else args.start + args.limit
    rows = bbo_rows(items_with_progress(source, stop, update, report))
    write = bbo_io.write_parquet if target == "parquet" else bbo_io.write_csv
    report["rows"] = write(args.output, (row for row in rows if row[0] >= args.start))


def _convert_table(args: argparse.Namespace, target: str) -> int:
    if target not in ("csv", "parquet"):
        raise UserError(f"{args.input}: is a BBO table: the messages it came from cannot be had back")
    rows = bbo_io.read_bbo(args.input)
    if args.start or args.limit is not None:
        stop = None if args.limit is None else args.start + args.limit
        rows = (row for row in rows if row[0] >= args.start and (stop is None or row[0] < stop))
    write = bbo_io.write_parquet if target == "parquet" else bbo_io.write_csv
    report = {"input": args.input, "output": args.output, "from": "BBO table", "to": target}
    _tell({**report, "rows": write(args.output, rows)}, args.json)
    return 0


def _tell(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report))
        return
    what = ", ".join(f"{report[name]:,} {name}" for name in ("messages", "packets", "rows") if name in report)
    print(f"{report['output']}: {what} from {report['input']} ({report['from']})")
    for name, sense in (("unknown", "unknown types"), ("drops", "not used")):
        if report.get(name):
            counts = ", ".join(f"{key} {count:,}" for key, count in report[name].items())
            print(f"  {sense}: {counts}", file=sys.stderr)
    if report.get("gaps"):
        print(f"  {report['gaps']:,} gaps, {report['missing']:,} messages missing", file=sys.stderr)
    if report.get("left_out"):
        print(f"  {report['left_out']:,} records shorter than 12 bytes left out: they cannot travel", file=sys.stderr)
