"""The stages tied together: what the frames decide, what time decides, and the register writes of host actions."""

import pytest
from model_flow import FEED_ROW, add, binaryfile, delete, execute, feed_frame, flow, replace, trade, trading_action

from tickgate.sw.generate import SessionOptions, session
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.pipeline import (
    POISON_CYCLES,
    UNAWARE_CYCLES,
    VOID_CYCLES,
    NominalRun,
    ReferencePipeline,
)
from tickgate.sw.spec.config import Action, Config, SlotConfig, symbol_row
from tickgate.sw.spec.config_toml import PEER, SESSION, default_row
from tickgate.sw.spec.events import EventKind, FeedItem, ItchStatus, Notice, OrderItem, TriggerFlag
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, counter_names
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import Validity

SIZES = Sizes(slots=4, orders=256, levels=64)
BASE = 1_000_000
TAKE = {
    "kind": TriggerKind.TAKE, "threshold_e4": BASE + 3_000, "price_source": PriceSource.BEST_ASK, "quantity": 10,
    "tif": ord("3"), "display": ord("Y"), "capacity": ord("P"), "rearm": Rearm.COOLDOWN,
}  # fmt: skip
LIMITS = {
    "max_quantity_valid": 1, "max_quantity": 500, "max_notional_valid": 1, "max_notional_e4": 1 << 40,
    "collar_valid": 1, "collar_abs_e4": 10_000, "collar_bps": 1_000,
    "rate_valid": 1, "rate_burst": 10, "rate_period_cycles": 10,
}  # fmt: skip


def config(**more):
    slots = tuple(
        SlotConfig(symbol_row(slot + 1, f"SYM{slot + 1}", 100, BASE, SIZES.levels, True), (TAKE, {}), LIMITS)
        for slot in range(2)
    )
    gate = {
        "rate_valid": 1,
        "rate_burst": 10,
        "rate_period_cycles": 10,
        "intent_limit_valid": 1,
        "intent_limit_cycles": 50,
    }
    return Config(FEED_ROW, slots, gate, default_row(SESSION), default_row(PEER), **more)


def loaded(true_book=True, **more):
    pipeline = ReferencePipeline(config(**more), SIZES, true_book)
    pipeline.load()
    return pipeline


BID, ASK = add(1, "B", 10, BASE + 1_000), add(2, "S", 10, BASE + 2_000)


def test_pipeline_load_causes_a_new_session():
    pipeline = ReferencePipeline(config(), SIZES)
    steps = pipeline.load()
    assert [(s.feed.notice, s.itch.kind, s.book.kind) for s in steps] == [
        (Notice.NEW_SESSION, EventKind.NOTICE, EventKind.NOTICE)
    ]
    assert not pipeline.kill
    assert not pipeline.book.clearing
    assert pipeline.book.validity(0) == Validity.UNSYNCED


def test_pipeline_that_is_not_armed_stays_killed():
    assert loaded(armed=False).kill


def test_pipeline_frame_yields_a_step_for_each_message_and_notice():
    pipeline = loaded()
    steps = pipeline.frame(feed_frame(1, [BID, delete(9, 7), ASK]))
    assert [s.feed.item for s in steps] == [FeedItem.NOTICE, *[FeedItem.MESSAGE] * 3]
    assert [s.itch.status for s in steps] == [
        ItchStatus.NOTICE, ItchStatus.EVENT, ItchStatus.UNSUBSCRIBED, ItchStatus.EVENT,
    ]  # fmt: skip
    assert [s.book is None for s in steps] == [False, False, True, False]
    assert [s.data for s in steps] == [b"", BID, delete(9, 7), ASK]
    assert steps[-1].update[8:12] == (BASE + 1_000, 10, BASE + 2_000, 10)


def test_pipeline_intent_becomes_an_order_at_the_cycles_of_the_device():
    pipeline = loaded()
    for step in pipeline.frame(feed_frame(1, [BID, ASK])):
        pipeline.book_time(step.update, 100)
    assert pipeline.pending == (2, 0, 0)
    first = pipeline.trigger_record(110, TriggerFlag.EVAL)
    second = pipeline.trigger_record(112, TriggerFlag.EVAL)
    assert [(r.seq, r.fired) for r in first + second] == [(1, 0), (2, 1)]
    assert pipeline.pending == (0, 1, 0)
    record = pipeline.risk_record(113)
    assert (record.seq, record.entry_cycle, record.reasons) == (2, 113, 0)
    record, frame = pipeline.order_record()
    assert (record.seq, record.user_ref, len(frame)) == (2, 1, 104)
    assert pipeline.trigger_record(150, TriggerFlag.DONE)[0].flags == TriggerFlag.DONE


