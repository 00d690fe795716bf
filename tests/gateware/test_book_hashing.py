import random

import pytest

from tickgate.gateware.book.hashing import reference_of, rows_of, table_shape
from tickgate.sw.spec.sizes import LADDER, Sizes

MEDIUM = LADDER["medium"]


def near_dense(rng):
    """As in a day of one busy symbol: near-dense, constant modulo 4."""
    reference = rng.randrange(1 << 33)
    while True:
        reference += 4 * rng.randrange(1, 40)
        yield reference


def dense(rng):
    reference = rng.randrange(1 << 33)
    while True:
        reference += 4
        yield reference


def anywhere(rng):
    while True:
        yield rng.getrandbits(64)


SOURCES = {"near_dense": near_dense, "dense": dense, "anywhere": anywhere}


def fill_and_churn(sizes, load, operations, source):
    """A table as the gateware keeps it: least loaded row first, then the stash. Returns (overflows, most in stash)."""
    shape = table_shape(sizes)
    rng = random.Random(1)
    references = SOURCES[source](rng)
    loads = [[0] * (1 << shape.index_bits) for _ in range(shape.banks)]
    live, place = [], []
    stash = most = overflows = 0
    target = int(sizes.orders * load)
    for _ in range(operations):
        if len(live) < 0.97 * target or (len(live) < target and rng.random() < 0.5):
            reference = next(references)
            rows = rows_of(reference, shape)
            bank = min(range(shape.banks), key=lambda b: loads[b][rows[b]])  # the first among equals
            if loads[bank][rows[bank]] < shape.ways:
                loads[bank][rows[bank]] += 1
                place.append((bank, rows[bank]))
            elif stash < sizes.stash:
                stash += 1
                most = max(most, stash)
                place.append(None)
            else:
                overflows += 1
                continue
            live.append(reference)
        else:
            at = rng.randrange(len(live))
            live[at], live[-1] = live[-1], live[at]
            place[at], place[-1] = place[-1], place[at]
            live.pop()
            where = place.pop()
            if where is None:
                stash -= 1
            else:
                loads[where[0]][where[1]] -= 1
    return overflows, most


@pytest.mark.parametrize("source", SOURCES)
def test_table_at_70_percent_load_never_overflows_in_a_million_operations(source):
    overflows, most = fill_and_churn(MEDIUM, 0.7, 1_000_000, source)
    assert overflows == 0
    assert most <= MEDIUM.stash // 2


@pytest.mark.parametrize("sizes", [Sizes(orders=256), LADDER["small"], LADDER["large"]], ids=["256", "1024", "65536"])
def test_table_of_other_sizes_at_70_percent_load_never_overflows(sizes):
    overflows, most = fill_and_churn(sizes, 0.7, 4 * sizes.orders + 100_000, "near_dense")
    assert overflows == 0
    assert most <= sizes.stash // 2


def test_table_beyond_its_room_overflows():
    assert fill_and_churn(MEDIUM, table_shape(MEDIUM).entries / MEDIUM.orders * 1.05, 30_000, "near_dense")[0] > 0


@pytest.mark.parametrize("orders", [256, 1024, 4096, 65536])
def test_row_and_tag_give_the_reference_back(orders):
    shape = table_shape(Sizes(orders=orders))
    rng = random.Random(orders)
    for _ in range(500):
        reference = rng.getrandbits(rng.choice((10, 33, 64)))
        for bank, row in enumerate(rows_of(reference, shape)):
            assert 0 <= row < 1 << shape.index_bits
            assert reference_of(bank, row, reference >> shape.index_bits, shape) == reference


def test_rows_of_a_dense_run_are_spread_evenly():
    shape = table_shape(MEDIUM)
    count = 1 << shape.index_bits
    for bank in range(shape.banks):
        rows = [rows_of(4 * n, shape)[bank] for n in range(4 * count)]
        assert len(set(rows)) == count
        assert max(rows.count(row) for row in set(rows)) <= 8
