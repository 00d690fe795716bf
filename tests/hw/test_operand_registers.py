"""Registers in front of a multiplier become its own where that changes nothing, and stay where they are elsewhere."""

import copy
import json

import pytest
from yosys_cells import CLOCK, ENABLE, OTHER, register

from tickgate.hw import operand_registers, own_registers
from tickgate.hw.flip_flops import Moved

WIDTH = 3
#: Nets in front of the registers of A and B, and behind them.
FRONT = {"A": [100, 101, 102], "B": [200, 201, 202]}
BEHIND = {factor: [net + 1000 for net in nets] for factor, nets in FRONT.items()}
CONTROLS = ("CLK0", "CE0", "CE1", "RST0")


def multiplier(a=BEHIND["A"], b=BEHIND["B"], **changes):
    """A multiplier as Yosys writes it."""
    factors = {
        f"{name}{n}": bits[n] if n < len(bits) else "0" for name, bits in (("A", a), ("B", b)) for n in range(18)
    }
    pins = factors | dict.fromkeys(("SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB"), "0")
    parameters = {name: value for name, value in changes.items() if "_" in name or name == "GSR"}
    pins |= {name: value for name, value in changes.items() if name not in parameters}
    return {
        "type": "MULT18X18D",
        "parameters": parameters,
        "attributes": {},
        "port_directions": {**dict.fromkeys(pins, "input"), **{f"P{n}": "output" for n in range(2 * WIDTH)}},
        "connections": {name: [bit] for name, bit in pins.items()} | {f"P{n}": [300 + n] for n in range(2 * WIDTH)},
    }


def module(found, changed=None, others=None, **cells):
    """A multiplier with a register in front of every bit; `changed` is what differs in the one of bit 1 of A."""
    registers = {}
    for factor, nets in FRONT.items():
        for n in nets:
            registers[f"q{n}"] = register(n, n + 1000, **((others or {}) if factor == "B" else {}))
    registers["q101"] = register(101, 1101, **(changed or {}))
    return {
        "attributes": {"top": f"{1:032b}"},
        "ports": {
            "clk": {"direction": "input", "bits": [CLOCK]},
            "enable": {"direction": "input", "bits": [ENABLE, OTHER]},
            "i": {"direction": "input", "bits": FRONT["A"] + FRONT["B"]},
            "o": {"direction": "output", "bits": [300 + n for n in range(2 * WIDTH)]},
        },
        "cells": {"multiplier": found, **registers, **cells},
        "netnames": {"front": {"bits": FRONT["A"] + FRONT["B"]}, "behind": {"bits": BEHIND["A"] + BEHIND["B"]}},
    }


def bits(made, factor):
    return [made["cells"]["multiplier"]["connections"][f"{factor}{n}"][0] for n in range(18)]


def test_both_factors_take_their_registers_with_clock_and_enable():
    made = module(multiplier())
    assert operand_registers.move(made) == Moved(6, 0, 1)
    assert list(made["cells"]) == ["multiplier"]
    found = made["cells"]["multiplier"]
    assert found["parameters"] == {
        "GSR": "DISABLED",
        **{f"REG_INPUT{factor}_CLK": "CLK0" for factor in "AB"},
        **{f"REG_INPUT{factor}_CE": "CE0" for factor in "AB"},
        **{f"REG_INPUT{factor}_RST": "RST0" for factor in "AB"},
    }
    assert {pin: found["connections"].get(pin) for pin in CONTROLS} == {
        "CLK0": [CLOCK], "CE0": [ENABLE], "CE1": None, "RST0": ["0"],
    }  # fmt: skip
    assert all(found["port_directions"][pin] == "input" for pin in ("CLK0", "CE0", "RST0"))
    assert bits(made, "A")[:4] == [*FRONT["A"], "0"] and bits(made, "B")[:4] == [*FRONT["B"], "0"]
    assert set(made["netnames"]["behind"]["bits"]) == {"x"}
    assert str(Moved(6, 0, 1)) == "6 flip-flops moved into 1 multipliers"
    assert str(Moved(8, 2, 1)) == "8 flip-flops moved into 2 read ports of block RAMs and 1 multipliers"


def test_factors_of_two_enables_use_two():
    made = module(multiplier(), others={"CE": [OTHER]})
    assert operand_registers.move(made) == Moved(6, 0, 1)
    found = made["cells"]["multiplier"]
    assert (found["connections"]["CE0"], found["connections"]["CE1"]) == ([ENABLE], [OTHER])
    assert (found["parameters"]["REG_INPUTA_CE"], found["parameters"]["REG_INPUTB_CE"]) == ("CE0", "CE1")


def test_registers_without_an_enable_are_always_on():
    made = module(multiplier())
    for cell in made["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            cell["parameters"]["CEMUX"] = "1 "
            del cell["connections"]["CE"]
    assert operand_registers.move(made) == Moved(6, 0, 1)
    assert made["cells"]["multiplier"]["connections"]["CE0"] == ["1"]


def test_a_register_that_others_read_stays_for_them():
    reader = {
        "type": "LUT4",
        "parameters": {},
        "attributes": {},
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [1101], "Z": [400]},
    }
    made = module(multiplier(), reader=reader)
    assert operand_registers.move(made) == Moved(5, 0, 1)
    assert set(made["cells"]) == {"multiplier", "q101", "reader"}
    assert bits(made, "A")[1] == 101 and made["netnames"]["behind"]["bits"].count("x") == 5


