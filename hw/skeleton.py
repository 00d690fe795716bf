"""What nextpnr routes of an ECP5 before the rest of the design is routed here: global networks, and nets of cells whose
pins it alone knows (pads, clock generators, pin registers).

Everything else stays in its place in the file, and is not connected.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tickgate.hw.flip_flops import FLIP_FLOP, Cell
from tickgate.hw.packed import BLOCK_RAM, LUT, NOTHING, RAM_WRITE_PORT, global_bits, top_of

#: Cells whose pins are known (`tickgate.hw.pins`).
KNOWN = (LUT, FLIP_FLOP, RAM_WRITE_PORT, BLOCK_RAM, "MULT18X18D")

#: Pins that flip-flops of a slice or a tile share: some of them alone would not be as the tile demands.
_SHARED_PINS = ("CLK", "LSR", "CE", "WCK", "WRE")

#: A pin: cell and port.
Pin = tuple[str, str]


@dataclass(frozen=True)
class Net:
    """A net that is routed here.

    Members
    -------
    driver: its pin. ends: pins of known cells. driven_elsewhere, ends_elsewhere: whether its driver, or other ends, are
    cells whose pins nextpnr alone knows.
    """

    driver: Pin
    ends: tuple[Pin, ...]
    driven_elsewhere: bool
    ends_elsewhere: bool

    @property
    def elsewhere(self) -> bool:
        """Whether nextpnr routes a part of it before."""
        return self.driven_elsewhere or self.ends_elsewhere


def nets(module: Mapping[str, Any]) -> dict[int, Net]:
    """The nets that are routed here, by their bits: those with ends at known cells that are not global.

    One that an unknown cell drives to pins that flip-flops share is left to nextpnr altogether.
    """
    cells: Mapping[str, Cell] = module["cells"]
    is_global = global_bits(module)
    drivers: dict[int, Pin] = {}
    ends: dict[int, list[Pin]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            for bit in bits:
                if not isinstance(bit, int) or bit in is_global:
                    continue
                if cell["port_directions"][port] == "output":
                    drivers[bit] = (name, port)
                else:
                    ends[bit].append((name, port))
    found = {}
    for bit, driver in drivers.items():
        known = tuple(pin for pin in ends[bit] if cells[pin[0]]["type"] in KNOWN)
        driven_elsewhere = cells[driver[0]]["type"] not in KNOWN
        if known and not (driven_elsewhere and any(port in _SHARED_PINS for _, port in known)):
            found[bit] = Net(driver, known, driven_elsewhere, len(known) < len(ends[bit]))
    return found


def of(design: Mapping[str, Any], routed: Mapping[int, Net]) -> dict[str, Any]:
    """The design (nextpnr's file with one module, places told) with only what nextpnr is to route of it connected.

    Of a net that an unknown cell drives one end stays at least: the way there tells which wire the driver's pin is.
    """
    made = copy.deepcopy(dict(design))
    module = top_of(made)
    cells = module["cells"]
    cut = {bit for bit, net in routed.items() if not net.elsewhere}
    first = {(*net.ends[0], bit) for bit, net in routed.items() if net.driven_elsewhere}
    for name, cell in cells.items():
        is_known = cell["type"] in KNOWN
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                bits[:] = [NOTHING if bit in cut else bit for bit in bits]
            elif is_known:
                bits[:] = [bit if bit not in routed or (name, port, bit) in first else NOTHING for bit in bits]
    kept = {bit for cell in cells.values() for bits in cell["connections"].values() for bit in bits}
    module["netnames"] = {name: net for name, net in module["netnames"].items() if kept & set(net["bits"])}
    return made
