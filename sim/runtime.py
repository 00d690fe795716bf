"""Verilator's own runtime, compiled once: half of the work of a small build, and the same for all builds of a kind."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from tickgate.sim import cache, verilator


def lend(objects: Path, *kind: object) -> None:
    """Puts the runtime that an earlier build of this kind left into the folder of objects of a build to come.

    Parameters
    ----------
    kind: all of the flags that decide the objects.
    """
    shelf = cache.existing("runtime", cache.tools_hash(*kind))
    if shelf is not None:
        # Newer than the makefile that Verilator is about to write, or make would not take them as they are.
        later = time.time() + 3600
        for compiled in shelf.iterdir():
            shutil.copyfile(compiled, objects / compiled.name)
            os.utime(objects / compiled.name, (later, later))


def keep(objects: Path, *kind: object) -> None:
    """Keeps the runtime that a build made for the next ones of its kind."""

    def make(folder: Path) -> None:
        for compiled in objects.glob("verilated*.o"):  # verilator.o, of cocotb, knows the design
            shutil.copyfile(compiled, folder / compiled.name)

    cache.entry("runtime", cache.tools_hash(*kind), make)


def executable(
    folder: Path, flags: tuple[str, ...], sources: tuple[str, ...], definitions: tuple[str, ...] = ()
) -> None:
    """Makes a program of a design and of a driver with `main`, compiled as fast as can be, in the folder's `obj`.

    Parameters
    ----------
    flags: of Verilator. sources: Verilog and C++ in `folder`. definitions: macros of the C++.

    Raises
    ------
    RuntimeError: a tool failed.
    """
    objects = folder / "obj"
    objects.mkdir()
    lend(objects, "executable", definitions)
    compiled = " ".join(("-I..", *(f"-D{name}" for name in definitions)))
    verilator.run(
        [str(verilator.bin_folder() / "verilator"), "--cc", "--exe", "--build", "-Wno-fatal", "-Wno-lint",
         "--Mdir", objects.name, "-CFLAGS", compiled, "-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
         *flags, *sources],
        folder,
    )  # fmt: skip
    keep(objects, "executable", definitions)
