"""A shared object is compiled with the profile of a run, and without one where there is none."""

import ctypes
import os
import shutil
import stat
import subprocess
import sys

import pytest

from tickgate.sim import build, compiling
from tickgate.sim.compiling import Compilation, library
from tickgate.sw.spec.sizes import Sizes

HOT = """
extern "C" int twice(int);
extern "C" int counted(int to) { int n = 0; for (int i = 0; i < to; i++) if (i % 7) n += twice(i); return n; }
"""
COLD = 'extern "C" int twice(int of) { return 2 * of; }\n'
CALL = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).counted(100)"
EXPECTED = sum(2 * i for i in range(100) if i % 7)


@pytest.fixture
def made(tmp_path):
    """What `library` gives for sources in a folder, and what the object computes."""
    (tmp_path / "hot.cpp").write_text(HOT)
    (tmp_path / "cold.cpp").write_text(COLD)

    def make(train, compiler=None, hot="hot.cpp"):
        compilation = Compilation(compiler or shutil.which("g++"), ("-O2", "-fPIC"), tmp_path)
        cold = [(tmp_path / "cold.cpp", ("-O0",))]
        reason = library(compilation, [tmp_path / hot], cold, tmp_path / "made.so", train)
        return reason, ctypes.CDLL(str(tmp_path / "made.so")).counted(100)

    return make


def run(path):
    subprocess.run([sys.executable, "-c", CALL, str(path)], check=True)


def test_profile_of_the_run_is_taken(made, tmp_path, monkeypatch):
    flags = []
    monkeypatch.setattr(
        compiling.verilator, "run", lambda command, folder: flags.append(command) or subprocess.run(command, cwd=folder)
    )
    assert made(run) == ("", EXPECTED)
    assert (tmp_path / "hot.gcda").exists() and not (tmp_path / "cold.gcda").exists()
    assert not (tmp_path / "counting.so").exists()
    compiled = [command for command in flags if "-c" in command and "hot.cpp" in command[command.index("-c") + 1]]
    assert ["-fprofile-generate" in compiled[0], "-fprofile-use" in compiled[1]] == [True, True]


def test_none_wanted_is_none_missed(made, tmp_path):
    assert made(None) == ("", EXPECTED)
    assert not list(tmp_path.glob("*.gcda"))


def test_run_that_fails_leaves_an_object_without_profile(made, tmp_path):
    def fail(path):
        run(path)
        raise RuntimeError("the training run ended with status 1: no seat")

    assert made(fail) == ("the training run ended with status 1: no seat", EXPECTED)
    assert not list(tmp_path.glob("*.gcda"))


def test_compiler_that_counts_otherwise_leaves_an_object_without_profile(made, tmp_path):
    other = tmp_path / "otherc++"
    drop = 'case "$a" in -fprofile*) ;; *) set -- "$@" "$a";; esac'
    other.write_text(f'#!/bin/sh\nfor a; do shift; {drop}; done\nexec g++ "$@"\n')
    other.chmod(other.stat().st_mode | stat.S_IXUSR)
    assert made(run, str(other)) == ("otherc++ counted nothing", EXPECTED)


def test_source_that_is_wrong_is_told(made, tmp_path):
    (tmp_path / "wrong.cpp").write_text("int f( {\n")
    with pytest.raises(RuntimeError, match="wrong.cpp"):
        made(run, hot="wrong.cpp")


def test_training_ends_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("GCOV_PREFIX", "/nowhere")
    with pytest.raises(RuntimeError, match=r"the training run ended with status 1: .*none\.so"):
        build._train(tmp_path / "none.so", Sizes())
    monkeypatch.setattr(build, "_TRAINING_LIMIT_S", 0.01)
    with pytest.raises(RuntimeError, match="the training run took longer than 0 s"):
        build._train(tmp_path / "none.so", Sizes())


def test_device_without_its_profile_says_so_once(tmp_path, capsys):
    build._tell_untrained(tmp_path)
    assert not capsys.readouterr().err
    entry = tmp_path / "entry"
    entry.mkdir()
    (entry / compiling.UNTRAINED).write_text("g++ failed with status 1:\nno room\n")
    build._tell_untrained(entry)
    build._tell_untrained(entry)
    told = capsys.readouterr().err
    assert told.count(os.linesep) == 1 and "compiled without a profile: no room; remove " in told


USUAL = """void Vdevice___024root___eval_nba(Vdevice___024root* vlSelf) {
    VL_DEBUG_IF(VL_DBG_MSGF("+"); );
    if ((1ULL & vlSelfRef.__VnbaTriggered[0U])) {
        Vdevice___024root___nba_sequent__TOP__0(vlSelf);
    }
}
"""


@pytest.mark.parametrize(
    "sources, direct",
    [
        (USUAL, True),
        (USUAL.replace("1ULL &", "3ULL &"), False),
        (USUAL.replace("    }\n", "    }\n    if ((2ULL & vlSelfRef.__VnbaTriggered[0U])) {\n    }\n", 1), False),
        (USUAL + "void Vdevice___024root___eval_act(Vdevice___024root* vlSelf);\n", False),
        (USUAL + "void Vdevice___024root___ico_sequent__TOP__0(Vdevice___024root* vlSelf);\n", False),
        ("", False),
    ],
)
def test_model_is_asked_what_changed_unless_only_the_clock_can(sources, direct):
    rising = build._rising(sources)
    assert ("eval_nba" in rising) == direct
    assert direct or rising == "Vdevice___024root___eval((top)->rootp)"
