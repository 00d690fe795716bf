"""Best bid and offer rows, and equality with the PyPI package itch-book after every message."""

import datetime

import itch_book
import pytest
from model_flow import add, binaryfile, cancel, delete, directory, execute, execute_at, flow, replace

from tickgate.sw.model.bbo import HEADER, apply_message, bbo_rows
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec.events import BUY, SELL, Notice

PRICE = 1_000_000


def records(data):
    out, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        out.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    return out


def peer(path, table="bbo", depth=10):
    """Rows of the package: its sequence numbers count from 1."""
    feed = itch_book.Feed(str(path), date=datetime.date(2020, 1, 30), price_type="fixed")
    out = []
    for batch in feed.batches(tables=(table,), depth=depth):
        columns = getattr(batch, table)
        names = [n for n in columns if n not in ("ts_event", "bid_ct", "ask_ct") and "_ct_" not in n]
        out += [dict(zip(names, row, strict=True)) for row in zip(*(columns[n].tolist() for n in names), strict=True)]
    return out


def peer_bbo(path):
    return [
        (r["seq"] - 1, r["locate"], r["bid_px"], r["bid_sz"], r["ask_px"], r["ask_sz"]) for r in peer(path)
    ]  # fmt: skip


def ours(messages):
    return [row[:6] for row in bbo_rows(messages)]


def test_bbo_row_whenever_the_best_changes():
    messages = [
        directory(), add(1, "B", 10, 100), add(2, "B", 10, 90), add(3, "S", 5, 110), b"z" * 30, execute(1, 4),
        delete(1)[:-1], delete(1), cancel(2, 10),
    ]  # fmt: skip
    assert list(bbo_rows(messages)) == [
        (1, 1, 100, 10, 0, 0, 1), (3, 1, 100, 10, 110, 5, 1), (5, 1, 100, 6, 110, 5, 1), (7, 1, 90, 10, 110, 5, 1),
        (8, 1, 0, 0, 110, 5, 1),
    ]  # fmt: skip
    assert len(HEADER) == 7


def test_bbo_gap_makes_every_locate_invalid_at_the_next_message():
    items = [
        add(1, "B", 10, 100, 1),
        add(2, "B", 10, 100, 5),
        Notice.SYNC,
        Notice.GAP,
        delete(2, 5),
        Notice.FCS,
        directory(),
    ]
    assert list(bbo_rows(items)) == [
        (0, 1, 100, 10, 0, 0, 1), (1, 5, 100, 10, 0, 0, 1), (2, 1, 100, 10, 0, 0, 0), (2, 5, 0, 0, 0, 0, 0),
    ]  # fmt: skip


def test_bbo_new_session_starts_over():
    items = [add(1, "B", 10, 100), Notice.GAP, directory(), Notice.NEW_SESSION, directory(), add(1, "B", 7, 100)]
    assert list(bbo_rows(items)) == [
        (0, 1, 100, 10, 0, 0, 1), (1, 1, 100, 10, 0, 0, 0), (2, 1, 0, 0, 0, 0, 1), (3, 1, 100, 7, 0, 0, 1),
    ]  # fmt: skip


def test_bbo_message_that_changes_no_book_is_no_row_of_a_locate_after_a_gap():
    assert list(bbo_rows([Notice.GAP, directory(), add(1, "B", 10, 100)])) == [(1, 1, 100, 10, 0, 0, 0)]


@pytest.mark.parametrize("seed", range(4))
def test_bbo_equals_itch_book_on_flows(seed, tmp_path):
    messages = flow(seed, 4_000, locates=tuple(range(1, 3 + 5 * seed)), width=5 + 10 * seed)
    path = tmp_path / "flow.itch"
    path.write_bytes(binaryfile(messages))
    rows = ours(messages)
    assert len(rows) > 300
    assert rows == peer_bbo(path)


def peer_levels(row):
    """(bids, asks) of a depth row, (price, shares) each."""
    sides = []
    for side in ("bid", "ask"):
        names = sorted((n for n in row if n.startswith(f"{side}_px_")), key=lambda n: int(n.rsplit("_", 1)[1]))
        sides.append([(row[n], row[n.replace("_px_", "_sz_")]) for n in names if row[n]])
    return sides


def compare_levels(messages, path, depth):
    """Every depth row of the package equals the true book's best levels after that message; returns how many."""
    rows = {row["seq"] - 1: row for row in peer(path, "depth", depth)}
    book = TrueBook()
    for number, data in enumerate(messages):
        apply_message(book, data)
        row = rows.get(number)
        if row is not None:
            bids, asks = peer_levels(row)
            assert bids == book.levels(row["locate"], BUY)[:depth], number
            assert asks == book.levels(row["locate"], SELL)[:depth], number
    return len(rows)


def test_levels_equal_itch_book_on_a_flow(tmp_path):
    messages = flow(9, 4_000, width=20)
    path = tmp_path / "flow.itch"
    path.write_bytes(binaryfile(messages))
    assert compare_levels(messages, path, 25) > 2_000


