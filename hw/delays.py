"""What cells take, out of the delay file (SDF) that nextpnr writes, as arcs for the annealing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tickgate.hw import _anneal, sdf
from tickgate.hw.packed import Packed

#: Ports to which no wire of the fabric leads.
_DIRECT = ("DI", "FCI", "FXA", "FXB")
_CLOCK = re.compile(r"CLK[A-Z]?\d?|WCK|[ES]CLK|CLKFB|CLKI")


@dataclass(frozen=True)
class Delays:
    """Delays of a packed design, as `_anneal.Anneal` takes them."""

    arcs: np.ndarray
    launch_ps: np.ndarray


def read(lines: Iterable[str], module: Mapping[str, Any], packed: Packed) -> Delays:
    """The delays in a file, of the design that was read from `module`; the slowest of each."""
    net_of = {bit: net for net, bit in enumerate(packed.nets)}
    number = {name: i for i, name in enumerate(packed.names)}
    launch = np.full(len(packed.nets), -1, np.int32)
    nets = [
        {
            port: net_of[bit]
            for port, bits in module["cells"][name]["connections"].items()
            for bit in bits
            if bit in net_of
        }
        for name in packed.names
    ]
    arcs: list[tuple[int, int, int, int, bool]] = []
    told = sdf.read(lines)
    for (cell, start, end), ps in told.paths.items():
        if (i := number.get(cell)) is None or (sink := nets[i].get(end)) is None:
            continue
        if _CLOCK.fullmatch(start):
            launch[sink] = max(launch[sink], ps)
        elif (source := nets[i].get(start)) is not None:
            arcs.append((source, i, sink, ps, start in _DIRECT))
    for (cell, port), setup in told.setups.items():
        if not setup.falling and (i := number.get(cell)) is not None and port in nets[i]:
            arcs.append((nets[i][port], i, -1, max(setup.ps, 0), port in _DIRECT))
    return Delays(np.array(arcs, np.int32).reshape(-1, len(_anneal.ARC)), launch)
