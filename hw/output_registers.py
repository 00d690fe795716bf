"""Registers right behind a block RAM of ECP5 become that block RAM's own, which Yosys leaves beside it.

A DP16KD has a register behind each read port (`REGMODE_x`), with a clock enable of its own (`OCEx`). A pass over Yosys'
netlist moves flip-flops there, port by port: a word that cannot be moved whole stays as it is.

References: Lattice FPGA-TN-02204, memory usage guide; the pins and parameters are those of Yosys' `brams_map_16kd.v`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tickgate.hw.flip_flops import (
    FLIP_FLOP,
    Bit,
    Cell,
    Control,
    Moved,
    connected,
    control_of,
    loads_of,
    number,
    parameters_of,
)

RAM = "DP16KD"
_WORD = 18


@dataclass(frozen=True)
class _Port:
    """A read port: its letters, which are two where both halves are one word, and the letter of what controls it."""

    halves: str
    control: str


def move(module: Mapping[str, Any]) -> Moved:
    """Moves the registers of one module of Yosys' netlist, in place."""
    cells: dict[str, Cell] = module["cells"]
    rams = [cell for cell in cells.values() if cell["type"] == RAM]
    if not rams:
        return Moved(0, 0)
    loads = loads_of(module)
    behind = {
        bit: name for name, cell in cells.items() if cell["type"] == FLIP_FLOP for bit in cell["connections"]["DI"]
    }
    moved, gone = Moved(0, 0), dict[Bit, str]()
    for ram in rams:
        for port in _ports(ram):
            pins = [f"DO{half}{n}" for half in port.halves for n in range(_WORD)]
            outputs = {pin: connected(ram, pin) for pin in pins}
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


def _ports(ram: Cell) -> tuple[_Port, ...]:
    """The ports that words are read at; none where one word is of another width than the other one."""
    wide = [number(ram["parameters"].get(f"DATA_WIDTH_{half}", "")) == 36 for half in "AB"]
    if all(wide):
        return (_Port("AB", "B"),)
    return () if any(wide) else (_Port("A", "A"), _Port("B", "B"))


def _control(registers: Iterable[Cell | None]) -> Control | None:
    """What controls all of these, None where that is not one thing, or one is no mere register that starts at 0."""
    found = {None if cell is None else control_of(cell) for cell in registers}
    return found.pop() if len(found) == 1 else None


def _suits(ram: Cell, port: _Port, control: Control) -> bool:
    """Whether the block RAM's own register would do the same as one with this control."""
    parameters, half = parameters_of(ram), port.control
    if port.halves == "AB" and control.enable != "1":
        # One enable is enough by the vendor's models, but both get it: the clocks have to be one.
        one = (connected(ram, "CLKA"), parameters.get("CLKAMUX", "CLKA") == "INV")
        if one != (control.clock, control.falling):
            return False
    return (
        connected(ram, f"CLK{half}") == control.clock
        and parameters.get(f"CLK{half}MUX", f"CLK{half}") == ("INV" if control.falling else f"CLK{half}")
        and parameters.get("GSR", "DISABLED") == control.gsr
        and all(parameters.get(f"REGMODE_{h}", "NOREG") == "NOREG" for h in port.halves)
        # A reset would take the register's word with that of the memory.
        and all(connected(ram, f"RST{h}") in ("0", "") for h in port.halves)
        and not any(f"{pin}{h}MUX" in parameters for pin in ("RST", "OCE") for h in port.halves)
    )
