"""Routes an annealed design for ECP5, with paths in view, for nextpnr to check and to finish.

nextpnr's `router1` looks at one connection after the other and not at time; here all nets negotiate for wires
(`c/route.h`, record 74). What nextpnr has routed before (`tickgate.hw.skeleton`) stays as it is.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tickgate.hw import skeleton
from tickgate.hw._anneal import ARC
from tickgate.hw._route import FIXED_WIRE, NET, Router
from tickgate.hw.anneal import TILE_PS, WIRE_PS, Annealed
from tickgate.hw.chip import ANY, FIXED, PAIRS, SLICES, Chip, DatabaseError, Graph
from tickgate.hw.flip_flops import parameters_of
from tickgate.hw.packed import LUT, SITE, top_of
from tickgate.hw.pins import wire_of_pin
from tickgate.hw.skeleton import KNOWN

if TYPE_CHECKING:
    from tickgate.hw._route import Round

#: Rounds at most, and in a row after which no fewer wires are shared. A design that is not routed by then is
#: left to nextpnr's router.
ROUNDS, PATIENCE = 60, 10
#: How much dearer a wire is for each net that has it: in the first and second round, then so many times more, and most.
SHARING, GROWING, SHARING_MOST = (0.5, 0.8), 1.4, 16.0
#: Rounds in which late connections get another way, and by which factor they may take longer than the least: at first,
#: and more in each round. From then on there is only one aim left, to share nothing.
LATE_ROUNDS, AGAIN, MORE_AGAIN = 30, 1.15, 0.03
#: From this round on, nets that often had to share come last.
FAILED_LAST = 9
#: Part of the shortest period that the longest paths are to take.
GOAL = 0.75
#: As c/route.h has them.
HOP_PS, MEMORY, AHEAD = 60.0, 1.0, 1.2
#: Wires of global networks, and of rows and columns of them: nextpnr alone gives them away.
GLOBAL_WIRES = "[GLR]_.*"
#: Pins of LUTs: where most ways end.
_PINS = r"[ABCDM]\d_SLICE"
_ROUTING = "ROUTING"
#: Which inputs may change places, by what a LUT is used as.
_RULES = {"LOGIC": ANY, "CCU2": PAIRS, "DPRAM": FIXED, "RAMW_BLOCK": FIXED}


@dataclass(frozen=True)
class Routed:
    """What came out.

    Members
    -------
    shared, unreached: wires that several nets want, and pins without a way. rounds: how many it took. path_ns: the
    longest path. wires_ps: what the way to each pin takes.
    """

    shared: int
    unreached: int
    rounds: int
    path_ns: float
    wires_ps: Mapping[skeleton.Pin, float] = field(repr=False)

    @property
    def legal(self) -> bool:
        """Whether every connection has a way of its own."""
        return not self.shared and not self.unreached

    def __str__(self) -> str:
        if self.legal:
            return f"routed in {self.rounds} rounds, longest path {self.path_ns:.2f} ns"
        open_ends = f"{self.shared:,} wires still shared and {self.unreached:,} pins not reached"
        return f"{open_ends} after {self.rounds} rounds, left to nextpnr"


@dataclass(frozen=True)
class Problem:
    """A design and a device.

    Members
    -------
    bits: of its nets, in turn. pins: of its sinks, in turn. graph and all others: as `Router` takes them.
    """

    graph: Graph
    bits: tuple[int, ...]
    pins: tuple[skeleton.Pin, ...]
    nets: np.ndarray
    sinks: np.ndarray
    fixed: np.ndarray
    arcs: np.ndarray
    sinks_of: np.ndarray
    targets: np.ndarray


def route(
    annealed: Annealed,
    begun: Mapping[str, Any],
    chip: Chip,
    speed: int,
    period_ns: float,
    watch: Callable[[str], None] = lambda line: None,
) -> Routed:
    """Routes a design, and writes the ways into `annealed.design` if they are legal.

    Parameters
    ----------
    begun: the design of `skeleton.of` as nextpnr routed it. speed: as `chip.find` gave it. period_ns: of the fastest
    clock. watch: told how far it is.

    Raises
    ------
    DatabaseError: the device does not have what the design names; a fault here.
    """
    module = annealed.module
    wanted = skeleton.nets(module)
    before = Before(module, top_of(begun), wanted, chip)
    problem = prepare(annealed, wanted, before, chip, speed)
    router = Router(
        chip.width, problem.graph.first_edge, problem.graph.edges, chip.tile, chip.name, chip.reach,
        problem.nets, problem.sinks, problem.fixed, problem.arcs, problem.sinks_of, annealed.times.launch_ps,
        problem.targets, goal_ps=GOAL * period_ns * 1e3, wire_ps=WIRE_PS, tile_ps=TILE_PS, hop_ps=HOP_PS,
        memory=MEMORY, ahead=AHEAD,
    )  # fmt: skip
    told, number = negotiate(router, watch)
    wires_ps = dict(zip(problem.pins, router.sinks_ps().tolist(), strict=True))
    done = Routed(told["shared"], told["unreached"], number, told["worst_ps"] / 1e3, wires_ps)
    if done.legal:
        _write(module, problem, before, chip, router)
    return done


def negotiate(router: Router, watch: Callable[[str], None]) -> tuple[Round, int]:
    """Rounds until no wire is shared and every sink reached, or there is no progress; the last one, and how many."""
    sharing, least, since = SHARING[0], sys.maxsize, 0
    for number in range(1, ROUNDS + 1):
        again = AGAIN + MORE_AGAIN * number if number <= LATE_ROUNDS else 0.0
        told = router.round(sharing, again, number >= FAILED_LAST)
        watch(f"route {number}: {told['shared']:,} wires shared, longest path {told['worst_ps'] / 1e3:.2f} ns")
        open_ends = told["shared"] + told["unreached"]
        least, since = (open_ends, 0) if open_ends < least else (least, since + 1)
        if not open_ends or since == PATIENCE:
            break
        sharing = SHARING[number] if number < len(SHARING) else min(sharing * GROWING, SHARING_MOST)
    return told, number


class Step(NamedTuple):
    """A wire that nextpnr has given to a net, the wire that it is reached from, and the name of the pip between."""

    wire: int
    begin: int
    pip: str


class Before:
    """What nextpnr has routed before, and is kept.

    Members
    -------
    told: `ROUTING` of nets that are not global, by name. ways: theirs, by bit, what is nearer to the source first.
    source: the first wire, of each bit of which nextpnr has routed anything.
    closed: bool, of each wire: some net has it.
    """

    def __init__(
        self, module: Mapping[str, Any], begun: Mapping[str, Any], wanted: Mapping[int, skeleton.Net], chip: Chip
    ):
        self.told: dict[str, str] = {}
        self.ways: dict[int, list[Step]] = {}
        self.source: dict[int, int] = {}
        self.closed = np.zeros(len(chip.tile), bool)
        bits = {name: net["bits"][0] for name, net in module["netnames"].items() if net["bits"]}
        for name, net in begun["netnames"].items():
            routing = net["attributes"].get(_ROUTING, "")
            words = routing.split(";")
            if len(words) < 3:
                continue
            pips = [(chip.wire_named(wire), pip) for wire, pip in zip(words[::3], words[1::3], strict=True)]
            if "1" not in str(net["attributes"].get("ECP5_IS_GLOBAL", "")):
                if name not in bits:
                    raise DatabaseError(f"the net {name} is none of the design")
                bit = bits[name]
                self.source[bit] = next(wire for wire, pip in pips if not pip)
                if bit in wanted and not wanted[bit].ends_elsewhere:
                    continue  # its source was to be found out, and no more
                self.told[name] = routing
                steps = [Step(wire, chip.source_named(pip), pip) for wire, pip in pips if pip]
                self.ways[bit] = _from_source(self.source[bit], steps)
            self.closed[[wire for wire, _ in pips]] = True


def _from_source(source: int, steps: list[Step]) -> list[Step]:
    """The wires of a net in the order in which they are reached."""
    leads: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        leads[step.begin].append(step)
    found = list(leads[source])
    for step in found:
        found += leads[step.wire]
    return found


def prepare(annealed: Annealed, wanted: Mapping[int, skeleton.Net], before: Before, chip: Chip, speed: int) -> Problem:
    """The problem of a design on a device: of the nets `wanted` of it."""
    cells = annealed.module["cells"]
    number = {name: i for i, name in enumerate(annealed.cells.names)}
    timed = {bit: i for i, bit in enumerate(annealed.cells.nets)}
    places = {name: SITE.fullmatch(cell["attributes"]["BEL"]) for name, cell in cells.items() if cell["type"] in KNOWN}

    def wire(pin: tuple[str, str]) -> int:
        place = places.get(pin[0])
        if place is None:
            raise DatabaseError(f"{pin[0]} has no place")
        try:
            return chip.wire(int(place[1]), int(place[2]), wire_of_pin(place[3], pin[1]))
        except KeyError:
            raise DatabaseError(f"there is no pin {pin[1]} at {place[0]}") from None

    nets: list[tuple[int, ...]] = []
    pins: list[skeleton.Pin] = []
    sinks: list[int] = []
    fixed: list[Step] = []
    parts: dict[tuple[int, int], tuple[int, int]] = {}
    for bit, net in wanted.items():
        source = before.source[bit] if bit in before.source else wire(net.driver)
        first, first_fixed = len(sinks), len(fixed)
        for end in sorted(net.ends, key=lambda pin: number[pin[0]]):
            at = (timed.get(bit, -1), number[end[0]])
            parts[at] = (parts[at][0] if at in parts else len(sinks), len(sinks) + 1)
            pins.append(end)
            sinks.append(wire(end))
        fixed += before.ways.get(bit, ())
        nets.append((source, first, len(sinks), first_fixed, len(fixed)))
    arcs = annealed.times.arcs.copy()
    of_net, of_cell, ps, direct = (arcs[:, ARC.index(name)] for name in ("net", "cell", "ps", "direct"))
    nothing = (0, 0)
    ends = zip(of_net.tolist(), of_cell.tolist(), strict=True)
    sinks_of = np.array([parts.get(at, nothing) for at in ends], np.int32)
    sinks_of = sinks_of.reshape(-1, 2)
    sinks_of[direct != 0] = nothing  # no wire is there to take time
    elsewhere = (direct == 0) & (sinks_of[:, 0] == sinks_of[:, 1])
    ps[elsewhere] += round(WIRE_PS)
    closed = before.closed | chip.named(GLOBAL_WIRES)
    # What is closed may be left by the net whose it is.
    left = closed.copy()
    left[[net[0] for net in nets]] = left[[step.wire for step in fixed]] = False
    taken = [(step.begin, step.wire) for step in fixed]
    graph = chip.graph(speed, closed, left, _rules(cells, places, chip), taken)
    return Problem(
        graph=graph,
        bits=tuple(wanted),
        pins=tuple(pins),
        nets=np.array(nets, np.int32).reshape(-1, len(NET)),
        sinks=np.array(sinks, np.int32),
        fixed=np.array([(step.wire, step.begin, _edge(graph, chip, step)) for step in fixed], np.int32).reshape(
            -1, len(FIXED_WIRE)
        ),
        arcs=arcs,
        sinks_of=sinks_of,
        targets=_targets(chip),
    )


def _edge(graph: Graph, chip: Chip, step: Step) -> int:
    for edge in range(graph.first_edge[step.begin], graph.first_edge[step.begin + 1]):
        if graph.edges["to"][edge] == step.wire and chip.pip_name(int(graph.pip[edge]), step.wire) == step.pip:
            return edge
    raise DatabaseError(f"there is no pip {step.pip} at {chip.wire_name(step.begin)}")


def _rules(cells: Mapping[str, Any], places: Mapping[str, Any], chip: Chip) -> np.ndarray:
    """Which inputs of the LUTs of each slice may change places: as nextpnr's `bindBel` has it (ecp5/arch.h)."""
    rules = np.full((chip.width * chip.height, SLICES), ANY, np.uint8)
    for name, place in places.items():
        if cells[name]["type"] == LUT:
            mode = parameters_of(cells[name]).get("MODE", "LOGIC")
            tile, slice_ = int(place[2]) * chip.width + int(place[1]), "ABCD".index(place[3][len("SLICE")])
            rules[tile, slice_] = min(rules[tile, slice_], _RULES[mode])
    return rules


