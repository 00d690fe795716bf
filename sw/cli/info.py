"""`tickgate info`: what is in a file: symbols, times, types, peak live orders, suggested size."""

import argparse
import json
from typing import Any

from tickgate.sw.cli.convert import describe_source
from tickgate.sw.cli.progress import progress_bar, with_progress
from tickgate.sw.files.mold_source import MoldSource
from tickgate.sw.files.opening import open_source
from tickgate.sw.files.render import integer_text
from tickgate.sw.files.source import MessageSource
from tickgate.sw.files.summary import DEFAULT_SYMBOLS, FeedSummary, SymbolSummary
from tickgate.sw.spec import itch
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.fields import Kind
from tickgate.sw.spec.sizes import LADDER

help = "tell what is in a file: symbols, times, types, sizes"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("file", metavar="FILE", help="BinaryFILE, pcap or pcapng, also .gz")
    parser.add_argument(
        "--top", type=int, default=DEFAULT_SYMBOLS, metavar="N", help="busiest symbols to list (default: 8)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do the work; return the exit status."""
    if args.top < 1:
        raise UserError(f"--top lists at least 1 symbol, not {args.top}")
    summary = FeedSummary()
    with open_source(args.file) as source, progress_bar("reading") as update:
        for block in with_progress(source.read_blocks(), source, update):
            summary.add(block)
    report = _report(args.file, source, summary, args.top)
    print(json.dumps(report) if args.json else _text(report))
    return 0


def _report(path: str, source: MessageSource, summary: FeedSummary, top: int) -> dict[str, Any]:
    name, fits = summary.suggest_size(top)
    report: dict[str, Any] = {
        "file": path,
        "kind": source.kind.value,
        "messages": summary.messages,
        "types": {chr(code): summary.types[code] for code in itch.MESSAGES if code in summary.types},
        "wrong_length": {chr(code): count for code, count in sorted(summary.wrong_length.items())},
        "first_ns": summary.first_ns,
        "last_ns": summary.last_ns,
        "symbols": len(summary.symbols),
        "symbols_with_orders": sum(symbol.peak_live > 0 for symbol in summary.symbols.values()),
        "busiest": [_symbol(symbol) for symbol in summary.busiest(top)],
        "peak_live_orders": summary.peak_live,
        "live_orders_at_end": summary.live,
        "unknown_references": summary.unknown_references,
        "suggested_size": name,
        "suggested_size_fits": fits,
    }
    describe_source(source, report)
    if isinstance(source, MoldSource):
        report["packets"] = source.packets
        report["session"] = (source.session or b"").decode("ascii").strip()
        report["capture_first_ns"] = source.first_time_ns
        report["capture_last_ns"] = source.last_time_ns
    return report


def _symbol(symbol: SymbolSummary) -> dict[str, Any]:
    return {
        "locate": symbol.locate,
        "symbol": symbol.symbol,
        "messages": symbol.messages,
        "peak_live_orders": symbol.peak_live,
    }


def _text(report: dict[str, Any]) -> str:
    total = report["messages"]
    lines = [f"{report['file']}: {report['kind']}, {total:,} messages"]
    if report["first_ns"] is not None:
        first, last = (integer_text(Kind.TIMESTAMP, report[name]) for name in ("first_ns", "last_ns"))
        lines.append(f"time      {first} to {last}")
    if "packets" in report:
        lines.append(
            f"feed      session {report['session']}, {report['packets']:,} packets, {report['gaps']:,} gaps with "
            f"{report['missing']:,} messages missing"
        )
        if report["drops"]:
            lines.append("not used  " + ", ".join(f"{cause} {count:,}" for cause, count in report["drops"].items()))
    lines.append("types")
    for code, count in sorted(report["types"].items(), key=lambda item: -item[1]):
        lines.append(f"  {code} {itch.MESSAGES[ord(code)].name:<28} {count:>12,} {100 * count / total:6.2f} %")
    for code, count in report["unknown"].items():
        lines.append(f"  {code} {'unknown, skipped':<28} {count:>12,} {100 * count / total:6.2f} %")
    lines.append(
        f"symbols   {report['symbols']:,}, {report['symbols_with_orders']:,} of them with orders; the busiest:"
    )
    for symbol in report["busiest"]:
        lines.append(
            f"  {symbol['symbol'] or '-':<8} locate {symbol['locate']:<6} {symbol['messages']:>12,} messages, at most "
            f"{symbol['peak_live_orders']:,} live orders"
        )
    lines.append(f"orders    at most {report['peak_live_orders']:,} live, {report['live_orders_at_end']:,} at the end")
    if report["unknown_references"]:
        lines.append(f"          {report['unknown_references']:,} messages name an order that is not on the book")
    lines.append(_size_text(report))
    return "\n".join(lines)


def _size_text(report: dict[str, Any]) -> str:
    name = report["suggested_size"]
    size = LADDER[name]
    count = len(report["busiest"])
    peak = sum(symbol["peak_live_orders"] for symbol in report["busiest"])
    fits = "holds" if report["suggested_size_fits"] else "is the largest, but too small for"
    return (
        f"size      {name} ({size.slots} symbols, {size.orders:,} orders) {fits} the {count} busiest with at most "
        f"{peak:,} orders"
    )
