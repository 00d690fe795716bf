"""What the system itself has to bring, checked before anything is installed.

Runs as a plain script under whatever python3 there is (``python3 sw/cli/preflight.py``), so it imports nothing of the
project and keeps to syntax that an old interpreter can read. It prints one line for each missing piece, with the Debian
package that brings it, and exits with status 2 where one is missing.
"""

import os
import shutil
import subprocess
import sys
import sysconfig

MINIMUM_PYTHON = (3, 11)

# program, Debian package, what it is for, option that prints its version
PROGRAMS = (
    ("g++", "g++", "compiles the Verilated gateware and the drivers", "-dumpfullversion"),
    ("cc", "gcc", "compiles the drivers", "-dumpfullversion"),
    ("make", "make", "runs the targets and Verilator's builds", "--version"),
    ("perl", "perl", "runs Verilator's wrapper script", "-e print $^V"),
)


def python_version() -> str:
    """Return the version of the running interpreter as text."""
    return ".".join(str(part) for part in sys.version_info[:3])


def has_headers() -> bool:
    """Tell whether the C headers of the running Python are there."""
    return os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))


def has_venv() -> bool:
    """Tell whether virtual environments with pip can be made (Debian splits these modules off)."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def program_version(program: str, option: str) -> "str | None":
    """Return the version that ``program`` prints, None where it is not on PATH."""
    path = shutil.which(program)
    if path is None:
        return None
    words = [path] + option.split(" ", 1)
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return "?"
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    return lines[0].replace("GNU Make ", "").lstrip("v") if lines else "?"


def missing(compiled: bool = True) -> "list[tuple[str, str, str]]":
    """List what is missing as (piece, Debian package, purpose); ``compiled`` tells whether a compiler is needed."""
    found = []
    if sys.version_info < MINIMUM_PYTHON:
        needed = ".".join(str(part) for part in MINIMUM_PYTHON)
        found.append(
            (
                f"Python {needed} or newer (this is {python_version()})",
                f"python3 (Debian 12 or newer), or name another: make PYTHON=python{needed}",
                "runs everything",
            )
        )
    if not has_venv():
        found.append(("Python's venv module", "python3-venv", "holds the tools in .venv"))
    if compiled:
        if not has_headers():
            found.append(("Python's C headers", "python3-dev", "compiles the drivers and the simulated device"))
        for program, package, purpose, _ in PROGRAMS:
            if shutil.which(program) is None:
                found.append((program, package, purpose))
    return found


def main() -> int:
    """Print what is missing; return 2 where something is, else 0."""
    pieces = missing(compiled=not os.environ.get("TICKGATE_PURE"))
    for piece, package, purpose in pieces:
        print(f"missing: {piece}, which {purpose}\n  Debian package: {package}", file=sys.stderr)
    return 2 if pieces else 0


if __name__ == "__main__":
    sys.exit(main())
