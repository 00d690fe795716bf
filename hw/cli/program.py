"""`tickgate program`: loads a bitstream into a board with a program that the system has."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from tickgate.hw import program
from tickgate.hw.boards import board_named
from tickgate.hw.cli.bitstream import FOLDER

help = "load a bitstream into a board: openFPGALoader, ecpprog, iceprog or dfu-util"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("board", metavar="BOARD", help="name of a board: `tickgate boards` lists them")
    parser.add_argument("file", metavar="FILE", nargs="?", type=Path,
                        help="the bitstream (default: what `tickgate bitstream BOARD` left)")  # fmt: skip
    parser.add_argument("--tool", choices=sorted(program.PACKAGES), help="this program, not the first one on PATH")
    parser.add_argument("--dry-run", action="store_true", help="print the command, do not run it")


def run(args: argparse.Namespace) -> int:
    """Loads the file; 0, or an error of the user."""
    board = board_named(args.board)
    program.ways(board)
    file = args.file or program.newest(board, FOLDER / board.name)
    build = program.check_file(board, file)
    way = program.choose(board, args.tool)
    print(shlex.join(way.command(file)))
    if args.dry_run:
        return 0
    sys.stdout.flush()
    program.program(way, file)
    if board.top == "board":
        known = f" --build {build}" if build else ""
        print(f"loaded; then: tickgate device status --via xdp:IF{known}")
    return 0
