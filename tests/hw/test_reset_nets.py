"""Large resets get a global net each, and nothing else about the netlist changes."""

import copy
import json

import pytest
from yosys_cells import CLOCK, ENABLE, OTHER, register

from tickgate.hw import bitstream, floorplan, reset_nets
from tickgate.hw.boards import BOARDS, board_named
from tickgate.hw.design import EDITS_NETLIST
from tickgate.hw.steps import Steps

FIRST = 100


def module(*ends: int, logic: int = 1, driver: str = "TRELLIS_FF"):
    """Reset registers, each of as many flip-flops as `ends` says; each is taken by some logic too."""
    made = {"cells": {}, "netnames": {}}
    cells, free = made["cells"], FIRST + len(ends)
    for number, count in enumerate(ends):
        cells[f"reset_{number}"] = register(OTHER, FIRST + number) | {"type": driver}
        for at in range(count):
            cells[f"end_{number}_{at}"] = register(free, free + 1, LSR=[FIRST + number])
            free += 2
        for at in range(logic):
            pins = {"A": [FIRST + number], "Z": [free]}
            cells[f"logic_{number}_{at}"] = {"type": "LUT4", "connections": pins}
            free += 1
    # Names are left of bits that no cell has.
    made["netnames"]["all"] = {"bits": [CLOCK, ENABLE, *range(FIRST, free + 3), "x"]}
    return made


def undone(module):
    """The netlist with every buffer replaced by a wire, and every twin by the register that it is one of."""
    made = copy.deepcopy(module)
    cells = made["cells"]
    wires = {}
    for name in [name for name, cell in cells.items() if cell["type"] == reset_nets.BUFFER]:
        register = name.removesuffix(f"_{reset_nets.BUFFER}")
        buffer, twin = cells.pop(name), cells.pop(f"{register}_TWIN")
        del made["netnames"][register + reset_nets.SUFFIX], made["netnames"][f"{register}_TWIN_Q"]
        pins = buffer["connections"]
        assert pins["CE"] == ["1"] and pins["CLKI"] == twin["connections"]["Q"]
        wires[pins["CLKO"][0]] = cells[register]["connections"]["Q"][0]
        assert (
            twin | {"connections": twin["connections"] | {"Q": cells[register]["connections"]["Q"]}} == cells[register]
        )
    for cell in cells.values():
        for pin, bits in cell["connections"].items():
            cell["connections"][pin] = [wires.get(bit, bit) for bit in bits]
    return made


def test_large_resets_go_through_a_buffer_each_and_small_ones_stay():
    before = module(reset_nets.LEAST, 7, reset_nets.LEAST + 5)
    made = copy.deepcopy(before)
    assert reset_nets.to_global(made) == {"reset_2": reset_nets.LEAST + 5, "reset_0": reset_nets.LEAST}
    assert undone(made) == before
    reset = {
        name: made["cells"][name]["connections"]["LSR"][0]
        for name in ("end_0_3", "end_1_6", f"end_2_{reset_nets.LEAST + 4}")
    }
    assert reset["end_1_6"] == FIRST + 1
    assert [made["netnames"][f"reset_{n}{reset_nets.SUFFIX}"]["bits"] for n in (0, 2)] == [
        [reset["end_0_3"]],
        [reset[f"end_2_{reset_nets.LEAST + 4}"]],
    ]
    # What logic takes stays in the fabric, and no two nets have one number.
    assert made["cells"]["logic_0_0"]["connections"]["A"] == [FIRST]
    driven = [cell["connections"][pin][0] for cell in made["cells"].values() for pin in ("Q", "Z", "CLKO")
              if pin in cell["connections"]]  # fmt: skip
    assert len(set(driven)) == len(driven)
    named = [bit for net in made["netnames"].values() for bit in net["bits"]]
    assert len(set(named)) == len(named)


def test_a_reset_that_logic_makes_stays():
    before = module(reset_nets.LEAST, driver="LUT4")
    made = copy.deepcopy(before)
    assert reset_nets.to_global(made) == {} and made == before


def test_clocks_keep_their_global_nets():
    made = module(*range(reset_nets.LEAST, reset_nets.LEAST + reset_nets.MOST + 2), logic=0)
    found = reset_nets.to_global(made)
    assert list(found) == [f"reset_{at}" for at in range(reset_nets.MOST + 1, 1, -1)]
    clocks = max(len(board.clocks) for board in BOARDS.values() if board.toolchain in EDITS_NETLIST)
    assert reset_nets.MOST + clocks <= 16
    # Of these, 8 reach what is no clock pin, and the core's and the generator's clock drive such pins too.
    assert reset_nets.MOST + 2 <= 8


@pytest.mark.parametrize("name", ("ecpix5_85", "hx8k_b_evn"))
def test_netlist_of_a_board_is_arranged_where_its_part_has_what_for(tmp_path, name):
    made = module(reset_nets.LEAST)
    ram = "device.book.levels.shares.0.0"
    made["cells"][ram] = {"type": "DP16KD", "attributes": {}, "connections": {}}
    path = tmp_path / "top.json"
    path.write_text(text := json.dumps({"modules": {"top": made}}))
    with Steps() as steps:
        found = bitstream._arrange(board_named(name), path, steps)
    if name == "hx8k_b_evn":
        assert found == 0 and path.read_text() == text
        return
    cells = json.loads(path.read_text())["modules"]["top"]["cells"]
    assert found == 1 and cells["reset_0_DCCA"]["type"] == reset_nets.BUFFER
    assert cells[ram]["attributes"]["BEL"] == floorplan.sites(board_named(name).part, [ram])[ram]
