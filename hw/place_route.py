"""One seed of a board: placed and routed by nextpnr; for ECP5, the placement is annealed and routed here between."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tickgate.hw import tools
from tickgate.hw.design import EDITS_NETLIST, NAME, Design
from tickgate.sw.spec.errors import UserError

LOG = f"{NAME}.tim"
#: What nextpnr writes once it has placed: the design, the delays of its cells, and its log.
PLACED, DELAYS, PLACED_LOG = "placed.json", "placed.sdf", "placed.tim"
#: What it is to route: the design with other places, and the clocks, which it finds anew only while it packs.
ANNEALED, CLOCKS = "annealed.json", "clocks.lpf"
#: What it is to route before the rest is routed here, and what it made of that.
SKELETON, BEGUN, BEGUN_LOG = "skeleton.json", "begun.json", "begun.tim"
#: What it writes of the routed design: its delays, and the report, whose clocks are then timed again.
ROUTED, REPORT = "routed.sdf", "report.json"
_CLOCK = re.compile(r"^Info: Max frequency for clock +'([^']+)': [\d.]+ MHz \(\w+ at ([\d.]+) MHz\)$", re.MULTILINE)


def place_and_route(
    design: Design,
    work: Path,
    folder: Path,
    seed: int,
    workshop: tools.Workshop,
    watch: Callable[[str], None],
    limit_s: float = math.inf,
) -> str:
    """Places and routes what Yosys left in `work` into `folder`, a folder of `work`.

    Returns what was done between nextpnr's runs, and which clocks are otherwise than it tells them.

    Parameters
    ----------
    watch: told from time to time how far it is. limit_s: how long nextpnr may take at once.

    Raises
    ------
    ToolFailed: nextpnr failed, or took too long. UserError: the annealing and the router are not installed.
    """
    name, *arguments = design.commands[1]
    given = [f"../{a}" if (work / a).is_file() else a for a in arguments]
    given += ["--seed", str(seed), "--timing-allow-fail"]
    report = ["--report", REPORT, "--detailed-timing-report"]

    def run(arguments: list[str], *more: str) -> None:
        workshop.run(name, [*arguments, *more], folder, "nextpnr.log", watch, LOG, limit_s)

    if design.board.toolchain not in EDITS_NETLIST:
        run(given, *report)
        return ""
    try:
        from tickgate.hw import chip, route, skeleton  # compiled, and other toolchains do without
        from tickgate.hw.anneal import anneal
        from tickgate.hw.retimed import retime
    except ImportError:
        said = "the compiled annealing and router are not installed\ninstall without TICKGATE_PURE: make setup"
        raise UserError(said) from None
    run(_no_configuration(given), "--no-route", "--write", PLACED, "--sdf", DELAYS)
    clocks = _clocks((folder / LOG).rename(folder / PLACED_LOG).read_text())
    period_ns = 1e3 / max(map(float, clocks.values()))
    annealed = anneal(folder / PLACED, folder / DELAYS, seed, period_ns, watch)

    (folder / CLOCKS).write_text("".join(f'FREQUENCY NET "{net}" {mhz} MHZ;\n' for net, mhz in clocks.items()))
    # The placer that the file names is taken, and not the one of the command line.
    again = [*given, "--lpf", CLOCKS, "--no-pack"]
    source = again.index("--json") + 1
    again[source] = SKELETON
    _write(skeleton.of(annealed.design, skeleton.nets(annealed.module)), folder / SKELETON)
    run(_no_configuration(again), "--write", BEGUN)
    (folder / LOG).rename(folder / BEGUN_LOG)

    database, speed = chip.find(given)
    begun = json.loads((folder / BEGUN).read_text())
    try:
        routed = str(route.route(annealed, begun, chip.Chip(database.read_bytes()), speed, period_ns, watch))
    except chip.DatabaseError as e:
        routed = f"left to nextpnr: {e}"

    again[source] = ANNEALED
    _write(annealed.design, folder / ANNEALED)
    run(again, "--sdf", ROUTED, *report)
    timed = retime(folder / ANNEALED, folder / DELAYS, folder / ROUTED, folder / REPORT)
    for large in (PLACED, DELAYS, SKELETON, BEGUN, ANNEALED, ROUTED):  # a hundred megabytes each
        (folder / large).unlink()
    return f"{annealed}; {routed}; {timed}"


def _no_configuration(arguments: list[str]) -> list[str]:
    """Without `--textcfg` and its file, which nextpnr would write of what is not routed."""
    config = arguments.index("--textcfg")
    return arguments[:config] + arguments[config + 2 :]


def _write(design: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(design, separators=(",", ":")))


def _clocks(log: str) -> dict[str, str]:
    """The frequency in MHz that is wanted of each clock's net, as the analysis at the end of a log has it."""
    return dict(_CLOCK.findall(log))
