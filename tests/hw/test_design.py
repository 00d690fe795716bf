"""What is done to a design on its way to the tools."""

import re
import sys

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory

from tickgate.hw.boards import board_named
from tickgate.hw.design import prepare, undefined_collisions


def masks(text):
    """Of each read port of a design in Yosys' language: whether it is clocked, and its mask."""
    ports = [part.split("\n  end", 1)[0] for part in text.split("cell $memrd_v2 ")[1:]]
    return sorted(("CLK_ENABLE 1" in port, port.split("COLLISION_X_MASK ")[1].split()[0]) for port in ports)


def test_clocked_reads_may_give_anything_while_the_row_is_written_and_others_may_not():
    m = Module()
    m.submodules.memory = memory = Memory(shape=8, depth=16, init=[])
    writes, clocked, direct = (
        [memory.write_port() for _ in range(2)],
        memory.read_port(),
        memory.read_port(domain="comb"),
    )
    address, seen = Signal(4), Signal(8)
    for port in (*writes, clocked, direct):
        m.d.comb += port.addr.eq(address)
    m.d.comb += [seen.eq(clocked.data ^ direct.data), clocked.en.eq(1)]
    text = rtlil.convert(m, ports=[address, seen, *[port.data for port in writes], *[port.en for port in writes]])
    done = undefined_collisions(text)

    assert masks(text) == [(False, "2'00"), (True, "2'00")]
    assert masks(done) == [(False, "2'00"), (True, "2'11")]
    assert done.replace("2'11", "2'00") == text


def remembering(board, build_id):
    """A design with a memory that is read with the clock, and written."""
    m = Module()
    m.submodules.memory = memory = Memory(shape=8, depth=16, init=[])
    reading, writing, turn = memory.read_port(), memory.write_port(), Signal(4)
    m.d.sync += turn.eq(turn + reading.data)
    m.d.comb += [reading.addr.eq(turn), writing.addr.eq(turn), writing.data.eq(~turn), writing.en.eq(turn[0])]
    return m


@pytest.mark.usefixtures("amaranth_boards")
@pytest.mark.parametrize(("name", "mask"), [("ecpix5_45", "1'1"), ("icebreaker", "1'0")])
def test_rows_read_while_written_are_left_undefined_for_ecp5_only(name, mask):
    netlist = prepare(board_named(name), make_top=remembering).netlist
    assert masks(netlist) == [(True, mask)]
    assert masks(undefined_collisions(netlist)) == [(True, "1'1")]


def counting(board, build_id):
    """A design with a state machine, of which Amaranth gives a position in Python's own `contextlib`."""
    m, turn = Module(), Signal(4)
    with m.FSM():
        with m.State("On"):
            m.d.sync += turn.eq(turn + 1)
            m.next = "Off"
        with m.State("Off"):
            m.next = "On"
    return m


@pytest.mark.usefixtures("amaranth_boards")
def test_positions_in_sources_name_no_folder_of_this_machine():
    netlist = prepare(board_named("ecpix5_45"), make_top=counting).netlist
    files = {
        place.rsplit(":", 1)[0]
        for line in re.findall(r'attribute \\src "([^"]*)"', netlist)
        for place in line.split("|")
    }
    assert "contextlib.py" in files
    assert "amaranth/build/res.py" in files
    prefixes = (sys.base_prefix.lstrip("/"), sys.prefix.lstrip("/"), "/")
    assert not [name for name in files if name.startswith(prefixes)], files