def deciding(pipeline, entry=113, error=True, stamp=95):
    """An order decided by the second message of a frame whose last word came in at cycle `stamp`."""
    steps = pipeline.frame(feed_frame(1, [BID, ASK]), error)
    assert (steps[-1].feed.notice == Notice.FCS) == error
    pipeline.frame_bad(1, 2, stamp)
    for step in steps[:3]:
        pipeline.book_time(step.update, 100)
    for cycle in (110, 112):
        pipeline.trigger_record(cycle, TriggerFlag.EVAL)
    return pipeline.risk_record(entry)


def test_pipeline_intent_that_enters_behind_the_verdict_is_stale():
    entry = 113
    for stamp, reasons in ((entry - UNAWARE_CYCLES - 1, Reason.STALE), (entry - UNAWARE_CYCLES, Reason(0))):
        assert deciding(loaded(), entry, stamp=stamp).reasons == reasons


def test_pipeline_order_whose_frame_is_bad_before_its_first_word_is_void():
    for late in (0, 1):
        pipeline = loaded()
        deciding(pipeline, stamp=110)
        record, frame = pipeline.order_record(cycle=110 + VOID_CYCLES - late)
        assert (record.item, bool(frame)) == ((OrderItem.ORDER, True) if late else (OrderItem.VOID, False))
        session = pipeline.risk._session.tokens
        assert (pipeline.orders.user_ref, session) == ((2, 9) if late else (1, 10))


def test_pipeline_order_whose_frame_is_bad_before_its_last_word_is_poisoned_and_leaves_no_trace():
    pipeline = loaded()
    deciding(pipeline, stamp=130)
    before = pipeline.orders.next_seq
    record, _ = pipeline.order_record(cycle=118)
    assert pipeline.poison_record(130 + POISON_CYCLES - 1) is None
    assert pipeline.poison_record(130 + POISON_CYCLES) == record._replace(item=OrderItem.POISONED)
    assert (pipeline.orders.next_seq, pipeline.orders.user_ref) == (before, 1)
    assert pipeline.risk._session.tokens == pipeline.risk._slots[0].bucket.tokens == 10


def test_pipeline_new_session_knows_nothing_of_bad_frames_before():
    pipeline = loaded()
    deciding(pipeline, stamp=10)
    pipeline.trigger_record(120, TriggerFlag.DONE)
    pipeline.commit_feed(FEED_ROW)
    for step in pipeline.frame(feed_frame(1, [BID, delete(1), BID, ASK])):
        pipeline.book_time(step.update, 200)
    for cycle in (210, 212, 214, 216):
        pipeline.trigger_record(cycle, TriggerFlag.EVAL)
    assert pipeline.risk_record(217).reasons == 0
    assert pipeline.order_record(cycle=250)[0].item == OrderItem.ORDER


def test_pipeline_order_of_another_frame_is_not_poisoned():
    for first, last in ((1, 1), (3, 4)):
        pipeline = loaded()
        for step in pipeline.frame(feed_frame(1, [BID, ASK])):
            pipeline.book_time(step.update, 100)
        pipeline.frame_bad(first, last, 120)
        for cycle in (110, 112):
            pipeline.trigger_record(cycle, TriggerFlag.EVAL)
        pipeline.risk_record(113)
        assert pipeline.order_record(cycle=150)[0].item == OrderItem.ORDER
        assert pipeline.poison_record(160) is None


def test_pipeline_device_that_tells_too_much_gets_no_record():
    pipeline = loaded()
    assert pipeline.risk_record(5) is None
    assert pipeline.order_record() is None
    assert pipeline.trigger_record(5, 0) == []
    assert pipeline.trigger_record(6, TriggerFlag.EVAL) == []


def test_pipeline_injected_message_is_a_frame():
    record, frame = loaded().order_record(OrderItem.INJECT, b"\0\1R")
    assert (record.item, len(frame)) == (OrderItem.INJECT, 57)


def test_pipeline_expiry_that_the_device_did_not_tell_comes_first():
    pipeline = loaded()
    for step in pipeline.frame(
        feed_frame(1, [BID, ASK, *[add(2, "S", 10, BASE + 2_000, 2)], add(3, "S", 1, BASE + 1_500, 2)])
    ):
        pipeline.book_time(step.update, 100)
    pipeline.trigger_record(110, TriggerFlag.EVAL)
    pipeline.trigger_record(112, TriggerFlag.EVAL)
    steps = pipeline.frame(feed_frame(5, [add(8, "S", 10, BASE + 2_500, 2)]))
    pipeline.book_time(steps[0].update, 114)
    held = [r for cycle in (114, 116, 118) for r in pipeline.trigger_record(cycle, TriggerFlag.EVAL)]
    assert [r.status for r in held][0] in (0, 2)
    told = pipeline.trigger_record(400, TriggerFlag.DONE)
    assert [r.flags for r in told][-1] == TriggerFlag.DONE
    assert len(told) == 1 + any(r.status == 2 for r in held)


