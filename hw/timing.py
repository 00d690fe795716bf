"""Place and route of one stage alone: clock, cells, and the path that limits it, with the YoWASP tools.

Figures are of the harness's registers too (`hw.harness`), and move by some 10 % with the seed.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tickgate.gateware.build import STAGES, to_verilog
from tickgate.hw import own_registers, placed, reset_nets
from tickgate.hw.design import ECP5_OPTIONS, PLACE_OPTIONS
from tickgate.hw.fits import check_fits
from tickgate.hw.harness import PinHarness
from tickgate.hw.hierarchy import total_cells
from tickgate.hw.parts import Part
from tickgate.hw.tools import Workshop, need
from tickgate.hw.yosys_json import edited
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import Sizes


@dataclass(frozen=True)
class PathStep:
    """One hop of a critical path."""

    kind: str
    where: str
    delay_ns: float


@dataclass(frozen=True)
class TimingResult:
    """What place and route of a stage gave.

    Members
    -------
    fmax_hz: post-route clock. cells: by type, of the stage alone, of which `moved_flip_flops` are in block RAMs and
        multipliers and counted no more. logic_ns, routing_ns: the critical path's shares.
    """

    stage: str
    part: str
    seed: int
    fmax_hz: float
    target_hz: int
    cells: dict[str, int]
    moved_flip_flops: int
    utilization: dict[str, tuple[int, int]]
    path_from: str
    path_to: str
    logic_ns: float
    routing_ns: float
    path: tuple[PathStep, ...]

    @property
    def met(self) -> bool:
        """Whether the part's target clock is met."""
        return self.fmax_hz >= self.target_hz


def _cells(folder: Path) -> dict[str, int]:
    """Cells of the stage alone by type, from the statistics in `folder`."""
    return total_cells(json.loads((folder / "stage.json").read_text()))


#: Routers of nextpnr. The first follows the clock more closely.
ROUTERS = ("router1", "router2")


def place_and_route(
    stage: str, sizes: Sizes, part: Part, seed: int, folder: Path, router: str = ROUTERS[0]
) -> TimingResult:
    """Synthesises, places and routes one stage between the registers of its harness.

    Raises
    ------
    UserError: an unknown stage, one that does not fit, or the tools are not installed. RuntimeError: a tool failed.
    """
    if stage not in STAGES:
        raise UserError(f"no stage {stage!r}; the stages are {', '.join(STAGES)}")
    need(("yosys", "nextpnr-ecp5"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stage.v").write_text(to_verilog(STAGES[stage](sizes, frozenset()), name="stage"))
    (folder / "timing.v").write_text(to_verilog(PinHarness(STAGES[stage](sizes, frozenset())), name="timing"))
    synth = "read_verilog {0}.v; synth_ecp5 " + ECP5_OPTIONS + " -top {0} -json {1}.json\n"
    (folder / "alone.ys").write_text(synth.format("stage", "alone"))
    (folder / "synth.ys").write_text(synth.format("timing", "timing"))
    with Workshop() as workshop:
        workshop.run("yosys", ["-q", "-s", "alone.ys"], folder, "alone.log")
        moved = own_registers.move_in_files(folder / "alone.json", folder / "stage.json")
        check_fits(stage, part, _cells(folder))
        workshop.run("yosys", ["-q", "-s", "synth.ys"], folder, "synth.log")
        own_registers.move_in_files(folder / "timing.json", folder / "counted.json")
        with edited(folder / "timing.json") as design:
            reset_nets.to_global(design["modules"]["timing"])
        workshop.run(
            "nextpnr-ecp5",
            [*part.nextpnr, "--package", part.package, "--speed", part.speed, "--json", "timing.json",
             "--seed", str(seed), "--freq", str(part.target_hz / 1e6), "--report", "report.json",
             "--lpf-allow-unconstrained", "--timing-allow-fail", *PLACE_OPTIONS["trellis"].split(), "--router", router,
             "--textcfg", "/dev/null"],
            folder,
            "nextpnr.log",
        )  # fmt: skip
    return read_report(stage, part, seed, folder, moved.flip_flops)


def read_report(stage: str, part: Part, seed: int, folder: Path, moved_flip_flops: int = 0) -> TimingResult:
    """The result from the files that the tools left in `folder`."""
    report = json.loads((folder / "report.json").read_text())
    clock, figures = next(iter(report["fmax"].items()))
    hops = placed.own_paths(report).get(clock, [])
    logic_ns, routing_ns = placed.shares(hops)
    steps: list[PathStep] = []
    for hop in hops:
        net = hop.get("net", "")
        where = f"{hop['from']['cell']} -> {hop['to']['cell']}" + (f" ({net})" if net else "")
        steps.append(PathStep(hop["type"], re.sub(r"\$\S*\$", "", where), round(hop["delay"], 3)))
    return TimingResult(
        stage=stage,
        part=part.name,
        seed=seed,
        fmax_hz=figures["achieved"] * 1e6,
        target_hz=part.target_hz,
        cells=_cells(folder),
        moved_flip_flops=moved_flip_flops,
        utilization=placed.used(report),
        path_from=steps[0].where.split(" -> ")[0] if steps else "",
        path_to=steps[-1].where.split(" -> ")[-1] if steps else "",
        logic_ns=logic_ns,
        routing_ns=routing_ns,
        path=tuple(steps),
    )


def as_json(result: TimingResult) -> dict[str, object]:
    """The result as a JSON object."""
    return {**asdict(result), "met": result.met}
