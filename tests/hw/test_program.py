"""`tickgate program` finds a program, hands it the file, and says what is wrong; the programs here are stand-ins."""

import os
from pathlib import Path

import pytest

from tickgate.hw import program
from tickgate.hw.boards import BOARDS, board_named
from tickgate.sw.cli.main import main

BUILD = "0123456789abcdef"


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A folder with a bitstream of every board and a PATH that holds nothing but what `install` puts there."""
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.chdir(tmp_path)

    class Bench:
        folder = tmp_path

        def install(self, name: str, status: int = 0) -> None:
            script = tools / name
            script.write_text(f'#!/bin/sh\necho "$0" "$@" >> {tmp_path}/calls\nexit {status}\n')
            script.chmod(0o755)

        def file(self, board: str, ending: str, stem: str | None = None) -> Path:
            path = tmp_path / f"{stem or f'{board}-{BUILD}'}.{ending}"
            path.write_bytes(b"bits")
            return path

        @property
        def calls(self) -> list[str]:
            text = (tmp_path / "calls").read_text()
            return [os.path.basename(line.split()[0]) + line[len(line.split()[0]) :] for line in text.splitlines()]

    return Bench()


def test_board_is_loaded_with_its_own_program_and_the_next_step_is_told(bench, capfd):
    bench.install("openFPGALoader")
    file = bench.file("versa_ecp5_5g", "bit")
    assert main(["program", "versa_ecp5_5g", str(file)]) == 0
    assert bench.calls == [f"openFPGALoader -b ecp5_versa {file}"]
    assert f"tickgate device status --via xdp:IF --build {BUILD}" in capfd.readouterr().out


@pytest.mark.parametrize(
    "board, tool",
    [("butterstick", "dfu-util"), ("logicbone", "dfu-util"), ("icebreaker", "iceprog"), ("hx8k_b_evn", "iceprog")],
)
def test_boards_of_other_programs_are_loaded_with_those(bench, board, tool):
    bench.install(tool)
    file = bench.file(board, board_named(board).programmer.file)
    assert main(["program", board, str(file)]) == 0
    assert bench.calls[0].startswith(tool) and bench.calls[0].endswith(str(file))


def test_second_program_is_taken_where_the_first_is_missing_and_the_cable_suits_both(bench):
    bench.install("ecpprog")
    file = bench.file("ecpix5_85", "bit")
    assert main(["program", "ecpix5_85", str(file)]) == 0
    assert bench.calls == [f"ecpprog -S {file}"]


def test_missing_programs_are_named_with_where_they_come_from(bench, capsys):
    file = bench.file("versa_ecp5", "bit")
    assert main(["program", "versa_ecp5", str(file)]) == 2
    error = capsys.readouterr().err
    assert "programming versa_ecp5 needs openFPGALoader or ecpprog, which is not on PATH" in error
    assert "the Debian package openfpgaloader" in error and "github.com/gregdavill/ecpprog" in error


def test_every_program_of_the_table_says_where_it_comes_from():
    for board in BOARDS.values():
        if board.programmer:
            assert {way.tool for way in program.ways(board)} <= set(program.PACKAGES), board.name


def test_tool_that_does_not_suit_the_board_is_refused(bench, capsys):
    bench.install("dfu-util")
    assert main(["program", "versa_ecp5", str(bench.file("versa_ecp5", "bit")), "--tool", "dfu-util"]) == 2
    assert "versa_ecp5 is loaded with openFPGALoader and ecpprog, not with dfu-util" in capsys.readouterr().err


def test_program_that_fails_is_an_error_that_says_where_to_look(bench, capsys):
    bench.install("iceprog", status=3)
    assert main(["program", "icebreaker", str(bench.file("icebreaker", "bin"))]) == 2
    assert "iceprog ended with status 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    "stem, ending, error",
    [
        ("ecpix5_45-" + BUILD, "bit", "ecpix5_45-0123456789abcdef.bit is for ecpix5_45, not for versa_ecp5"),
        ("versa_ecp5-" + BUILD, "svf", "versa_ecp5 takes a .bit file, not versa_ecp5-0123456789abcdef.svf"),
    ],
)
def test_file_of_another_board_or_kind_is_refused(bench, capsys, stem, ending, error):
    bench.install("openFPGALoader")
    assert main(["program", "versa_ecp5", str(bench.file("", ending, stem))]) == 2
    assert error in capsys.readouterr().err
    assert not (bench.folder / "calls").exists()


def test_file_missing_says_how_to_build_one(bench, capsys):
    assert main(["program", "versa_ecp5", "nothing.bit"]) == 2
    assert "make bitstream BOARD=versa_ecp5" in capsys.readouterr().err


def test_without_a_file_the_build_is_taken(bench):
    bench.install("iceprog")
    folder = bench.folder / "build" / "bitstream" / "icebreaker"
    folder.mkdir(parents=True)
    (folder / f"icebreaker-{BUILD}.bin").write_bytes(b"bits")
    assert main(["program", "icebreaker"]) == 0
    assert bench.calls == [f"iceprog build/bitstream/icebreaker/icebreaker-{BUILD}.bin"]


def test_without_a_file_and_a_build_both_are_asked_for(bench, capsys):
    assert main(["program", "icebreaker"]) == 2
    assert "no bitstream of icebreaker in build/bitstream/icebreaker" in capsys.readouterr().err


def test_dry_run_prints_the_command_only(bench, capsys):
    bench.install("iceprog")
    file = bench.file("icebreaker", "bin")
    assert main(["program", "icebreaker", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"iceprog {file}\n"
    assert not (bench.folder / "calls").exists()


def test_board_of_the_vendors_tool_is_refused(bench, capsys):
    assert main(["program", "ax7325b", "x.bit"]) == 2
    assert "ax7325b is loaded by the tool that builds it (vivado)" in capsys.readouterr().err


def test_board_unknown_is_asked_about(bench, capsys):
    assert main(["program", "versa_ecp5_6g", "x.bit"]) == 2
    assert "did you mean 'versa_ecp5_5g'?" in capsys.readouterr().err
