"""From a board's name to its bitstream: elaborate, synthesise, place and route with several seeds, judge, pack.

A build fails where a clock is missed, where a path between clocks is longer than a period of the receiving one, and
where a part of the design has lost its cells; the report is written in any case.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tickgate.hw import floorplan, own_registers, placed, reset_nets, tools
from tickgate.hw import hierarchy as parts_module
from tickgate.hw.boards import Board
from tickgate.hw.design import CELLS_FILE, EDITS_NETLIST, NAME, Design, prepare
from tickgate.hw.fits import check_fits
from tickgate.hw.flip_flops import Moved
from tickgate.hw.hierarchy import Hierarchy, PartCells
from tickgate.hw.place_route import place_and_route
from tickgate.hw.placed import Placed
from tickgate.hw.platforms import REQUIRED_TOOLS
from tickgate.hw.steps import Steps, compile_tools
from tickgate.hw.yosys_json import edited
from tickgate.sw.files.atomic import atomic_output
from tickgate.sw.spec.errors import UserError

#: Files that a packer writes, by ending.
PACKED = (".bit", ".svf", ".bin")
SEEDS = 4
JOBS = 2
#: A seed is given up after so long: with an unlucky placement the router goes round in circles for hours.
SEED_MINUTES = 90

LATENCY_MEANS = (
    "simulated cycles x period of the core clock, from the word with the deciding byte to the order's first word; MAC, "
    "clock crossings and PHY excluded"
)

_ALONE = "alone"


@dataclass(frozen=True)
class Output:
    """A file of the bitstream."""

    path: Path
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Build:
    """What a build gave.

    Members
    -------
    results: of each seed that could be routed, in the order of the seeds. lost: what was said of each that could not.
    best: the one that is packed. parts: cells of each part of the design.
    faults: what the build fails for, a line each; missed clocks are none where they were allowed.
    moved: registers that are in block RAMs, and in no count of flip-flops.
    outputs: the bitstream in its forms, empty where the build failed. seconds: how long each step took.
    """

    board: Board
    design: Design
    results: tuple[Placed, ...]
    lost: Mapping[int, str]
    best: Placed
    parts: tuple[PartCells, ...]
    faults: tuple[str, ...]
    moved: Moved
    outputs: tuple[Output, ...]
    seconds: Mapping[str, float]

    @property
    def slow(self) -> bool:
        """Whether the best seed misses a clock."""
        return not self.best.met


def build(
    board: Board,
    folder: Path,
    *,
    seeds: int = SEEDS,
    jobs: int = JOBS,
    seed_minutes: float = SEED_MINUTES,
    allow_slow: bool = False,
    make_design: Callable[[Board], Design] = prepare,
) -> Build:
    """Builds a board's bitstream into `folder`.

    Parameters
    ----------
    seeds: how many are tried, from 1 on. jobs: how many tools run at the same time. seed_minutes: how long a seed may
        take.
    allow_slow: pack although a clock is missed; the file's name says so.

    Raises
    ------
    UserError: a missing tool, or a design that does not fit. ToolFailed: a tool failed.
    """
    if not board.open:
        raise UserError(f"{board.name} is built with {board.toolchain}, which is no open toolchain")
    tools.need(REQUIRED_TOOLS[board.toolchain])
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    # The pool waits for its threads when it is left: what they wait for has to be stopped before.
    with Steps() as steps, ThreadPoolExecutor(jobs) as pool, tools.Workshop() as workshop:
        with steps.step("elaborate"):
            design = make_design(board)
            design.write(work)
            hierarchy = Hierarchy(design.netlist, NAME)
        compile_tools(REQUIRED_TOOLS[board.toolchain], work, workshop, steps)
        # A probe uses a part of each stage, knowingly: nothing says how much is to be left.
        whole = board.top != "probe"
        alone = pool.submit(_alone if whole else _no_parts, design, hierarchy, work, workshop, steps)
        if jobs == 1:
            alone.result()
        with steps.step("synthesise") as said:
            workshop.run("yosys", design.commands[0][1:], work, "yosys.log", said, f"{NAME}.rpt")
            moved = _moved(board, work / f"{NAME}.json", work / CELLS_FILE)
        if moved.flip_flops:
            steps.tell(str(moved))
        resets = _arrange(board, work / f"{NAME}.json", steps)
        cells = parts_module.total_cells(json.loads((work / CELLS_FILE).read_text()))
        check_fits(board.name, board.part, cells, placed.SMALLER)
        results, lost = _try_seeds(
            board, design, hierarchy, work, range(1, seeds + 1), seed_minutes * 60, pool, workshop, steps
        )
        best = max(results, key=lambda result: (result.margin, -result.seed))
        flat = json.loads((work / f"{NAME}.json").read_text())["modules"][NAME]
        parts = parts_module.parts_of(hierarchy, flat, alone.result())
        faults = tuple(_faults(board, best, parts, resets, allow_slow))
        outputs: tuple[Output, ...] = ()
        _clear(folder)
        if not faults:
            with steps.step("pack"):
                outputs = _pack(design, best, work, folder, workshop)
        return Build(board, design, results, lost, best, parts, faults, moved, outputs, dict(steps.seconds))


def _moved(board: Board, netlist: Path, statistics: Path) -> Moved:
    """Moves registers into block RAMs and multipliers, where the board's toolchain has such."""
    if board.toolchain not in EDITS_NETLIST:
        return Moved(0, 0)
    return own_registers.move_in_files(netlist, statistics)


