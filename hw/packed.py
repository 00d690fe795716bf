"""A design for ECP5 that nextpnr has packed and placed (`--no-route --write`), as the annealing takes it, and back.

References: nextpnr's ecp5/arch_place.cc (what stands together), ecp5/globals.cc (global networks), json_frontend.cc.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tickgate.hw import _anneal
from tickgate.hw.flip_flops import FLIP_FLOP, Bit, Cell, connected, parameters_of
from tickgate.hw.reset_nets import BUFFER

LUT, RAM_WRITE_PORT, BLOCK_RAM = "TRELLIS_COMB", "TRELLIS_RAMW", "DP16KD"
_KINDS = {
    LUT: _anneal.LUT,
    FLIP_FLOP: _anneal.FLOP,
    RAM_WRITE_PORT: _anneal.RAM_WRITE_PORT,
    BLOCK_RAM: _anneal.BLOCK_RAM,
}
_MODES = {"LOGIC": 0, "CCU2": _anneal.CARRY, "DPRAM": _anneal.RAM, "RAMW_BLOCK": _anneal.RAM_WRITE}
#: A place as nextpnr names it: tile, and what stands there. Of a slice: letter, LUT (K) or flip-flop, which of two.
SITE = re.compile(r"X(\d+)/Y(\d+)/(.+)")
_IN_SLICE = re.compile(r"SLICE([A-D])\.(?:K|FF)([01])")
#: What the clock of a global net may drive without taking one of the few networks that reach logic.
_CLOCK_PINS = {(FLIP_FLOP, "CLK"), (LUT, "WCK"), ("SIOLOGIC", "CLK"), ("IOLOGIC", "CLK")}
#: What an unconnected pin is connected to: without it, nextpnr would take the cell for one that lacks the pin, and not
#: tie it to what an unused pin is to be.
_NOTHING = "x"
#: nextpnr's placers: this one leaves everything where it is told to be; so cold, it tries nothing and is done at once.
_PLACER, _COLD = "sa", "0.000000001"


@dataclass(frozen=True)
class Packed:
    """A packed and placed design.

    Members
    -------
    names: of the cells. cells: a row of `_anneal.CELL` each. sites: what each one's place is called within its tile.
    nets: the bits whose wires count, in the order of `pins` and of timing: not those of global networks.
    driver: the cell that drives each of them. pins: pairs of cell and net.
    logic, chained: of each tile by row and column, as `_anneal.Anneal` takes them.
    """

    names: tuple[str, ...]
    cells: np.ndarray
    sites: tuple[str, ...]
    nets: tuple[Bit, ...]
    driver: np.ndarray
    pins: np.ndarray
    logic: np.ndarray
    chained: np.ndarray


def _has_net(cell: Cell, port: str) -> bool:
    return isinstance(connected(cell, port), int)


def _flags_of_lut(cell: Cell) -> int:
    parameters = parameters_of(cell)
    mode = parameters.get("MODE", "LOGIC")
    flags = _MODES[mode]
    if mode == "DPRAM":
        flags |= _anneal.CLOCK_INVERTED * (parameters.get("WCKMUX") == "INV")
        flags |= _anneal.SET_INVERTED * (parameters.get("WREMUX") in ("INV", "0"))
    flags |= _anneal.MUX5 * _has_net(cell, "F1")
    return flags | _anneal.MUX6 * any(_has_net(cell, port) for port in ("FXA", "FXB"))


def _flags_of_flip_flop(cell: Cell) -> int:
    parameters = parameters_of(cell)
    enable = parameters.get("CEMUX")
    flags = _anneal.CLOCK_INVERTED * (parameters.get("CLKMUX") in ("INV", "0"))
    flags |= _anneal.SET_INVERTED * (parameters.get("LSRMUX") == "INV")
    flags |= _anneal.ENABLE_INVERTED * (enable in ("INV", "0")) | _anneal.ENABLE_CONSTANT * (enable in ("0", "1"))
    flags |= _anneal.GLOBAL_RESET * (parameters.get("GSR", "ENABLED") == "ENABLED")
    flags |= _anneal.ASYNCHRONOUS * (parameters.get("SRMODE") == "ASYNC")
    return flags | _anneal.USES_M * _has_net(cell, "M")


def read(module: Mapping[str, Any]) -> Packed:
    """The design in a module of nextpnr's file (as `json.loads` gives it).

    Raises
    ------
    ValueError: a cell without a place, or one that stands where nextpnr would not have put it.
    """
    cells: Mapping[str, Cell] = module["cells"]
    names = tuple(cells)
    rows = np.full((len(names), len(_anneal.CELL)), -1, np.int32)
    sites = []
    drivers: dict[Bit, int] = {}
    ends: dict[Bit, set[int]] = defaultdict(set)
    for i, (name, cell) in enumerate(cells.items()):
        place = SITE.fullmatch(cell["attributes"].get("NEXTPNR_BEL", ""))
        if place is None:
            raise ValueError(f"the cell {name} has no place")
        sites.append(place[3])
        kind = _KINDS.get(cell["type"], _anneal.OTHER)
        lc, flags, control = 0, 0, [-1, -1, -1]
        if kind in (_anneal.LUT, _anneal.FLOP):
            inside = _IN_SLICE.fullmatch(place[3])
            if inside is None:
                raise ValueError(f"the cell {name} is at {place[0]}, which is no place in a slice")
            lc = 2 * "ABCD".index(inside[1]) + int(inside[2])
        if kind == _anneal.LUT:
            flags = _flags_of_lut(cell)
        elif kind == _anneal.FLOP:
            flags = _flags_of_flip_flop(cell)
            control = [bit if isinstance(bit := connected(cell, port), int) else -1 for port in ("CLK", "CE", "LSR")]
        rows[i] = (kind, int(place[1]), int(place[2]), lc, flags, *control, -1)
        for port, bits in cell["connections"].items():
            is_output = cell["port_directions"][port] == "output"
            for bit in bits:
                if isinstance(bit, int):
                    ends[bit].add(i)
                    if is_output:
                        drivers[bit] = i
    chained = _join(cells, drivers, rows)
    in_networks = _global_bits(module)
    in_fabric = [bit for bit in drivers if bit not in in_networks and len(ends[bit]) > 1]
    pins = [(i, net) for net, bit in enumerate(in_fabric) for i in sorted(ends[bit])]
    return Packed(
        names=names,
        cells=rows,
        sites=tuple(sites),
        nets=tuple(in_fabric),
        driver=np.array([drivers[bit] for bit in in_fabric], np.int32),
        pins=np.array(pins, np.int32),
        logic=_logic_tiles(rows, chained),
        chained=chained,
    )


def _global_bits(module: Mapping[str, Any]) -> set[int]:
    return {
        bit
        for net in module["netnames"].values()
        if "1" in str(net["attributes"].get("ECP5_IS_GLOBAL", ""))
        for bit in net["bits"]
    }


def _join(cells: Mapping[str, Cell], drivers: Mapping[Bit, int], rows: np.ndarray) -> np.ndarray:
    """Says of LUTs and flip-flops what they stand with, in place; returns which tiles' carry goes on to the right."""
    kind, x, y, flags, mate = (_anneal.CELL.index(name) for name in ("kind", "x", "y", "flags", "mate"))
    chained = np.zeros((rows[:, y].max() + 1, rows[:, x].max() + 1), np.uint8)
    names, numbered = list(cells), list(cells.values())

    def same_tile(i: int, j: int) -> None:
        if rows[i, x] != rows[j, x] or rows[i, y] != rows[j, y]:
            raise ValueError(f"{names[i]} and {names[j]} are joined, but not in the same tile")

    for i, cell in enumerate(numbered):
        if rows[i, kind] == _anneal.FLOP and (j := drivers.get(connected(cell, "DI"))) is not None:
            same_tile(i, j)
            rows[i, mate], rows[j, mate] = j, i
        if rows[i, kind] != _anneal.LUT:
            continue
        if (j := drivers.get(connected(cell, "F1"))) is not None:
            same_tile(i, j)
            rows[j, flags] |= _anneal.FEEDS_MUX5
        for port in ("FXA", "FXB"):
            if (j := drivers.get(connected(cell, port))) is not None:
                same_tile(i, j)
                rows[j, flags] |= _anneal.FEEDS_MUX6
                if port == "FXA" and _has_net(numbered[j], "F1"):
                    rows[i, flags] |= _anneal.EVEN_SLICE
        if (j := drivers.get(connected(cell, "FCI"))) is not None:
            if rows[j, x] + 1 == rows[i, x] and rows[j, y] == rows[i, y]:
                chained[rows[j, y], rows[j, x]] = 1
            else:
                same_tile(i, j)
    return chained


