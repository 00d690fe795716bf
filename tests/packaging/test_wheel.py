"""What the distributions hold, and that an installed wheel works without the source tree."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

CIMPORTING = """
# cython: language_level=3
from libc.stdint cimport uint64_t
from tickgate.drivers._clock cimport Clock
from tickgate.drivers._histogram cimport Histogram
from tickgate.drivers._port cimport Port, tg_alloc, tg_frame, tg_recv_burst, tg_release, tg_send_burst


def bounce(Port a, Port b, int n):
    cdef tg_frame frame
    cdef int i, got = 0
    with nogil:
        for i in range(n):
            if tg_alloc(a.c, &frame, 1) == 1:
                frame.len = 64
                tg_send_burst(a.c, &frame, 1)
            if tg_recv_burst(b.c, &frame, 1) == 1:
                got += 1
                tg_release(b.c, &frame, 1)
    return got


def spin(Clock clock, Histogram histogram, int n):
    cdef uint64_t start
    cdef int i
    with nogil:
        for i in range(n):
            start = clock.ns()
            histogram.record_ns(clock.ns() - start)
"""


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_ships_modules_headers_and_declarations(wheel):
    held = names(wheel)
    for name in (
        "tickgate/hw/__init__.py",
        "tickgate/gateware/__init__.py",
        "tickgate/sw/spec/errors.py",
        "tickgate/sw/cli/main.py",
        "tickgate/sim/__init__.py",
        "tickgate/drivers/_clock.pxd",
        "tickgate/drivers/_histogram.pxd",
        "tickgate/drivers/_port.pxd",
        "tickgate/drivers/_clock.pyi",
        "tickgate/drivers/c/port.h",
        "tickgate/drivers/c/clock.h",
        "tickgate/drivers/c/histogram.h",
    ):
        assert name in held, name
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert {f"tickgate/drivers/{name}{suffix}" for name in ("_clock", "_histogram", "_port")} <= held


def test_wheel_leaves_sources_of_the_build_out(wheel):
    assert not [n for n in names(wheel) if n.endswith((".pyx", ".c", "CMakeLists.txt", ".pyc"))]
    assert not [n for n in names(wheel) if not n.startswith(("tickgate/", "tickgate-"))]


def test_namespace_has_no_init(wheel):
    assert "tickgate/__init__.py" not in names(wheel)


def test_sdist_holds_what_a_build_needs_and_the_licence(sdist):
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "CMakeLists.txt", "LICENSE", "drivers/_clock.pyx", "drivers/_clock.pxd"} <= held
    assert not [name for name in held if name.startswith(("build/", "tests/", ".venv/"))]


def test_build_fails_without_a_compiler(packager, sdist, tmp_path):
    # Never a silent pure installation: that is asked for by TICKGATE_PURE=1 alone.
    done = packager.build_wheel(sdist, tmp_path, env={"CC": "/nonexistent/cc"})
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.whl"))


def test_installed_wheel_runs_from_anywhere(packager, installed):
    done = packager.run_alone(
        installed,
        "from tickgate.drivers import clock, histogram\n"
        "assert clock.compiled() and histogram.compiled()\n"
        "from tickgate.sw.cli.main import main\n"
        "raise SystemExit(main(['--help']))",
    )
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


def test_entry_points_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
    assert "tickgate = tickgate.sw.cli.main:main" in text
    assert "[tickgate.commands]" in text


def test_other_cython_module_cimports_clock_and_histogram(packager, installed, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc)")
    (tmp_path / "spinner.pyx").write_text(CIMPORTING)
    transpile = [sys.executable, "-m", "cython", "-3", "-I", str(installed), "spinner.pyx"]
    subprocess.run(transpile, cwd=tmp_path, check=True)
    include = packager.run_alone(installed, "import tickgate.drivers as d; print(d.get_include())").stdout.strip()
    assert Path(include).parent == installed / "tickgate/drivers"
    headers = ["-I", sysconfig.get_paths()["include"], "-I", include]
    output = f"spinner{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", *headers, "spinner.c", "-o", output], cwd=tmp_path, check=True)
    done = packager.run_alone(
        installed,
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import spinner\n"
        "from tickgate.drivers._clock import Clock\n"
        "from tickgate.drivers._histogram import Histogram\n"
        "h = Histogram()\n"
        "spinner.spin(Clock(), h, 10000)\n"
        "from tickgate.drivers.port import Port\n"
        "print(h.count, h.percentile(50), spinner.bounce(*Port.pair(), 5000))",
    )
    assert done.returncode == 0, done.stderr
    count, median_ns, bounced = map(int, done.stdout.split())
    assert count == 10_000 and bounced == 5000
    assert median_ns < 10_000
