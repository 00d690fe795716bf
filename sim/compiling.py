"""Compiles the C++ of a model into a shared object, where it pays twice: the second time by what a training run took.

The compiler counts in the run how often each branch is taken, and then puts what is executed side by side. The run
decides how fast the object is, never what it computes, so where there is no profile the object is compiled without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tickgate.sim import verilator

#: A file beside an object that was compiled without the profile that it should have: why.
UNTRAINED = "untrained.txt"

_COUNT = ("-fprofile-generate",)
_COUNTED = ("-fprofile-use",)


class NoProfile(RuntimeError):
    """A training run brought no profile; the message says why."""


@dataclass(frozen=True)
class Compilation:
    """How sources are compiled: the compiler, its flags, and the folder in which it runs and leaves the objects."""

    compiler: str
    flags: tuple[str, ...]
    folder: Path

    def objects(self, sources: Iterable[tuple[Path, tuple[str, ...]]]) -> list[str]:
        """Names of the objects of sources, each with flags of its own.

        Raises
        ------
        RuntimeError: a source did not compile.
        """

        def one(item: tuple[Path, tuple[str, ...]]) -> str:
            source, more = item
            name = f"{source.stem}.o"
            verilator.run([self.compiler, *self.flags, *more, "-c", str(source), "-o", name], self.folder)
            return name

        with ThreadPoolExecutor(max(2, (os.cpu_count() or 2))) as pool:
            return list(pool.map(one, sources))

    def link(self, objects: Iterable[str], output: Path, flags: tuple[str, ...] = ()) -> None:
        """Makes the shared object `output`.

        Raises
        ------
        RuntimeError: the linker failed.
        """
        verilator.run([self.compiler, "-shared", *flags, "-o", str(output), *objects, "-pthread"], self.folder)

    def trained(self, sources: list[Path], others: list[str], train: Callable[[Path], None]) -> list[str]:
        """Names of the objects of `sources`, compiled with the profile of a run.

        Parameters
        ----------
        others: objects that the library has besides. train: runs a library in a process of its own, to its end.

        Raises
        ------
        NoProfile: a compiler that counts in another way, or `train` failed. RuntimeError: a source did not compile.
        """
        counting = self.folder / "counting.so"
        try:
            self.link([*self.objects((source, _COUNT) for source in sources), *others], counting, _COUNT)
            train(counting)
        except (RuntimeError, OSError) as error:
            raise NoProfile(str(error)) from error
        finally:
            counting.unlink(missing_ok=True)
        if not any((self.folder / f"{source.stem}.gcda").exists() for source in sources):  # some have no code
            raise NoProfile(f"{Path(self.compiler).name} counted nothing")
        return self.objects((source, _COUNTED) for source in sources)


def library(
    compilation: Compilation,
    hot: list[Path],
    cold: list[tuple[Path, tuple[str, ...]]],
    output: Path,
    train: Callable[[Path], None] | None = None,
) -> str:
    """Makes the shared object `output`; gives why it was compiled without a profile, empty where it was not or none was
    wanted.

    Parameters
    ----------
    hot: sources of which a profile is taken. cold: others, each with flags of its own. train: see
    `Compilation.trained`; none for no profile.

    Raises
    ------
    RuntimeError: a source did not compile, also without a profile.
    """
    others = compilation.objects(cold)
    reason = ""
    if train is not None:
        try:
            compilation.link([*compilation.trained(hot, others, train), *others], output)
        except RuntimeError as error:
            reason = str(error)
            for profile in compilation.folder.glob("*.gcda"):
                profile.unlink()
    if train is None or reason:
        compilation.link([*compilation.objects((source, ()) for source in hot), *others], output)
    return reason