def test_multipliers_that_share_a_factor_have_a_register_each():
    made = module(multiplier(), second=multiplier())
    assert operand_registers.move(made) == Moved(6, 0, 2)
    assert set(made["cells"]) == {"multiplier", "second"}
    assert made["cells"]["second"]["connections"]["B2"] == [202]


def test_a_register_behind_that_of_another_multiplier_is_read_there():
    # A of the first one comes from the registers of the second one's B.
    made = module(multiplier(), second=multiplier(a=BEHIND["B"], b=[2001, 2002]))
    made["cells"] |= {f"late{n}": register(1000 + 200 + n, 2001 + n) for n in range(2)}
    assert operand_registers.move(made) == Moved(3 + 2 + 1, 0, 2)
    assert {name for name in made["cells"] if name.startswith("q")} == {"q200", "q201"}
    assert made["cells"]["second"]["connections"]["B0"] == [1200]


@pytest.mark.parametrize("constant", [["0"] * 3, ["1", "0", "1"]])
def test_a_constant_factor_is_taken_with_the_other_one(constant):
    for a, b, kept in ((BEHIND["A"], constant, "B"), (constant, BEHIND["B"], "A")):
        made = module(multiplier(a=a, b=b))
        assert operand_registers.move(made) == Moved(3, 0, 1)
        assert bits(made, kept)[:3] == constant
        found = made["cells"]["multiplier"]["parameters"]
        assert found["REG_INPUTA_CE"] == found["REG_INPUTB_CE"] == "CE0"


def untouched(made):
    before = copy.deepcopy(made)
    assert operand_registers.move(made) == Moved(0, 0)
    assert made == before


def test_a_constant_that_would_be_there_too_late_keeps_the_registers_outside():
    # 1 at once times 1 at once is 1; in registers, which start at 0, it is 0 until they are loaded.
    untouched(module(multiplier(a=[1100, "1"], b=[1200, "1"])))
    # The other factor may be loaded before the constant is.
    untouched(module(multiplier(a=[1100, "1"]), others={"CE": [OTHER]}))
    assert operand_registers.move(module(multiplier(a=[1100, "1"]))) == Moved(4, 0, 1)


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
        {"LSRMUX": "INV"},
        {"REGSET": "SET"},
        {"GSR": "ENABLED"},
        {"LSRMODE": "PRLD"},
        {"M": [OTHER]},
        {"keep": "1"},
    ],
    ids=str,
)
def test_one_other_register_keeps_all_outside(changed):
    untouched(module(multiplier(), changed))


@pytest.mark.parametrize(
    "others", [{"CLK": [OTHER]}, {"CLKMUX": "INV"}, {"GSR": "ENABLED"}, {"LSR": [OTHER]}, {"REGSET": "SET"}], ids=str
)
def test_factors_that_differ_keep_all_outside(others):
    untouched(module(multiplier(), others=others))


def test_falling_edges_and_unknown_resets_keep_all_outside():
    untouched(module(multiplier(), {"CLKMUX": "INV"}, {"CLKMUX": "INV"}))
    made = module(multiplier())
    for cell in made["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            cell["parameters"] |= {"CLKMUX": "INV"}
    untouched(made)
    for cell in made["cells"].values():
        if cell["type"] == "TRELLIS_FF":
            cell["parameters"] |= {"CLKMUX": "CLK", "GSR": "AUTO"}
    untouched(made)


@pytest.mark.parametrize(
    "changes",
    [
        {"SIGNEDA": "1"},
        {"SIGNEDB": OTHER},
        {"SOURCEA": "1"},
        {"SOURCEB": OTHER},
        {"CLK1": CLOCK},
        {"CE3": ENABLE},
        {"RST0": "0"},
        {"REG_OUTPUT_CLK": "CLK0"},
        {"GSR": "ENABLED"},
    ],
    ids=str,
)
def test_a_multiplier_that_is_used_in_another_way_is_left_alone(changes):
    untouched(module(multiplier(**changes)))


@pytest.mark.parametrize("bit", [OTHER, 300, "x"])
def test_a_bit_that_comes_from_no_register_keeps_all_outside(bit):
    untouched(module(multiplier(a=[1100, bit, 1102])))
    untouched(module(multiplier(a=[], b=[])))


def test_registers_are_moved_with_those_of_block_rams(tmp_path):
    netlist, statistics = tmp_path / "top.json", tmp_path / "cells.json"
    netlist.write_text(json.dumps({"modules": {"top": module(multiplier())}}))
    assert own_registers.move_in_files(netlist, statistics) == Moved(6, 0, 1)
    counted = json.loads(statistics.read_text())["design"]["num_cells_by_type"]
    assert counted == {"MULT18X18D": 1}