def _targets(chip: Chip) -> np.ndarray:
    """Pins of LUTs of the tile with such that is nearest to the middle of the device."""
    pins = np.flatnonzero(chip.named(_PINS))
    tiles = np.unique(chip.tile[pins])
    middle = np.abs(tiles % chip.width - chip.width // 2) + np.abs(tiles // chip.width - chip.height // 2)
    return pins[chip.tile[pins] == tiles[np.argmin(middle)]].astype(np.int32)


def _write(module: Mapping[str, Any], problem: Problem, before: Before, chip: Chip, router: Router) -> None:
    """The ways of all nets, as nextpnr's file has them: wire, pip and how firmly it is bound, of each wire."""
    first, wires, edges = router.trees()
    ways: dict[int, str] = {}
    of_wire, of_edge = wires.tolist(), edges.tolist()
    pips = problem.graph.pip[edges].tolist()
    for i, bit in enumerate(problem.bits):
        begun = {before.source[bit], *(step.wire for step in before.ways[bit])} if bit in before.ways else set()
        words = []
        for at in range(first[i], first[i + 1]):
            wire = of_wire[at]
            if wire not in begun:
                pip = chip.pip_name(pips[at], wire) if of_edge[at] >= 0 else ""
                words += [chip.wire_name(wire), pip, "1"]
        ways[bit] = ";".join(words)
    for name, net in module["netnames"].items():
        parts = [before.told.get(name, ""), ways.get(net["bits"][0], "") if net["bits"] else ""]
        if any(parts):
            net["attributes"][_ROUTING] = ";".join(filter(None, parts))
