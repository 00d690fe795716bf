"""Flip-flops in Yosys' netlist that become registers of another cell: what controls them, and who reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FLIP_FLOP = "TRELLIS_FF"
#: Attributes that say where or what a flip-flop is to be.
_PINNED = ("keep", "BEL", "LOC", "syn_useioff", "ioff_dir")

#: A bit of Yosys' netlist: the number of a net, or a constant.
Bit = int | str
Cell = dict[str, Any]


@dataclass(frozen=True)
class Moved:
    """What was moved.

    Members
    -------
    flip_flops: that are gone. ports: read ports of block RAMs that have registers in their place. multipliers: those
        that have registers of their operands.
    """

    flip_flops: int
    ports: int
    multipliers: int = 0

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.flip_flops + other.flip_flops, self.ports + other.ports, self.multipliers + other.multipliers)

    def __str__(self) -> str:
        places = [f"{self.ports:,} read ports of block RAMs"] * bool(self.ports or not self.multipliers)
        places += [f"{self.multipliers:,} multipliers"] * bool(self.multipliers)
        return f"{self.flip_flops:,} flip-flops moved into {' and '.join(places)}"


@dataclass(frozen=True)
class Control:
    """What registers share: clock with its edge, enable (a net or constant 1), and the global reset."""

    clock: Bit
    falling: bool
    enable: Bit
    gsr: str


def control_of(cell: Cell) -> Control | None:
    """What controls this flip-flop, None where it is no mere register that starts at 0."""
    parameters = parameters_of(cell)
    clock, edge = connected(cell, "CLK"), parameters.get("CLKMUX")
    reset, active = connected(cell, "LSR"), parameters.get("LSRMUX")
    enable = (
        "1" if parameters.get("CEMUX") == "1" else connected(cell, "CE") if parameters.get("CEMUX") == "CE" else "x"
    )
    if (
        not isinstance(clock, int)
        or edge not in ("CLK", "INV")
        or (active, reset) not in (("LSR", "0"), ("LSR", ""), ("INV", "1"))
        or not (isinstance(enable, int) or enable == "1")
        or parameters.get("REGSET") != "RESET"  # other cells' registers start at 0
        or parameters.get("LSRMODE", "LSR") != "LSR"
        or isinstance(connected(cell, "M"), int)
        or any(cell["attributes"].get(name) for name in _PINNED)
    ):
        return None
    return Control(clock, edge == "INV", enable, parameters.get("GSR", "ENABLED"))


def loads_of(module: Mapping[str, Any]) -> Counter[Bit]:
    """How many pins take each net, those of the module among them."""
    found: Counter[Bit] = Counter()
    for port in module["ports"].values():
        if port["direction"] != "input":
            found.update(port["bits"])
    for cell in module["cells"].values():
        directions = cell["port_directions"]
        for pin, bits in cell["connections"].items():
            if directions.get(pin) != "output":
                found.update(bits)
    return found


def number(value: str | int) -> int:
    """A number as parameters have it, 0 where it is none."""
    return value if isinstance(value, int) else int(value, 2) if set(value) and set(value) <= set("01") else 0


def parameters_of(cell: Cell) -> dict[str, str]:
    """The parameters. Yosys puts a blank behind a word of digits, as a number is one as well."""
    return {name: str(value).rstrip() for name, value in cell["parameters"].items()}


def connected(cell: Cell, name: str) -> Bit:
    """What is connected to a pin of one bit, empty where nothing is."""
    bits = cell["connections"].get(name, [])
    return bits[0] if bits else ""
