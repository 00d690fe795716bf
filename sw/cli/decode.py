"""`tickgate decode`: the messages of a file as text or JSON lines."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tickgate.sw.cli.convert import check_range
from tickgate.sw.files.binaryfile import BinaryFileReader
from tickgate.sw.files.block import sliced
from tickgate.sw.files.mold_source import MoldSource
from tickgate.sw.files.render import integer_text, itch_record, line
from tickgate.sw.files.sniff import FileKind, sniff
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.spec import itch
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.fields import Kind, Message

help = "print messages as text or JSON lines"

_DAY_NS = 86_400 * 1_000_000_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="BinaryFILE, pcap or pcapng (feed or orders), also .gz")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="first message, from 0")
    parser.add_argument("--limit", type=int, metavar="N", help="at most this many messages")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Do the work; return the exit status."""
    check_range(args.start, args.limit)
    stream = ByteStream(args.file)
    with stream:
        kind = sniff(stream.head, stream.path)
        if kind is FileKind.BINARYFILE:
            lines = _binaryfile(stream, args.start, args.limit)
        else:
            stream.close()
            lines = _capture(args.file, args.start, args.limit)
        for where, record, table in lines:
            print(json.dumps({**where, **record}) if args.json else _text(where, record, table))
    return 0


Line = tuple[dict[str, Any], dict[str, Any], Message | None]


def _binaryfile(stream: ByteStream, start: int, limit: int | None) -> Iterator[Line]:
    with BinaryFileReader(stream, check=False) as source:
        for block in sliced(source.read_blocks(), start, limit):
            for index, message in enumerate(block, block.first_index):
                record = itch_record(message)
                yield {"index": index}, record, itch.MESSAGES.get(message[0])
        _tell_unknown(sum(source.unknown.values()))


def _capture(path: str, start: int, limit: int | None) -> Iterator[Line]:
    from tickgate.sw.files.capture import CaptureReader

    _refuse_other_dialects(path)
    with CaptureReader(path) as reader:
        stop = None if limit is None else start + limit
        for captured in islice(reader, start, stop):
            yield captured.where, captured.record, captured.table
        if limit is None and not reader.mold_packets and not reader.soup_packets:
            raise UserError(f"{path}: neither MoldUDP64 nor SoupBinTCP in this capture ({reader.packets:,} packets)")
        _tell_unknown(reader.unknown)


def _refuse_other_dialects(path: str) -> None:
    """Look at the feed's first block, so that another dialect is named, not misread."""
    with MoldSource(path, block_bytes=1) as source:
        try:
            next(source.read_blocks(), None)
        except UserError:
            if source.session is not None:
                raise


def _text(where: dict[str, Any], record: dict[str, Any], table: Message | None) -> str:
    words: Iterable[str]
    if "index" in where:
        words = [str(where["index"])]
    else:
        time = integer_text(Kind.TIMESTAMP, where["time_ns"] % _DAY_NS)
        words = [str(where["packet"]), time, where["protocol"]]
        words += [str(where["sequence"])] if "sequence" in where else []
    return " ".join([*words, line(record, table)])


def _tell_unknown(count: int) -> None:
    if count:
        sys.stdout.flush()
        print(f"{count:,} messages of unknown type or form, shown as bytes", file=sys.stderr)
