"""Registers behind a block RAM become its own where that changes nothing, and stay where they are everywhere else."""

import copy
import json

import pytest
from yosys_cells import CLOCK, ENABLE, OTHER, register

from tickgate.hw import bitstream, output_registers, own_registers
from tickgate.hw.boards import board_named
from tickgate.hw.flip_flops import Moved
from tickgate.hw.hierarchy import NO_CELLS


def block_ram(width=18, words=("A", "B"), **changes):
    """A block RAM as Yosys writes it; of each word that is read three bits are, at nets from 100 and 200."""
    letters = "AB" if width == 36 else words
    outputs = {f"DO{port}{n}": [100 + 100 * "AB".index(port) + n] for port in letters for n in range(3)}
    pins = {f"{pin}{port}": bit for port in "AB" for pin, bit in (("CLK", CLOCK), ("RST", "0"), ("OCE", "1"))}
    pins |= {name: value for name, value in changes.items() if name in pins}
    return {
        "type": "DP16KD",
        "parameters": {
            "DATA_WIDTH_A": f"{width:032b}",
            "DATA_WIDTH_B": f"{width:032b}",
            "CLKAMUX": "CLKA",
            "CLKBMUX": "CLKB",
            "GSR": "DISABLED",
            "REGMODE_A": "NOREG",
            "REGMODE_B": "NOREG",
            **{name: value for name, value in changes.items() if name not in pins},
        },
        "attributes": {},
        "port_directions": {**dict.fromkeys(pins, "input"), **dict.fromkeys(outputs, "output")},
        "connections": {**{pin: [bit] for pin, bit in pins.items()}, **outputs},
    }


def module(ram, changed=None, **cells):
    """A block RAM with a register behind every bit; `changed` is what differs in the one behind bit 1 of A."""
    nets = sorted(bit for pin, bits in ram["connections"].items() for bit in bits if pin.startswith("DO"))
    registers = {f"q{n}": register(n, n + 1000, **(changed or {} if n == 101 else {})) for n in nets}
    ends = [n + 1000 for n in nets]
    return {
        "attributes": {"top": f"{1:032b}"},
        "ports": {
            "clk": {"direction": "input", "bits": [CLOCK]},
            "enable": {"direction": "input", "bits": [ENABLE, OTHER]},
            "o": {"direction": "output", "bits": ends},
        },
        "cells": {"ram": ram, **registers, **cells},
        "netnames": {"read": {"bits": nets}, "kept": {"bits": ends}},
    }


def test_both_ports_take_their_registers_with_clock_and_enable():
    made = module(block_ram())
    assert output_registers.move(made) == Moved(6, 2)
    assert list(made["cells"]) == ["ram"]
    ram = made["cells"]["ram"]
    assert (ram["parameters"]["REGMODE_A"], ram["parameters"]["REGMODE_B"]) == ("OUTREG", "OUTREG")
    assert [ram["connections"][f"OCE{port}"] for port in "AB"] == [[ENABLE], [ENABLE]]
    assert ram["connections"]["DOA1"] == [1101] and ram["connections"]["DOB2"] == [1202]
    # The nets between are driven by nothing: none of them is left with a name.
    assert set(made["netnames"]["read"]["bits"]) == {"x"}
    assert str(Moved(6, 2)) == "6 flip-flops moved into 2 read ports of block RAMs"


@pytest.mark.parametrize(
    ("width", "changes"), [(18, {"OCEA": "0"}), (18, {"RSTA": ""}), (9, {"REGMODE_A": "NOREG "}), (1, {})]
)
def test_what_does_not_matter_does_not_hold_a_register_back(width, changes):
    assert output_registers.move(module(block_ram(width, **changes))) == Moved(6, 2)


