"""`tickgate device`: a device over any transport: what it is, its registers, limits, kill switch and telemetry."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tickgate.sw.host.device import Change, Device
from tickgate.sw.host.transport import Transport, describe, open_transport
from tickgate.sw.spec import config_toml
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.version import release_text

help = "talk to a device: status, registers, counters, limits, kill switch, telemetry"

_EPILOG = """transports (--via NAME or NAME:ARGUMENT):
{transports}

A device is refused when its register map, or with --build its design, is not the one that this host expects."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG.format(transports="\n".join(f"  {line}" for line in describe().splitlines()))
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(under: Any, name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = under.add_parser(name, help=text, description=text)
        sub.add_argument("--via", required=True, metavar="TRANSPORT", help="how to reach the device: `device --help`")
        sub.add_argument("--build", metavar="HEX", help="refuse any device of another build id")
        sub.add_argument("--timeout", type=float, default=0.5, metavar="S", help="wait for an answer (default: 0.5 s)")
        sub.add_argument("--json", action="store_true", help="one JSON object")
        sub.set_defaults(do=run)
        return sub

    action(actions, "status", _status, "who the device is, and whether it may send orders")
    action(actions, "regs", _regs, "every register that is no row and no counter")
    action(actions, "counters", _counters, "every counter that is not 0").add_argument(
        "--all", action="store_true", help="those that are 0 as well"
    )
    limits = actions.add_parser("limits", help="symbols, windows, triggers and limits: show, diff, apply")
    ways = limits.add_subparsers(dest="way", metavar="WAY", required=True)
    action(ways, "show", _limits_show, "the configuration in force, as the TOML text that `apply` takes")
    for name, run, text in (
        ("diff", _limits_diff, "what `apply` would change; exit status 1 where it would change something"),
        ("apply", _limits_apply, "make a configuration the one in force: all of it or nothing"),
    ):
        sub = action(ways, name, run, text)
        sub.add_argument("file", metavar="FILE", help="configuration in TOML, as of `tickgate compare --config`")
        sub.add_argument("--all", action="store_true", help="feed, order session and peer too: begins a new session")
    action(actions, "arm", _arm, "clear the kill switch")
    action(actions, "kill", _kill, "throw the kill switch")
    telemetry = action(actions, "telemetry", _telemetry, "rates, latencies and rejects as they come; record them")
    telemetry.add_argument("--seconds", type=float, metavar="S", help="stop after this time (default: at Ctrl-C)")
    telemetry.add_argument("--record", type=Path, metavar="DIR", help="records into Parquet files, one a stage")
    telemetry.add_argument("--mask", type=_number, metavar="BITS", help="records sent beside orders; bit a stage")
    telemetry.add_argument("--every", type=_number, metavar="N", help="one in N of those")


def run(args: argparse.Namespace) -> int:
    """Do the work; return the exit status."""
    if args.timeout <= 0:
        raise UserError(f"--timeout takes seconds above 0, not {args.timeout:g}")
    build = None
    if args.build is not None:
        try:
            build = int(args.build, 16)
        except ValueError:
            raise UserError(f"--build takes a hexadecimal build id, not {args.build!r}") from None
    with open_transport(args.via) as transport:
        device = Device(transport, expected_build=build, timeout_s=args.timeout)
        status: int = args.do(args, device, transport)
    return status


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a number, not {text!r}") from None


def _print(args: argparse.Namespace, values: dict[str, Any], lines: list[str]) -> None:
    print(json.dumps(values) if args.json else "\n".join(lines))


def _status(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    who, bits = device.identity, device.status()
    now = device.read("now")["now"]
    values = {
        "via": transport.name,
        "map_hash": f"{who.map_hash:#010x}",
        "map_version": who.map_version,
        "build_id": f"{who.build_id:#018x}",
        "release": release_text(who.release),
        "core_clock_khz": who.core_clock_khz,
        "sizes": {name: getattr(device.sizes, name) for name in ("slots", "orders", "levels", "stash")},
        "now_cycles": now,
        **bits,
    }
    build = values["build_id"] if who.build_id else "none, a simulation"
    state = "armed: orders may leave" if bits["armed"] else "killed: no order leaves"
    others = [name.replace("_", " ") for name, on in bits.items() if on and name != "armed"]
    lines = [
        f"device    release {values['release']}, build {build}, map {values['map_hash']} version {who.map_version}",
        f"sizes     {device.sizes.slots} slots, {device.sizes.orders:,} orders, {device.sizes.levels:,} levels a side",
        f"clock     {who.core_clock_khz / 1000:g} MHz, cycle {now:,}",
        f"state     {', '.join([state, *others])}",
    ]
    _print(args, values, lines)
    return 0


def _regs(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    found = device.registers()
    _print(args, found, [f"{name:<24}{value:>22,}  {value:#x}" for name, value in found.items()])
    return 0


def _counters(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    found = {name: value for name, value in device.counters().items() if value or args.all or args.json}
    _print(args, found, [f"{name:<32}{value:>14,}" for name, value in found.items()] or ["all counters are 0"])
    return 0


def _limits_show(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    text = config_toml.dumps(device.config())
    _print(args, {"toml": text}, [text.rstrip("\n")])
    return 0


def _limits_diff(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    changes = device.plan(config_toml.load(args.file, device.sizes), everything=args.all)
    _print(args, {"changes": [_as_json(c) for c in changes]}, _lines(changes) or ["nothing would change"])
    return int(bool(changes))


def _limits_apply(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    config = config_toml.load(args.file, device.sizes)
    changes = device.apply(config, everything=args.all)
    done = f"{len(changes)} rows changed and read back" if changes else "nothing to change"
    _print(args, {"changes": [_as_json(c) for c in changes]}, [*_lines(changes), done])
    return 0


def _lines(changes: list[Change]) -> list[str]:
    return [
        f"{change.at.label}: {name} {before:,} -> {after:,}"
        for change in changes
        for name, (before, after) in change.fields.items()
    ]


def _as_json(change: Change) -> dict[str, Any]:
    return {
        "row": change.at.short,
        "slot": change.at.slot,
        "side": change.at.side,
        "fields": {name: {"before": before, "after": after} for name, (before, after) in change.fields.items()},
    }


def _arm(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    device.arm()
    _print(args, {"armed": True}, ["armed: orders may leave"])
    return 0


def _kill(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    device.kill()
    _print(args, {"armed": False}, ["killed: no order leaves"])
    return 0


def _telemetry(args: argparse.Namespace, device: Device, transport: Transport) -> int:
    from tickgate.sw.cli.device_view import live_view
    from tickgate.sw.host.telemetry import TelemetryMonitor, TelemetryRecorder

    if args.seconds is not None and args.seconds <= 0:
        raise UserError(f"--seconds takes a time above 0, not {args.seconds:g}")
    for name, value in (("telemetry_mask", args.mask), ("telemetry_every", args.every)):
        if value is not None:
            device.write(name, value)
    monitor = TelemetryMonitor()
    ns_per_cycle = device.identity.ns(1)
    ends = None if args.seconds is None else time.monotonic() + args.seconds
    with ExitStack() as stack:
        recorder = stack.enter_context(TelemetryRecorder(args.record)) if args.record else None
        update = stack.enter_context(live_view(monitor, ns_per_cycle, quiet=args.json))
        try:
            while ends is None or time.monotonic() < ends:
                device.client.poll(0.05)
                for frame in device.client.take_others():
                    records = monitor.frame(frame)
                    if recorder is not None:
                        recorder.add(records)
                update()
        except KeyboardInterrupt:
            if ends is not None:
                raise
    if args.json:
        print(json.dumps(monitor.summary(ns_per_cycle)))
    return 0