def _logic_tiles(rows: np.ndarray, chained: np.ndarray) -> np.ndarray:
    """Which tiles hold logic: every one of a row in which some does, from the first such column to the last."""
    logic = np.zeros(chained.shape, np.uint8)
    used = rows[np.isin(rows[:, 0], (_anneal.LUT, _anneal.FLOP))]
    if len(used):
        columns = used[:, 1]
        logic[np.unique(used[:, 2]), columns.min() : columns.max() + 1] = 1
    return logic


def move(module: dict[str, Any], packed: Packed, places: np.ndarray) -> None:
    """Tells nextpnr in its file that every cell is to stand where `places` (`Anneal.places`) has it, in place.

    The file is to be taken with `--no-pack` and its own placer, which finds a place for all cells told: where
    `--no-place` takes them, the router permutes the inputs of memories and carry cells (nextpnr looks at what a LUT is
    when it is put somewhere, and that is before it knows).
    """
    cells = module["cells"]
    rams = {
        (int(row[1]), int(row[2])): site
        for row, site in zip(packed.cells, packed.sites, strict=True)
        if row[0] == _anneal.BLOCK_RAM
    }
    for name, row, site, place in zip(packed.names, packed.cells, packed.sites, places, strict=True):
        x, y, lc = (int(value) for value in place)
        if row[0] in (_anneal.LUT, _anneal.FLOP):
            site = f"SLICE{'ABCD'[lc // 2]}.{'K' if row[0] == _anneal.LUT else 'FF'}{lc % 2}"
        elif row[0] == _anneal.BLOCK_RAM:
            site = rams[x, y]
        attributes = cells[name]["attributes"]
        del attributes["NEXTPNR_BEL"]
        attributes.pop("BEL_STRENGTH", None)
        attributes["BEL"] = f"X{x}/Y{y}/{site}"
        for bits in cells[name]["connections"].values():
            bits[:] = bits or [_NOTHING]
    module["settings"]["placer"] = _PLACER
    module["settings"]["placer1/startTemp"] = _COLD
    turns = _turns(cells)
    module["cells"] = {turns.get(name, name): cell for name, cell in cells.items()}


def _turns(cells: Mapping[str, Cell]) -> dict[str, str]:
    """Names by which the buffers of global networks get them in the right turn.

    nextpnr gives the networks away by name, the last one first, and only 8 of 16 reach anything but clock pins: first
    come clocks that drive other pins as well, then the largest resets, then what is content with any network.
    """
    ends: dict[Bit, Counter[bool]] = defaultdict(Counter)
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for bit in bits:
                    if isinstance(bit, int):
                        ends[bit][(cell["type"], port) in _CLOCK_PINS] += 1
    turns = {}
    for name, cell in cells.items():
        if cell["type"] == BUFFER:
            of = ends[connected(cell, "CLKO")]
            turn = 2 if of[True] and of[False] else 1 if of[False] else 0
            turns[name] = f"~{turn}.{of.total():06d}.{name}"
    return turns
