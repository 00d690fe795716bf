"""Which part of a design each cell of its flat netlist belongs to, and whether enough of every part is left.

Yosys names a cell after a net that it drives or leads to, and of the many names that a net has over the levels of the
hierarchy one survives, often that of a reader. The hierarchy is therefore read from the netlist before synthesis, and
the surviving name is followed to the module that drives the net.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: A part with a smaller share of its stand-alone cells is taken for pruned.
SHARE_MIN = 0.70
#: Parts that are smaller alone are told of, but not judged: synchronisers and buffers of pins become part of others.
JUDGED_MIN = 100
#: Kinds of cells that are counted, by what a report calls them. A carry cell is two LUTs wide.
KINDS = {
    "LUTs": ("LUT4", "SB_LUT4"),
    "carries": ("CCU2C", "SB_CARRY"),
    "flip-flops": ("TRELLIS_FF", "SB_DFF"),
    "memory LUTs": ("TRELLIS_DPR16X4",),
    "block RAMs": ("DP16KD", "SB_RAM40"),
    "multipliers": ("MULT18X18D", "SB_MAC16"),
}
#: What no cell of the design is.
NO_CELLS = ("$scopeinfo",)

_SOURCE = re.compile(r'^  attribute \\src "([^"]*)"$')
_PORT = re.compile(r"^  wire .*\b(input|output|inout) \d+")
_WIDTH = re.compile(r"^  wire .*\bwidth (\d+)")
_CELL = re.compile(r"^  cell \\?(\S+) \\?(\S+)$")
_CONNECT = re.compile(r"^((?:    )?)connect \\(\S+) (.+)$")
_WHOLE = re.compile(r"\\(\S+)(?: \[\d+:0\]| \[0\])?")
_MEMORY = re.compile(r"^  memory .*\\(\S+)$")
_PART = re.compile(r"\\(\S+)(?: \[(\d+)(?::(\d+))?\])?|(\d+)'\S+")


@dataclass
class _Module:
    """What is read of a module: wires with widths, ports, cells, and what drives what by names."""

    widths: dict[str, int] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    cells: dict[str, str] = field(default_factory=dict)
    ports: dict[str, dict[str, str]] = field(default_factory=dict)
    driven_by: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    sources: dict[str, str] = field(default_factory=dict)


class Hierarchy:
    """The modules of a design in Yosys' language and how their wires hang together.

    Parameters
    ----------
    netlist: what Amaranth writes. top: name of the topmost module.
    """

    def __init__(self, netlist: str, top: str):
        self._modules = _read(netlist)
        #: Module of each instance, by its path; that of the topmost one is empty.
        self.instances: dict[str, str] = {}
        self._descend(top, "")
        self._feeding: dict[str, dict[str, tuple[str, str]]] = {
            name: _fed_by_children(module, self._modules) for name, module in self._modules.items()
        }

    def _descend(self, module: str, path: str) -> None:
        self.instances[path] = module
        for name, kind in self._modules[module].cells.items():
            if kind in self._modules:
                self._descend(kind, f"{path}.{name}" if path else name)

    def parts(self, opened: Iterable[str] = ("device",)) -> tuple[str, ...]:
        """Paths of what a report tells of: the children of the topmost module, and those of `opened` in its place."""
        found = []
        for path in self.instances:
            parent = path.rpartition(".")[0]
            if path and path not in opened and (not parent or parent in opened):
                found.append(path)
        return tuple(found)

    def owner(self, net: str, bit: int = 0) -> str | None:
        """Path of the instance that drives a net, None where no such net is known."""
        found = self._follow(net, bit)
        return None if found is None else found[0]

    def driver(self, net: str) -> tuple[str, str]:
        """The name that a net has where it is driven, and the line that makes it; the name itself where unknown."""
        found = self._follow(net, 0)
        if found is None:
            return net, ""
        path, wire = found
        return f"{path}.{wire}" if path else wire, self._modules[self.instances[path]].sources.get(wire, "")

    def _follow(self, net: str, bit: int) -> tuple[str, str] | None:
        """Path and wire at which a net is driven."""
        place = self._place(net)
        if place is None:
            return None
        path, wire = place
        for _ in range(200):  # a loop of names ends somewhere
            module = self._modules[self.instances[path]]
            feeding = self._feeding[self.instances[path]]
            inside = path
            if wire in module.inputs and path:
                inside, _, instance = path.rpartition(".")
                source = self._modules[self.instances[inside]].ports[instance].get(wire)
            elif wire in feeding:
                instance, wire = feeding[wire]
                path = f"{path}.{instance}" if path else instance
                continue
            else:
                source = module.driven_by.get(wire)
            if source is None:
                break
            found = self._bit(self._modules[self.instances[inside]], source, bit)
            if found is None:
                break
            path, (wire, bit) = inside, found
        return path, wire

    def base(self, name: str) -> str | None:
        """The net or instance that Yosys named a cell or a net after: the longest known beginning of its name."""
        while name:
            if self._place(name) is not None:
                return name
            name, cut, _ = name.rpartition("_")
            if not cut:
                return None
        return None

    def _place(self, net: str) -> tuple[str, str] | None:
        path, _, wire = net.rpartition(".")
        while True:
            if path in self.instances:
                module = self._modules[self.instances[path]]
                if wire in module.widths or wire in module.names:
                    return path, wire
            if not path:
                return None
            path, _, last = path.rpartition(".")  # memories are named with dots: mem.0.0
            wire = last

    @staticmethod
    def _bit(module: _Module, source: str, bit: int) -> tuple[str, int] | None:
        """Wire and bit that stand at place `bit` of a signal, None for a constant."""
        for name, high, low, constant in reversed(_PART.findall(source)):
            if constant:
                width, first = int(constant), None
            elif high:
                first = int(low or high)
                width = int(high) - first + 1
            else:
                first, width = 0, module.widths.get(name, 1)
            if bit < width:
                return None if first is None else (name, first + bit)
            bit -= width
        return None


def _read(netlist: str) -> dict[str, _Module]:
    modules: dict[str, _Module] = {}
    module, instance, made = _Module(), "", ""
    for line in netlist.splitlines():
        if line.startswith("module "):
            module = modules[line[7:].lstrip("\\")] = _Module()
        elif found := _SOURCE.match(line):
            made = found.group(1)
        elif line.startswith("  wire "):
            name = line.rsplit("\\", 1)[-1]
            width = _WIDTH.match(line)
            module.widths[name] = int(width.group(1)) if width else 1
            module.sources[name], made = made, ""
            port = _PORT.match(line)
            if port and port.group(1) == "input":
                module.inputs.add(name)
        elif found := _CELL.match(line):
            kind, instance = found.groups()
            made = ""
            module.cells[instance] = kind
            module.ports[instance] = {}
        elif found := _MEMORY.match(line):
            module.names.add(found.group(1))
        elif found := _CONNECT.match(line):
            indent, name, source = found.groups()
            if indent:
                module.ports[instance][name] = source
            else:
                module.driven_by[name] = source
    for module in modules.values():
        module.names.update(name for name, kind in module.cells.items() if kind not in modules)
    return modules


def _fed_by_children(module: _Module, modules: Mapping[str, _Module]) -> dict[str, tuple[str, str]]:
    """Wires of a module that an instance in it drives: the instance and its port."""
    found = {}
    for instance, kind in module.cells.items():
        child = modules.get(kind)
        if child is None:
            continue
        for port, sink in module.ports[instance].items():
            whole = _WHOLE.fullmatch(sink)
            if port not in child.inputs and whole:
                found[whole.group(1)] = (instance, port)
    return found


@dataclass(frozen=True)
class PartCells:
    """Cells of a part of a design.

    Members
    -------
    path: of the instance. alone: cells by kind where nothing around it can prune it. built: those in the bitstream.
    """

    path: str
    alone: Mapping[str, int]
    built: Mapping[str, int]

    @property
    def share(self) -> float:
        """How much of all cells is left, 1 where there were none."""
        total = sum(self.alone.values())
        return sum(self.built.values()) / total if total else 1.0

    @property
    def pruned(self) -> str:
        """Why the part counts as pruned, empty where it does not."""
        if sum(self.alone.values()) < JUDGED_MIN:
            return ""
        if self.share < SHARE_MIN:
            return f"{sum(self.built.values()):,} of {sum(self.alone.values()):,} cells are left"
        for kind in ("block RAMs", "multipliers"):
            built, alone = self.built.get(kind, 0), self.alone.get(kind, 0)
            if built < SHARE_MIN * alone:
                return f"{built:,} of {alone:,} {kind} are left"
        return ""


def kind_of(cell: str) -> str | None:
    """What a report calls a type of cell, None where it tells nothing of it."""
    return next((kind for kind, types in KINDS.items() if cell.startswith(types)), None)


def by_kind(cells: Mapping[str, int]) -> dict[str, int]:
    """Cells by kind from cells by type."""
    found: Counter[str] = Counter()
    for cell, count in cells.items():
        kind = kind_of(cell)
        if kind:
            found[kind] += count
    return dict(found)


def built_cells(hierarchy: Hierarchy, flat: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Cells of every instance by type; under `` (empty) also those of which nothing is known.

    Parameters
    ----------
    flat: the topmost module of the flat netlist as Yosys' `write_json` gives it.
    """
    places: dict[int, int] = {}
    for net in flat["netnames"].values():
        for at, bit in enumerate(net["bits"]):
            if isinstance(bit, int) and not net["hide_name"]:
                places.setdefault(bit, at)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    owners: dict[tuple[str, int], str] = {}
    for name, cell in flat["cells"].items():
        if cell["type"] in NO_CELLS:
            continue
        base = hierarchy.base(name)
        owner = ""
        if base is not None:
            outputs = [
                bit
                for port, bits in cell["connections"].items()
                if cell["port_directions"].get(port) == "output"
                for bit in bits
            ]
            at = places.get(outputs[0], 0) if outputs else 0
            owner = owners.setdefault((base, at), hierarchy.owner(base, at) or "")
        found[owner][cell["type"]] += 1
    return found


