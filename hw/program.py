"""Loads a bitstream into a board with the program that can: openFPGALoader, ecpprog, iceprog or dfu-util.

The programs come from the system, not from PyPI, and are found on PATH. No bitstream of this project was loaded into a
device so far: the commands are those of the boards' own guides.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tickgate.hw.boards import BOARDS, Board
from tickgate.sw.spec.errors import UserError

#: Where a program comes from: its Debian package, or what else to say.
PACKAGES = {
    "openFPGALoader": "the Debian package openfpgaloader",
    "dfu-util": "the Debian package dfu-util",
    "iceprog": "the Debian package fpga-icestorm",
    "ecpprog": "no package in Debian 12: https://github.com/gregdavill/ecpprog",
}
_STEM = re.compile(r"(?P<board>\w+)-(?P<build>[0-9a-f]{16})(?P<slow>-SLOW.*)?$")


@dataclass(frozen=True)
class Way:
    """A program that can load a board, and its arguments; `{file}` stands for the file."""

    tool: str
    arguments: tuple[str, ...]

    def command(self, file: Path) -> list[str]:
        """The whole command line."""
        return [self.tool, *(argument.replace("{file}", str(file)) for argument in self.arguments)]


#: What else can load a board: by toolchain and by how its own command begins. Both speak to an FTDI chip on the board.
_INSTEAD = {
    ("trellis", ("openFPGALoader", "-b")): Way("ecpprog", ("-S", "{file}")),
    ("icestorm", ("iceprog", "{file}")): Way("openFPGALoader", ("-b", "ice40_generic", "{file}")),
}


def ways(board: Board) -> tuple[Way, ...]:
    """The programs that can load a board, the first choice first.

    Raises
    ------
    UserError: none can; the vendor's tool loads it.
    """
    if board.programmer is None:
        raise UserError(f"{board.name} is loaded by the tool that builds it ({board.toolchain}), not by this command")
    own = Way(board.programmer.tool, board.programmer.arguments)
    other = _INSTEAD.get((board.toolchain, (own.tool, own.arguments[0])))
    return (own, other) if other else (own,)


def choose(board: Board, tool: str | None = None) -> Way:
    """The program to use: the first one that is there, or `tool`.

    Raises
    ------
    UserError: none is there; what each is called and where it comes from.
    """
    able = ways(board)
    if tool is not None:
        able = tuple(way for way in able if way.tool == tool)
        if not able:
            names = " and ".join(way.tool for way in ways(board))
            raise UserError(f"{board.name} is loaded with {names}, not with {tool}")
    for way in able:
        if shutil.which(way.tool):
            return way
    names = " or ".join(way.tool for way in able)
    where = "\n".join(f"{way.tool}: {PACKAGES[way.tool]}" for way in able)
    raise UserError(f"programming {board.name} needs {names}, which is not on PATH\n{where}")


def check_file(board: Board, file: Path) -> str | None:
    """Whether a file can be meant for a board; its build id, where its name tells one.

    Raises
    ------
    UserError: no such file, of another kind, or of another board.
    """
    if not file.is_file():
        raise UserError(f"no such file: {file}\nbuild one with: make bitstream BOARD={board.name}")
    ending = board.programmer.file if board.programmer else ""
    if file.suffix != f".{ending}":
        raise UserError(f"{board.name} takes a .{ending} file, not {file.name}")
    named = _STEM.match(file.stem)
    if named is None:
        return None
    if named["board"] != board.name and named["board"] in BOARDS:
        raise UserError(f"{file.name} is for {named['board']}, not for {board.name}")
    return named["build"]


def newest(board: Board, folder: Path) -> Path:
    """The bitstream that a build left in `folder`.

    Raises
    ------
    UserError: there is none.
    """
    ending = board.programmer.file if board.programmer else ""
    found = sorted(folder.glob(f"{board.name}-*.{ending}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"no bitstream of {board.name} in {folder}\nbuild one with: make bitstream BOARD={board.name}")
    return found[-1]


def program(way: Way, file: Path) -> None:
    """Loads the file; what the program prints goes to the terminal.

    Raises
    ------
    UserError: the program did not succeed.
    """
    status = subprocess.run(way.command(file), check=False).returncode
    if status:
        raise UserError(
            f"{way.tool} ended with status {status}: see what it printed above\n"
            "is the board powered and its cable in, and may this user open it (udev rules, or sudo)?"
        )
