"""The models of cells that Yosys has none of, and the check that no cell is without one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tickgate.sim import gates, runtime
from tickgate.sim.netlist_device import NetlistDevice
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import LADDER

WIDTHS = (1, 2, 4, 9, 18, 36)
MODES = ("NORMAL", "READBEFOREWRITE")
#: Mode, width and registers (behind A, behind B) of each block RAM of the test.
RAMS = [(m, w, (r, r)) for m in MODES for w in WIDTHS for r in ("NOREG", "OUTREG")]
RAMS += [("NORMAL", 18, ("OUTREG", "NOREG")), ("NORMAL", 9, ("NOREG", "OUTREG"))]
#: Of each multiplier, the number of the enable of each factor's register, none where it has no register.
MULTIPLIERS = [(None, None), (0, 0), (1, 1), (0, 1), (1, 0), (0, None), (None, 1)]
#: A few of them: a narrow one, and one whose word has two halves.
FEW = [ram for ram in RAMS if ram[0] == MODES[0] and ram[1] in (4, 36)]


def _pins(name: str, bus: str, count: int) -> str:
    return ", ".join(f".{name}{i}({bus}[{i}])" for i in range(count))


def _cells(rams_of: list, others: dict[str, str], factors: dict[str, str]) -> str:
    """One module with block RAMs of every width and mode and multipliers, with and without registers."""
    rams = []
    for number, (mode, width, registers) in enumerate(rams_of):
        data_b = "data_a[35:18]" if width == 36 else "data_b[17:0]"
        outputs_b = _pins("DOA", f"wide_{number}[17:0]", 18), _pins("DOB", f"wide_{number}[35:18]", 18)
        if width != 36:
            outputs_b = _pins("DOA", f"a_{number}", 18), _pins("DOB", f"b_{number}", 18)
        parameters = {"DATA_WIDTH_A": str(width), "DATA_WIDTH_B": str(width)}
        parameters |= {f"WRITEMODE_{port}": f'"{mode}"' for port in "AB"}
        parameters |= {f"REGMODE_{port}": f'"{register}"' for port, register in zip("AB", registers, strict=True)}
        rams.append(
            f"""
  wire [35:0] wide_{number}; wire [17:0] a_{number}, b_{number}, in_b_{number} = {data_b};
  wire [17:0] in_a_{number} = data_a[17:0];
  DP16KD #({", ".join(f".{name}({value})" for name, value in (parameters | others).items())})
  ram_{number} (.CLKA(clk), .CLKB(clk), .CEA(enable_a), .CEB(enable_b), .WEA(write_a),
    .WEB({"1'b0" if width == 36 else "write_b"}), .OCEA(out_enable_{"b" if width == 36 else "a"}),
    .OCEB(out_enable_b), .RSTA(1'b0), .RSTB(1'b0), .CSA0(1'b0),
    .CSA1(1'b0), .CSA2(1'b0), .CSB0(1'b0), .CSB1(1'b0), .CSB2(1'b0), {_pins("ADA", "address_a", 14)},
    {_pins("ADB", "address_b", 14)}, {_pins("DIA", f"in_a_{number}", 18)}, {_pins("DIB", f"in_b_{number}", 18)},
    {outputs_b[0].replace("[17:0][", "[")}, {", ".join(f".DOB{i}({_bit(number, width, i)})" for i in range(18))});
  assign out_a[{64 * number} +: 64] = a_{number};
  assign out_b[{64 * number} +: 64] = {f"wide_{number}" if width == 36 else f"b_{number}"};
"""
        )
    multipliers = []
    for number, enables in enumerate(MULTIPLIERS):
        parameters = {}
        for factor, enable in zip("AB", enables, strict=True):
            if enable is not None:
                register = f"REG_INPUT{factor}"
                parameters |= {
                    f"{register}_CLK": '"CLK0"',
                    f"{register}_CE": f'"CE{enable}"',
                    f"{register}_RST": '"RST0"',
                }
        parameters |= {name: value for name, value in factors.items() if parameters}
        multipliers.append(
            f"""
  wire [35:0] product_{number};
  MULT18X18D #({", ".join(f".{name}({value})" for name, value in parameters.items())}) multiplier_{number} (
    {_pins("A", "factor_a", 18)}, {_pins("B", "factor_b", 18)}, {_pins("P", f"product_{number}", 36)},
    {", ".join(f".C{i}(1'b0)" for i in range(18))}, .CLK0(clk), .CE0(out_enable_a), .CE1(out_enable_b), .RST0(1'b0),
    .SIGNEDA(signed_a), .SIGNEDB(signed_b), .SOURCEA(1'b0), .SOURCEB(1'b0));
  assign products[{64 * number} +: 64] = product_{number};
"""
        )
    return f"""
module cells(input clk, input [35:0] data_a, data_b, input [13:0] address_a, address_b,
  input enable_a, enable_b, out_enable_a, out_enable_b, write_a, write_b,
  input [17:0] factor_a, factor_b, input signed_a, signed_b,
  output [{64 * len(rams) - 1}:0] out_a, out_b, output [{64 * len(multipliers) - 1}:0] products);
{"".join(rams)}{"".join(multipliers)}
endmodule
"""


def _bit(number: int, width: int, i: int) -> str:
    return f"wide_{number}[{18 + i}]" if width == 36 else f"b_{number}[{i}]"


def _run(
    folder: Path, models: str, rams: list = RAMS, factors: dict[str, str] | None = None, **parameters: str
) -> subprocess.CompletedProcess[str]:
    (folder / "cells.v").write_text(models + _cells(rams, parameters, factors or {}))
    rows = (f"{{{w}, {m == MODES[1]:d}, {r[0] == 'OUTREG':d}, {r[1] == 'OUTREG':d}}}" for m, w, r in rams)
    enables = (f"{{{', '.join(str(-1 if enable is None else enable) for enable in row)}}}" for row in MULTIPLIERS)
    (folder / "rams.h").write_text(
        f"static const int RAMS[][4] = {{{', '.join(rows)}}};\n"
        f"static const int MULTIPLIERS[][2] = {{{', '.join(enables)}}};\n"
    )
    shutil.copy(Path(__file__).with_name("cells_main.cpp"), folder / "main.cpp")
    flags = ("--x-initial", "0", "--top-module", "cells", "--output-split", "0")
    runtime.executable(folder, flags, ("cells.v", "main.cpp"), ("VL_USER_STOP",))
    return subprocess.run([folder / "obj" / "Vcells", "7"], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def models() -> str:
    return gates.MODELS.read_text()


def test_cells_do_what_the_data_sheet_says_at_every_width(tmp_path, models):
    done = _run(tmp_path, models)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("WIDTH == 18 ? 4", "WIDTH == 18 ? 3"),
        ("(meet & write_a)", "(1'b0)"),
        ("(OLD_A | ~WEA)", "(OLD_A | WEA)"),
        ("{SIGNEDA & A17,", "{1'b0,"),
        ("if (OCEA) held_a", "held_a"),
        ("if (OCEB) held_b", "if (OCEB & on_b) held_b"),
        ("HELD_B ? held_b : out_b", "HELD_A ? held_b : out_b"),
        ("if (take_a) held_a", "held_a"),
        ("HELD_B ? held_b : in_b", "HELD_A ? held_b : in_b"),
        ('REG_INPUTB_CE == "CE0" ? CE0', 'REG_INPUTA_CE == "CE0" ? CE0'),
    ],
)
def test_a_wrong_model_is_found(tmp_path, models, right, wrong):
    models = models.replace("{WIDTH{meet & write_a}}", "{WIDTH{(meet & write_a)}}")
    assert right in models
    done = _run(tmp_path, models.replace(right, wrong))
    assert done.returncode == 1 and "cycle" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"REGMODE_A": '"LATCH"'}, "this register mode"),
        ({"REGMODE_A": '"OUTREG"', "REGMODE_B": '"NOREG"'}, "a register behind half a word"),
        ({"CSDECODE_A": '"0b001"'}, "chip selects"),
        ({"CLKBMUX": '"INV"'}, "falling edges"),
        ({"INITVAL_00": "320'd1"}, "initial data"),
    ],
)
def test_a_mode_without_a_model_stops(tmp_path, models, parameters, said):
    done = _run(tmp_path, models, FEW, **parameters)
    assert done.returncode == 1 and "stopped" in done.stdout
    assert said in done.stderr


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"REG_INPUTA_CLK": '"CLK1"'}, "this clock"),
        ({"REG_INPUTB_CE": '"CE2"'}, "this enable"),
        ({"REG_INPUTB_RST": '"RST1"'}, "this reset"),
        ({"GSR": '"ENABLED"'}, "the global reset"),
    ],
)
def test_a_register_of_a_factor_without_a_model_stops(tmp_path, models, factors, said):
    done = _run(tmp_path, models, FEW, factors)
    assert done.returncode == 1 and "stopped" in done.stdout
    assert "MULT18X18D with" in done.stderr and said in done.stderr


def test_a_reset_of_a_factor_stops(tmp_path, models, monkeypatch):
    cells = _cells(FEW, {}, {}).replace(".RST0(1'b0)", ".RST0(write_a)")
    monkeypatch.setitem(globals(), "_cells", lambda *_: cells)
    done = _run(tmp_path, models, FEW)
    assert done.returncode == 1 and "MULT18X18D with" in done.stderr and "a reset in use" in done.stderr


def test_a_word_whose_halves_are_held_apart_stops(tmp_path, models, monkeypatch):
    cells = _cells(FEW, {}, {}).replace(".OCEA(out_enable_b)", ".OCEA(out_enable_a)")
    monkeypatch.setitem(globals(), "_cells", lambda *_: cells)
    done = _run(tmp_path, models, FEW)
    assert done.returncode == 1 and "two enables of one word" in done.stderr


def test_a_cell_without_a_model_is_refused():
    with pytest.raises(ValueError, match="EHXPLLL, of which there is no model"):
        gates.complete("module device(input clk);\n  EHXPLLL pll (\n    .CLKI(clk));\nendmodule\n")


def test_a_black_box_is_refused(tmp_path):
    path = tmp_path / "device.v"
    path.write_text(
        "module LUT4(input A, output Z);\n  parameter INIT = 0;\nendmodule\n"
        "module device(input clk, output o);\n  LUT4 lut (\n    .A(clk), .Z(o));\nendmodule\n"
    )
    with pytest.raises(UserError, match=r"no body: LUT4"):
        gates.read(path)


def test_what_is_no_netlist_is_refused(tmp_path):
    path = tmp_path / "x.v"
    path.write_text("module other(input a);\n  assign b = a;\nendmodule\n")
    with pytest.raises(UserError, match="tickgate netlist"):
        NetlistDevice(LADDER["small"], path)
    with pytest.raises(UserError, match="No such file"):
        NetlistDevice(LADDER["small"], tmp_path / "none.v")
