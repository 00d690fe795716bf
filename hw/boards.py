"""The one table of devices and boards; make, reports and documentation read it.

It begins with the device that stage timing is measured on; boards with their clocks and PHYs join it here.
"""

from __future__ import annotations

from dataclasses import dataclass

from tickgate.sw.spec.errors import UserError


@dataclass(frozen=True)
class Part:
    """An FPGA as the place-and-route tool names it.

    Parameters
    ----------
    name: the vendor's part.
    family: `ecp5`.
    nextpnr: flags that select device and speed grade.
    package: package name.
    speed: speed grade.
    luts, block_rams, multipliers: what it holds.
    target_hz: clock that every stage is to meet on it.
    """

    name: str
    family: str
    nextpnr: tuple[str, ...]
    package: str
    speed: str
    luts: int
    block_rams: int
    multipliers: int
    target_hz: int


PARTS = {
    part.name: part
    for part in (
        Part(
            name="LFE5UM5G-85F-8BG756",
            family="ecp5",
            nextpnr=("--um5g-85k",),
            package="CABGA756",
            speed="8",
            luts=83_640,
            block_rams=208,
            multipliers=156,
            target_hz=160_000_000,
        ),
    )
}
TIMING_PART = "LFE5UM5G-85F-8BG756"


def part_named(name: str) -> Part:
    """The part called `name`.

    Raises
    ------
    UserError: no such part.
    """
    if name not in PARTS:
        raise UserError(f"no part {name!r}; the parts are {', '.join(PARTS)}")
    return PARTS[name]
