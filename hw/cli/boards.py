"""`tickgate boards`: the boards that there are designs for."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from tickgate.hw.boards import BOARDS, Board, board_named

help = "list the boards: what is built for each, and how it is loaded"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("board", nargs="?", help="tell everything of this board")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the table, or one board."""
    chosen = [board_named(args.board)] if args.board else list(BOARDS.values())
    if args.json:
        print(json.dumps({"boards": [as_json(board) for board in chosen]}))
    elif args.board:
        _one(chosen[0])
    else:
        _all(chosen)
    return 0


def as_json(board: Board) -> dict[str, Any]:
    """A board as JSON can hold it."""
    part = {key: value for key, value in dataclasses.asdict(board.part).items() if key != "nextpnr"}
    return {
        "name": board.name,
        "title": board.title,
        "part": part,
        "toolchain": board.toolchain,
        "top": board.top,
        "clocks_hz": board.clocks,
        "sizes": dataclasses.asdict(board.sizes),
        "ports": [
            {
                "mode": port.mode,
                "phy": port.phy.name if port.phy else None,
                "roles": [role for role, number in board.roles.items() if number == index],
            }
            for index, port in enumerate(board.ports)
        ],
        "leds": [
            {"resource": led.resource, "number": led.number, "part": led.part, "meaning": led.meaning.name.lower()}
            for led in board.leds
        ],
        "sampled_telemetry": board.sampled_telemetry,
        "uart_baud": board.uart_baud,
        "programmer": board.programmer.tool if board.programmer else None,
        "status": board.status,
        "on_silicon": board.on_silicon,
        "notes": list(board.notes),
    }


def _sizes(board: Board) -> str:
    sizes = board.sizes
    return f"{sizes.slots}/{sizes.orders}/{sizes.levels}"


def _network(board: Board) -> str:
    if not board.ports:
        return "none"
    return f"{len(board.ports)} x {board.ports[0].mode}"


def _all(boards: list[Board]) -> None:
    table = Table(title="Boards, none of them tried on silicon")
    for column in ("board", "Ethernet", "core MHz", "slots/ orders/ levels", "state"):
        table.add_column(column, no_wrap=column != "slots/ orders/ levels")
    for board in boards:
        core_mhz = f"{board.core_hz / 1e6:g}"
        table.add_row(board.name, _network(board), core_mhz, _sizes(board), board.status)
    Console().print(table)


def _one(board: Board) -> None:
    rows: list[tuple[str, str]] = [
        ("board", f"{board.name}: {board.title}"),
        ("part", f"{board.part.name}, {board.toolchain}"),
        ("clocks", ", ".join(f"{name} {hz / 1e6:g} MHz" for name, hz in board.clocks.items())),
        ("slots, orders, levels", _sizes(board)),
    ]
    if board.top == "board":
        sampled = "intents, verdicts, orders; of other stages what the mask selects"
        rows.append(("telemetry", sampled if board.sampled_telemetry else "intents, verdicts, orders"))
    for index, port in enumerate(board.ports):
        roles = ", ".join(role for role, number in board.roles.items() if number == index)
        phy = f"{port.phy.name} ({port.phy.delays})" if port.phy else "the vendor's transceiver"
        rows.append((f"port {index}", f"{roles}: {port.mode}, {phy}"))
    for led in board.leds:
        name = f"light {led.resource} {led.number}" + (f" {led.part}" if led.part else "")
        rows.append((name, led.meaning.value))
    rows.append(("console", f"UART, {board.uart_baud} baud, 8N1" if board.uart_baud else "none"))
    if board.programmer:
        rows.append(("loaded with", " ".join((board.programmer.tool, *board.programmer.arguments))))
    rows.append(("state", f"{board.status}; not tried on silicon"))
    rows += [("note", note) for note in board.notes]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
