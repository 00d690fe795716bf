"""Resets of whole parts of the device go through the global network of ECP5, between Yosys and nextpnr.

A reset that thousands of flip-flops take is the largest net of a device, and every one of its ends wants one of the two
reset wires of a tile, to which few wires lead. In the fabric these ends push each other and everything else out of the
way, each time with a search over half of the device: `router1` goes round in circles (record 71). The global network
reaches every tile, and nextpnr routes it before all else.

References: Lattice FPGA-TN-02200, sysCLOCK guide (DCCA); the pins are those of Yosys' `cells_bb.v`.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tickgate.hw.flip_flops import FLIP_FLOP, Bit, Cell, connected

#: What drives a global net from within an ECP5.
BUFFER = "DCCA"
#: What is kept free of a period for the network: an estimate, because Trellis has no delays of it.
NETWORK_NS = 3.0
#: How the names of these global nets end.
SUFFIX = f"_{BUFFER}_CLKO"
#: Flip-flops that a register has to reset for a global net of its own.
LEAST = 100
#: Global networks for resets. Of 16, 8 reach pins that are no clocks (nextpnr's ecp5/globals.cc). Two of them are for
#: clocks that drive such pins as well: of block RAMs, and of the generator that makes the others.
MOST = 6


def to_global(module: Mapping[str, Any]) -> dict[str, int]:
    """Gives the largest resets of a module of Yosys' netlist a global net each, in place.

    Only what a flip-flop gives is taken, and only to pins that reset flip-flops: what logic takes stays in the fabric.

    Returns how many flip-flops each of these registers resets, by its name.
    """
    cells: dict[str, Cell] = module["cells"]
    registers = {connected(cell, "Q"): name for name, cell in cells.items() if cell["type"] == FLIP_FLOP}
    resets: dict[Bit, list[str]] = defaultdict(list)
    for name, cell in cells.items():
        if cell["type"] == FLIP_FLOP and (bit := connected(cell, "LSR")) in registers:
            resets[bit].append(name)
    large = sorted((bit for bit, ends in resets.items() if len(ends) >= LEAST), key=lambda bit: -len(resets[bit]))
    # Bits of names that no cell has any more count as well: a net that took their number would be called so.
    taken = [bits for cell in cells.values() for bits in cell["connections"].values()]
    taken += [net["bits"] for net in module["netnames"].values()]
    free = 1 + max((bit for bits in taken for bit in bits if isinstance(bit, int)), default=1)
    for bit in large[:MOST]:
        name = registers[bit]
        # The register's twin: nothing but the buffer pulls at its place, so that the way there is short.
        cells[twin := f"{name}_TWIN"] = copy.deepcopy(cells[name])
        cells[twin]["connections"]["Q"] = [free]
        cells[f"{name}_{BUFFER}"] = {
            "hide_name": 0,
            "type": BUFFER,
            "parameters": {},
            "attributes": {},
            "port_directions": {"CLKI": "input", "CE": "input", "CLKO": "output"},
            "connections": {"CLKI": [free], "CE": ["1"], "CLKO": [free + 1]},
        }
        for net, what in ((free, f"{twin}_Q"), (free + 1, f"{name}{SUFFIX}")):
            module["netnames"][what] = {"hide_name": 0, "bits": [net], "attributes": {}}
        for end in resets[bit]:
            cells[end]["connections"]["LSR"] = [free + 1]
        free += 2
    return {registers[bit]: len(resets[bit]) for bit in large[:MOST]}
