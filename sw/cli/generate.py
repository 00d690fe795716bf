"""`tickgate generate`: a seeded market data session as BinaryFILE or packet capture, with faults where asked for."""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tickgate.sw.cli.convert import midnight
from tickgate.sw.cli.progress import Update, progress_bar
from tickgate.sw.files import binaryfile, pcap
from tickgate.sw.files.block import Block
from tickgate.sw.files.packer import Packer
from tickgate.sw.generate.day import Session
from tickgate.sw.generate.faults import RATES, FaultOptions, Faults, Frame
from tickgate.sw.generate.options import PRICE_PROCESSES, Mix, SessionOptions
from tickgate.sw.spec import sizes
from tickgate.sw.spec.errors import UserError

help = "make a seeded market data session"

LOAD_PERCENT = 70
"""Load of the order table up to which it does not overflow: what `--size` leaves room for."""
FILE_ENDINGS = (".itch", ".bin", ".nasdaq_itch50", ".binaryfile")
CAPTURE_ENDINGS = (".pcap", ".cap")
# A capture file has no place for the line's error mark.
CAPTURE_RATES = tuple(name for name in RATES if name != "error")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    default = SessionOptions()
    parser.add_argument("output", metavar="OUT", help=".itch (BinaryFILE) or .pcap, each also .gz")
    parser.add_argument("--seed", type=int, default=default.seed, metavar="N", help="same seed, same bytes")
    parser.add_argument("--symbols", type=int, metavar="N", help="symbols, locates 1 to N (default 8, or by --size)")
    parser.add_argument("--messages", type=int, default=default.messages, metavar="N", help="messages in all")
    parser.add_argument("--mix", default="", metavar="KIND=SHARE,...", help=f"shares of {', '.join(Mix().shares())}")
    parser.add_argument("--price-process", choices=PRICE_PROCESSES, default=default.price_process)
    parser.add_argument("--volatility", type=float, default=default.volatility_ticks, metavar="TICKS",
                        help="step of the fair price at each new order")  # fmt: skip
    parser.add_argument("--drift", type=float, default=default.drift_ticks, metavar="TICKS",
                        help="way of the busiest price over the session, with --price-process drift")  # fmt: skip
    parser.add_argument("--zipf", type=float, default=default.zipf, metavar="EXPONENT", help="0: all equally busy")
    parser.add_argument("--crossed", type=float, default=default.crossed, metavar="SHARE",
                        help="share of new orders that lock or cross the book")  # fmt: skip
    parser.add_argument("--size", choices=sorted(sizes.LADDER), help="symbols and live orders that fit this device")
    parser.add_argument("--live", type=int, metavar="N", help="most live orders at once (default 350 a symbol)")
    parser.add_argument("--excursions", type=int, metavar="N", help="how often a price leaves its window for a while")
    parser.add_argument("--no-breaker", action="store_true", help="no market-wide circuit breaker near the end")
    parser.add_argument("--json", action="store_true", help="tell what was made as one JSON object")
    capture = parser.add_argument_group("packet captures only")
    capture.add_argument("--pack", type=int, metavar="N", help="at most N messages a packet (else 1,400 bytes, 10 us)")
    capture.add_argument("--date", metavar="YYYY-MM-DD", help="day of the capture times (default: 1970-01-01)")
    for name in CAPTURE_RATES:
        what = name.replace("_", " ")
        capture.add_argument(f"--{name.replace('_', '-')}", type=float, default=0.0, metavar="SHARE",
                             help=f"share of the frames with this fault: {what}")  # fmt: skip
    capture.add_argument("--start", type=int, default=0, metavar="N", help="leave out the packets before message N")
    capture.add_argument("--fault-seed", type=int, metavar="N", help="seed of the faults (default: --seed)")


