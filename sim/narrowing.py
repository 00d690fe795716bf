"""Makes sums of more than 64 bits narrower where nothing reads their upper bits.

Amaranth gives a sum a carry, also where a counter of 64 bits takes none of it. A simulator adds such a sum word by
word.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

from tickgate.sim.flatten import NAME, TOKEN, Flat, names, only_name

#: What a simulator adds in one step.
WORD_BITS = 64

_TERM = rf"(?:(?:{NAME}) ?(?:\[\d+(?::\d+)?\])?|\d+'h[0-9a-f]+|\{{[^{{}}?+-]*\}})"
_SUM = re.compile(rf"{_TERM} ?[+-] ?{_TERM}$")
_PART = re.compile(r" ?\[(\d+)(?::\d+)?\]")
_TAKEN = re.compile(r"(?:assign )?(.*?) ?<?= (.*);$")


def narrowed(flat: Flat) -> tuple[Flat, int]:
    """The design with such sums narrower, and how many they are.

    The lower bits of a sum or difference do not depend on its upper ones.
    """
    sums: dict[str, str] = {}
    for statement in flat.statements:
        if statement.kind == "assign":
            left, right = statement.assigned
            name = only_name(left)
            if name and flat.declarations[name].bits > WORD_BITS and _SUM.match(right):
                sums[name] = statement.lines[0]
    sums = {name: line for name, line in sums.items() if not flat.declarations[name].port}
    used: dict[str, int] = defaultdict(int)
    for statement in flat.statements:
        for line in statement.lines:
            for name in sums.keys() & set(names(line)):
                if line != sums[name]:
                    used[name] = max(used[name], _bits(line.strip(), name, flat))
    less = {name: bits for name, bits in used.items() if bits <= WORD_BITS}
    declared = {name: replace(flat.declarations[name], width=f"[{bits - 1}:0] ") for name, bits in less.items()}
    return Flat(flat.ports, flat.declarations | declared, flat.statements), len(less)


def _bits(line: str, name: str, flat: Flat) -> int:
    """How many bits of `name`, from the lowest, `line` reads."""
    whole = flat.declarations[name].bits
    taken = _TAKEN.match(line)
    if taken is not None and only_name(taken.group(2)) == name:
        to = only_name(taken.group(1))
        return whole if to is None else min(whole, flat.declarations[to].bits)
    found = 0
    for match in TOKEN.finditer(line):
        if (match.group(1) or "").lstrip("\\").rstrip() == name:
            part = _PART.match(line, match.end())
            found = max(found, int(part.group(1)) + 1 if part else whole)
    return found
