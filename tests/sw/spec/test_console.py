"""Lines of the console, typed by hand."""

import pytest

from tickgate.sw.spec.console import Command, answer, parse


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("r 010", Command(False, 0x010)),
        ("R01C", Command(False, 0x01C)),
        ("w 104 deadbeef", Command(True, 0x104, 0xDEADBEEF)),
        (" W 1 0 4 DEAD BEEF ", Command(True, 0x104, 0xDEADBEEF)),
    ],
)
def test_line_is_read(line, command):
    assert parse(line) == command


@pytest.mark.parametrize("line", ["", "r", "r 01", "r 0100", "r 011", "w 010", "w 012 00000000", "x 010", "r 01g"])
def test_line_that_is_no_command_is_refused(line):
    assert parse(line) is None
    assert answer(parse(line)) == "?\r\n"


def test_command_is_written_as_it_is_read():
    assert Command(False, 0x1C).line() == "r 01c\n"
    assert Command(True, 0x104, 0xBEEF).line() == "w 104 0000beef\n"
    assert parse(Command(True, 0x104, 0xBEEF).line().strip()) == Command(True, 0x104, 0xBEEF)


def test_answer_tells_what_was_read_or_that_it_was_written():
    assert answer(Command(False, 0x10), 0xAB) == "000000ab\r\n"
    assert answer(Command(True, 0x10, 1)) == "ok\r\n"
