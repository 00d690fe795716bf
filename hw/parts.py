"""The devices that boards carry and stages are timed on: what each holds, and how place and route is told of it."""

from __future__ import annotations

from dataclasses import dataclass

from tickgate.gateware.board.description import GIGABIT_HZ
from tickgate.sw.spec.errors import UserError


@dataclass(frozen=True)
class Part:
    """An FPGA as the place-and-route tool names it.

    Parameters
    ----------
    name: the vendor's part.
    family: `ecp5`, `ice40` or `xc7`.
    nextpnr: flags that select device and speed grade.
    package: package name.
    speed: speed grade.
    luts, block_rams, multipliers: what it holds.
    target_hz: clock that every stage is to meet on it.
    block_ram_rows, block_ram_columns: where block RAMs that stand together may be put (`hw.floorplan`): neighbouring
        rows of nextpnr's grid, and the columns in which these have one, four to a group. Empty where no RAM is put.
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
    block_ram_rows: tuple[int, ...] = ()
    block_ram_columns: tuple[int, ...] = ()


#: Logic cells, block RAMs and 18x18 multipliers of the ECP5 sizes (Lattice FPGA-DS-02012, table 1.1).
_ECP5 = {"25": (24_288, 56, 28), "45": (43_848, 108, 72), "85": (83_640, 208, 156)}
#: Rows and columns of the 85F's block RAMs in nextpnr's grid, as in the names of its sites; none at the edges.
_ECP5_RAM_ROWS = {"85": (70, 82)}
_ECP5_RAM_COLUMNS = {
    "85": tuple(x + 2 * n for x in (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114) for n in range(4))
}
_ECP5_PREFIX = {"LFE5U": "", "LFE5UM": "um-", "LFE5UM5G": "um5g-"}


def _ecp5(line: str, size: str, speed: str, balls: int, target_hz: int) -> Part:
    luts, block_rams, multipliers = _ECP5[size]
    return Part(
        name=f"{line}-{size}F-{speed}BG{balls}",
        family="ecp5",
        nextpnr=(f"--{_ECP5_PREFIX[line]}{size}k",),
        package=f"CABGA{balls}",
        speed=speed,
        luts=luts,
        block_rams=block_rams,
        multipliers=multipliers,
        target_hz=target_hz,
        block_ram_rows=_ECP5_RAM_ROWS.get(size, ()),
        block_ram_columns=_ECP5_RAM_COLUMNS.get(size, ()),
    )


PARTS = {
    part.name: part
    for part in (
        _ecp5("LFE5UM5G", "85", "8", 756, 160_000_000),
        _ecp5("LFE5UM5G", "85", "8", 554, 160_000_000),
        _ecp5("LFE5UM5G", "85", "8", 381, 160_000_000),
        _ecp5("LFE5UM5G", "45", "8", 554, 160_000_000),
        _ecp5("LFE5UM5G", "45", "8", 381, 160_000_000),
        _ecp5("LFE5UM", "45", "8", 381, 160_000_000),
        _ecp5("LFE5U", "25", "6", 256, 100_000_000),
        Part("iCE40UP5K-SG48", "ice40", ("--up5k",), "sg48", "", 5_280, 30, 8, 12_000_000),
        Part("iCE40HX8K-CT256", "ice40", ("--hx8k",), "ct256", "", 7_680, 32, 0, 12_000_000),
        Part("xc7a100tcsg324-1L", "xc7", (), "csg324", "1L", 63_400, 270, 240, GIGABIT_HZ),
        Part("xc7k325tffg900-2", "xc7", (), "ffg900", "2", 203_800, 890, 840, 156_250_000),
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
