"""Where an order reference may stand in the order table: linear hashes, each a bijection together with the tag.

The table has some banks of some ways (`table_shape`). In bank `b` a reference stands in row `low ^ fold_b(high)`,
where `low` are its lowest `index_bits` bits and `high`, the tag, is the rest. Row and tag give the reference back, so
that comparing tags compares whole references: there is no false match. A fold is linear over GF(2): every bit of the
row is the exclusive-or of a fixed choice of `FOLD_INPUTS` tag bits and one low bit.

References are near-dense, and constant modulo 4 for one symbol. The choices are made so that the lowest tag bits, which
vary most, weigh most.
"""

from functools import cache, reduce
from operator import xor
from random import Random
from typing import NamedTuple

from tickgate.sw.spec.sizes import Sizes

REFERENCE_BITS = 64

#: Tag bits that enter each row bit: with the low bit sixteen inputs, two levels of four-input logic.
FOLD_INPUTS = 15
_NEAR_BITS, _NEAR_INPUTS = 24, 11
_SEED = 0x7469636B


class TableShape(NamedTuple):
    """How the order table is laid out.

    Members
    -------
    banks: each with a hash of its own.
    ways: entries in each row of a bank.
    index_bits: width of a row's number.
    """

    banks: int
    ways: int
    index_bits: int

    @property
    def entries(self) -> int:
        """Orders that it holds at most, beside the stash: `orders` of the sizes, or more."""
        return self.banks * self.ways << self.index_bits


def table_shape(sizes: Sizes) -> TableShape:
    """The shape for `orders` orders: fewest ways, which are what costs, as far as block RAM gives the rows for nothing.

    A block RAM is 512 rows of 36 bits in its widest shape, and what is shorter takes as much. So a table of 4,096
    orders has five banks of two ways of 512 rows (ten ways, 5,120 entries) instead of four of four of 256, and a
    smaller one twice the rows that it would need.
    """
    bits = sizes.orders.bit_length() - 1
    if sizes.orders > 4096:
        return TableShape(4, 4, bits - 4)
    return TableShape(5, 2, bits - 3) if sizes.orders == 4096 else TableShape(4, 2, bits - 2)


@cache
def fold_masks(shape: TableShape) -> tuple[tuple[int, ...], ...]:
    """Tag bits (as masks) that enter each of the row bits of each bank."""
    width = shape.index_bits
    tag_bits = REFERENCE_BITS - width
    random = Random(_SEED + width)
    banks = []
    for _ in range(shape.banks):
        while True:
            masks = []
            for _ in range(width):
                near = random.sample(range(_NEAR_BITS), _NEAR_INPUTS)
                far = random.sample(range(_NEAR_BITS, tag_bits), FOLD_INPUTS - _NEAR_INPUTS)
                masks.append(reduce(lambda word, bit: word | 1 << bit, near + far, 0))
            # References that follow each other at a distance of 4 must reach every row, and so must the lowest tag
            # bits alone.
            follow = [(1 << bit if bit >= 2 else 0) | (mask & 0xF) << width for bit, mask in enumerate(masks)]
            near = [mask & (1 << width + 2) - 1 for mask in masks]
            if _rank(follow) == _rank(near) == width:
                break
        banks.append(tuple(masks))
    return tuple(banks)


def _rank(rows: list[int]) -> int:
    """Rank over GF(2)."""
    rank = 0
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return rank


@cache
def _byte_tables(shape: TableShape) -> tuple[tuple[int, ...], ...]:
    """For each byte of a tag and each of its values, the folds side by side."""
    masks, width = fold_masks(shape), shape.index_bits
    tables = []
    for byte in range(8):
        table = []
        for value in range(256):
            word = value << 8 * byte
            packed = 0
            for bank in range(shape.banks):
                for bit in range(width):
                    packed |= ((word & masks[bank][bit]).bit_count() & 1) << (bank * width + bit)
            table.append(packed)
        tables.append(tuple(table))
    return tuple(tables)


def rows_of(reference: int, shape: TableShape) -> tuple[int, ...]:
    """Row of the reference in each bank."""
    width = shape.index_bits
    tag, mask = reference >> width, (1 << width) - 1
    folds = reduce(xor, (table[tag >> 8 * byte & 0xFF] for byte, table in enumerate(_byte_tables(shape))))
    return tuple((reference ^ folds >> bank * width) & mask for bank in range(shape.banks))


def reference_of(bank: int, row: int, tag: int, shape: TableShape) -> int:
    """The reference that stands in that row of that bank with that tag."""
    return tag << shape.index_bits | (row ^ rows_of(tag << shape.index_bits, shape)[bank])
