"""Registers of a multiplier's factors become the multiplier's own, which Yosys leaves beside it.

A MULT18X18D of ECP5 has a register in front of each factor (`REG_INPUTx_CLK`), with clock enables of its own (`CEx`).
A pass over Yosys' netlist gives them what goes into the flip-flops of both factors. A flip-flop that others read stays
for them as well.

The register behind the product is left alone: Trellis knows no clock enable of it, and its reset for two of four sites.

References: Lattice FPGA-TN-02205, sysDSP usage guide; the pins and parameters are those of Yosys' `cells_bb.v`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickgate.hw.flip_flops import FLIP_FLOP, Bit, Cell, Control, Moved, connected, control_of, loads_of

MULTIPLIER = "MULT18X18D"
_FACTORS = {factor: [f"{factor}{n}" for n in range(18)] for factor in "AB"}
#: What has to be 0: signs have registers as well, and a factor of a neighbour comes from another register.
_ZERO = ("SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB")


def move(module: Mapping[str, Any]) -> Moved:
    """Moves the registers of one module of Yosys' netlist, in place."""
    cells: dict[str, Cell] = module["cells"]
    multipliers = [cell for cell in cells.values() if cell["type"] == MULTIPLIER]
    if not multipliers:
        return Moved(0, 0)
    registers = {connected(cell, "Q"): name for name, cell in cells.items() if cell["type"] == FLIP_FLOP}
    given, copied = 0, set[str]()
    for multiplier in multipliers:
        names = {
            pin: registers.get(bit, "")
            for pins in _FACTORS.values()
            for pin in pins
            if isinstance(bit := connected(multiplier, pin), int)
        }
        controls = _controls(multiplier, {pin: control_of(cells[name]) for pin, name in names.items() if name})
        if not all(names.values()) or controls is None:
            continue
        _give(multiplier, controls)
        for pin, name in names.items():
            multiplier["connections"][pin] = cells[name]["connections"]["DI"]
        given += 1
        copied |= set(names.values())
    loads = loads_of(module)
    unread = {name: bit for name in copied if not loads[bit := connected(cells[name], "Q")]}
    for name in unread:
        del cells[name]
    gone = dict.fromkeys(unread.values(), "x")
    # Nothing drives the nets between register and multiplier any more.
    for net in module["netnames"].values():
        net["bits"] = [gone.get(bit, bit) for bit in net["bits"]]
    return Moved(len(unread), 0, given)


def _controls(multiplier: Cell, found: Mapping[str, Control | None]) -> dict[str, Control] | None:
    """What is to control the registers of each factor, None where they would not do the same as the flip-flops.

    Parameters
    ----------
    found: what controls the flip-flop at each pin that has one.
    """
    each = {factor: {found[pin] for pin in pins if pin in found} for factor, pins in _FACTORS.items()}
    constants = {f: {bit for pin in _FACTORS[f] if isinstance(bit := connected(multiplier, pin), str)} for f in "AB"}
    # A constant factor comes with the other one.
    each = {factor: own or each["BA"["AB".index(factor)]] for factor, own in each.items()}
    controls = {factor: next(iter(own)) for factor, own in each.items() if len(own) == 1}
    a, b = controls.get("A"), controls.get("B")
    if a is None or b is None:
        return None
    # The registers start at 0. A constant does not: no difference as long as the other factor is 0 in its place.
    ones = [factor for factor, bits in constants.items() if "1" in bits]
    suits = (
        constants["A"] | constants["B"] <= {"0", "1"}
        and (not ones or (len(ones) == 1 and a == b))
        and (a.clock, a.gsr) == (b.clock, b.gsr)
        and not (a.falling or b.falling)
        and a.gsr in ("DISABLED", "ENABLED")
        and not multiplier["parameters"]
        and all(connected(multiplier, pin) in ("0", "") for pin in _ZERO)
        and not any(f"{pin}{n}" in multiplier["connections"] for pin in ("CLK", "CE", "RST") for n in range(4))
    )
    return {"A": a, "B": b} if suits else None


def _give(multiplier: Cell, controls: Mapping[str, Control]) -> None:
    """Turns the registers of both factors on. Multipliers side by side share four enables: none is named twice."""
    enables = list(dict.fromkeys(control.enable for control in controls.values()))
    pins: dict[str, Bit] = {"CLK0": controls["A"].clock, "RST0": "0"}
    pins |= {f"CE{n}": enable for n, enable in enumerate(enables)}
    for pin, bit in pins.items():
        multiplier["connections"][pin] = [bit]
        multiplier["port_directions"][pin] = "input"
    multiplier["parameters"]["GSR"] = controls["A"].gsr
    for factor, control in controls.items():
        register = f"REG_INPUT{factor}"
        multiplier["parameters"] |= {
            f"{register}_CLK": "CLK0",
            f"{register}_CE": f"CE{enables.index(control.enable)}",
            f"{register}_RST": "RST0",
        }
