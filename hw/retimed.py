"""Clocks of an annealed ECP5 design, timed again: what nextpnr tells of a design that it has read back is too slow.

Which half of its slice a carry cell is (`constr_z`) is not in nextpnr's file. Read with `--no-pack`, every carry cell
is timed as the lower one: 43 ps from carry to carry, of which the upper one takes none (ecp5/arch.cc, getCellDelay).
The delays of the same cells are known from before the file, those of the wires from behind it, and the longest path of
each clock is found here as nextpnr's analysis finds it (record 75).

Only carry cells are corrected, and only where this analysis with all of nextpnr's own delays finds just what nextpnr
told: the figure of any other clock stays. Paths between clocks, from and to pins, and of resets stay as nextpnr tells
them, which is too slow where they lead through carries, and never too fast.

References: nextpnr's common/kernel/timing.cc and report.cc, ecp5/arch.cc (getPortTimingClass, getPortClockingInfo).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from tickgate.hw import sdf
from tickgate.hw.flip_flops import FLIP_FLOP, Cell, parameters_of
from tickgate.hw.packed import BLOCK_RAM, LUT, SITE, top_of
from tickgate.hw.placed import TOLD
from tickgate.hw.sdf import Pin, Sdf

#: From where nextpnr starts paths of a clock, by type of cell: all that have registered outputs.
_CLOCKS = {
    FLIP_FLOP: ("CLK",),
    BLOCK_RAM: ("CLKA", "CLKB"),
    "MULT18X18D": ("CLK0",),
    "IOLOGIC": ("CLK",),
    "SIOLOGIC": ("CLK",),
    "DQSBUFM": ("SCLK",),
    "DCUA": ("CH0_FF_TXI_CLK", "CH0_FF_RXI_CLK", "CH1_FF_TXI_CLK", "CH1_FF_RXI_CLK"),
}
#: What of these may act at the falling edge, where the port's multiplexer inverts; of the others nextpnr takes none so.
_EITHER_EDGE = (FLIP_FLOP, BLOCK_RAM)
_INVERTED = ("INV", "0")
#: Two periods are the same that differ by less, in picoseconds: nextpnr's are whole numbers, told as frequencies.
_SAME_PS = 0.5


class Edge(NamedTuple):
    """An edge of a clock, by the output that drives it."""

    clock: Pin
    falling: bool


class Hop(NamedTuple):
    """A step of a path, called as nextpnr calls it."""

    kind: str
    source: Pin
    sink: Pin
    ps: int


@dataclass(frozen=True)
class Longest:
    """The longest path of a clock, from one of its edges to one of its edges; `period_ps` is what it needs."""

    start: Edge
    end: Edge
    period_ps: int
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class Retimed:
    """What was corrected: MHz told and true of each clock's net, and clocks that are found otherwise than told."""

    mhz: Mapping[str, tuple[float, float]]
    strange: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = [f"{net} {told:.1f} to {true:.1f} MHz" for net, (told, true) in self.mhz.items() if true != told]
        text = f"timed again: {', '.join(words) or 'as told'}"
        return text + (f"; left as told: {', '.join(self.strange)}" if self.strange else "")