def test_pipeline_overflow_and_sweep_are_mirrored_by_sequence_number():
    pipeline = loaded()
    pipeline.overflowed.add(2)
    pipeline.cleared.add(3)
    steps = pipeline.frame(feed_frame(1, [BID, ASK, add(3, "B", 5, BASE, 2)]))
    assert [s.book.overflow for s in steps] == [0, 0, 1, 0]
    assert pipeline.book.validity(0) == Validity.OVERFLOW
    assert steps[3].update.validity == Validity.CLEARING | Validity.INCOMPLETE
    assert list(pipeline.book.orders()) == [1]
    assert list(pipeline.true.orders) == [1, 2]


def test_pipeline_tells_where_a_valid_best_price_is_not_the_true_one():
    pipeline = loaded()
    pipeline.frame(feed_frame(1, [BID, ASK]))
    pipeline.book._slots[0].sides[0].levels[10] += 1  # a planted fault
    pipeline.frame(feed_frame(3, [add(3, "B", 5, BASE + 1_000), trade()]))
    assert pipeline.violations == [3]


def test_pipeline_without_the_true_book_tells_nothing_of_it():
    pipeline = loaded(true_book=False)
    pipeline.frame(feed_frame(1, [BID, ASK]))
    assert pipeline.true is None


def test_pipeline_new_feed_row_forgets_both_books():
    pipeline = loaded()
    pipeline.frame(feed_frame(1, [BID, ASK, replace(1, 5, 5, BASE), execute(5, 1), delete(5), trading_action("H")]))
    pipeline.commit_feed(FEED_ROW)
    assert pipeline.book.orders() == {}
    assert pipeline.true.orders == {}
    assert pipeline.frame(feed_frame(1, [BID]))[1].update.validity == 0


ACTIONS = ["kill", "arm", "session_close", "session_open", "mark", "acknowledge"]


@pytest.mark.parametrize("name", ACTIONS)
def test_pipeline_action_writes_the_registers_that_do_it(name):
    pipeline = loaded()
    pipeline.orders.next_seq = 4_321
    writes = dict(pipeline.action(Action(7, name)))
    value = {
        n: writes.get(BY_NAME[n].offset)
        for n in ("kill", "arm", "mark_seq", "peer_ack_in", "session_open", "session_next_seq")
    }
    expected = {
        "kill": {"kill": 1}, "arm": {"arm": ARM_KEY}, "mark": {"mark_seq": 7}, "acknowledge": {"peer_ack_in": 4_321},
        "session_close": {"session_open": 0, "session_next_seq": 4_321},
        "session_open": {"session_open": 1, "session_next_seq": 4_321},
    }[name]  # fmt: skip
    assert value == dict.fromkeys(value, None) | expected
    assert pipeline.kill == (name == "kill")
    assert pipeline.feed.mark_seq == (7 if name == "mark" else None)
    assert bool(pipeline.orders._session["open"]) == (name != "session_close")
    assert pipeline.orders.next_seq == 4_321


def test_pipeline_counters_are_registers():
    pipeline = loaded()
    pipeline.frame(feed_frame(1, [BID]))
    counters = pipeline.counters()
    assert set(counters) <= set(counter_names())
    assert (counters["frames"], counters["events"]) == (1, 3)


def nominal(messages, demo=False):
    sizes = Sizes(slots=8, orders=4096, levels=256)
    derived = derive_config(lambda: messages, sizes)
    chosen = demo_config(derived) if demo else derived.config
    pipeline = ReferencePipeline(chosen, sizes)
    pipeline.load()
    run = NominalRun(pipeline)
    steps = list(run.run((feed_frame(n + 1, [data]) for n, data in enumerate(messages)), 14))
    return pipeline, run, steps


def test_nominal_run_sends_orders_and_replays_the_same():
    messages = flow(5, 3_000, locates=(1, 2, 3, 4), width=12)
    pipeline, run, steps = nominal(messages)
    again = nominal(messages)[1]
    assert run.order_frames == again.order_frames
    assert run.trigger_records == again.trigger_records
    assert len(run.order_frames) == pipeline.counters()["orders"] > 20
    assert pipeline.violations == []
    assert pipeline.pending == (0, 0, 0)
    assert len(steps) == len(messages) + 1
    assert len(binaryfile(messages)) > 0


def test_nominal_run_of_a_demo_configuration_reaches_every_reject_reason():
    messages = [data for _, data in session(SessionOptions(seed=3, symbols=8, messages=20_000))]
    pipeline, run, _ = nominal(messages, demo=True)
    seen = Reason(0)
    for record in run.risk_records:
        seen |= Reason(record.reasons)
    assert seen == ACTIVE_REASONS
    assert pipeline.violations == []
    assert len(run.order_frames) > 200
