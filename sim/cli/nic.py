"""`tickgate nic`: the Verilated device behind network interfaces."""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from tickgate.sim.cli.compare import Bars, print_result
from tickgate.sw.model.derive import DEFAULT_TOP, Selection
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import DEFAULT_SIZE, LADDER, sizes_named

help = "put the simulated device behind network interfaces"

DEMO_MESSAGES = 5_000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--size", default=DEFAULT_SIZE, choices=sorted(LADDER), help="size of the device")
    parser.add_argument("--config", type=Path, metavar="FILE", help="load this TOML configuration first")
    parser.add_argument(
        "--name", default="tickgate", help="name of the namespace for `ip netns exec` ('' for none; default tickgate)"
    )
    parser.add_argument(
        "--link", default="veth", choices=("veth", "tap"), help="what the interfaces are (default veth)"
    )
    parser.add_argument(
        "--backend", default="packet", help="driver of the device's ends of veth pairs (default packet)"
    )
    parser.add_argument(
        "--address", action="append", default=[], metavar="ROLE=IP/LENGTH",
        help="let the kernel answer ARP and ping at a role's port (repeatable)",
    )  # fmt: skip
    parser.add_argument("--mtu", type=int, default=1500, help="of the interfaces, in bytes")
    parser.add_argument(
        "--gap", type=int, metavar="N", help="idle cycles behind each frame (default: the least, of line rate)"
    )
    parser.add_argument(
        "--lock", metavar="SEGMENT", help="cycles pass only as a client of this shared memory grants them"
    )
    parser.add_argument("--demo", action="store_true", help="replay a session over the wire, compare, and end")
    parser.add_argument("--messages", type=int, default=DEMO_MESSAGES, metavar="N", help="of the demo's session")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the demo's session")
    parser.add_argument("--json", action="store_true", help="with --demo: print one JSON object, as compare does")


def run(args: argparse.Namespace) -> int:
    """Serves until it is told to end (0), or shows the demo (0 equal, 1 different)."""
    from tickgate.sim.device import MINIMUM_GAP_CYCLES

    args.gap = MINIMUM_GAP_CYCLES if args.gap is None else args.gap
    for name, low in (("mtu", 68), ("gap", MINIMUM_GAP_CYCLES), ("messages", 1)):
        if getattr(args, name) < low:
            raise UserError(f"--{name} takes {low} or more, not {getattr(args, name)}")
    return _demo(args) if args.demo else _serve(args)


def addresses_of(texts: list[str]) -> dict[str, str]:
    """The addresses by role.

    Raises
    ------
    UserError: no such role, or no address.
    """
    from ipaddress import IPv4Interface

    from tickgate.sim.nic.wires import ROLES

    found = {}
    for text in texts:
        role, _, address = text.partition("=")
        try:
            found[role] = str(IPv4Interface(address))
        except ValueError:
            role = ""
        if role not in ROLES:
            raise UserError(f"--address takes ROLE=IP/LENGTH (control=192.0.2.1/24), not {text!r}; "
                            f"the roles are {', '.join(ROLES)}")  # fmt: skip
    return found


def _serve(args: argparse.Namespace) -> int:
    from tickgate.sim.device import Device
    from tickgate.sim.nic.lock import LockServer
    from tickgate.sim.nic.nic import Nic
    from tickgate.sim.nic.wires import Wires
    from tickgate.sw.spec import config_toml

    sizes = sizes_named(args.size)
    addresses = addresses_of(args.address)
    config = config_toml.load(args.config, sizes) if args.config else None
    stopped = _until_told()
    with ExitStack() as stack:
        wires = stack.enter_context(
            Wires(name=args.name, link=args.link, backend=args.backend, addresses=addresses, mtu=args.mtu)
        )
        device = stack.enter_context(Device(sizes))
        if config is None:
            device.wait_clear()
        else:
            device.load(config)
        nic = Nic(device, wires.ports, gap=args.gap)
        nic.clear()
        loop = nic.run
        if args.lock:
            server = LockServer(nic, args.lock)
            stack.callback(server.close)
            loop = server.run
        enter = f"ip netns exec {args.name}" if args.name else f"nsenter --net={wires.user.path}"
        pace = f"locked to the shared memory {args.lock}" if args.lock else "free-running"
        print(f"interfaces: {' '.join(wires.ports)}; {pace}; until Ctrl-C", flush=True)
        print(f"{enter} tcpdump -i orders", flush=True)
        print(f"{enter} tickgate device status --via packet:control", flush=True)
        loop(stopped)
        done = nic.statistics
        print(f"frames in {done.into}, out {done.out}, lost {done.lost}")
    return 0


def _until_told() -> Callable[[], bool]:
    """Whether a signal asked to end."""
    told: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: told.append(number))
    return lambda: bool(told)


def _demo(args: argparse.Namespace) -> int:
    from tickgate.sim.compare.run import CompareOptions, compare
    from tickgate.sw.files.binaryfile import open_writer
    from tickgate.sw.generate import SessionOptions, blocks

    sizes = sizes_named(args.size)
    bars = Bars()
    with tempfile.TemporaryDirectory() as folder, bars.progress:
        path = Path(folder) / "session.itch"
        with open_writer(path) as writer:
            for block in blocks(SessionOptions(seed=args.seed, symbols=sizes.slots, messages=args.messages)):
                writer.write_block(block)
        through = f"tap-{args.backend}" if args.link == "tap" else args.backend
        options = CompareOptions(
            path,
            sizes,
            Selection(top=min(DEFAULT_TOP, sizes.slots)),
            via=f"nic:{through}",
            gap=args.gap,
        )
        result, _ = compare(options, bars)
    if args.json:
        print(json.dumps(result.as_json()))
    else:
        print_result(result, Console())
    return 0 if result.equal else 1