class Analysis:
    """Longest paths of a design, each from a clock to itself.

    Parameters
    ----------
    cells: of the module in nextpnr's file. times: of its cells and wires.

    Raises
    ------
    ValueError: a path leads back to where it began.
    """

    def __init__(self, cells: Mapping[str, Cell], times: Sdf):
        self._times = times
        #: From each pin on: ends of wires, or outputs of the same cell.
        self._on: dict[Pin, list[tuple[Pin, int]]] = defaultdict(list)
        #: Outputs where paths begin, with the pin of the clock.
        self._starts: dict[Edge, list[tuple[Pin, Pin]]] = defaultdict(list)
        #: Inputs where they end, by the clock.
        self._ends: dict[Pin, list[Pin]] = defaultdict(list)
        for sink, (driver, ps) in times.wires.items():
            self._on[driver].append((sink, ps))
        for (name, source, end), ps in times.paths.items():
            cell = cells.get(name)
            if cell is None or source not in _CLOCKS.get(cell["type"], ()):
                self._on[name, source].append(((name, end), ps))
            elif (clock := times.wires.get((name, source))) is not None:
                self._starts[Edge(clock[0], _is_falling(cell, source))].append(((name, end), (name, source)))
        for (name, port), setup in times.setups.items():
            if (clock := times.wires.get((name, setup.clock))) is not None:
                self._ends[clock[0]].append((name, port))
        self._order = self._sorted()

    def _sorted(self) -> list[Pin]:
        """All pins, each behind those from which something leads to it."""
        before: dict[Pin, int] = defaultdict(int)
        for on in self._on.values():
            for pin, _ in on:
                before[pin] += 1
        order = [pin for pin in self._on if pin not in before]
        for pin in order:  # grows meanwhile
            for sink, _ in self._on.get(pin, ()):
                before[sink] -= 1
                if not before[sink]:
                    order.append(sink)
        if looping := next((pin for pin, left in before.items() if left), None):
            raise ValueError(f"a path through {'.'.join(looping)} leads in a circle")
        return order

    def longest(self, clock: Pin) -> Longest | None:
        """The path of the clock that this output drives which needs the longest period; None where it has none."""
        found = [path for falling in (False, True) if (path := self._longest_from(Edge(clock, falling)))]
        return max(found, key=lambda path: path.period_ps, default=None)

    def arrivals(self, start: Edge) -> tuple[dict[Pin, int], dict[Pin, Pin]]:
        """When what starts at an edge is at each pin at the latest, in picoseconds, and by which pin before it."""
        arrival = {
            pin: self._times.wires[clock][1] + self._times.paths[*clock, pin[1]]
            for pin, clock in self._starts.get(start, ())
        }
        came_from: dict[Pin, Pin] = {}
        for pin in self._order if arrival else ():
            if (so_far := arrival.get(pin)) is not None:
                for sink, ps in self._on.get(pin, ()):
                    if so_far + ps > arrival.get(sink, -1):
                        arrival[sink], came_from[sink] = so_far + ps, pin
        return arrival, came_from

    def _longest_from(self, start: Edge) -> Longest | None:
        paths, wires = self._times.paths, self._times.wires
        arrival, came_from = self.arrivals(start)
        worst, last = max(((self._period_ps(pin, arrival[pin], start), pin) for pin in self._ends[start.clock]
                           if pin in arrival), default=(0, None))  # fmt: skip
        if last is None:
            return None
        pins = [last]
        while pins[-1] in came_from:
            pins.append(came_from[pins[-1]])
        setup = self._times.setups[last]
        clock = dict(self._starts[start])[pins[-1]], (last[0], setup.clock)
        skew_ps = wires[clock[0]][1] - wires[clock[1]][1]
        hops = [Hop("clk-skew", *clock, skew_ps)] if skew_ps else []
        hops.append(Hop("clk-to-q", pins[-1], pins[-1], paths[*clock[0], pins[-1][1]]))
        for sink, source in reversed(list(zip(pins, pins[1:], strict=False))):
            kind = "logic" if sink[0] == source[0] and (*source, sink[1]) in paths else "routing"
            hops.append(Hop(kind, source, sink, arrival[sink] - arrival[source]))
        hops.append(Hop("setup", last, last, setup.ps))
        return Longest(start, Edge(start.clock, setup.falling), worst, tuple(hops))

    def _period_ps(self, end: Pin, arrival_ps: int, start: Edge) -> int:
        """What a path needs: from one edge to the other it has half a period.

        nextpnr leaves the skew of a clock in the fabric away there, which is counted here: where such a path is the
        longest, that clock stays as told.
        """
        setup = self._times.setups[end]
        delay_ps = arrival_ps + setup.ps - self._times.wires[end[0], setup.clock][1]
        return delay_ps if setup.falling == start.falling else 2 * delay_ps


def _is_falling(cell: Cell, clock: str) -> bool:
    return cell["type"] in _EITHER_EDGE and parameters_of(cell).get(f"{clock}MUX") in _INVERTED


