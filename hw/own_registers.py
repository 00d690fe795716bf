"""Flip-flops become the registers that block RAMs and multipliers of ECP5 have, between Yosys and nextpnr."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tickgate.hw import flip_flops, operand_registers, output_registers
from tickgate.hw.flip_flops import Moved, number
from tickgate.hw.hierarchy import NO_CELLS
from tickgate.hw.yosys_json import edited

#: The files that decide what is moved.
SOURCES = (*(Path(str(m.__file__)) for m in (flip_flops, operand_registers, output_registers)), Path(__file__))


def move_in_files(netlist: Path, statistics: Path) -> Moved:
    """Moves registers in Yosys' netlist (`write_json`), and writes the statistics anew, in the form of `stat -json`."""
    moved = Moved(0, 0)
    with edited(netlist) as design:
        for module in design["modules"].values():
            moved += output_registers.move(module) + operand_registers.move(module)
    statistics.write_text(json.dumps(count(design)))
    return moved


def count(design: Mapping[str, Any]) -> dict[str, Any]:
    """Cells by type of each module, and of the whole design, as `stat -json` gives them."""
    modules = {name: module for name, module in design["modules"].items() if not _is(module, "blackbox")}
    own = {
        name: Counter(cell["type"] for cell in module["cells"].values() if cell["type"] not in NO_CELLS)
        for name, module in modules.items()
    }

    def inside(name: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for kind, times in own[name].items():
            for leaf, each in inside(kind).items() if kind in own else [(kind, 1)]:
                found[leaf] += times * each
        return found

    tops = [name for name, module in modules.items() if _is(module, "top")]
    whole = sum((inside(name) for name in tops), Counter[str]())
    return {
        "modules": {name: {"num_cells_by_type": dict(cells)} for name, cells in own.items()},
        "design": {"num_cells_by_type": dict(whole)},
    }


def _is(module: Mapping[str, Any], attribute: str) -> bool:
    return bool(number(module["attributes"].get(attribute, 0)))
