"""Build the package as a user's pip would, but without network: sdist, then a wheel from the sdist."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

BUILD_SDIST = "import sys, scikit_build_core.build as b; print(b.build_sdist(sys.argv[1], {'build-dir': sys.argv[2]}))"


def pip(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run pip without network; returns the finished process, whatever its status."""
    words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "TICKGATE_"))}
    return subprocess.run(words, capture_output=True, text=True, env=clean | (env or {}), check=False)


def build_wheel(source: Path, where: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Build a wheel of ``source`` into ``where`` with the build tools of this environment."""
    return pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", where, source, env=env)


def run_alone(package: Path, program: str, *, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """Run ``program`` with the package in ``package`` only: -S keeps an editable installation from being found."""
    site = sysconfig.get_paths()["purelib"]
    start = f"import sys; sys.path[:0] = [{str(package)!r}, {site!r}]; sys.modules.update(dict.fromkeys({blocked!r}))"
    words = [sys.executable, "-I", "-S", "-c", f"{start}\n{program}"]
    return subprocess.run(words, capture_output=True, text=True, cwd=package, check=False)


@pytest.fixture(scope="session")
def packager() -> SimpleNamespace:
    """The functions `pip`, `build_wheel` and `run_alone`."""
    return SimpleNamespace(pip=pip, build_wheel=build_wheel, run_alone=run_alone)


@pytest.fixture(scope="session")
def sdist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution."""
    where = tmp_path_factory.mktemp("sdist")
    done = subprocess.run(
        [sys.executable, "-c", BUILD_SDIST, str(where), str(where / "build")],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return where / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel with compiled drivers, built from the source distribution."""
    where = tmp_path_factory.mktemp("wheel")
    done = build_wheel(sdist, where)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(where.glob("tickgate-*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed."""
    where = tmp_path_factory.mktemp("installed")
    done = pip("install", "--no-index", "--no-deps", "--target", where, wheel)
    assert done.returncode == 0, done.stdout + done.stderr
    return where
