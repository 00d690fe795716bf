"""Whether a design fits a part, and what to say where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickgate.hw.hierarchy import by_kind
from tickgate.hw.parts import Part
from tickgate.sw.spec.errors import UserError


def refuse_larger(design: str, part: str, resources: Iterable[tuple[str, int, int]], advice: str = "") -> None:
    """Refuses a design that needs more of a resource than there is.

    Parameters
    ----------
    part: its name. resources: what each is called, how many are needed, and how many there are.
    advice: a line behind the refusal.

    Raises
    ------
    UserError: what it needs, what there is, and by how much it is too large.
    """
    found = [
        f"it needs {needed:,} {what}, of which the part has {there:,}: {needed - there:,} too many"
        for what, needed, there in resources
        if needed > there
    ]
    if found:
        raise UserError(f"{design} does not fit {part}: {'; '.join(found)}" + (f"\n{advice}" if advice else ""))


def check_fits(design: str, part: Part, cells: Mapping[str, int], advice: str = "") -> None:
    """Refuses synthesised cells that are more than the part has.

    Parameters
    ----------
    cells: by type. advice: a line behind the refusal.

    Raises
    ------
    UserError: what it needs, what there is, and by how much it is too large.
    """
    needed = by_kind(cells)
    there = {
        "LUTs": part.luts,
        "flip-flops": part.luts,  # one beside each, in all families here
        "block RAMs": part.block_rams,
        "multipliers": part.multipliers,
    }
    refuse_larger(design, part.name, ((kind, needed.get(kind, 0), count) for kind, count in there.items()), advice)
