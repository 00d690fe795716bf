"""The model of the book stage: windows, classes, validity, trace records; its best prices are the true ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_flow import add, breaker, cancel, delete, execute, flow, replace, system_event, trade, trading_action

from tickgate.sw.model.book import COUNTERS, BookView
from tickgate.sw.model.itch import Itch
from tickgate.sw.model.pipeline import apply_event
from tickgate.sw.model.true_book import TrueBook
from tickgate.sw.spec.config import symbol_row
from tickgate.sw.spec.events import BUY, NO_SLOT, SELL, EventKind, Notice
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import Anomaly, OrderClass, SymbolState, Validity

SIZES = Sizes(slots=4, orders=256, levels=64)
BASE = 1_000_000
TOP = BASE + 64 * 100
V = Validity


class Bench:
    """A book behind the parser, in sync, its slots in use and trading unless `assume` is 0."""

    def __init__(self, rows=2, synced=True, tick_e4=100, assume=True):
        self.book = BookView(
            SIZES, [symbol_row(slot + 1, f"S{slot}", tick_e4, BASE, SIZES.levels, assume) for slot in range(rows)]
        )
        self.itch = Itch({slot + 1: slot for slot in range(rows)})
        self.seq = 0
        if synced:
            self.notice(Notice.SYNC, 1)

    def __call__(self, data, **hints):
        self.seq += 1
        event = self.itch.message(self.seq, data)[1]
        return self.book.event(event, **hints)

    def notice(self, notice, seq=0):
        return self.book.event(self.itch.notice(notice, seq)[1])


def bid(reference, price_e4=BASE + 1000, shares=10, locate=1):
    return add(reference, "B", shares, price_e4, locate)


def ask(reference, price_e4=BASE + 2000, shares=10, locate=1):
    return add(reference, "S", shares, price_e4, locate)


def test_book_add_tells_level_and_best_prices():
    bench = Bench()
    record, update = bench(bid(1))
    assert record == (
        0, 0, 1, 10, 0, BASE + 1000, 0, 0, 0, 0, 10, 0, 0, 0, BASE + 1000, 10, 0, 0, 0, 0, 0, 10,
        EventKind.ADD, ord("A"), 0, 0, 0, BUY, OrderClass.PLACED, Anomaly.NONE, 0, 0, 1, 0,
    )  # fmt: skip
    assert update == (0, 0, 0, 0, 0, 0, 0, 0, BASE + 1000, 10, 0, 0, 1, 0, 0, ord("A"), 1, 0)


def test_book_replace_tells_what_it_took_and_what_it_added():
    bench = Bench()
    bench(bid(1))
    bench(bid(2))
    record, _ = bench(replace(1, 3, 7, BASE + 1100))
    told = record._asdict()
    assert {name: told[name] for name in told if name[:4] in ("old_", "new_")} == {
        "old_level_before": 20, "old_level_after": 10, "old_price_e4": BASE + 1000, "old_qty_before": 10,
        "old_qty_after": 0, "old_level": 10, "old_side": BUY, "old_class": OrderClass.PLACED,
        "new_level_before": 0, "new_level_after": 7, "new_price_e4": BASE + 1100, "new_qty": 7, "new_level": 11,
        "new_side": BUY, "new_class": OrderClass.PLACED,
    }  # fmt: skip
    assert (record.bid_px_e4, record.bid_qty, record.bbo_changed) == (BASE + 1100, 7, 1)


def test_book_replace_at_one_price_counts_the_level_in_turn():
    bench = Bench()
    bench(bid(1))
    record, update = bench(replace(1, 2, 10, BASE + 1000))
    assert (record.old_level_before, record.old_level_after) == (10, 0)
    assert (record.new_level_before, record.new_level_after) == (0, 10)
    assert update.bbo_changed == 0


def test_book_message_behind_the_best_changes_no_best_price():
    bench = Bench()
    bench(bid(1))
    assert bench(bid(2, BASE))[1].bbo_changed == 0
    assert bench(cancel(2, 5))[1].bbo_changed == 0
    assert bench(execute(1, 10))[1][8:13] == (BASE, 5, 0, 0, 1)


def test_book_dump_holds_levels_and_orders():
    bench = Bench()
    bench(bid(1))
    bench(ask(2))
    bench(bid(3, BASE - 100))
    assert bench.book.levels(0, BUY)[10] == 10
    assert sum(bench.book.levels(0, SELL)) == 10
    assert bench.book.orders() == {
        1: (0, BUY, BASE + 1000, 10, OrderClass.PLACED, 10),
        2: (0, SELL, BASE + 2000, 10, OrderClass.PLACED, 20),
        3: (0, BUY, BASE - 100, 10, OrderClass.FAR, 0),
    }
    assert bench.book.unplaced(0, BUY) == (1, 0)


CLASSES = [
    ("B", BASE, OrderClass.PLACED), ("B", TOP - 100, OrderClass.PLACED), ("B", BASE - 1, OrderClass.FAR),
    ("B", BASE - 100, OrderClass.FAR), ("B", TOP, OrderClass.OFF), ("B", BASE + 150, OrderClass.OFF),
    ("B", TOP - 50, OrderClass.OFF), ("B", (1 << 32) - 1, OrderClass.OFF), ("B", 1, OrderClass.FAR),
    ("S", BASE, OrderClass.PLACED), ("S", TOP - 100, OrderClass.PLACED), ("S", BASE - 1, OrderClass.OFF),
    ("S", TOP, OrderClass.FAR), ("S", TOP + 55, OrderClass.FAR), ("S", TOP - 50, OrderClass.OFF),
    ("S", BASE + 150, OrderClass.OFF), ("S", (1 << 32) - 1, OrderClass.FAR), ("S", 1, OrderClass.OFF),
]  # fmt: skip


@pytest.mark.parametrize("side, price_e4, order_class", CLASSES)
def test_book_price_decides_the_class(side, price_e4, order_class):
    bench = Bench()
    record, update = bench(add(1, side, 10, price_e4))
    assert record.new_class == order_class
    assert record.new_level == ((price_e4 - BASE) // 100 if order_class == OrderClass.PLACED else 0)
    assert bool(update.validity & V.WINDOW) == (order_class != OrderClass.PLACED)
    record, update = bench(delete(1))
    assert record.old_class == order_class
    assert update.validity == 0
    assert bench.book.unplaced(0, BUY) == bench.book.unplaced(0, SELL) == (0, 0)


def test_book_far_orders_cost_nothing_while_the_side_has_a_level():
    bench = Bench()
    bench(bid(1))
    bench(bid(2, 100))
    assert bench(ask(3, 1_999_999_900))[1].validity == V.WINDOW
    record, update = bench(ask(4))
    assert update.validity == 0
    assert (record.far_bid, record.far_ask, record.off_bid, record.off_ask) == (1, 1, 0, 0)
    assert bench(delete(1))[1].validity == V.WINDOW
    assert bench(delete(2))[1].validity == 0


def test_book_off_order_spoils_its_slot_until_it_goes():
    bench = Bench()
    bench(bid(1))
    record, update = bench(bid(2, TOP))
    assert (update.validity, record.off_bid, update.bid_px_e4) == (V.WINDOW, 1, BASE + 1000)
    assert bench(execute(2, 3))[1].validity == V.WINDOW
    assert bench(execute(2, 7))[1].validity == 0


def test_book_counts_of_orders_without_a_level_saturate_in_the_trace():
    bench = Bench()
    bench.book._slots[0].sides[BUY].far = 70_000
    assert bench(bid(1))[0].far_bid == 65_535


# Validity and anomalies.


def anomaly(bench, data, expected):
    record, update = bench(data)
    assert record.anomaly == expected
    assert update.validity & V.INCOMPLETE
    assert bench.book.counters[f"anomaly_{expected.name.lower()}"] == 1
    return record, update


@pytest.mark.parametrize("data, expected", [
    (add(9, "X", 0, 0), Anomaly.BAD_SIDE),
    (add(1, "B", 0, 0), Anomaly.ZERO_QUANTITY),
    (add(1, "B", 5, 0), Anomaly.ZERO_PRICE),
    (bid(1), Anomaly.DUPLICATE_REFERENCE),
    (execute(9, 0), Anomaly.ZERO_QUANTITY),
    (cancel(9, 0), Anomaly.ZERO_QUANTITY),
    (replace(9, 10, 0, 0), Anomaly.ZERO_QUANTITY),
    (replace(9, 10, 5, 0), Anomaly.ZERO_PRICE),
    (execute(9, 5), Anomaly.UNKNOWN_REFERENCE),
    (cancel(9, 5), Anomaly.UNKNOWN_REFERENCE),
    (delete(9), Anomaly.UNKNOWN_REFERENCE),
    (replace(9, 10, 5, BASE), Anomaly.UNKNOWN_REFERENCE),
])  # fmt: skip
def test_book_dropped_message_changes_nothing_but_validity(data, expected):
    bench = Bench()
    before = bench(bid(1))[0]
    record, _ = anomaly(bench, data, expected)
    assert record[7:16] == (0,) * 9
    assert record[3:7] == before[3:7]
    assert bench.book.orders() == {1: (0, BUY, BASE + 1000, 10, OrderClass.PLACED, 10)}


def test_book_excess_quantity_removes_the_order():
    bench = Bench()
    bench(bid(1))
    record, _ = anomaly(bench, execute(1, 11), Anomaly.EXCESS_QUANTITY)
    assert (record.old_qty_before, record.old_qty_after, record.old_level_after) == (10, 0, 0)
    assert bench.book.orders() == {}


def test_book_replace_onto_a_live_reference_removes_the_old_order():
    bench = Bench()
    bench(bid(1))
    bench(bid(2))
    record, _ = anomaly(bench, replace(1, 2, 5, BASE), Anomaly.DUPLICATE_REFERENCE)
    assert (record.old_qty_after, record.old_level_after, record.new_qty) == (0, 10, 0)
    assert list(bench.book.orders()) == [2]


def test_book_replace_may_keep_its_reference():
    bench = Bench()
    bench(bid(1))
    record, update = bench(replace(1, 1, 5, BASE))
    assert (record.anomaly, update.validity) == (0, 0)


@pytest.mark.parametrize("data", [execute(1, 99, 2), cancel(1, 5, 2), delete(1, 2), replace(1, 2, 5, BASE, 2)])
def test_book_message_of_another_locate_spoils_both_slots(data):
    bench = Bench()
    bench(bid(1))
    record, update = anomaly(bench, data, Anomaly.WRONG_LOCATE)
    assert (record.slot, update.slot, update.other, update.other_slot) == (1, 1, 1, 0)
    assert bench.book.validity(0) == bench.book.validity(1) == V.INCOMPLETE
    assert list(bench.book.orders()) == [1]


def test_book_wrong_length_spoils_every_slot():
    bench = Bench()
    record, update = bench(bid(1)[:-1])
    assert (record.kind, record.itch_type, record.slot, record.anomaly, record.validity) == (
        EventKind.NOTICE, 0, NO_SLOT, Anomaly.WRONG_LENGTH, V.INCOMPLETE,
    )  # fmt: skip
    assert (update.every_slot, update.every_set, update.every_clear) == (1, V.INCOMPLETE, 0)
    assert [bench.book.validity(slot) for slot in range(4)] == [V.INCOMPLETE] * 4


def test_book_overflow_keeps_no_order():
    bench = Bench()
    record, update = bench(bid(1), overflow=True)
    assert (record.overflow, record.new_qty, update.validity) == (1, 0, V.OVERFLOW)
    assert bench.book.orders() == {}
    bench = Bench()
    bench(bid(1))
    record, update = bench(replace(1, 2, 5, BASE), overflow=True)
    assert (record.overflow, record.old_qty_before, update.validity) == (1, 10, V.OVERFLOW)
    assert bench.book.counters["overflows"] == 1


def test_book_notices_set_and_clear_validity():
    bench = Bench(synced=False)
    assert bench.book.validity(0) == V.UNSYNCED
    told = []
    for notice in (Notice.GAP, Notice.FCS, Notice.SYNC, Notice.MARK, Notice.GAP, Notice.NEW_SESSION):
        record, update = bench.notice(notice, 7)
        told.append((record.validity, int(update.every_set), int(update.every_clear), bench.book.validity(0)))
    sticky = V.GAP | V.FCS | V.INCOMPLETE | V.OVERFLOW
    assert told == [
        (V.GAP, V.GAP, 0, V.UNSYNCED | V.GAP),
        (V.FCS, V.FCS, 0, V.UNSYNCED | V.GAP | V.FCS),
        (0, 0, V.UNSYNCED, V.GAP | V.FCS),
        (0, 0, sticky | V.UNSYNCED, 0),
        (V.GAP, V.GAP, 0, V.GAP),
        (V.UNSYNCED, V.UNSYNCED | V.CLEARING, sticky, V.UNSYNCED | V.CLEARING),
    ]


def test_book_sweep_forgets_orders_and_drops_what_arrives_meanwhile():
    bench = Bench()
    bench(bid(1))
    bench(bid(2, TOP))
    bench.notice(Notice.NEW_SESSION)
    assert bench.book.orders() == {}
    record, update = bench(bid(3))
    assert (record.new_qty, update.validity) == (0, V.UNSYNCED | V.CLEARING | V.INCOMPLETE)
    assert bench.book.counters["drop_clearing"] == 1
    updates = bench.book.swept()
    assert [u.slot for u in updates] == [0, 1, 2, 3]
    assert updates[0].validity == V.UNSYNCED | V.INCOMPLETE
    assert (updates[0].itch_type, updates[0].seq) == (0, 3)


def test_book_event_met_by_a_sweep_of_the_device_is_dropped_by_hint():
    bench = Bench()
    record, update = bench(bid(1), clearing=True)
    assert (record.validity, bench.book.orders()) == (V.CLEARING | V.INCOMPLETE, {})
    assert bench(trading_action("T"), clearing=True)[1].validity == V.CLEARING | V.INCOMPLETE


def test_book_clear_command_leaves_every_slot_unsynced():
    bench = Bench()
    bench(bid(1))
    update = bench.book.clear()
    assert (update.every_slot, update.every_set, update.seq) == (1, V.UNSYNCED | V.CLEARING, 1)
    assert bench.book.validity(0) == V.UNSYNCED | V.CLEARING
    bench.book.swept()
    assert bench.book.bbo(0) == (0, 0, 0, 0)
    assert bench.book.validity(0) == V.UNSYNCED


def test_book_lost_event_spoils_every_slot():
    bench = Bench()
    update = bench.book.lost_event()
    assert (update.every_slot, update.every_set) == (1, V.OVERFLOW)
    assert [bench.book.validity(slot) for slot in range(4)] == [V.OVERFLOW] * 4
    assert bench.book.counters["drop_event_overflow"] == 1


# Trading state.


def test_book_state_follows_the_messages():
    bench = Bench(assume=False)
    assert bench.book.state(0) == SymbolState.NO_STATE
    assert bench(trading_action("H"))[1].state == SymbolState.NO_STATE | SymbolState.HALTED
    record, update = bench(trading_action("T"))
    assert (record.state, update.state, update.bbo_changed) == (0, 0, 0)
    record, update = bench(breaker())
    assert (record.slot, record.state, update.state_set) == (NO_SLOT, SymbolState.BREAKER, SymbolState.BREAKER)
    record, update = bench(system_event("M"))
    assert record.state == SymbolState.BREAKER | SymbolState.CLOSED
    assert bench.book.state(0) == SymbolState.BREAKER | SymbolState.CLOSED
    record, update = bench(system_event("O"))
    assert (record.state, update.state_clear) == (0, SymbolState.BREAKER | SymbolState.CLOSED)
    assert bench.book.state(0) == 0
    assert bench.book.state(1) == SymbolState.NO_STATE


def test_book_symbol_row_begins_the_state_anew():
    bench = Bench()
    bench(trading_action("H"))
    update = bench.book.commit_symbol(0, symbol_row(1, "S", 100, BASE, SIZES.levels))
    assert (update.slot, update.itch_type, update.state, update.seq) == (0, 0, SymbolState.NO_STATE, 1)


def test_book_trade_and_other_types_change_no_book():
    bench = Bench()
    bench(bid(1))
    record, update = bench(trade())
    assert (record.kind, record.bid_qty, update.bbo_changed) == (EventKind.TRADE, 10, 0)


def test_book_counters_are_registers():
    assert set(COUNTERS) <= set(counter_names())


# Against the true book, and against itself.


def check(book, true):
    sums = [[[0] * SIZES.levels, [0] * SIZES.levels] for _ in range(SIZES.slots)]
    unplaced = [[[0, 0], [0, 0]] for _ in range(SIZES.slots)]
    for slot, side, price_e4, quantity, order_class, level in book.orders().values():
        assert quantity > 0
        if order_class == OrderClass.PLACED:
            assert price_e4 == BASE + 100 * level
            sums[slot][side][level] += quantity
        else:
            unplaced[slot][side][order_class == OrderClass.OFF] += 1
    for slot in range(SIZES.slots):
        for side in (BUY, SELL):
            assert book.levels(slot, side) == sums[slot][side]
            assert book.unplaced(slot, side) == tuple(unplaced[slot][side])
        if book.validity(slot) == 0:
            assert book.bbo(slot) == true.bbo(slot)


class _LevelTooLow(BookView):
    """Planted fault: an order at the top of the window lands one level below."""

    def _add(self, row, slot, side, reference, event, overflow):
        if event.price_e4 == TOP - 100:
            event = event._replace(price_e4=event.price_e4 - 100)
        return super()._add(row, slot, side, reference, event, overflow)


class _WindowIgnored(BookView):
    """Planted fault: orders off the window do not spoil their slot."""

    def event(self, event, overflow=False, clearing=None):
        told = super().event(event, overflow, clearing)
        for slot in self._slots:
            slot.window = 0
        return told


def run(kind, seed, count=400, wrong=0.02):
    bench = Bench(rows=3)
    bench.book = kind(SIZES, [symbol_row(slot + 1, "S", 100, BASE, SIZES.levels, True) for slot in range(3)])
    bench.notice(Notice.SYNC, 1)
    true = TrueBook()
    messages = flow(seed, count, wrong=wrong, middle_e4=BASE + 3200, width=45)
    for data in messages:
        bench.seq += 1
        event = bench.itch.message(bench.seq, data)[1]
        if event is not None:
            bench.book.event(event)
            apply_event(true, event)
            check(bench.book, true)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 20))
def test_book_sums_hold_and_valid_best_prices_are_the_true_ones(seed):
    run(BookView, seed)
    run(BookView, seed, wrong=0.0)


@pytest.mark.parametrize("fault", [_LevelTooLow, _WindowIgnored])
def test_book_check_finds_a_planted_fault(fault):
    with pytest.raises(AssertionError):
        for seed in range(20):
            run(fault, seed, wrong=0.0)
