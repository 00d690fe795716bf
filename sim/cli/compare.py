"""`tickgate compare`: gateware against the reference models on a market data file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from tickgate.sim.compare.board import TIMEOUT_S, is_remote
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import CompareOptions, compare
from tickgate.sw.cli.bbo import selection_of
from tickgate.sw.host.device import Device as HostDevice
from tickgate.sw.host.transport import open_transport
from tickgate.sw.model.survey import DEFAULT_TOP, Selection
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import DEFAULT_SIZE, LADDER, sizes_named

help = "replay a market data file through gateware and models, compare after every message"


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The options that choose symbols, shared with `tickgate bbo --engine gateware`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--symbols", help="follow these symbols: A,B,...")
    which.add_argument("--locates", help="follow these stock locates: n,m,...")
    which.add_argument(
        "--top", type=int, help="follow the N busiest symbols (default: as many as the size has slots, 8)"
    )


def selection(args: argparse.Namespace, slots: int) -> Selection:
    """The symbols that the options choose.

    Raises
    ------
    UserError: as `selection_of`, or more symbols than slots.
    """
    chosen = selection_of(args) or Selection(top=min(DEFAULT_TOP, slots))
    wanted = len(chosen.symbols) or len(chosen.locates) or chosen.top
    if wanted > slots:
        raise UserError(f"this size follows 1 to {slots} symbols, not {wanted}; choose another --size")
    return chosen


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("file", type=Path, help="BinaryFILE, pcap or pcapng, plain or .gz")
    add_selection(parser)
    parser.add_argument("--size", default=DEFAULT_SIZE, choices=sorted(LADDER), help="size of the device")
    parser.add_argument("--config", type=Path, help="TOML configuration; derived from the file by default")
    parser.add_argument("--start", type=int, default=0, help="skip this many messages (of a capture: frames)")
    parser.add_argument("--limit", type=int, help="take at most this many")
    parser.add_argument("--pack", type=int, help="messages a frame (default: as many as fit 1,400 bytes and 10 us)")
    parser.add_argument("--gap", type=int, default=3, help="idle cycles between frames (default 3, the minimum gap)")
    parser.add_argument("--stall", type=float, default=0.0, help="share of cycles in which the order port is held up")
    parser.add_argument(
        "--via", default="", metavar="nic[:BACKEND]|netlist:FILE|TRANSPORT",
        help="send the frames through network interfaces (tap-BACKEND: TAPs) and this driver (default packet) to the "
        "device; take the synthesised device that tickgate netlist wrote; or a device that is there already, as of "
        "`tickgate device --via` (xdp:eth0)",
    )  # fmt: skip
    parser.add_argument(
        "--mac", default="", choices=("gmii",), help="send frames and orders through the MAC, as bytes of a GMII"
    )
    parser.add_argument("--print-config", action="store_true", help="print the configuration used, as TOML")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object (docs/reference/compare.schema.json)"
    )


def check_options(args: argparse.Namespace) -> None:
    """Numbers that argparse cannot judge.

    Raises
    ------
    UserError: one is out of range.
    """
    for name, low in (("start", 0), ("limit", 1), ("pack", 1), ("gap", 3)):
        value = getattr(args, name)
        if value is not None and value < low:
            raise UserError(f"--{name} takes {low} or more, not {value}")
    if not 0.0 <= args.stall < 1.0:
        raise UserError(f"--stall takes a share from 0 to below 1, not {args.stall}")


class Bars:
    """Progress bars on standard error, one for each step; nothing where that is no terminal."""

    def __init__(self) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[count]:,}"),
            TimeRemainingColumn(), console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._tasks: dict[str, int] = {}

    def __call__(self, what: str, share: float, count: int) -> None:
        """Moves the bar called `what`."""
        if what not in self._tasks:
            self._tasks[what] = self.progress.add_task(what, total=1.0, count=0)
        self.progress.update(self._tasks[what], completed=share, count=count)  # type: ignore[arg-type]


def run(args: argparse.Namespace) -> int:
    """Compares; 0 when equal (and no floor missed), 1 otherwise."""
    check_options(args)
    sizes, pack = sizes_named(args.size), args.pack
    if is_remote(args.via):
        with open_transport(args.via) as transport:
            sizes = HostDevice(transport, timeout_s=TIMEOUT_S).sizes
        pack = pack or 1  # so that telemetry of one frame has room in the device
    options = CompareOptions(
        path=args.file, sizes=sizes, selection=selection(args, sizes.slots), config=args.config, pack=pack,
        start=args.start, limit=args.limit, stall=args.stall, gap=args.gap,
        via=args.via, mac=args.mac,
    )  # fmt: skip
    bars = Bars()
    with bars.progress:
        result, _ = compare(options, bars)
    if args.json:
        print(json.dumps(result.as_json()))
    else:
        print_result(result, Console(), show_config=args.print_config or args.config is None)
    return 0 if result.equal else 1


def print_result(result: CompareResult, console: Console, show_config: bool = False) -> None:
    """The result as tables."""
    if show_config:
        console.print(result.config["toml"], highlight=False, markup=False)
    found = result.as_json()
    table = Table(title=result.file, show_header=False)
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_row("messages", f"{result.messages:,}")
    table.add_row("  by type", ", ".join(f"{k} {v:,}" for k, v in found["types"].items()))
    for name, count in found["skipped"].items():
        table.add_row(f"  {name}", f"{count:,}")
    table.add_row("trace records compared", f"{result.compared:,}")
    colour = "red" if result.mismatches else "green"
    table.add_row("mismatches", f"[{colour}]{result.mismatches:,}[/{colour}]")
    table.add_row("on a valid book", f"{result.valid_share:.2%} of {result.on_slots:,}")
    for name, share in found["coverage"]["by_bit"].items():
        if share:
            table.add_row(f"  {name}", f"{share:.2%}")
    for name, count in found["coverage"]["anomalies"].items():
        table.add_row(f"  anomaly {name}", f"{count:,}")
    for name, count in found["drops"].items():
        table.add_row(f"  drop {name}", f"{count:,}")
    table.add_row("triggers fired", ", ".join(f"{k} {v:,}" for k, v in sorted(result.fired.items())) or "0")
    table.add_row("orders sent", f"{result.orders:,}")
    table.add_row("rejects", ", ".join(f"{k} {v:,}" for k, v in found["rejects"].items() if v) or "0")
    table.add_row("compared, messages a second", f"{result.rate_msgs_s:,.0f}")
    table.add_row("packing and device, messages a second", f"{result.device_msgs_s:,.0f}")
    console.print(table)
    latency = Table(title="latency in core cycles of the simulation")
    for column in ("stage/class", "count", "min", "median", "p99", "max"):
        latency.add_column(column, justify="left" if column == "stage/class" else "right")
    for row, f in result.latency_cycles.items():
        latency.add_row(row, *(f"{f[k]:,}" for k in ("count", "min", "median", "p99", "max")))
    console.print(latency)
    for note in result.notes:
        console.print(f"note: {note}", highlight=False)
    for line in result.below_floor:
        console.print(f"[red]below the floor: {line}[/red]", highlight=False)
    if result.first_mismatch:
        console.print(f"[red]first difference: {result.first_mismatch}[/red]", highlight=False)
    if result.reproducer:
        console.print(f"shown again by: {result.reproducer}", highlight=False)
