"""The true book: its invariants, and what each anomaly does to it."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_flow import add, delete, flow

from tickgate.sw.model.bbo import apply_message
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec.events import BUY, SELL, StateOp
from tickgate.sw.spec.state import Anomaly, SymbolState

operation = st.tuples(
    st.sampled_from(["add", "reduce", "delete", "replace"]),
    st.integers(1, 3),  # key
    st.integers(1, 8),  # reference
    st.integers(1, 8),  # new reference
    st.integers(0, 2),  # side, 2 is bad
    st.integers(0, 5),  # quantity
    st.integers(0, 4),  # price
)
operations = st.lists(operation, max_size=60)


def apply(book, step):
    name, key, reference, new, side, quantity, price = step
    if name == "add":
        return book.add(key, reference, side, quantity, price)
    if name == "reduce":
        return book.reduce(key, reference, quantity)
    if name == "delete":
        return book.delete(key, reference)
    return book.replace(key, reference, new, quantity, price)


def check(book):
    """Level sums are order sums, nothing is negative or empty, and the best prices are the extreme levels."""
    sums = defaultdict(int)
    queued = defaultdict(list)
    for reference, order in book.orders.items():
        assert order.quantity > 0
        sums[order.key, order.side, order.price_e4] += order.quantity
        queued[order.key, order.side, order.price_e4].append(reference)
    for key, symbol in book.symbols.items():
        for side in (BUY, SELL):
            table = symbol.sides[side]
            assert table.prices == sorted(table.levels)
            for price, level in table.levels.items():
                assert level.quantity == sums.pop((key, side, price))
                assert sorted(level.queue) == sorted(queued[key, side, price])
        bids, asks = book.levels(key, BUY), book.levels(key, SELL)
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert book.bbo(key) == (*(bids or [(0, 0)])[0], *(asks or [(0, 0)])[0])
    assert not sums


@given(operations)
def test_true_book_invariants_hold_after_every_operation(steps):
    book = TrueBook()
    for step in steps:
        apply(book, step)
        check(book)


@given(operations)
def test_true_book_replay_is_deterministic(steps):
    first, second = TrueBook(), TrueBook()
    assert [apply(first, s) for s in steps] == [apply(second, s) for s in steps]
    assert {k: s.bbo for k, s in first.symbols.items()} == {k: s.bbo for k, s in second.symbols.items()}
    assert first.anomalies == second.anomalies


@given(operations)
def test_true_book_dropped_message_changes_nothing(steps):
    book = TrueBook()
    for step in steps:
        before = {r: (o.key, o.side, o.price_e4, o.quantity) for r, o in book.orders.items()}
        found = apply(book, step)
        after = {r: (o.key, o.side, o.price_e4, o.quantity) for r, o in book.orders.items()}
        if found not in (Anomaly.NONE, Anomaly.EXCESS_QUANTITY, Anomaly.DUPLICATE_REFERENCE):
            assert before == after
        if found == Anomaly.DUPLICATE_REFERENCE:
            assert set(after.items()) <= set(before.items())


class _ForgetsToRemove(TrueBook):
    """Planted fault: a cancelled order leaves its shares in the level."""

    def delete(self, key, reference):
        level = None
        order = self.orders.get(reference)
        if order is not None and order.key == key:
            level = self.symbols[key].sides[order.side].levels[order.price_e4]
            quantity = level.quantity
        found = super().delete(key, reference)
        if level is not None and level.queue:
            level.quantity = quantity
        return found


def test_true_book_check_finds_a_forgotten_removal():
    book = _ForgetsToRemove()
    book.add(1, 1, BUY, 5, 100)
    book.add(1, 2, BUY, 6, 100)
    check(book)
    book.delete(1, 1)
    with pytest.raises(AssertionError):
        check(book)


def test_true_book_queue_is_in_order_of_arrival():
    book = TrueBook()
    for reference in (7, 3, 9):
        book.add(1, reference, BUY, 10, 100)
    book.reduce(1, 7, 4)
    book.replace(1, 3, 2, 10, 100)
    assert book.queue(1, BUY, 100) == [(7, 6), (9, 10), (2, 10)]
    assert book.queue(1, BUY, 101) == []


def test_true_book_unknown_symbol_is_empty():
    book = TrueBook()
    assert book.bbo(5) == (0, 0, 0, 0)
    assert book.levels(5, BUY) == []


def live():
    book = TrueBook()
    book.add(1, 10, BUY, 100, 500)
    book.add(1, 11, SELL, 100, 600)
    return book


ANOMALIES = [
    (lambda b: b.add(1, 10, BUY, 1, 400), Anomaly.DUPLICATE_REFERENCE, (500, 100, 600, 100)),
    (lambda b: b.add(2, 10, BUY, 1, 400), Anomaly.DUPLICATE_REFERENCE, (500, 100, 600, 100)),
    (lambda b: b.add(1, 12, BUY, 0, 550), Anomaly.ZERO_QUANTITY, (500, 100, 600, 100)),
    (lambda b: b.add(1, 12, BUY, 1, 0), Anomaly.ZERO_PRICE, (500, 100, 600, 100)),
    (lambda b: b.add(1, 12, 2, 1, 550), Anomaly.BAD_SIDE, (500, 100, 600, 100)),
    (lambda b: b.add(1, 10, 2, 0, 0), Anomaly.BAD_SIDE, (500, 100, 600, 100)),
    (lambda b: b.add(1, 10, BUY, 0, 0), Anomaly.ZERO_QUANTITY, (500, 100, 600, 100)),
    (lambda b: b.reduce(1, 12, 1), Anomaly.UNKNOWN_REFERENCE, (500, 100, 600, 100)),
    (lambda b: b.reduce(1, 10, 0), Anomaly.ZERO_QUANTITY, (500, 100, 600, 100)),
    (lambda b: b.reduce(1, 12, 0), Anomaly.ZERO_QUANTITY, (500, 100, 600, 100)),
    (lambda b: b.reduce(1, 10, 101), Anomaly.EXCESS_QUANTITY, (0, 0, 600, 100)),
    (lambda b: b.reduce(2, 10, 101), Anomaly.WRONG_LOCATE, (500, 100, 600, 100)),
    (lambda b: b.delete(1, 12), Anomaly.UNKNOWN_REFERENCE, (500, 100, 600, 100)),
    (lambda b: b.delete(2, 10), Anomaly.WRONG_LOCATE, (500, 100, 600, 100)),
    (lambda b: b.replace(1, 12, 13, 1, 1), Anomaly.UNKNOWN_REFERENCE, (500, 100, 600, 100)),
    (lambda b: b.replace(2, 10, 13, 1, 1), Anomaly.WRONG_LOCATE, (500, 100, 600, 100)),
    (lambda b: b.replace(1, 10, 13, 0, 1), Anomaly.ZERO_QUANTITY, (500, 100, 600, 100)),
    (lambda b: b.replace(1, 10, 13, 1, 0), Anomaly.ZERO_PRICE, (500, 100, 600, 100)),
    (lambda b: b.replace(1, 10, 11, 1, 510), Anomaly.DUPLICATE_REFERENCE, (0, 0, 600, 100)),
    (lambda b: b.replace(1, 10, 10, 1, 510), Anomaly.NONE, (510, 1, 600, 100)),
    (lambda b: b.reduce(1, 10, 100), Anomaly.NONE, (0, 0, 600, 100)),
]


@pytest.mark.parametrize("step, expected, bbo", ANOMALIES)
def test_true_book_anomaly_is_decided_as_the_rules_say(step, expected, bbo):
    book = live()
    assert step(book) == expected
    assert book.bbo(1) == bbo
    assert book.anomalies == ({expected: 1} if expected else {})


def test_true_book_every_anomaly_of_an_order_is_tried():
    assert {expected for _, expected, _ in ANOMALIES} == set(Anomaly) - {Anomaly.WRONG_LENGTH}


def test_true_book_state_of_one_and_of_all():
    book = TrueBook()
    book.set_state(1, StateOp.CLEAR, SymbolState.NO_STATE)
    assert book.symbol(1).state == 0
    book.set_state(None, StateOp.SET, SymbolState.BREAKER)
    assert book.symbol(1).state == SymbolState.BREAKER
    assert book.symbol(2).state == SymbolState.NO_STATE | SymbolState.BREAKER


def test_true_book_forgets_orders_and_keeps_symbols():
    book = live()
    book.forget_orders()
    check(book)
    assert book.bbo(1) == (0, 0, 0, 0)
    assert not book.orders


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_true_book_invariants_hold_on_message_flows(seed):
    book = TrueBook()
    for number, data in enumerate(flow(seed, 300, wrong=0.1)):
        apply_message(book, data)
        if number % 20 == 0:
            check(book)
    check(book)


def test_true_book_takes_any_reference():
    book = TrueBook()
    assert apply_message(book, add(0)) == 1
    assert book.bbo(1) == (1_000_000, 100, 0, 0)
    assert apply_message(book, delete(0)) == 1
    assert apply_message(book, b"") is None
