"""One seed of a board: nextpnr places, the placement is annealed where that is known how to, nextpnr routes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from tickgate.hw import tools
from tickgate.hw.design import EDITS_NETLIST, NAME, Design
from tickgate.sw.spec.errors import UserError

LOG = f"{NAME}.tim"
#: What nextpnr writes once it has placed: the design, the delays of its cells, and its log.
PLACED, DELAYS, PLACED_LOG = "placed.json", "placed.sdf", "placed.tim"
#: What it is to route: the design with other places, and the clocks, which it finds anew only while it packs.
ANNEALED, CLOCKS = "annealed.json", "clocks.lpf"
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

    Returns what annealing changed, and which clocks are otherwise than nextpnr tells them.

    Parameters
    ----------
    watch: told from time to time how far it is. limit_s: how long nextpnr may take at once.

    Raises
    ------
    ToolFailed: nextpnr failed, or took too long. UserError: the annealing is not installed.
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
        from tickgate.hw.anneal import anneal  # compiled, and other toolchains do without
        from tickgate.hw.retimed import retime
    except ImportError:
        raise UserError("the compiled annealing is not installed\ninstall without TICKGATE_PURE: make setup") from None
    # Without the configuration (`--textcfg` and its file), which nextpnr would write of what is not routed.
    config = given.index("--textcfg")
    run([*given[:config], *given[config + 2 :]], "--no-route", "--write", PLACED, "--sdf", DELAYS)
    clocks = _clocks((folder / LOG).rename(folder / PLACED_LOG).read_text())
    period_ns = 1e3 / max(map(float, clocks.values()))
    changed = anneal(folder / PLACED, folder / DELAYS, folder / ANNEALED, seed, period_ns, watch)
    (folder / CLOCKS).write_text("".join(f'FREQUENCY NET "{net}" {mhz} MHZ;\n' for net, mhz in clocks.items()))
    # The placer that the file names is taken, and not the one of the command line.
    given[given.index("--json") + 1] = ANNEALED
    run(given, "--lpf", CLOCKS, "--no-pack", "--sdf", ROUTED, *report)
    timed = retime(folder / ANNEALED, folder / DELAYS, folder / ROUTED, folder / REPORT)
    for large in (PLACED, DELAYS, ANNEALED, ROUTED):  # a hundred megabytes each
        (folder / large).unlink()
    return f"{changed}; {timed}"


def _clocks(log: str) -> dict[str, str]:
    """The frequency in MHz that is wanted of each clock's net, as the analysis at the end of a log has it."""
    return dict(_CLOCK.findall(log))
