"""The table of boards is sound by itself, and the command tells it."""

import json
import subprocess
import sys

import pytest

from tickgate.gateware.board.description import ROLES, LedMeaning
from tickgate.hw.boards import BOARDS, BUILDABLE, board_named
from tickgate.hw.parts import PARTS, TIMING_PART, part_named
from tickgate.sw.cli.main import main
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import LEVEL_QTY_BITS

OPEN = (
    "versa_ecp5 versa_ecp5_5g ecpix5_45 ecpix5_85 butterstick logicbone colorlight_5a75b_r70 icebreaker hx8k_b_evn"
).split()


def each(*names):
    return pytest.mark.parametrize("board", [BOARDS[n] for n in names or BOARDS], ids=lambda b: b.name)


def test_boards_of_the_open_toolchain_are_those_that_are_promised():
    assert list(BUILDABLE) == OPEN
    assert {b.name for b in BOARDS.values() if not b.open} == {"arty_a7_100", "ax7325b"}


@each()
def test_roles_name_ports_that_exist_and_every_port_has_one(board):
    if board.top == "probe":
        assert not board.ports and not board.roles and board.probe and board.uart_baud
        return
    assert set(board.roles) <= set(ROLES) and {"feed_a", "orders", "control"} <= set(board.roles)
    assert set(board.roles.values()) == set(range(len(board.ports)))
    assert ("feed_b" in board.roles) == (len(board.ports) > 1)
    assert all(0 <= port.management <= number for number, port in enumerate(board.ports))


@each(*(n for n in OPEN if BOARDS[n].top == "board"))
def test_sizes_are_the_floor_of_the_part(board):
    small = "25F" in board.part.name
    assert (board.sizes.slots, board.sizes.orders, board.sizes.levels) == ((2, 1024, 256) if small else (4, 4096, 1024))
    # 18 Kbit a block RAM: the levels alone leave more than half of them to the order table and the rest.
    assert board.sizes.slots * 2 * board.sizes.levels * LEVEL_QTY_BITS < board.part.block_rams * 18_432 / 2


@each()
def test_lights_are_told_apart_and_none_promises_a_port_that_is_not_there(board):
    assert len({(led.resource, led.number, led.part) for led in board.leds}) == len(board.leds)
    meanings = [led.meaning for led in board.leds]
    assert len(set(meanings)) == len(meanings)
    if LedMeaning.LINK_1 in meanings:
        assert len(board.ports) == 2


@each()
def test_nothing_is_said_to_work_on_silicon(board):
    assert not board.on_silicon and board.status in ("elaborated", "built", "too large", "emitted")
    assert board.open or board.status == "emitted"


@each()
def test_clocks_that_must_be_met_are_named_by_domain(board):
    expected = {"boot": board.oscillator_hz, "sync": board.core_hz}
    for number, port in enumerate(board.ports):
        if port.mode == "rgmii":
            expected |= {f"rx_{number}": 125_000_000, "tx": 125_000_000}
        if port.mode == "mii":
            expected |= {f"rx_{number}": 25_000_000, f"tx_{number}": 25_000_000}
    if board.top == "probe":
        expected = {"sync": board.core_hz}
    assert board.clocks == expected


def test_timing_is_measured_on_a_part_of_the_table():
    assert part_named(TIMING_PART) is PARTS[TIMING_PART]
    assert PARTS[TIMING_PART].nextpnr == ("--um5g-85k",) and PARTS[TIMING_PART].package == "CABGA756"
    with pytest.raises(UserError, match="no part 'x'; the parts are LFE5UM5G-85F-8BG756"):
        part_named("x")


@pytest.mark.parametrize(
    ("asked", "told"),
    (
        ("versa_ecp5_6g", "did you mean 'versa_ecp5_5g'"),
        ("ICEBREAKER", "did you mean 'icebreaker'"),
        ("colorlight-5a75b-r70", "did you mean 'colorlight_5a75b_r70'"),
        ("zzz", "the boards are versa_ecp5, versa_ecp5_5g"),
    ),
)
def test_an_unknown_board_is_refused_with_a_hint(asked, told):
    with pytest.raises(UserError, match=f"no board '{asked}'; {told}"):
        board_named(asked)


def test_command_lists_every_board(capsys):
    assert main(["boards"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in BOARDS) and "none of them tried on silicon" in text


def test_command_tells_one_board_with_its_lights(capsys):
    assert main(["boards", "versa_ecp5_5g"]) == 0
    text = capsys.readouterr().out
    assert "feed_a, orders: rgmii, Marvell 88E1512" in text
    assert all(led.meaning.value in text for led in BOARDS["versa_ecp5_5g"].leds)
    assert "openFPGALoader" in text and "not tried on silicon" in text


def test_command_prints_json(capsys):
    assert main(["boards", "--json"]) == 0
    boards = {b["name"]: b for b in json.loads(capsys.readouterr().out)["boards"]}
    assert list(boards) == list(BOARDS)
    colorlight = boards["colorlight_5a75b_r70"]
    assert colorlight["sizes"]["orders"] == 1024 and colorlight["clocks_hz"]["sync"] == 83_333_333
    assert [port["roles"] for port in colorlight["ports"]] == [["feed_a", "orders"], ["feed_b", "control"]]


def test_command_refuses_an_unknown_board(capsys):
    assert main(["boards", "versa"]) == 2
    assert "did you mean 'versa_ecp5'?" in capsys.readouterr().err


def test_table_is_told_without_amaranth():
    code = (
        "import sys; sys.modules['amaranth'] = None; from tickgate.sw.cli.main import main; sys.exit(main(['boards']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "icebreaker" in done.stdout, done.stderr