def corrected(cells: Mapping[str, Cell], before: Sdf, routed: Sdf) -> Sdf:
    """The times of a routed design with those of its carry cells from before it was read back."""
    carries = {
        name for name, cell in cells.items() if cell["type"] == LUT and parameters_of(cell).get("MODE") == "CCU2"
    }
    return replace(
        routed,
        paths={path: before.paths.get(path, ps) if path[0] in carries else ps for path, ps in routed.paths.items()},
    )


def correct(report: dict[str, Any], module: Mapping[str, Any], before: Sdf, routed: Sdf) -> Retimed:
    """Corrects clocks and their longest paths in nextpnr's report of the design in `module`, in place.

    The figure that nextpnr told stays beside the corrected one, as `placed.TOLD`.
    """
    cells: Mapping[str, Cell] = module["cells"]
    drivers = _drivers(cells)
    nets = {
        drivers[net["bits"][0]]: (name, net["attributes"]["src"].split("|") if "src" in net["attributes"] else [])
        for name, net in module["netnames"].items()
        if net["bits"] and net["bits"][0] in drivers
    }
    clocks = {name: driver for driver, (name, _) in nets.items() if name in report["fmax"]}
    as_told, as_is = Analysis(cells, routed), Analysis(cells, corrected(cells, before, routed))
    mhz, strange = {}, []
    for net, figures in report["fmax"].items():
        found = [analysis.longest(clocks[net]) if net in clocks else None for analysis in (as_told, as_is)]
        if found[0] is None or found[1] is None or abs(found[0].period_ps - 1e6 / figures["achieved"]) > _SAME_PS:
            strange.append(net)
            continue
        mhz[net] = figures["achieved"], figures["achieved"]
        if found[0].period_ps != found[1].period_ps:
            mhz[net] = figures["achieved"], 1e6 / found[1].period_ps
            figures[TOLD], figures["achieved"] = mhz[net]
            told = next(p for p in report["critical_paths"] if p["from"].split()[-1] == net == p["to"].split()[-1])
            told["from"], told["to"] = (_event(net, edge) for edge in (found[1].start, found[1].end))
            told["path"] = [_step(hop, cells, nets) for hop in found[1].hops]
    return Retimed(mhz, tuple(strange))


def _drivers(cells: Mapping[str, Cell]) -> dict[int, Pin]:
    """The output that drives each bit."""
    return {
        bit: (name, port)
        for name, cell in cells.items()
        for port, bits in cell["connections"].items()
        if cell["port_directions"][port] == "output"
        for bit in bits
        if isinstance(bit, int)
    }


def _event(net: str, edge: Edge) -> str:
    return f"{'negedge' if edge.falling else 'posedge'} {net}"


def _step(hop: Hop, cells: Mapping[str, Cell], nets: Mapping[Pin, tuple[str, list[str]]]) -> dict[str, Any]:
    """A hop as nextpnr's report has it."""
    step: dict[str, Any] = {"type": hop.kind, "delay": hop.ps / 1e3}
    for name, (cell, port) in (("from", hop.source), ("to", hop.sink)):
        attributes = cells[cell]["attributes"]
        place = SITE.fullmatch(attributes.get("NEXTPNR_BEL") or attributes.get("BEL", ""))
        step[name] = {"cell": cell, "port": port, "loc": [int(place[1]), int(place[2])] if place else [-1, -1]}
    if hop.kind == "routing":
        step["net"], step["sources"] = nets[hop.source]
    return step


def retime(annealed: Path, before: Path, routed: Path, report: Path) -> Retimed:
    """Corrects the clocks in nextpnr's `report` of the design in `annealed`, in place.

    Parameters
    ----------
    before: delays (SDF) that nextpnr told of the design that it had packed. routed: those of the routed one.
    """
    module = top_of(json.loads(annealed.read_text()))
    with open(before) as first, open(routed) as last:
        told = json.loads(report.read_text())
        done = correct(told, module, sdf.read(first), sdf.read(last))
    report.write_text(json.dumps(told))
    return done
