"""Registers right behind a block RAM of ECP5 become that block RAM's own, which Yosys leaves beside it.

A DP16KD has a register behind each read port (`REGMODE_x`), with a clock enable of its own (`OCEx`). A pass over Yosys'
netlist moves flip-flops there, port by port: a word that cannot be moved whole stays as it is.

References: Lattice FPGA-TN-02204, memory usage guide; the pins and parameters are those of Yosys' `brams_map_16kd.v`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickgate.hw.hierarchy import NO_CELLS

RAM, FLIP_FLOP = "DP16KD", "TRELLIS_FF"
#: Attributes that say where or what a flip-flop is to be.
_PINNED = ("keep", "BEL", "LOC", "syn_useioff", "ioff_dir")
_WORD = 18

#: A bit of Yosys' netlist: the number of a net, or a constant.
Bit = int | str
Cell = dict[str, Any]


@dataclass(frozen=True)
class Moved:
    """What was moved.

    Members
    -------
    flip_flops: that are gone. ports: read ports of block RAMs that have registers in their place.
    """

    flip_flops: int
    ports: int

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.flip_flops + other.flip_flops, self.ports + other.ports)

    def __str__(self) -> str:
        return f"{self.flip_flops:,} flip-flops moved into {self.ports:,} read ports of block RAMs"


@dataclass(frozen=True)
class _Control:
    """What all registers of a port share: clock with its edge, enable (a net or constant 1), and the global reset."""

    clock: Bit
    falling: bool
    enable: Bit
    gsr: str


@dataclass(frozen=True)
class _Port:
    """A read port: its letters, which are two where both halves are one word, and the letter of what controls it."""

    halves: str
    control: str


def move_in_files(netlist: Path, statistics: Path) -> Moved:
    """Moves registers in Yosys' netlist (`write_json`), and writes the statistics anew, in the form of `stat -json`."""
    design = json.loads(netlist.read_text())
    moved = Moved(0, 0)
    for module in design["modules"].values():
        moved += move(module)
    netlist.write_text(json.dumps(design, separators=(",", ":")))
    statistics.write_text(json.dumps(count(design)))
    return moved


def move(module: Mapping[str, Any]) -> Moved:
    """Moves the registers of one module of Yosys' netlist, in place."""
    cells: dict[str, Cell] = module["cells"]
    rams = [cell for cell in cells.values() if cell["type"] == RAM]
    if not rams:
        return Moved(0, 0)
    loads = _loads(module)
    behind = {
        bit: name for name, cell in cells.items() if cell["type"] == FLIP_FLOP for bit in cell["connections"]["DI"]
    }
    moved, gone = Moved(0, 0), dict[Bit, str]()
    for ram in rams:
        for port in _ports(ram):
            pins = [f"DO{half}{n}" for half in port.halves for n in range(_WORD)]
            outputs = {pin: _pin(ram, pin) for pin in pins}
            word = {pin: bit for pin, bit in outputs.items() if isinstance(bit, int) and loads[bit]}
            names = {bit: behind.get(bit, "") for bit in word.values()}
            control = _control(cells[name] if name else None for name in names.values())
            if control is None or max(loads[bit] for bit in names) > 1 or len(names) < len(word):
                continue
            if not _suits(ram, port, control):
                continue
            for pin, bit in word.items():
                ram["connections"][pin] = cells[names[bit]]["connections"]["Q"]
            for half in port.halves:
                ram["parameters"][f"REGMODE_{half}"] = "OUTREG"
                ram["connections"][f"OCE{half}"] = [control.enable]
                ram["port_directions"][f"OCE{half}"] = "input"
            for name in names.values():
                del cells[name]
            gone |= dict.fromkeys(names, "x")
            moved += Moved(len(names), 1)
    # Nothing drives the nets between memory and register any more.
    for net in module["netnames"].values():
        net["bits"] = [gone.get(bit, bit) for bit in net["bits"]]
    return moved


def _loads(module: Mapping[str, Any]) -> Counter[Bit]:
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


