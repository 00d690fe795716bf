"""Writes what picks bits of a net one by one as one `and` with a mask, which a simulator computes in one step."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

from tickgate.sim.flatten import NAME, Flat, Statement, names, written

_PART = re.compile(rf"({NAME}) ?(?:\[(\d+)(?::(\d+))?\])?$")
_CONSTANT = re.compile(r"(\d+)'h([0-9a-f]+)$")

Bit = tuple[str, int]
"""The net that a bit comes from and its place there; an empty name and the value for a constant."""


def _bits(text: str, flat: Flat) -> list[Bit] | None:
    """The bits of a concatenation of parts of nets and constants, lowest first; None for anything else."""
    found: list[Bit] = []
    for part in reversed(text.strip().removeprefix("{").removesuffix("}").split(",")):
        part = part.strip() + (" " if part.strip().startswith("\\") else "")
        if constant := _CONSTANT.match(part.strip()):
            width, value = int(constant.group(1)), int(constant.group(2), 16)
            found += [("", value >> bit & 1) for bit in range(width)]
        elif net := _PART.match(part):
            name = next(names(net.group(1)), "")
            declared = flat.declarations.get(name)
            if declared is None or declared.depth:
                return None
            high = declared.bits - 1 if net.group(2) is None else int(net.group(2))
            low = 0 if net.group(2) is None else int(net.group(3) or net.group(2))
            found += [(name, bit) for bit in range(low, high + 1)]
        else:
            return None
    return found


def masked(flat: Flat) -> tuple[Flat, int]:
    """The design with such nets written anew, and how many they are.

    A net is one of them when each of its bits is set by an assignment to parts of it, from a constant or from one other
    net, all from the same distance.
    """
    assigned: dict[str, dict[int, Bit]] = defaultdict(dict)
    by: dict[str, list[Statement]] = defaultdict(list)
    spoiled: set[str] = set()
    setters = Counter(name for s in flat.statements if s.kind == "assign" for name in set(names(s.assigned[0])))
    for statement in flat.statements:
        if statement.kind != "assign":
            continue
        left, right = statement.assigned
        targets = set(names(left))
        if not left.strip().startswith("{") or len(targets) != 1:
            continue
        (name,) = targets
        ours, theirs = _bits(left, flat), _bits(right, flat)
        if ours is None or theirs is None or len(ours) != len(theirs):
            spoiled.add(name)
            continue
        by[name].append(statement)
        assigned[name] |= {bit: source for (_, bit), source in zip(ours, theirs, strict=True)}
    gone: set[Statement] = set()
    added: list[Statement] = []
    for name, bits in assigned.items():
        width = flat.declarations[name].bits
        far = {(source, at - bit) for bit, (source, at) in bits.items() if source}
        if name in spoiled or len(bits) != width or len(far) != 1 or setters[name] != len(by[name]):
            continue
        ((source, distance),) = far
        if distance < 0:
            continue
        mask = sum(1 << bit for bit, (net, _) in bits.items() if net)
        ones = sum(1 << bit for bit, (net, value) in bits.items() if not net and value)
        top = min(flat.declarations[source].bits - 1, distance + width - 1)
        text = f"assign {written(name)} = {written(source)}[{top}:{distance}] & {width}'h{mask:x}"
        added.append(Statement("assign", (f"{text} | {width}'h{ones:x};" if ones else f"{text};",)))
        gone |= set(by[name])
    kept = [statement for statement in flat.statements if statement not in gone]
    return Flat(flat.ports, flat.declarations, kept + added), len(added)