def test_bbo_and_levels_equal_itch_book_on_real_data(data_dir):
    path = data_dir / "itch" / "real_aapl_20200130_pre.itch"
    messages = records(path.read_bytes())
    rows = ours(messages)
    assert len(rows) == 2_792
    assert rows == peer_bbo(path)
    assert compare_levels(messages, path, 10) > 2_792
    path = data_dir / "itch" / "real_directory_start_of_day.itch"
    assert ours(records(path.read_bytes())) == peer_bbo(path) == []


def test_bbo_equals_itch_book_on_simulated_data_but_for_reference_0(data_dir, tmp_path):
    messages = records((data_dir / "itch" / "simulated_20101224.itch").read_bytes())
    kept = [m for m in messages if m[0] not in b"AFECXDU" or m[11:19] != bytes(8)]
    assert 0 < len(messages) - len(kept) <= 3
    path = tmp_path / "kept.itch"
    path.write_bytes(binaryfile(kept))
    assert ours(kept) == peer_bbo(path)


BOTH = (1, PRICE, 100, 0, 0)
DIFFERENCES = {
    # what it is: messages behind two directory entries, rows here, rows there (index, locate, bid, shares, ask, shares)
    "reference 0": (
        [add(0, "B", 100, PRICE), delete(0)],
        [(2, *BOTH), (3, 1, 0, 0, 0, 0)],
        [],
    ),
    "reference that lives": (
        [add(1, "B", 100, PRICE), add(1, "B", 50, PRICE + 100)],
        [(2, *BOTH)],
        [(2, *BOTH), (3, 1, PRICE + 100, 50, 0, 0)],
    ),
    "side that is neither": ([add(1, "X", 10, PRICE)], [], [(2, 1, 0, 0, PRICE, 10)]),
    "delete by another locate": (
        [add(1, "B", 100, PRICE), delete(1, 2)],
        [(2, *BOTH)],
        [(2, *BOTH), (3, 1, 0, 0, 0, 0)],
    ),
    "execution by another locate": (
        [add(1, "B", 100, PRICE), execute(1, 10, 2)],
        [(2, *BOTH)],
        [(2, *BOTH), (3, 1, PRICE, 90, 0, 0)],
    ),
    "replace onto a live reference": (
        [add(1, "B", 100, PRICE), add(2, "B", 100, PRICE - 100), replace(1, 2, 50, PRICE + 100)],
        [(2, *BOTH), (4, 1, PRICE - 100, 100, 0, 0)],
        [(2, *BOTH), (4, 1, PRICE + 100, 50, 0, 0)],
    ),
    "replace by quantity 0": (
        [add(1, "B", 100, PRICE), replace(1, 2, 0, PRICE)],
        [(2, *BOTH)],
        [(2, *BOTH), (3, 1, 0, 0, 0, 0)],
    ),
    "replace by price 0": (
        [add(1, "B", 100, PRICE), replace(1, 2, 50, 0)],
        [(2, *BOTH)],
        [(2, *BOTH), (3, 1, 0, 0, 0, 0)],
    ),
    "unknown types are not numbered": (
        [b"z" * 20, add(1, "B", 100, PRICE)],
        [(3, *BOTH)],
        [(2, *BOTH)],
    ),
}  # fmt: skip

SAME = {
    "quantity 0": [add(1, "B", 0, PRICE)],
    "price 0": [add(1, "B", 10, 0)],
    "execution above what remains": [add(1, "B", 100, PRICE), execute(1, 200)],
    "cancel above what remains": [add(1, "B", 100, PRICE), cancel(1, 200)],
    "execution of 0": [add(1, "B", 100, PRICE), execute(1, 0)],
    "replace that keeps its reference": [add(1, "B", 100, PRICE), replace(1, 1, 50, PRICE + 100)],
    "replace of nothing": [replace(1, 2, 50, PRICE)],
    "execution that is not printable": [add(1, "B", 100, PRICE), execute_at(1, 40, PRICE + 100, "N")],
    "prices of 32 bits": [add(1, "S", 100, 2_000_000_000), add(2, "S", 100, 4_294_967_295), delete(1)],
    "reference used again": [add(1, "B", 100, PRICE), delete(1), add(1, "S", 5, PRICE)],
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_difference_from_itch_book_is_the_documented_one(name, tmp_path, repository):
    messages, here, there = DIFFERENCES[name]
    messages = [directory(1, "A"), directory(2, "B"), *messages]
    path = tmp_path / "difference.itch"
    path.write_bytes(binaryfile(messages))
    assert ours(messages) == here
    assert peer_bbo(path) == there
    assert name in (repository / "docs" / "reference" / "itch-book.md").read_text().lower()


@pytest.mark.parametrize("name", SAME)
def test_case_in_which_itch_book_agrees(name, tmp_path):
    messages = [directory(1, "A"), directory(2, "B"), *SAME[name]]
    path = tmp_path / "same.itch"
    path.write_bytes(binaryfile(messages))
    assert ours(messages) == peer_bbo(path)
