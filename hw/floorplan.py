"""Sites for the block RAMs of the book, between Yosys and nextpnr.

The book reads its widest memories whole in one cycle, and all that it reads meets in one comparison: a thousand wires,
as long as the memories are far apart. nextpnr puts them over the whole width of a device, and its annealing moves one
at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tickgate.hw.parts import Part

#: Memories that get sites side by side, by what their names begin with, in the order in which they stand.
MEMORIES = ("device.book.table.way", "device.book.levels.shares")


def sites(part: Part, rams: Iterable[str]) -> dict[str, str]:
    """The site (nextpnr's name) of each of these block RAMs that gets one; none where the part has no sites or too few.

    What belongs to one memory of a family (`way0`, `way1`, ...) stands in one row, and these memories go to the rows in
    turn; a memory that is the only one of its name is dealt out over the rows.

    Parameters
    ----------
    rams: names of the block RAMs, as Yosys calls them: the memory's, and two numbers within.
    """
    rows: list[list[str]] = [[] for _ in part.block_ram_rows]
    if not rows:
        return {}
    for begins in MEMORIES:
        memories = defaultdict(list)
        for ram in rams:
            memory, *numbers = ram.rsplit(".", 2)
            if ram.startswith(begins):
                memories[int(memory.removeprefix(begins) or 0)].append(([int(number) for number in numbers], ram))
        for turn, (_, found) in enumerate(sorted(memories.items())):
            for at, (_, ram) in enumerate(sorted(found)):
                rows[(turn if len(memories) > 1 else at) % len(rows)].append(ram)
    columns = part.block_ram_columns
    if max(map(len, rows)) > len(columns):
        return {}
    start = (len(columns) - max(map(len, rows))) // 2
    return {
        ram: f"X{columns[start + at]}/Y{y}/EBR{(start + at) % 4}"
        for y, row in zip(part.block_ram_rows, rows, strict=True)
        for at, ram in enumerate(row)
    }


def place(part: Part, module: Mapping[str, Any]) -> int:
    """Gives block RAMs of a module of Yosys' netlist their sites, in place; returns how many have one."""
    cells = module["cells"]
    found = sites(part, [name for name, cell in cells.items() if cell["type"] == "DP16KD"])
    for name, site in found.items():
        cells[name]["attributes"]["BEL"] = site
    return len(found)