def parts_of(
    hierarchy: Hierarchy, flat: Mapping[str, Any], alone: Mapping[str, Mapping[str, int]]
) -> tuple[PartCells, ...]:
    """The parts of a design with their cells.

    Parameters
    ----------
    alone: cells by type of each part, by the name of its module.
    """
    built = built_cells(hierarchy, flat)
    found = []
    for path in hierarchy.parts():
        inside: Counter[str] = Counter()
        for owner, cells in built.items():
            if owner == path or owner.startswith(path + "."):
                inside.update(cells)
        found.append(PartCells(path, by_kind(alone.get(hierarchy.instances[path], {})), by_kind(inside)))
    return tuple(found)


def alone_script(hierarchy: Hierarchy, design: str, synthesis: str, statistics: str, netlist: str = "") -> str:
    """A script for Yosys that synthesises every part behind its own walls and writes its statistics.

    Parameters
    ----------
    design: file of the netlist. synthesis: the command of the build. statistics: file to write.
    netlist: file to write the parts' cells to, none where it is empty.
    """
    kept = sorted({hierarchy.instances[path] for path in hierarchy.parts()})
    # `keep`: an instance whose outputs nobody reads is to be counted as well.
    walls = [f"setattr -mod -set keep_hierarchy 1 -set keep 1 {name}" for name in kept]
    written = [f"write_json {netlist}"] if netlist else []
    return "\n".join([f"read_rtlil {design}", *walls, synthesis, f"tee -q -o {statistics} stat -json", *written, ""])


def total_cells(statistics: Mapping[str, Any]) -> dict[str, int]:
    """Cells by type of a whole design, in the order of their names, from what `stat -json` wrote."""
    return _by_type(statistics["design"])


def alone_cells(statistics: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Cells by type of each module from what `stat -json` wrote."""
    return {name.lstrip("\\"): _by_type(module) for name, module in statistics["modules"].items()}


def _by_type(counted: Mapping[str, Any]) -> dict[str, int]:
    return {str(kind): int(count) for kind, count in sorted(counted["num_cells_by_type"].items())}