def _arrange(board: Board, netlist: Path, steps: Steps) -> int:
    """Says in Yosys' netlist what the placer is not to decide; returns how many resets are in the global network."""
    if board.toolchain not in EDITS_NETLIST:
        return 0
    with edited(netlist) as design:
        sited = floorplan.place(board.part, design["modules"][NAME])
        moved = reset_nets.to_global(design["modules"][NAME])
    if sited:
        steps.tell(f"{sited} block RAMs of the book have sites side by side")
    if moved:
        steps.tell(f"{len(moved)} resets of {sum(moved.values()):,} flip-flops go through the global network")
    return len(moved)


def _alone(
    design: Design, hierarchy: Hierarchy, work: Path, workshop: tools.Workshop, steps: Steps
) -> dict[str, dict[str, int]]:
    """Cells of each part where nothing around it can prune it."""
    folder = work / _ALONE
    folder.mkdir()
    lines = map(str.strip, design.files[f"{NAME}.ys"].splitlines())
    synthesis = next(line for line in lines if line.startswith("synth_"))
    netlist = f"{NAME}.json" if design.board.toolchain in EDITS_NETLIST else ""
    script = parts_module.alone_script(hierarchy, f"../{NAME}.il", synthesis, CELLS_FILE, netlist)
    (folder / "alone.ys").write_text(script)
    with steps.step("synthesise the parts alone") as said:
        workshop.run("yosys", ["-q", "-l", "alone.rpt", "alone.ys"], folder, "yosys.log", said, "alone.rpt")
        _moved(design.board, folder / netlist, folder / CELLS_FILE)
    return parts_module.alone_cells(json.loads((folder / CELLS_FILE).read_text()))


def _no_parts(*_: object) -> dict[str, dict[str, int]]:
    return {}


def _try_seeds(
    board: Board,
    design: Design,
    hierarchy: Hierarchy,
    work: Path,
    seeds: range,
    limit_s: float,
    pool: ThreadPoolExecutor,
    workshop: tools.Workshop,
    steps: Steps,
) -> tuple[tuple[Placed, ...], dict[int, str]]:
    """The result of every seed, and what was said of those that failed.

    Raises
    ------
    UserError: the design does not fit. ToolFailed: no seed could be routed.
    """

    def one(seed: int) -> Placed:
        folder = work / f"seed-{seed}"
        folder.mkdir()
        with steps.step(f"place and route, seed {seed}") as said:
            changed = place_and_route(design, work, folder, seed, workshop, said, limit_s)
        if changed:
            steps.tell(f"seed {seed}: {changed}")
        return placed.read(seed, folder, board.clocks, hierarchy)

    results, lost = [], {}
    waiting = {pool.submit(one, seed): seed for seed in seeds}
    for done in as_completed(waiting):
        seed = waiting[done]
        try:
            results.append(done.result())
        except tools.ToolFailed as failed:
            log = work / f"seed-{seed}" / f"{NAME}.tim"
            if log.is_file():
                placed.refuse_too_large(board.name, board.part.name, log.read_text(errors="replace"))
            lost[seed] = str(failed)
            if len(lost) == len(waiting):
                raise
    return tuple(sorted(results, key=lambda result: result.seed)), dict(sorted(lost.items()))


def _faults(board: Board, best: Placed, parts: tuple[PartCells, ...], resets: int, allow_slow: bool) -> list[str]:
    """What a build fails for; `resets` of them have to be timed."""
    found = []
    if not allow_slow:
        found += [
            f"clock {clock.name} is missed: {clock.fmax_hz / 1e6:.2f} MHz of {clock.target_hz / 1e6:.2f} MHz"
            for clock in best.clocks
            if not clock.met
        ]
    names = {clock.name for clock in best.clocks}
    found += [f"clock {name} drives nothing that could be timed" for name in board.clocks if name not in names]
    found += [
        f"the crossing from {c.source} to {c.sink} takes {c.delay_ns:.2f} ns, more than a period ({c.period_ns:.2f} ns)"
        for c in best.slow_crossings
    ]
    found += [
        f"the reset {r.name} takes {r.arrival_ns:.2f} of {r.period_ns:.2f} ns, and {reset_nets.NETWORK_NS:g} ns more "
        "in the global network"
        for r in best.slow_resets
    ]
    if len(best.resets) < resets:
        found.append(f"only {len(best.resets)} of {resets} resets in the global network could be timed")
    found += [f"{part.path} was pruned: {part.pruned}" for part in parts if part.pruned]
    return found