def test_registers_without_an_enable_are_always_on():
    made = module(block_ram(words="A"))
    for cell in made["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            cell["parameters"]["CEMUX"] = "1 "  # as Yosys writes a word of digits
            del cell["connections"]["CE"]
    assert output_registers.move(made) == Moved(3, 1)
    assert made["cells"]["ram"]["connections"]["OCEA"] == ["1"]


def test_falling_edge_is_the_same_for_both():
    falling = {f"q{n}": register(n, n + 1000, CLKMUX="INV") for n in (100, 101, 102)}
    made = module(block_ram(words="A", CLKAMUX="INV"), **falling)
    assert output_registers.move(made) == Moved(3, 1)
    made = module(block_ram(words="A"), **falling)
    assert output_registers.move(made) == Moved(0, 0)


def test_two_halves_of_a_word_move_together():
    made = module(block_ram(36))
    assert output_registers.move(made) == Moved(6, 1)
    ram = made["cells"]["ram"]
    assert ram["connections"]["OCEA"] == ram["connections"]["OCEB"] == [ENABLE]
    # Port A only writes: with another clock it cannot have the enable of the registers as well.
    untouched(module(block_ram(36, CLKA=OTHER)))
    made = module(block_ram(36, CLKA=OTHER))
    for name, cell in made["cells"].items():
        if name != "ram":
            cell["parameters"]["CEMUX"] = "1 "
    assert output_registers.move(made) == Moved(6, 1)


def untouched(made):
    before = copy.deepcopy(made)
    assert output_registers.move(made) == Moved(0, 0)
    assert made == before


@pytest.mark.parametrize("width", [18, 36])
@pytest.mark.parametrize(
    "changed",
    [
        {"CE": [OTHER]},
        {"CE": ["0"]},
        {"CEMUX": "INV"},
        {"CEMUX": "1 "},
        {"CLK": [OTHER]},
        {"CLKMUX": "INV"},
        {"LSR": [OTHER]},
        {"LSR": ["1"]},
        {"LSR": ["x"]},
        {"LSRMUX": "INV"},
        {"REGSET": "SET"},
        {"GSR": "ENABLED"},
        {"LSRMODE": "PRLD"},
        {"M": [OTHER]},
        {"keep": "1"},
        {"BEL": "X1/Y1/SLICEA.FF0"},
    ],
    ids=str,
)
def test_one_other_register_keeps_the_whole_word_as_it_is(width, changed):
    made = module(block_ram(width), changed)
    before = copy.deepcopy(made)
    assert output_registers.move(made) == (Moved(0, 0) if width == 36 else Moved(3, 1))
    ram, was = made["cells"]["ram"], before["cells"]["ram"]
    assert ram["parameters"]["REGMODE_A"] == "NOREG" and ram["connections"]["OCEA"] == was["connections"]["OCEA"]
    for name in ("q100", "q101", "q102"):
        assert made["cells"][name] == before["cells"][name]
    assert all(ram["connections"][f"DOA{n}"] == was["connections"][f"DOA{n}"] for n in range(3))


@pytest.mark.parametrize("pin", ["DI", "CE", "M"])
def test_a_bit_that_is_read_a_second_time_keeps_its_word(pin):
    other = register(OTHER, 2000)
    other["connections"][pin] = [101]
    other["port_directions"][pin] = "input"
    untouched(module(block_ram(words="A"), other=other))


def test_a_bit_that_leaves_the_module_or_goes_to_logic_keeps_its_word():
    made = module(block_ram(words="A"))
    made["ports"]["early"] = {"direction": "output", "bits": [101]}
    untouched(made)
    made = module(block_ram(words="A"))
    made["cells"]["q101"] = {
        "type": "LUT4",
        "parameters": {},
        "attributes": {},
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [101], "Z": [1101]},
    }
    untouched(made)


def test_a_bit_that_nobody_reads_holds_nothing_back():
    made = module(block_ram(words="A"))
    del made["cells"]["q101"]
    made["ports"]["o"]["bits"].remove(1101)
    assert output_registers.move(made) == Moved(2, 1)
    assert made["cells"]["ram"]["connections"]["DOA1"] == [101]


@pytest.mark.parametrize(
    "changes",
    [
        {"RSTA": OTHER},
        {"RSTA": "1"},
        {"RSTAMUX": "INV"},
        {"OCEAMUX": "INV"},
        {"CLKA": OTHER},
        {"CLKAMUX": "INV"},
        {"GSR": "ENABLED"},
        {"REGMODE_A": "OUTREG"},
        {"DATA_WIDTH_A": f"{36:032b}"},
    ],
    ids=str,
)
def test_a_block_ram_that_is_not_as_the_registers_keeps_them_outside(changes):
    untouched(module(block_ram(words="A", **changes)))


def test_cells_are_counted_through_the_hierarchy_and_without_black_boxes():
    cell = lambda kind: {"type": kind}  # noqa: E731
    part = {"attributes": {}, "cells": {"a": cell("LUT4"), "b": cell("TRELLIS_FF"), "s": cell(NO_CELLS[0])}}
    top = {"attributes": {"top": f"{1:032b}"}, "cells": {"x": cell("part"), "y": cell("part"), "z": cell("LUT4")}}
    box = {"attributes": {"blackbox": f"{1:032b}"}, "cells": {}}
    counted = own_registers.count({"modules": {"part": part, "top": top, "LUT4": box}})
    assert counted["design"]["num_cells_by_type"] == {"LUT4": 3, "TRELLIS_FF": 2}
    assert counted["modules"]["part"]["num_cells_by_type"] == {"LUT4": 1, "TRELLIS_FF": 1}
    assert "LUT4" not in counted["modules"]


@pytest.mark.parametrize(("board", "moved"), [("versa_ecp5_5g", Moved(6, 2)), ("icebreaker", Moved(0, 0))])
def test_registers_are_moved_for_parts_that_have_such_block_rams(board, moved, tmp_path):
    netlist, statistics = tmp_path / "top.json", tmp_path / "cells.json"
    netlist.write_text(json.dumps({"modules": {"top": module(block_ram())}}))
    statistics.write_text("{}")
    before = netlist.read_text()
    assert bitstream._moved(board_named(board), netlist, statistics) == moved
    if moved.ports:
        assert json.loads(statistics.read_text())["design"]["num_cells_by_type"] == {"DP16KD": 1}
    else:
        assert netlist.read_text() == before and statistics.read_text() == "{}"
