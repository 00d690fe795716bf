"""Takes out of a flat design what it says twice: registers that hold the same, and second names of nets."""

from __future__ import annotations

import re

from tickgate.sim.flatten import Flat, Statement, names, only_name, rename, written

_DELAY = re.compile(r"(\\\S+ |[A-Za-z_][A-Za-z0-9_$]*) ?<= (.*);$")


def merge_equal(flat: Flat) -> Flat:
    """The design with registers that always hold the same as another one replaced by that one.

    Two registers are the same where they begin with the same value and one process describes both, as the valid bits of
    pipelines side by side do. What a process reads may become equal only when others have: it is repeated until nothing
    changes.
    """
    while True:
        seen: dict[tuple[object, ...], str] = {}
        same: dict[str, str] = {}
        kept = []
        for statement in flat.statements:
            register = _delay(statement)
            if register is None or flat.declarations[register].port:
                kept.append(statement)
                continue
            declared = flat.declarations[register]
            body = tuple(line.replace(written(register), "*", 1) for line in statement.lines)
            key = (declared.width, declared.initial, *body)
            if register in names(" ".join(body)) or key not in seen:
                seen.setdefault(key, register)
                kept.append(statement)
            else:
                same[register] = seen[key]
        if not same:
            return flat
        flat = _rename(Flat(flat.ports, flat.declarations, kept), same)


def _delay(statement: Statement) -> str | None:
    """The register that a process of one assignment, or one and its reset, sets."""
    if statement.kind != "clocked" or len(statement.lines) not in (1, 4):
        return None
    found = _DELAY.match(statement.lines[0])
    if found is None or (len(statement.lines) == 4 and statement.lines[1] != "if (rst) begin"):
        return None
    return next(names(found.group(1)))


def _rename(flat: Flat, same: dict[str, str]) -> Flat:
    statements = [Statement(s.kind, tuple(rename(line, same) for line in s.lines)) for s in flat.statements]
    return Flat(flat.ports, {n: d for n, d in flat.declarations.items() if n not in same}, statements)


def merge_aliases(flat: Flat) -> Flat:
    """The design without nets that are another net by an `assign` of the whole."""
    same: dict[str, str] = {}
    kept = []
    for statement in flat.statements:
        if statement.kind == "assign":
            one, other = (only_name(side) for side in statement.assigned)
            if (
                one is not None
                and other is not None
                and not flat.declarations[one].port
                and flat.declarations[one].width == flat.declarations[other].width
                and not flat.declarations[other].depth
            ):
                same[one] = other
                continue
        kept.append(statement)
    for name in same:
        while same[name] in same:
            same[name] = same[same[name]]
    return _rename(Flat(flat.ports, flat.declarations, kept), same)