def _ports(ram: Cell) -> tuple[_Port, ...]:
    """The ports that words are read at; none where one word is of another width than the other one."""
    wide = [_number(ram["parameters"].get(f"DATA_WIDTH_{half}", "")) == 36 for half in "AB"]
    if all(wide):
        return (_Port("AB", "B"),)
    return () if any(wide) else (_Port("A", "A"), _Port("B", "B"))


def _number(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 2) if set(value) and set(value) <= set("01") else 0


def _control(registers: Iterable[Cell | None]) -> _Control | None:
    """What controls all of these, None where that is not one thing, or one is no mere register that starts at 0."""
    found = {None if cell is None else _control_of(cell) for cell in registers}
    return found.pop() if len(found) == 1 else None


def _control_of(cell: Cell) -> _Control | None:
    parameters = _words(cell)
    clock, edge = _pin(cell, "CLK"), parameters.get("CLKMUX")
    reset, active = _pin(cell, "LSR"), parameters.get("LSRMUX")
    enable = "1" if parameters.get("CEMUX") == "1" else _pin(cell, "CE") if parameters.get("CEMUX") == "CE" else "x"
    if (
        not isinstance(clock, int)
        or edge not in ("CLK", "INV")
        or (active, reset) not in (("LSR", "0"), ("LSR", ""), ("INV", "1"))
        or not (isinstance(enable, int) or enable == "1")
        or parameters.get("REGSET") != "RESET"  # the register of a block RAM starts at 0
        or parameters.get("LSRMODE", "LSR") != "LSR"
        or isinstance(_pin(cell, "M"), int)
        or any(cell["attributes"].get(name) for name in _PINNED)
    ):
        return None
    return _Control(clock, edge == "INV", enable, parameters.get("GSR", "ENABLED"))


def _suits(ram: Cell, port: _Port, control: _Control) -> bool:
    """Whether the block RAM's own register would do the same as one with this control."""
    parameters, half = _words(ram), port.control
    if port.halves == "AB" and control.enable != "1":
        # One enable is enough by the vendor's models, but both get it: the clocks have to be one.
        one = (_pin(ram, "CLKA"), parameters.get("CLKAMUX", "CLKA") == "INV")
        if one != (control.clock, control.falling):
            return False
    return (
        _pin(ram, f"CLK{half}") == control.clock
        and parameters.get(f"CLK{half}MUX", f"CLK{half}") == ("INV" if control.falling else f"CLK{half}")
        and parameters.get("GSR", "DISABLED") == control.gsr
        and all(parameters.get(f"REGMODE_{h}", "NOREG") == "NOREG" for h in port.halves)
        # A reset would take the register's word with that of the memory.
        and all(_pin(ram, f"RST{h}") in ("0", "") for h in port.halves)
        and not any(f"{pin}{h}MUX" in parameters for pin in ("RST", "OCE") for h in port.halves)
    )


def _words(cell: Cell) -> dict[str, str]:
    """The parameters. Yosys puts a blank behind a word of digits, as a number is one as well."""
    return {name: str(value).rstrip() for name, value in cell["parameters"].items()}


def _pin(cell: Cell, name: str) -> Bit:
    """What is connected to a pin of one bit, empty where nothing is."""
    bits = cell["connections"].get(name, [])
    return bits[0] if bits else ""


def count(design: Mapping[str, Any]) -> dict[str, Any]:
    """Cells by type of each module, and of the whole design, as `stat -json` gives them."""
    modules = {name: module for name, module in design["modules"].items() if not _is(module, "blackbox")}
    own = {
        name: Counter(cell["type"] for cell in module["cells"].values() if cell["type"] not in NO_CELLS)
        for name, module in modules.items()
    }

    def inside(name: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for kind, number in own[name].items():
            for leaf, each in inside(kind).items() if kind in own else [(kind, 1)]:
                found[leaf] += number * each
        return found

    tops = [name for name, module in modules.items() if _is(module, "top")]
    whole = sum((inside(name) for name in tops), Counter[str]())
    return {
        "modules": {name: {"num_cells_by_type": dict(cells)} for name, cells in own.items()},
        "design": {"num_cells_by_type": dict(whole)},
    }


def _is(module: Mapping[str, Any], attribute: str) -> bool:
    return bool(_number(module["attributes"].get(attribute, 0)))
