"""What cells take, out of the delay file (SDF) that nextpnr writes, as arcs for the annealing.

References: IEEE 1497 (SDF), nextpnr's common/kernel/sdf.cc.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tickgate.hw import _anneal
from tickgate.hw.packed import Packed

_TIMES = r"\((-?\d+):(-?\d+):(-?\d+)\)"
_PATH = re.compile(rf"\(IOPATH (\S+) (\S+) {_TIMES}")
_SETUP = re.compile(rf"\(SETUPHOLD \(posedge (\S+)\) \(posedge \S+\) {_TIMES}")
_INSTANCE = "(INSTANCE "
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
    setups: dict[tuple[int, str], int] = defaultdict(int)
    i = -1
    for line in lines:
        text = line.lstrip()
        if text.startswith(_INSTANCE):
            i = number.get(text[len(_INSTANCE) :].rstrip().removesuffix(")").replace("\\", ""), -1)
        elif i >= 0 and (path := _PATH.match(text)):
            source, sink, ps = nets[i].get(path[1]), nets[i].get(path[2]), int(path[5])
            if sink is None:
                continue
            if _CLOCK.fullmatch(path[1]):
                launch[sink] = max(launch[sink], ps)
            elif source is not None:
                arcs.append((source, i, sink, ps, path[1] in _DIRECT))
        elif i >= 0 and (setup := _SETUP.match(text)) and setup[1] in nets[i]:
            setups[i, setup[1]] = max(setups[i, setup[1]], int(setup[4]))
    arcs += [(nets[i][port], i, -1, ps, port in _DIRECT) for (i, port), ps in setups.items()]
    return Delays(np.array(arcs, np.int32).reshape(-1, len(_anneal.ARC)), launch)
