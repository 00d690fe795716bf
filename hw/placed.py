"""What nextpnr made of a design with one seed: clocks, crossings between them, what is used, and the limiting path."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickgate.hw import reset_nets
from tickgate.hw.fits import refuse_larger
from tickgate.hw.hierarchy import Hierarchy

ASYNC = "<async>"
#: Where a corrected clock of nextpnr's report keeps nextpnr's own figure (`hw.retimed`).
TOLD = "told_by_nextpnr"

_GLOBAL = re.compile(r"^\$glbnet\$|_\$glb_clk$|\$glb_clk$|\$SB_IO_IN|\$TRELLIS_IO_IN")
_CROSSING = re.compile(r"^Info: Max delay (\S+(?: \S+)?)\s+-> (\S+(?: \S+)?)\s*: +(\d+(?:\.\d+)?) ns$", re.MULTILINE)
_USED = re.compile(r"^Info:\s+(\w+): +(\d+)/ *(\d+) +\d+%$", re.MULTILINE)
_CELL_NAME = re.compile(r"\$(?:CCU2_\w+|nextpnr_\w+|sb_\w+)$|_LC$")
_GIVEN_NAME = re.compile(r"_(?:TRELLIS_FF|SB_DFF|LUT4|SB_LUT4|CCU2C|SB_CARRY).*")
_STEP_KINDS = (("carry cell", re.compile(r"CCU2C|SB_CARRY")), ("block RAM", re.compile(r"DP16KD|SB_RAM|\.\d+\.\d+$")),
               ("multiplier", re.compile(r"MULT18X18D|SB_MAC16")))  # fmt: skip

#: What helps where a design does not fit.
SMALLER = "choose smaller `sizes` for it in hw/boards.py"
#: What the resources of a device are called, by what nextpnr calls them.
RESOURCES = {
    "TRELLIS_COMB": "LUTs",
    "TRELLIS_FF": "flip-flops",
    "TRELLIS_RAMW": "memory LUTs",
    "DP16KD": "block RAMs",
    "MULT18X18D": "multipliers",
    "ALU54B": "wide adders",
    "EHXPLLL": "PLLs",
    "TRELLIS_IO": "pins",
    "DCCA": "global buffers",
    "IOLOGIC": "pin registers",
    "SIOLOGIC": "pin registers (single)",
    "ICESTORM_LC": "logic cells",
    "ICESTORM_RAM": "block RAMs",
    "ICESTORM_DSP": "multipliers",
    "ICESTORM_PLL": "PLLs",
    "SB_IO": "pins",
    "SB_GB": "clock buffers",
}


@dataclass(frozen=True)
class Clock:
    """A clock of the design.

    Members
    -------
    name: the board's name of it, or that of its net. target_hz: what it has to meet. fmax_hz: what it meets.
    told_hz: what nextpnr tells instead, None where that is the same (`hw.retimed`).
    """

    name: str
    net: str
    target_hz: float
    fmax_hz: float
    told_hz: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.fmax_hz >= self.target_hz


@dataclass(frozen=True)
class Crossing:
    """The longest path from one clock to another.

    Members
    -------
    source, sink: names of clocks, or `<async>`. period_ns: of the receiving clock, 0 where that is none.
    """

    source: str
    sink: str
    delay_ns: float
    period_ns: float

    @property
    def judged(self) -> bool:
        """Whether both ends are clocks: what no clock holds at one end is not judged here."""
        return ASYNC not in (self.source, self.sink)

    @property
    def met(self) -> bool:
        """Whether it takes less than one period of the receiving clock."""
        return not self.judged or self.delay_ns <= self.period_ns


@dataclass(frozen=True)
class Reset:
    """A reset that goes through the global network.

    Members
    -------
    arrival_ns: when it is at the flip-flops, as if the network took no time. period_ns: of their clock.
    """

    name: str
    arrival_ns: float
    period_ns: float

    @property
    def met(self) -> bool:
        """Whether what is left of the period is enough for the network, so that all of them see it at the same edge."""
        return self.arrival_ns + reset_nets.NETWORK_NS <= self.period_ns


@dataclass(frozen=True)
class Point:
    """A place on a path: the signal, and where in the sources it is made (empty where that is not known)."""

    name: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} ({self.source})" if self.source else self.name


@dataclass(frozen=True)
class LongestPath:
    """The longest path of a clock.

    Members
    -------
    through: cells between the ends, by kind. slowest: the wire that takes longest, with its time.
    steps: every hop as kind, place and time.
    """

    begin: Point
    end: Point
    through: Mapping[str, int]
    logic_ns: float
    routing_ns: float
    slowest: Point
    slowest_ns: float
    steps: tuple[tuple[str, str, float], ...]

    @property
    def words(self) -> str:
        """The path as a sentence."""
        cells = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in self.through.items()]
        via = f" through {' and '.join(cells)}" if cells else ""
        return (
            f"From {self.begin}{via} to {self.end}: {self.logic_ns + self.routing_ns:.2f} ns, "
            f"{self.logic_ns:.2f} in cells and {self.routing_ns:.2f} in wires; "
            f"the slowest wire is {self.slowest} with {self.slowest_ns:.2f} ns."
        )


@dataclass(frozen=True)
class Placed:
    """What one seed gave.

    Members
    -------
    utilization: resource (nextpnr's name) to how many are used and how many there are.
    paths: the limiting path of each clock, by the clock's name. resets: those in the global network.
    """

    seed: int
    clocks: tuple[Clock, ...]
    crossings: tuple[Crossing, ...]
    utilization: Mapping[str, tuple[int, int]]
    paths: Mapping[str, LongestPath]
    resets: tuple[Reset, ...] = ()

    @property
    def margin(self) -> float:
        """The smallest ratio of a clock to its target: 1 or more where all are met."""
        return min((clock.fmax_hz / clock.target_hz for clock in self.clocks), default=0.0)

    @property
    def met(self) -> bool:
        """Whether all clocks are met."""
        return all(clock.met for clock in self.clocks)

    @property
    def slow_crossings(self) -> tuple[Crossing, ...]:
        """Those that take longer than they may."""
        return tuple(crossing for crossing in self.crossings if not crossing.met)

    @property
    def slow_resets(self) -> tuple[Reset, ...]:
        """Those that leave the global network too little time."""
        return tuple(reset for reset in self.resets if not reset.met)


def plain_net(net: str) -> str:
    """The net of a clock without what routing and buffers added to its name."""
    while True:
        shorter = _GLOBAL.sub("", net)
        if shorter == net:
            return net
        net = shorter


def clock_name(net: str, known: Mapping[str, int]) -> str:
    """The board's name of the clock that runs on a net, or the net's where the board names none such."""
    plain = plain_net(net)
    words = re.split(r"[._$\[\]]+", plain)
    for name in sorted(known, key=len, reverse=True):
        part = name.split("_")
        if any(words[at : at + len(part)] == part for at in range(len(words))):
            return name
    return plain


def clock_names(nets: Iterable[str], known: Mapping[str, int]) -> dict[str, str]:
    """Names of the clocks that run on these nets. One that fits none is the only one of the board that is left."""
    found = {net: clock_name(net, known) for net in nets}
    strange = [net for net, name in found.items() if name not in known]
    left = [name for name in known if name not in found.values()]
    if len(strange) == len(left) == 1:
        found[strange[0]] = left[0]
    return found


def read(seed: int, folder: Path, known: Mapping[str, int], hierarchy: Hierarchy | None = None) -> Placed:
    """The result of a seed from `report.json` and `top.tim` in `folder`.

    Parameters
    ----------
    known: the board's clocks by name, in Hz; a clock has to meet the higher one of this and nextpnr's constraint.
    """
    report = json.loads((folder / "report.json").read_text())
    names = clock_names(report["fmax"], known)
    clocks = []
    for net, figures in report["fmax"].items():
        name = names[net]
        target_hz = max(figures["constraint"] * 1e6, known.get(name, 0))
        told_hz = figures[TOLD] * 1e6 if TOLD in figures else None
        clocks.append(Clock(name, net, target_hz, figures["achieved"] * 1e6, told_hz))
    by_net = {clock.net: clock for clock in clocks}
    paths: dict[str, LongestPath] = {}
    for net, hops in own_paths(report).items():
        paths.setdefault(by_net[net].name, _path(hops, hierarchy))
    return Placed(
        seed=seed,
        clocks=tuple(clocks),
        crossings=_crossings((folder / "top.tim").read_text(), by_net),
        utilization=used(report),
        paths=paths,
        resets=tuple(_resets(report, by_net)),
    )


def _resets(report: Mapping[str, Any], clocks: Mapping[str, Clock]) -> Iterator[Reset]:
    """Resets in the global network, out of a detailed report."""
    for net in report.get("detailed_net_timings", ()):
        if net["net"].endswith(reset_nets.SUFFIX):
            ends = [(end["delay"][-1], clocks.get(end["event"].split()[-1])) for end in net["endpoints"]]
            timed = [(arrival_ns, 1e9 / clock.target_hz) for arrival_ns, clock in ends if clock]
            if timed:
                name = _GIVEN_NAME.sub("", net["net"].removesuffix(reset_nets.SUFFIX))
                yield Reset(name, max(arrival_ns for arrival_ns, _ in timed), min(period_ns for _, period_ns in timed))


def used(report: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """How many of each resource nextpnr's report says are used, and how many there are; unused ones are left out."""
    return {k: (v["used"], v["available"]) for k, v in report["utilization"].items() if v["used"]}


def own_paths(report: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The hops of the longest path of each clock, from it to itself, by the clock's net, out of nextpnr's report."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in report["critical_paths"]:
        source, sink = path["from"].split()[-1], path["to"].split()[-1]
        if source == sink and sink in report["fmax"] and path["path"]:
            found.setdefault(sink, path["path"])
    return found


def shares(hops: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What a path takes in cells and in wires, in ns."""
    in_cells = sum(hop["delay"] for hop in hops if hop["type"] != "routing")
    in_wires = sum(hop["delay"] for hop in hops if hop["type"] == "routing")
    return round(in_cells, 3), round(in_wires, 3)


def _crossings(log: str, clocks: Mapping[str, Clock]) -> tuple[Crossing, ...]:
    """The longest paths between clocks as the end of the log tells them; one line each, of the last analysis."""
    found: dict[tuple[str, str], Crossing] = {}
    for source_end, sink_end, delay in _CROSSING.findall(log):
        source, sink = source_end.split()[-1], sink_end.split()[-1]
        if source == sink:
            continue
        clock = clocks.get(sink)
        names = [clocks[end].name if end in clocks else plain_net(end) for end in (source, sink)]
        period_ns = 1e9 / clock.target_hz if clock else 0.0
        found[source_end, sink_end] = Crossing(names[0], names[1], float(delay), period_ns)
    return tuple(found.values())


def _path(hops: list[dict[str, Any]], hierarchy: Hierarchy | None) -> LongestPath:
    def point(cell: str, sources: list[str]) -> Point:
        name = _CELL_NAME.sub("", re.sub(r"\[\d+\]$", "", cell))
        base = hierarchy.base(name) if hierarchy else None
        given = next((source for source in sources if not source.startswith("/share")), "")
        if hierarchy is None or base is None:
            return Point(_GIVEN_NAME.sub("", name), given)
        driver, source = hierarchy.driver(base)
        return Point(driver, source or given)

    wires = [hop for hop in hops if hop["type"] == "routing"]
    passed = dict.fromkeys(_CELL_NAME.sub("", hop["from"]["cell"]) for hop in hops if hop["type"] == "logic")
    through = Counter(next((kind for kind, is_it in _STEP_KINDS if is_it.search(cell)), "LUT") for cell in passed)
    slowest = max(wires, key=lambda hop: hop["delay"], default=None)
    last = wires[-1] if wires else hops[-1]
    logic_ns, routing_ns = shares(hops)
    return LongestPath(
        begin=point(hops[0]["from"]["cell"], wires[0].get("sources", []) if wires else []),
        end=point(last["to"]["cell"], []),
        through=dict(through),
        logic_ns=logic_ns,
        routing_ns=routing_ns,
        slowest=point(slowest["net"], slowest.get("sources", [])) if slowest else Point("", ""),
        slowest_ns=round(slowest["delay"], 3) if slowest else 0.0,
        steps=tuple(
            (hop["type"], f"{hop['from']['cell']} -> {hop['to']['cell']}", round(hop["delay"], 3)) for hop in hops
        ),
    )


def refuse_too_large(design: str, part: str, log: str) -> None:
    """Says what does not fit, where that is why nextpnr failed.

    Raises
    ------
    UserError: which resource, and by how much.
    """
    used = ((RESOURCES.get(name, name), int(used), int(there)) for name, used, there in _USED.findall(log))
    refuse_larger(design, part, used, SMALLER)