def run(args: argparse.Namespace) -> int:
    """Do the work; return the exit status."""
    options = session_options(args)
    faults = FaultOptions(
        **{name: getattr(args, name) for name in CAPTURE_RATES},
        start=args.start,
        seed=args.seed if args.fault_seed is None else args.fault_seed,
    )
    capture = is_capture(args.output)
    if not capture:
        _refuse_capture_options(args, faults)
    if faults.start and faults.start >= options.messages:
        raise UserError(f"--start {faults.start:,} leaves nothing of {options.messages:,} messages")
    midnight_ns = midnight(args.date)
    session = Session(options)
    report: dict[str, Any] = {
        "output": args.output,
        "kind": "pcap" if capture else "binaryfile",
        "seed": options.seed,
        "symbols": options.symbols,
        "live_cap": options.live_per_symbol * options.symbols,
    }
    with progress_bar("generating") as update:
        blocks = _counted(session.blocks(), options.messages, update, report)
        if capture:
            _write_capture(args, blocks, faults, midnight_ns, report)
        else:
            with binaryfile.open_writer(args.output) as writer:
                for block in blocks:
                    writer.write_block(block)
    _tell(report, args.json)
    return 0


def session_options(args: argparse.Namespace) -> SessionOptions:
    """The options of the session that the arguments ask for.

    Raises
    ------
    UserError
        As `SessionOptions` and `Mix`.
    """
    symbols, live = args.symbols, args.live
    if args.size is not None:
        size = sizes.sizes_named(args.size)
        symbols = size.slots if symbols is None else symbols
        # A file of more symbols than the device follows: each `slots` of them fit.
        each = size.orders * LOAD_PERCENT // 100 // min(size.slots, max(symbols, 1))
        live = each * symbols if live is None else live
    return SessionOptions(
        seed=args.seed,
        symbols=SessionOptions().symbols if symbols is None else symbols,
        messages=args.messages,
        mix=Mix().with_text(args.mix),
        price_process=args.price_process,
        volatility_ticks=args.volatility,
        drift_ticks=args.drift,
        zipf=args.zipf,
        crossed=args.crossed,
        live=live,
        excursions=args.excursions,
        breaker=not args.no_breaker,
    )


def is_capture(path: str) -> bool:
    """Whether a name is that of a packet capture (else of a BinaryFILE).

    Raises
    ------
    UserError
        The ending tells neither.
    """
    name = path.lower().removesuffix(".gz")
    if name.endswith(CAPTURE_ENDINGS):
        return True
    if name.endswith(FILE_ENDINGS):
        return False
    raise UserError(f"{path}: the ending does not tell the kind: use .itch or .pcap, also with .gz")


def _refuse_capture_options(args: argparse.Namespace, faults: FaultOptions) -> None:
    given = [name for name in CAPTURE_RATES if getattr(faults, name)]
    given += [name for name in ("start", "pack", "date", "fault_seed") if getattr(args, name) not in (None, 0)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(f"{names}: for a packet capture only, and {args.output} is none (use the ending .pcap)")


def _counted(blocks: Iterable[Block], messages: int, update: Update, report: dict[str, Any]) -> Iterator[Block]:
    types: np.ndarray[Any, np.dtype[np.int64]] = np.zeros(256, dtype=np.int64)
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        types += np.bincount(block.types, minlength=256)
        update(done / messages, done)
    report["messages"] = done
    report["types"] = {chr(code): int(types[code]) for code in np.flatnonzero(types).tolist()}


def _write_capture(
    args: argparse.Namespace, blocks: Iterable[Block], options: FaultOptions, midnight_ns: int, report: dict[str, Any]
) -> None:
    packer = Packer(per_packet=args.pack)
    packed = (frame for frames in packer.pack_all(blocks) for frame in frames)
    faults = Faults(options)
    sent: Iterable[Frame] = faults.apply(packed) if options.any else (Frame(*frame) for frame in packed)
    with pcap.open_writer(args.output) as writer:
        for frame in sent:
            writer.write(midnight_ns + frame.time_ns, frame.data)
    report["packets"] = writer.packets
    if options.any:
        report["faults"] = _sorted(faults.counts)


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _tell(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(report))
        return
    packets = f" in {report['packets']:,} packets" if "packets" in report else ""
    print(f"{report['output']}: {report['messages']:,} messages of {report['symbols']:,} symbols{packets}")
    kinds = sorted(report["types"].items(), key=lambda item: -item[1])
    print("  types: " + ", ".join(f"{kind} {count:,}" for kind, count in kinds))
    if "faults" in report:
        print("  faults: " + ", ".join(f"{name} {count:,}" for name, count in report["faults"].items()))
