"""Between place and route of an ECP5: what nextpnr has placed is annealed, with wires, paths and crowding in view.

nextpnr's own annealing behind its placer goes no further than three tiles and takes nothing that is worse for a while.
Here a place is found for each LUT, flip-flop, slice and carry chain at falling temperature (record 73).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tickgate.hw import delays, packed
from tickgate.hw._anneal import Anneal

#: Sweeps of ten tries a cell each, temperature and reach (tiles) of the first one, and what each next one has of
#: them: 0.014 and 1.5 in the end. Others follow that take nothing that is worse; the best of these by its longest path
#: is taken, because the weights of paths follow one behind the other.
SWEEPS, LAST_SWEEPS = 50, 6
TEMPERATURE, COOLING = 0.7, 0.925
REACH, SHRINKING, LEAST_REACH = 10.0, 0.963, 1.5
#: What a wire takes on a part of speed grade 8, fitted to routed designs: within and beside a tile, and each tile more.
WIRE_PS, TILE_PS = 430.0, 43.0
#: Part of the shortest period that the longest paths are to take by the estimate: what a router adds has to find place.
GOAL = 0.7
#: Weights, as c/anneal.h has them.
TIMING, CROWDED, CROWD = 2.0, 60.0, 2.0


@dataclass(frozen=True)
class Annealed:
    """What annealing changed: wire in tiles, and the longest path in nanoseconds by estimate; before and after.

    Members
    -------
    design: nextpnr's file with the places told. cells, times: of its module, as they were read.
    """

    wire: tuple[int, int]
    path_ns: tuple[float, float]
    design: dict[str, Any] = field(repr=False)
    cells: packed.Packed = field(repr=False)
    times: delays.Delays = field(repr=False)

    @property
    def module(self) -> dict[str, Any]:
        """The top module of the design."""
        return packed.top_of(self.design)

    def __str__(self) -> str:
        wire, path = self.wire, self.path_ns
        return f"wire {wire[0]:,} to {wire[1]:,} tiles, longest path {path[0]:.2f} to {path[1]:.2f} ns by estimate"


def anneal(
    placed: Path,
    timing: Path,
    seed: int,
    period_ns: float,
    watch: Callable[[str], None] = lambda line: None,
) -> Annealed:
    """Anneals the design in `placed` (nextpnr's `--write`), with the delays of its cells in `timing`.

    Parameters
    ----------
    seed: of the random numbers; the same one gives the same places, on any machine. period_ns: of the fastest clock.
    watch: told how far it is.

    Raises
    ------
    ValueError: the design is not placed. RuntimeError: nextpnr would refuse a tile, before or behind; a fault here.
    """
    design = json.loads(placed.read_text())
    module = packed.top_of(design)
    cells = packed.read(module)
    with open(timing) as lines:
        times = delays.read(lines, module, cells)
    anneal = Anneal(
        cells.cells,
        cells.pins,
        cells.logic,
        cells.chained,
        times.arcs,
        cells.driver,
        times.launch_ps,
        wire_ps=WIRE_PS,
        tile_ps=TILE_PS,
        goal_ps=GOAL * period_ns * 1e3,
        timing=TIMING,
        crowded=CROWDED,
        crowd=CROWD,
        seed=seed,
    )
    if refused := anneal.illegal():
        raise RuntimeError(f"{refused} tiles are not as nextpnr would have them")
    before = anneal.measure()
    temperature, reach = TEMPERATURE, REACH
    best, places = before, anneal.places()
    for sweep in range(SWEEPS + LAST_SWEEPS):
        told = anneal.sweep(temperature if sweep < SWEEPS else 0.0, reach)
        temperature, reach = temperature * COOLING, max(reach * SHRINKING, LEAST_REACH)
        if sweep == SWEEPS or (sweep > SWEEPS and told["worst_ps"] < best["worst_ps"]):
            best, places = told, anneal.places()
        done = f"{(sweep + 1) / (SWEEPS + LAST_SWEEPS):.0%}"
        watch(f"anneal {done}: wire {told['wire']:,}, longest path {told['worst_ps'] / 1e3:.2f} ns")
    if refused := anneal.illegal():
        raise RuntimeError(f"annealing left {refused} tiles that nextpnr would refuse")
    packed.move(module, cells, places)
    wire, path_ns = (int(before["wire"]), int(best["wire"])), (before["worst_ps"] / 1e3, best["worst_ps"] / 1e3)
    return Annealed(wire, path_ns, design, cells, times)
