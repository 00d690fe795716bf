"""Which wire of an ECP5 a pin of a cell is, by the names that Trellis gives to wires.

A slice has two LUTs (K0, K1) and two flip-flops (FF0, FF1); wires of a tile count its four slices through.
"""

from __future__ import annotations

import re

_IN_SLICE = re.compile(r"SLICE([A-D])\.(?:(K|FF)([01])|RAMW)")
_HARD = re.compile(r"(EBR|MULT18)_?\d+")
#: Pins by site, and their wires: n counts LUTs and flip-flops in the tile, which in the slice, two counts slices.
_LUT = {
    **{pin: pin + "{n}" for pin in ("A", "B", "C", "D", "M", "F")},
    "F1": "F{next}",
    "WRE": "WRE{two}",
    "WCK": "WCK{two}",
    "WD": "WD{which}{letter}",
    **{f"WAD{k}": f"WAD{k}{{letter}}" for k in range(4)},
}
_EVEN = {"OFX": "F5{letter}", "FCI": "FCI{letter}", "FCO": "FCI{letter}1"}
_ODD = {"OFX": "FX{letter}", "FXA": "FXA{letter}", "FXB": "FXB{letter}", "FCI": "FCI{letter}1", "FCO": "FCO{letter}"}
#: The first slice of a tile takes its carry from the tile before, the last one gives it to the next.
_BETWEEN_TILES = (("A", 0, "FCI"), ("D", 1, "FCO"))
_FLOP = {pin: pin + "{n}" for pin in ("DI", "M", "Q")} | {pin: pin + "{two}" for pin in ("CLK", "LSR", "CE")}
_WRITE_PORT = {f"{pin}{k}": f"{pin}{4 + k}" for pin in "ABCD" for k in range(2)} | {
    f"{pin}{k}": f"{pin}{k}{{letter}}" for pin in ("WDO", "WADO") for k in range(4)
}


def wire_of_pin(site: str, port: str) -> str:
    """The wire, in the same tile, of a port of the cell at a place as nextpnr names it: `SLICEB.K1`, `EBR3`.

    Raises
    ------
    KeyError: nothing like this stands there.
    """
    if hard := _HARD.fullmatch(site):
        return f"J{port}_{hard[1]}"
    inside = _IN_SLICE.fullmatch(site)
    if inside is None:
        raise KeyError(site)
    letter, kind, which = inside[1], inside[2], int(inside[3] or 0)
    if kind == "K":
        names = _LUT | (_ODD if which else _EVEN)
    else:
        names = _FLOP if kind else _WRITE_PORT
    if (letter, which, port) in _BETWEEN_TILES:
        return f"{port}_SLICE"
    n, two = 2 * "ABCD".index(letter) + which, "ABCD".index(letter)
    return names[port].format(n=n, next=n + 1, two=two, which=which, letter=letter) + "_SLICE"
