"""Sizes of a device: the ladder that `--size` names, and what follows from each number.

Everything that depends on a size (index widths, memory shapes) is derived from a `Sizes`, never typed again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from tickgate.sw.spec.errors import UserError

#: Level quantities: 65,536 orders of 32 bits cannot overflow 48.
LEVEL_QTY_BITS = 48
MAX_ORDERS = 1 << 16
MAX_SLOTS = 64
MAX_LEVELS = 4096


@dataclass(frozen=True)
class Sizes:
    """The parameters of one device.

    Parameters
    ----------
    slots: symbols followed at once, a power of two from 2 to 64.
    orders: orders that the order table is laid out for, a power of two from 256 to 65,536 (its stash comes on top).
    levels: price levels a side of a slot, a power of two from 64 to 4,096.
    stash: entries of the order table's stash, 4 to 64.

    Raises
    ------
    UserError: a number outside its range, with the range.
    """

    slots: int = 8
    orders: int = 4096
    levels: int = 1024
    stash: int = 16

    def __post_init__(self) -> None:
        bounds = {
            "slots": (2, MAX_SLOTS, True),
            "orders": (256, MAX_ORDERS, True),
            "levels": (64, MAX_LEVELS, True),
            "stash": (4, 64, False),
        }
        for f in fields(self):
            low, high, power = bounds[f.name]
            value = getattr(self, f.name)
            if not low <= value <= high or (power and value & (value - 1)):
                what = f"a power of two from {low} to {high:,}" if power else f"from {low} to {high}"
                raise UserError(f"size {f.name} must be {what}, not {value:,}")

    @property
    def slot_bits(self) -> int:
        """Width of a slot number."""
        return (self.slots - 1).bit_length()

    @property
    def level_bits(self) -> int:
        """Width of a level index."""
        return (self.levels - 1).bit_length()

    @property
    def level_memory_bits(self) -> int:
        """Bits of level memory: slots x 2 sides x levels x 48."""
        return self.slots * 2 * self.levels * LEVEL_QTY_BITS


LADDER = {
    "small": Sizes(slots=4, orders=1024, levels=256),
    "medium": Sizes(slots=8, orders=4096, levels=1024),
    "large": Sizes(slots=64, orders=65536, levels=1024, stash=32),
}
DEFAULT_SIZE = "medium"


def sizes_named(name: str) -> Sizes:
    """The sizes of one rung of the ladder.

    Raises
    ------
    UserError: no such rung.
    """
    if name not in LADDER:
        raise UserError(f"size must be one of {', '.join(LADDER)}, not {name!r}")
    return LADDER[name]
