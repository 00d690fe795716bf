"""What the book's memories hold, decoded from their raw rows: every live order, and the shares of every level.

Names below the book's own module; each is a Verilog array, or a register where its depth is 1:

| module | name | rows |
|---|---|---|
| `table` | `way<n>`, n = bank x ways of a bank + way | `way_layout`, one a row of the bank |
| `table` | `stash_present` | 1 row, a bit an entry |
| `table` | `stash_reference<n>` | 1 row each |
| `table` | `stash_orders` | `order_layout`, one an entry |
| `levels` | `shares` | 48 bits, at side, slot, rank from the highest address bit down |
| `levels` | `words` | occupancy, at side, slot, word of ranks |

The rank of a level is its distance from the best end of its side. Shares mean something where their occupancy bit is
set. A dump is right while nothing is under way in the pipeline and the tables are not being swept.
"""

from collections.abc import Mapping, Sequence

from tickgate.gateware.book.hashing import REFERENCE_BITS, reference_of, table_shape
from tickgate.gateware.book.levels import group_bits, word_bits
from tickgate.gateware.book.table import order_layout, way_layout
from tickgate.sw.spec.sizes import LEVEL_QTY_BITS, Sizes

#: Instance path of the book in the whole device.
BOOK_PATH = "device.book"

Orders = dict[int, tuple[int, int, int, int, int]]
Levels = dict[tuple[int, int], list[int]]


def dump_signals(sizes: Sizes, path: str = BOOK_PATH) -> tuple[tuple[str, str, int, int], ...]:
    """Everything that `decode_dump` reads: (module, name, width in bits, rows).

    Parameters
    ----------
    path: Verilog name of the book's module.
    """
    table, levels, shape = f"{path}.table", f"{path}.levels", table_shape(sizes)
    ways, rows = shape.banks * shape.ways, 1 << shape.index_bits
    signals = [(table, f"way{way}", way_layout(sizes).size, rows) for way in range(ways)]
    signals.append((table, "stash_present", sizes.stash, 1))
    for entry in range(sizes.stash):
        signals.append((table, f"stash_reference{entry}", REFERENCE_BITS, 1))
    signals.append((table, "stash_orders", order_layout(sizes).size, sizes.stash))
    sides = 2 * sizes.slots
    signals.append((levels, "shares", LEVEL_QTY_BITS, sides * sizes.levels))
    signals.append((levels, "words", word_bits(sizes), sides * group_bits(sizes)))
    return tuple(signals)


def _fields(layout) -> dict[str, tuple[int, int]]:
    """Shift and mask of each field of a packed structure, so that a row is taken apart by plain integer operations."""
    return {name: (field.offset, (1 << field.width) - 1) for name, field in layout}


def decode_dump(sizes: Sizes, memories: Mapping[str, Sequence[int]]) -> tuple[Orders, Levels]:
    """Live orders by reference (slot, side, price_e4, open shares, OrderClass), and levels by slot and side.

    Parameters
    ----------
    memories: rows of every signal of `dump_signals` by its name.

    Raises
    ------
    ValueError: a reference stands in two places.
    """
    orders: Orders = {}
    order_fields = _fields(order_layout(sizes))
    picks = [order_fields[name] for name in ("slot", "side", "price_e4", "qty", "klass")]

    def found(reference: int, word: int) -> None:
        if reference in orders:
            raise ValueError(f"order {reference} stands in two places of the order table")
        slot, side, price_e4, shares, klass = (word >> shift & mask for shift, mask in picks)
        orders[reference] = (slot, side, price_e4, shares, klass)

    shape, wide = table_shape(sizes), _fields(way_layout(sizes))
    present_shift, _ = wide["present"]
    (tag_shift, tag_mask), (order_shift, order_mask) = wide["tag"], wide["order"]
    for way in range(shape.banks * shape.ways):
        for row, word in enumerate(memories[f"way{way}"]):
            if word >> present_shift & 1:
                reference = reference_of(way // shape.ways, row, word >> tag_shift & tag_mask, shape)
                found(reference, word >> order_shift & order_mask)
    for entry in range(sizes.stash):
        if memories["stash_present"][0] >> entry & 1:
            found(memories[f"stash_reference{entry}"][0], memories["stash_orders"][entry])

    shares, words = memories["shares"], memories["words"]
    word, groups = word_bits(sizes), group_bits(sizes)
    levels: Levels = {}
    for slot in range(sizes.slots):
        for side in (0, 1):
            key = side * sizes.slots + slot
            ranked = [
                shares[key * sizes.levels + rank] if words[key * groups + rank // word] >> rank % word & 1 else 0
                for rank in range(sizes.levels)
            ]
            levels[slot, side] = ranked if side else ranked[::-1]
    return orders, levels
