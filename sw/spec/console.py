"""The console: reading and writing registers over a UART in lines of ASCII, for a person or a script.

8 data bits, no parity, one stop bit. A line ends with CR or LF; empty lines are ignored, spaces and the case of letters
do not count. `r AAA` reads the register word at the byte offset AAA (three hexadecimal digits) and is answered with
eight digits; `w AAA DDDDDDDD` writes one and is answered with `ok`. Any other line is answered with `?` and does
nothing. An answer ends with CR LF. The device does not echo. Characters that come while a line is executed are lost:
wait for the answer.
"""

from typing import Final, NamedTuple

from tickgate.sw.spec.registers import ADDRESS_BITS

BAUD: Final = 115_200
READ: Final = "r"
WRITE: Final = "w"
ADDRESS_DIGITS: Final = ADDRESS_BITS // 4
DATA_DIGITS: Final = 8
ANSWER_END: Final = "\r\n"
WRITTEN: Final = "ok"
REFUSED: Final = "?"
DIGITS: Final = "0123456789abcdef"


class Command(NamedTuple):
    """One line that is one: what it asks for, where, and the value of a write."""

    write: bool
    address: int
    value: int = 0

    def line(self) -> str:
        """As it is sent, with its end."""
        text = f"{WRITE if self.write else READ} {self.address:0{ADDRESS_DIGITS}x}"
        return text + (f" {self.value:0{DATA_DIGITS}x}\n" if self.write else "\n")


def parse(line: str) -> Command | None:
    """The command of a line without its end; None where it is none."""
    text = line.replace(" ", "").lower()
    digits = text[1:]
    if any(d not in DIGITS for d in digits):
        return None
    if text[:1] == READ and len(digits) == ADDRESS_DIGITS:
        return _aligned(Command(False, int(digits, 16)))
    if text[:1] == WRITE and len(digits) == ADDRESS_DIGITS + DATA_DIGITS:
        return _aligned(Command(True, int(digits[:ADDRESS_DIGITS], 16), int(digits[ADDRESS_DIGITS:], 16)))
    return None


def _aligned(command: Command) -> Command | None:
    return None if command.address % 4 else command


def answer(command: Command | None, value: int = 0) -> str:
    """What the device says to a line, `value` being what it read."""
    if command is None:
        return REFUSED + ANSWER_END
    return (WRITTEN if command.write else f"{value:0{DATA_DIGITS}x}") + ANSWER_END
