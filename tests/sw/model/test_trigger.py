"""The model of the trigger stage: conditions, edges, re-arming, and the one place in which an intent waits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.model.trigger import COUNTERS, Trigger, condition, limit_price
from tickgate.sw.spec.events import BOOK_UPDATE, BUY, NO_SLOT, SELL, TriggerFlag, TriggerStatus
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.rows import PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.state import Validity

K, F, S = TriggerKind, TriggerFlag, TriggerStatus
COOLDOWN = {"rearm": Rearm.COOLDOWN}
BUY_BELOW_100 = {
    "kind": K.TAKE,
    "threshold_e4": 100,
    "quantity": 5,
    "price_e4": 99,
    "tif": 1,
    "display": 2,
    "capacity": 3,
}
SELL_ABOVE_50 = {"kind": K.TAKE, "threshold_e4": 50, "quantity": 7, "price_e4": 51, **COOLDOWN}

_BLANK = dict.fromkeys([f.name for f in BOOK_UPDATE.fields], 0)


def book(bid=0, bid_qty=0, ask=0, ask_qty=0, slot=0, seq=1, **more):
    values = {
        **_BLANK, "slot": slot, "bid_px_e4": bid, "bid_qty": bid_qty, "ask_px_e4": ask, "ask_qty": ask_qty, "seq": seq,
        "itch_type": ord("A"), "bbo_changed": 1, **more,
    }  # fmt: skip
    return BOOK_UPDATE.tuple_type(**values)


CONDITIONS = [
    ({}, BUY, (1, 1, 2, 1), False),
    ({"kind": K.TAKE, "threshold_e4": 10}, BUY, (0, 0, 10, 1), True),
    ({"kind": K.TAKE, "threshold_e4": 10}, BUY, (0, 0, 11, 1), False),
    ({"kind": K.TAKE, "threshold_e4": 10}, BUY, (5, 1, 0, 0), False),
    ({"kind": K.TAKE, "threshold_e4": 10}, SELL, (10, 1, 0, 0), True),
    ({"kind": K.TAKE, "threshold_e4": 10}, SELL, (9, 1, 0, 0), False),
    ({"kind": K.TAKE}, SELL, (0, 0, 9, 1), False),
    ({"kind": K.IMBALANCE, "num": 2, "den": 1}, BUY, (1, 21, 2, 10), True),
    ({"kind": K.IMBALANCE, "num": 2, "den": 1}, BUY, (1, 20, 2, 10), False),
    ({"kind": K.IMBALANCE, "num": 2, "den": 1}, SELL, (1, 10, 2, 21), True),
    ({"kind": K.IMBALANCE, "num": 2, "den": 1}, SELL, (1, 10, 2, 20), False),
    ({"kind": K.IMBALANCE, "num": 1, "den": 65535}, BUY, (1, (1 << 48) - 1, 2, 1), True),
    ({"kind": K.IMBALANCE, "num": 0, "den": 1}, BUY, (1, 5, 0, 0), False),
    ({"kind": K.SPREAD, "min_spread_e4": 10}, BUY, (5, 1, 15, 1), True),
    ({"kind": K.SPREAD, "min_spread_e4": 10}, SELL, (5, 1, 14, 1), False),
    ({"kind": K.SPREAD, "min_spread_e4": 0}, BUY, (5, 1, 5, 1), True),
    ({"kind": K.SPREAD, "min_spread_e4": 0}, BUY, (6, 1, 5, 1), False),
    ({"kind": K.SPREAD, "min_spread_e4": 10}, BUY, (0, 0, 15, 1), False),
]


@pytest.mark.parametrize("row, side, best, expected", CONDITIONS)
def test_trigger_condition(row, side, best, expected):
    assert condition(row, side, *best) is expected


def test_trigger_limit_price_is_selected():
    assert limit_price({"price_e4": 7}, 1, 2) == 7
    assert limit_price({"price_source": PriceSource.BEST_BID}, 1, 2) == 1
    assert limit_price({"price_source": PriceSource.BEST_ASK}, 1, 2) == 2


def stage(buy=BUY_BELOW_100, sell=None, limit=10, **rows):
    trigger = Trigger(2)
    trigger.set_kill(False)
    trigger.commit_gate({"intent_limit_valid": 1, "intent_limit_cycles": limit})
    if buy:
        trigger.commit_trigger(0, BUY, buy)
    if sell:
        trigger.commit_trigger(0, SELL, sell)
    return trigger


def test_trigger_true_condition_sends_an_intent():
    trigger = stage()
    record = trigger.evaluate(book(ask=100, ask_qty=3, seq=8), 50)
    assert record == (0, 0, 8, 0, 99, 5, F.EVAL, 0, 1, 1, 0, S.SENT, NO_SLOT, 0)
    assert [tuple(i) for i in trigger.sent] == [(0, BUY, 99, 5, 1, 2, 3, 8, 0)]


def test_trigger_fires_on_false_to_true_only():
    trigger = stage(BUY_BELOW_100 | COOLDOWN)
    fired = [trigger.evaluate(book(ask=ask), 10 * n).fired for n, ask in enumerate((101, 100, 99, 101, 100))]
    assert fired == [0, 1, 0, 0, 1]


def test_trigger_one_shot_fires_again_only_when_it_is_written():
    trigger = stage()
    assert [trigger.evaluate(book(ask=ask), n).fired for n, ask in enumerate((100, 101, 100))] == [1, 0, 0]
    trigger.commit_trigger(0, BUY, BUY_BELOW_100)
    assert trigger.evaluate(book(ask=100), 9).fired == 1


def test_trigger_cooldown_counts_from_the_decision():
    for cycles, fires in ((19, 0), (20, 1)):
        trigger = stage(BUY_BELOW_100 | COOLDOWN | {"cooldown_cycles": 20})
        trigger.evaluate(book(ask=100), 5)
        trigger.evaluate(book(ask=101), 6)
        assert trigger.evaluate(book(ask=100), 5 + cycles).fired == fires


def test_trigger_lower_row_wins():
    trigger = stage(BUY_BELOW_100, SELL_ABOVE_50)
    record = trigger.evaluate(book(bid=60, ask=90), 1)
    assert (record.condition, record.fired, record.row) == (3, 3, 0)
    assert trigger.counters["intents_lower_row"] == 1
    trigger.done(2)
    trigger.evaluate(book(bid=40, ask=101), 3)
    assert trigger.evaluate(book(bid=60, ask=101), 4).row == 1


def waiting(limit=10):
    """A trigger with an intent under way and another one that waits since cycle 10."""
    trigger = stage(BUY_BELOW_100 | COOLDOWN, SELL_ABOVE_50, limit)
    trigger.evaluate(book(ask=100, seq=1), 5)
    trigger.sent.clear()
    record = trigger.evaluate(book(bid=60, seq=2), 10)
    assert record.status == S.HELD
    assert trigger.sent == []
    return trigger


def test_trigger_waiting_intent_takes_the_free_port():
    trigger = waiting()
    record = trigger.done(15)
    assert record == (0, 0, 0, 2, 0, 0, F.DONE | F.EMIT, NO_SLOT, 0, 0, 0, 0, 0, 1)
    assert [i.seq for i in trigger.sent] == [2]
    assert trigger.done(16).flags == F.DONE


def test_trigger_third_intent_is_dropped_as_busy():
    trigger = waiting()
    assert trigger.evaluate(book(ask=101, seq=3), 11).status == S.NONE
    assert trigger.evaluate(book(ask=100, seq=4), 12).status == S.BUSY
    assert trigger.counters["intents_busy"] == 1


def test_trigger_intent_that_fires_with_done_waits_behind_the_waiting_one():
    trigger = waiting()
    trigger.evaluate(book(ask=101, seq=3), 11)
    record = trigger.step(12, book(ask=100, seq=4), done=True)[0]
    assert (record.flags, record.status, record.wait_seq) == (F.EVAL | F.DONE | F.EMIT, S.HELD, 2)
    assert [i.seq for i in trigger.sent] == [2]
    assert trigger.done(13).wait_seq == 4


def test_trigger_intent_that_fires_with_done_is_sent():
    trigger = stage(BUY_BELOW_100 | COOLDOWN, SELL_ABOVE_50)
    trigger.evaluate(book(ask=100, seq=1), 5)
    record = trigger.step(10, book(bid=60, seq=2), done=True)[0]
    assert (record.flags, record.status) == (F.EVAL | F.DONE, S.SENT)


def test_trigger_waiting_intent_expires_one_cycle_behind_its_limit():
    trigger = waiting(limit=10)
    assert trigger.expire(20) == []
    assert trigger.expire(21) == []
    records = trigger.expire(22)
    assert [tuple(r) for r in records] == [(0, 0, 0, 2, 0, 0, F.EXPIRE, NO_SLOT, 0, 0, 0, 0, 0, 1)]
    assert trigger.expire(99) == []
    assert trigger.counters["intents_too_old"] == 1
    assert trigger.done(30).flags == F.DONE


def test_trigger_without_a_limit_no_intent_waits():
    trigger = waiting(limit=10)
    trigger.commit_gate({"intent_limit_cycles": 99})
    assert trigger.expire(12)[0].flags == F.EXPIRE


def test_trigger_emission_goes_before_expiry():
    assert waiting(limit=10).done(21).flags == F.DONE | F.EMIT


def test_trigger_expiry_in_the_cycle_of_an_evaluation_is_one_record():
    trigger = waiting(limit=10)
    record = trigger.evaluate(book(bid=60, seq=5), 21)
    assert (record.flags, record.wait_seq, record.seq) == (F.EVAL | F.EXPIRE, 2, 5)


def test_trigger_kill_drops_the_waiting_intent():
    trigger = waiting(limit=1000)
    trigger.set_kill(True, 14)
    assert trigger.expire(14) == []
    assert [(r.flags, r.wait_seq) for r in trigger.expire(15)] == [(F.KILLED, 2)]
    assert trigger.counters["intents_killed"] == 1


def test_trigger_under_kill_a_fresh_intent_is_dropped_in_the_next_cycle():
    trigger = stage(BUY_BELOW_100 | COOLDOWN, SELL_ABOVE_50, 1000)
    trigger.set_kill(True, 2)
    assert trigger.evaluate(book(ask=100, seq=1), 5).status == S.SENT
    assert trigger.evaluate(book(bid=60, seq=2), 10).status == S.HELD
    assert trigger.expire(12)[0].flags == F.KILLED


def test_trigger_cycle_in_which_nothing_happens_has_no_record():
    assert stage().step(5) == []
    assert waiting().step(11) == []


def test_trigger_evaluates_what_changed():
    trigger = Trigger(2)
    unsynced = Validity.UNSYNCED | Validity.CLEARING
    assert not trigger.note(book(bbo_changed=0, validity=unsynced))
    assert trigger.note(book(bbo_changed=0))
    assert not trigger.note(book(bbo_changed=0))
    assert trigger.note(book())
    assert not trigger.note(book(itch_type=0))
    assert not trigger.note(book(every_slot=1, every_set=Validity.GAP))
    assert not trigger.note(book(bbo_changed=0, validity=Validity.GAP))
    assert not trigger.note(book(slot=1, validity=unsynced | Validity.GAP, bbo_changed=0, other=1, other_slot=0))
    assert not trigger.note(book(bbo_changed=0, validity=Validity.GAP | Validity.INCOMPLETE))


def test_trigger_counters_are_registers():
    assert set(COUNTERS) <= set(counter_names())


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(98, 102), st.integers(48, 52), st.booleans()), max_size=60))
def test_trigger_accounts_for_every_intent(steps):
    trigger = stage(BUY_BELOW_100 | COOLDOWN, SELL_ABOVE_50, 12)
    cycle, under_way, sent = 0, False, 0
    for wait, ask, bid, done in steps:
        cycle += wait
        trigger.expire(cycle)
        trigger.step(cycle, book(bid=bid, ask=ask), done and under_way)
        under_way = under_way and not done
        assert len(trigger.sent) <= (0 if under_way else 1)
        sent += len(trigger.sent)
        under_way |= bool(trigger.sent)
        trigger.sent.clear()
    c = trigger.counters
    still = trigger._waiting is not None
    assert c["intents"] == sent + c["intents_busy"] + c["intents_too_old"] + still