def _clear(folder: Path) -> None:
    """Removes the bitstreams of an earlier build: a file that is there is of the build that the report tells of."""
    for path in folder.iterdir():
        if path.suffix in PACKED:
            path.unlink()


def output_stem(board: Board, build_id: int, best: Placed) -> str:
    """Name of the bitstream without its ending: board, build id, and that it is slow where it is."""
    stem = f"{board.name}-{build_id:016x}"
    if best.met:
        return stem
    worst = min(best.clocks, key=lambda clock: clock.fmax_hz / clock.target_hz)
    return f"{stem}-SLOW-{worst.name}-{worst.fmax_hz / 1e6:.0f}MHz"


def _pack(design: Design, best: Placed, work: Path, folder: Path, workshop: tools.Workshop) -> tuple[Output, ...]:
    """Packs the best seed's bitstream into `folder`."""
    inside = work / f"seed-{best.seed}"
    name, *arguments = design.commands[2]
    workshop.run(name, arguments, inside, "pack.log")
    outputs = []
    for path in sorted(inside.iterdir()):
        if path.suffix in PACKED:
            final = folder / (output_stem(design.board, design.build_id, best) + path.suffix)
            data = path.read_bytes()
            with atomic_output(final) as out:
                out.write(data)
            outputs.append(Output(final, len(data), hashlib.sha256(data).hexdigest()))
    return tuple(outputs)


def as_json(made: Build) -> dict[str, Any]:
    """The report of a build as a JSON object."""
    board, best = made.board, made.best
    return {
        **made.design.identity,
        "built": not made.faults,
        "met": best.met,
        "faults": list(made.faults),
        "seed": best.seed,
        "core_hz": board.core_hz,
        "clocks": [
            {
                "name": clock.name,
                "net": clock.net,
                "target_mhz": round(clock.target_hz / 1e6, 3),
                "fmax_mhz": round(clock.fmax_hz / 1e6, 2),
                "told_by_nextpnr_mhz": round((clock.told_hz or clock.fmax_hz) / 1e6, 2),
                "met": clock.met,
                "seeds_mhz": _of_seeds(made.results, clock.name),
            }
            for clock in best.clocks
        ],
        "seeds": [result.seed for result in made.results],
        "seeds_lost": {str(seed): text.splitlines()[0] for seed, text in made.lost.items()},
        "latency": latency(board),
        "crossings": [
            {
                "from": c.source,
                "to": c.sink,
                "delay_ns": c.delay_ns,
                "period_ns": round(c.period_ns, 3),
                "judged": c.judged,
                "met": c.met,
            }
            for c in best.crossings
        ],
        "resets": [
            {"name": r.name, "arrival_ns": round(r.arrival_ns, 3), "period_ns": round(r.period_ns, 3), "met": r.met}
            for r in best.resets
        ],
        "critical_paths": [
            {"clock": name, "words": path.words, "steps": [list(step) for step in path.steps]}
            for name, path in best.paths.items()
        ],
        "moved_flip_flops": made.moved.flip_flops,
        "utilization": [
            {"resource": name, "name": placed.RESOURCES.get(name, name), "used": used, "available": there}
            for name, (used, there) in best.utilization.items()
        ],
        "parts": [
            {
                "path": part.path,
                "alone": dict(part.alone),
                "built": dict(part.built),
                "share": round(part.share, 3),
                "pruned": part.pruned,
            }
            for part in made.parts
        ],
        "files": [{"name": o.path.name, "bytes": o.size_bytes, "sha256": o.sha256} for o in made.outputs],
        "versions": dict(made.design.versions),
        "seconds": dict(made.seconds),
        "on_silicon": board.on_silicon,
    }


def _of_seeds(results: tuple[Placed, ...], clock: str) -> list[float]:
    return [round(c.fmax_hz / 1e6, 2) for result in results for c in result.clocks if c.name == clock]


def latency(board: Board) -> dict[str, Any] | None:
    """Cycles and nanoseconds from the word with the deciding byte to the order's first word; None without orders."""
    if board.top != "board":
        return None
    from tickgate.gateware.top import Top

    cycles = Top.order_cycles()
    return {
        "cycles": cycles,
        "ns": round(cycles * 1e9 / board.core_hz, 1),
        "what": LATENCY_MEANS,
    }
