"""The delay file (SDF) that nextpnr writes: what cells take, when inputs have to be there, and what wires take.

References: IEEE 1497 (SDF), nextpnr's common/kernel/sdf.cc.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_TIMES = r"\(-?\d+:-?\d+:(-?\d+)\)"
_PATH = re.compile(rf"\(IOPATH (\S+) (\S+) {_TIMES} {_TIMES}")
_SETUP = re.compile(rf"\(SETUPHOLD \(posedge (\S+)\) \((pos|neg)edge (\S+)\) {_TIMES}")
_WIRE = re.compile(rf"\(INTERCONNECT (\S+)/(\S+) (\S+)/(\S+) {_TIMES} {_TIMES}")
_INSTANCE, _PATHS, _SETUPS, _WIRES = "(INSTANCE ", "(IOPATH ", "(SETUPHOLD ", "(INTERCONNECT "
#: nextpnr writes each check for both edges of the input, with the same times.
_OTHER_EDGE = "(SETUPHOLD (negedge"
_ESCAPED = re.compile(r"\\(.)")


#: A cell and its port. A plain tuple, of which there are a million: Python's collector does not look at those again.
Pin = tuple[str, str]


class Setup(NamedTuple):
    """When an input has to be there: `ps` before an edge, rising or falling, at the port `clock` of its cell."""

    clock: str
    falling: bool
    ps: int


@dataclass(frozen=True)
class Sdf:
    """The slowest time of each, in picoseconds.

    Members
    -------
    paths: through cells, by cell and both ports; times from a clock to an output are among them.
    setups: by input. wires: by input, with the output that drives it.
    """

    paths: dict[tuple[str, str, str], int] = field(default_factory=dict)
    setups: dict[Pin, Setup] = field(default_factory=dict)
    wires: dict[Pin, tuple[Pin, int]] = field(default_factory=dict)


def read(lines: Iterable[str]) -> Sdf:
    """What is in the lines of a file.

    Raises
    ------
    ValueError: a line that begins like one of a path, check or wire, and is none.
    """
    found = Sdf()
    cell = ""
    for line in lines:
        text = line.lstrip()
        if text.startswith(_INSTANCE):
            cell = _plain(text[len(_INSTANCE) :].rstrip().removesuffix(")"))
        elif text.startswith(_WIRES):
            driver, output, sink, port, rise, fall = _matched(_WIRE, text)
            found.wires[_plain(sink), port] = (_plain(driver), output), max(int(rise), int(fall))
        elif text.startswith(_PATHS):
            source, sink, rise, fall = _matched(_PATH, text)
            found.paths[cell, source, sink] = max(int(rise), int(fall))
        elif text.startswith(_SETUPS) and not text.startswith(_OTHER_EDGE):
            port, edge, clock, ps = _matched(_SETUP, text)
            found.setups[cell, port] = Setup(clock, edge == "neg", int(ps))
    return found


def _matched(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    match = pattern.match(text)
    if match is None:
        raise ValueError(f"not a line of nextpnr's delay file: {text.rstrip()}")
    return match.groups()


def _plain(name: str) -> str:
    """A name without what escapes signs in it."""
    return _ESCAPED.sub(r"\1", name) if "\\" in name else name
