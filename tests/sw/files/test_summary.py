"""What a feed holds: counts, symbols, live orders, suggested size."""

import pytest
from sample_feed import add, delete, every_type, execute, replace

from tickgate.sw.files.block import block_of
from tickgate.sw.files.summary import FeedSummary


def summed(messages: list[bytes], cut: int = 1000) -> FeedSummary:
    summary = FeedSummary()
    for start in range(0, max(len(messages), 1), cut):
        summary.add(block_of(messages[start : start + cut], start))
    return summary


@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_orders_are_followed_to_their_end(cut: int) -> None:
    feed = [
        add(1, shares=100, locate=1),
        add(2, shares=50, locate=2, stock="MSFT"),
        add(3, shares=10, locate=1),
        execute(1, 60),
        execute(1, 40),  # gone
        replace(2, 4, 70, locate=2),
        delete(3),
        execute(4, 500, locate=2),  # more than remains: gone
        delete(9),  # never there
        add(5, locate=1),
        add(5, locate=1),  # already there
    ]
    summary = summed(feed, cut)
    assert (summary.live, summary.peak_live, summary.unknown_references) == (1, 3, 1)
    assert summary.messages == 11
    by_locate = {symbol.locate: symbol for symbol in summary.symbols.values()}
    assert (by_locate[1].symbol, by_locate[1].live, by_locate[1].peak_live, by_locate[1].messages) == ("AAPL", 1, 2, 8)
    assert (by_locate[2].symbol, by_locate[2].live, by_locate[2].peak_live, by_locate[2].messages) == ("MSFT", 0, 1, 3)
    assert [symbol.locate for symbol in summary.busiest(1)] == [1]


def test_types_times_and_strange_messages_are_counted() -> None:
    feed = [*every_type(2), b"Z" * 20, b"A" * 20]
    summary = summed(feed, 10)
    assert sum(summary.types.values()) == 46
    assert set(summary.types.values()) == {2}
    assert (summary.unknown, summary.wrong_length) == ({ord("Z"): 1}, {ord("A"): 1})
    assert (summary.first_ns, summary.last_ns) == (0, 45_000)


def test_empty_feed_has_no_times() -> None:
    summary = summed([])
    assert (summary.messages, summary.first_ns, summary.symbols) == (0, None, {})
    assert summary.suggest_size() == ("small", True)


@pytest.mark.parametrize(
    ("symbols", "orders", "expected"),
    [
        (1, 716, ("small", True)),
        (1, 717, ("medium", True)),
        (5, 5, ("medium", True)),
        (2, 2868, ("large", True)),
        (1, 45_876, ("large", False)),
    ],
)
def test_suggested_size_leaves_the_table_at_70_percent(symbols: int, orders: int, expected: tuple[str, bool]) -> None:
    feed = [add(number, locate=1 + number % symbols) for number in range(orders)]
    assert summed(feed, 1 << 20).suggest_size() == expected
