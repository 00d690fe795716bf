"""The model of the risk stage: each reason reached, limits inclusive, buckets bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.model.risk import COUNTERS, Risk, TokenBucket
from tickgate.sw.spec.events import BOOK_UPDATE, INTENT
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.state import SymbolState, Validity

SYMBOL = {"valid": 1, "symbol": 0x4141504C20202020, "tick_e4": 100}
LIMITS = {
    "max_quantity_valid": 1, "max_quantity": 500, "max_notional_valid": 1, "max_notional_e4": 500_000_000,
    "collar_valid": 1, "collar_abs_e4": 5_000, "collar_bps": 60,
    "rate_valid": 1, "rate_burst": 100, "rate_period_cycles": 10,
}  # fmt: skip
GATE = {"rate_valid": 1, "rate_burst": 100, "rate_period_cycles": 10}
BLANK = dict.fromkeys([f.name for f in BOOK_UPDATE.fields], 0)


def update(bid=999_900, ask=1_000_100, **more):
    values = {**BLANK, "bid_px_e4": bid, "ask_px_e4": ask, "itch_type": ord("A"), "seq": 3, **more}
    return BOOK_UPDATE.tuple_type(**values)


def intent(price_e4=1_000_000, quantity=100, slot=0, side=0):
    return INTENT.tuple_type(slot, side, price_e4, quantity, 48, 89, 80, 7, 0)


def gate(symbol=SYMBOL, limits=LIMITS, session=GATE, book=None):
    risk = Risk(2)
    risk.commit_symbol(0, symbol)
    risk.commit_limits(0, limits)
    risk.commit_gate(session)
    risk.update(book or update())
    return risk


def reasons(risk, asked=None, cycle=100, kill=False, session_ok=True):
    record, order = risk.check(asked or intent(), cycle, kill, session_ok)
    assert (order is None) == bool(record.reasons)
    return Reason(record.reasons)


def test_risk_order_within_every_limit_passes():
    risk = gate()
    record, order = risk.check(intent(), 100, False, True)
    assert record == (0, 0, 7, 100, 3, 100_000_000, 0, 1_000_000, 1_000_000, 100, 99, 99, 0, 0, 0, 0)
    assert order == (0, SYMBOL["symbol"], 0, 1_000_000, 100, 48, 89, 80, 7, 0)
    assert (risk.counters["accepted"], risk.counters["rejected"]) == (1, 0)


def test_risk_after_reset_rejects_for_everything_not_configured():
    risk = Risk(2)
    record, order = risk.check(intent(), 0, True, False)
    assert order is None
    assert Reason(record.reasons) == ACTIVE_REASONS & ~Reason.CROSSED


WIDE = LIMITS | {"collar_abs_e4": (1 << 32) - 1, "collar_bps": 65_535}
LARGE = Reason.MAX_QUANTITY | Reason.MAX_NOTIONAL
REACHED = [
    (Reason.ORDER_FORMAT, lambda: reasons(gate(limits=WIDE), intent(1_000_050))),
    (Reason.ORDER_FORMAT, lambda: reasons(gate(), intent(quantity=0))),
    (Reason.ORDER_FORMAT, lambda: reasons(gate(symbol=SYMBOL | {"valid": 0}))),
    (Reason.ORDER_FORMAT | LARGE, lambda: reasons(gate(), intent(quantity=1_000_000))),
    (LARGE, lambda: reasons(gate(), intent(quantity=999_999))),
    (Reason.ORDER_FORMAT | Reason.COLLAR, lambda: reasons(gate(), intent(0))),
    (Reason.KILL, lambda: reasons(gate(), kill=True)),
    (Reason.MAX_QUANTITY, lambda: reasons(gate(limits=LIMITS | {"max_notional_e4": 1 << 60}), intent(quantity=501))),
    (Reason.MAX_QUANTITY, lambda: reasons(gate(limits=LIMITS | {"max_quantity_valid": 0}))),
    (Reason.MAX_NOTIONAL, lambda: reasons(gate(limits=LIMITS | {"max_notional_e4": 99_999_999}))),
    (Reason.MAX_NOTIONAL, lambda: reasons(gate(limits=LIMITS | {"max_notional_valid": 0}))),
    (Reason.COLLAR, lambda: reasons(gate(), intent(1_005_100))),
    (Reason.COLLAR, lambda: reasons(gate(limits=LIMITS | {"collar_bps": 49}), intent(1_005_000))),
    (Reason.COLLAR, lambda: reasons(gate(limits=WIDE | {"collar_valid": 0}))),
    (Reason.COLLAR, lambda: reasons(gate(book=update(bid=0)))),
    (Reason.COLLAR, lambda: reasons(gate(book=update(ask=0)))),
    (Reason.STALE, lambda: reasons(gate(book=update(validity=Validity.WINDOW)))),
    (Reason.CROSSED, lambda: reasons(gate(book=update(bid=1_000_000, ask=1_000_000)))),
    (Reason.CROSSED, lambda: reasons(gate(book=update(bid=1_000_100, ask=1_000_000)))),
    (Reason.RATE_SYMBOL, lambda: reasons(gate(limits=LIMITS | {"rate_valid": 0}))),
    (Reason.RATE_SYMBOL, lambda: reasons(gate(limits=LIMITS | {"rate_burst": 0}))),
    (Reason.RATE_SESSION, lambda: reasons(gate(session={}))),
    (Reason.MARKET_STATE, lambda: reasons(gate(book=update(state=SymbolState.HALTED)))),
    (Reason.SESSION, lambda: reasons(gate(), session_ok=False)),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REACHED)))
def test_risk_reason_is_reached(number):
    expected, judge = REACHED[number]
    assert judge() == expected


def test_risk_every_active_reason_is_tried():
    reached = Reason(0)
    for expected, _ in REACHED:
        reached |= expected
    assert reached == ACTIVE_REASONS


@pytest.mark.parametrize("asked", [
    intent(1_005_000), intent(995_000), intent(quantity=500), intent(quantity=1),
])  # fmt: skip
def test_risk_limits_are_inclusive(asked):
    assert reasons(gate(), asked) == Reason(0)


def test_risk_collar_in_basis_points_is_inclusive():
    assert reasons(gate(limits=LIMITS | {"collar_bps": 50}), intent(1_005_000)) == Reason(0)


def test_risk_notional_has_its_full_width():
    risk = gate(
        limits=WIDE | {"max_quantity": 999_999, "max_notional_e4": 1 << 32}, book=update(4_000_000_000, 4_000_000_200)
    )
    record, order = risk.check(intent(4_000_000_000, 999_999), 1, False, True)
    assert record.notional_e4 == 3_999_996_000_000_000
    assert Reason(record.reasons) == Reason.MAX_NOTIONAL


def test_risk_reference_rounds_down():
    assert gate(book=update(999_900, 1_000_001)).check(intent(), 1, False, True)[0].reference_e4 == 999_950


def test_risk_judges_on_updates_that_arrived_by_the_entry_cycle():
    risk = gate()
    risk.update(update(validity=Validity.GAP, seq=4), cycle=50)
    assert risk.check(intent(), 49, False, True)[0].as_of_seq == 3
    record = risk.check(intent(), 50, False, True)[0]
    assert (record.as_of_seq, record.validity, Reason(record.reasons)) == (4, Validity.GAP, Reason.STALE)


def test_risk_news_of_every_slot_change_validity_and_state():
    risk = gate()
    risk.update(update(every_slot=1, every_set=Validity.GAP, state_set=SymbolState.BREAKER))
    assert reasons(risk) == Reason.STALE | Reason.MARKET_STATE
    risk.update(update(every_slot=1, every_clear=Validity.GAP, state_clear=SymbolState.BREAKER))
    assert reasons(risk) == Reason(0)


def test_risk_message_of_another_locate_spoils_the_orders_slot():
    risk = gate()
    risk.update(update(slot=1, other=1, other_slot=0))
    assert reasons(risk) == Reason.STALE


def test_risk_rejected_order_takes_no_token():
    risk = gate(limits=LIMITS | {"rate_burst": 1}, session=GATE | {"rate_burst": 1})
    assert reasons(risk, kill=True) == Reason.KILL
    assert reasons(risk) == Reason(0)
    assert reasons(risk) == Reason.RATE_SYMBOL | Reason.RATE_SESSION
    risk.commit_limits(0, LIMITS)
    assert reasons(risk) == Reason.RATE_SESSION


def test_risk_counters_are_registers():
    assert set(COUNTERS) <= set(counter_names())


# Token buckets.


def bucket(burst, period):
    return TokenBucket({"rate_valid": 1, "rate_burst": burst, "rate_period_cycles": period})


def passes(tokens, cycles):
    out = []
    for cycle in cycles:
        tokens.refill(cycle)
        if tokens.tokens:
            tokens.take(cycle)
            out.append(cycle)
    return out


def test_bucket_refills_from_the_first_token_taken():
    tokens = bucket(2, 10)
    assert passes(tokens, [5, 6, 7, 14, 15, 16, 24, 25]) == [5, 6, 15, 25]


def test_bucket_timer_stops_while_it_is_full():
    tokens = bucket(2, 10)
    assert passes(tokens, [5, 100, 101, 102, 109, 110, 111]) == [5, 100, 101, 110]


def test_bucket_without_a_period_counts_every_cycle():
    assert passes(bucket(1, 0), [5, 5, 6]) == [5, 6]


def reference(burst, period, cycles):
    """The bucket one cycle at a time."""
    tokens, next_refill, out = burst, None, []
    for cycle in range(max(cycles, default=0) + 1):
        if next_refill == cycle:
            tokens += 1
            next_refill = None if tokens == burst else cycle + period
        for _ in range(cycles.count(cycle)):
            if tokens:
                tokens -= 1
                next_refill = next_refill if next_refill is not None else cycle + period
                out.append(cycle)
    return out


class _NeverRefilled(TokenBucket):
    __slots__ = ()

    def refill(self, cycle):
        """Planted fault."""


class _RestartsItsTimer(TokenBucket):
    __slots__ = ()

    def take(self, cycle):
        """Planted fault: every token taken starts the timer anew."""
        super().take(cycle)
        self.next_cycle = cycle + self.period_cycles


arrivals = st.lists(st.integers(0, 120), max_size=40).map(sorted)


@given(st.integers(1, 5), st.integers(1, 12), arrivals)
def test_bucket_equals_one_that_counts_every_cycle(burst, period, cycles):
    assert passes(bucket(burst, period), cycles) == reference(burst, period, cycles)


@pytest.mark.parametrize("fault", [_NeverRefilled, _RestartsItsTimer])
def test_bucket_check_finds_a_planted_fault(fault):
    cycles = [0, 1, 12, 20, 21]
    row = {"rate_valid": 1, "rate_burst": 3, "rate_period_cycles": 10}
    assert passes(TokenBucket(row), [0, 1, 2, 9, 12, 20, 21]) == reference(3, 10, [0, 1, 2, 9, 12, 20, 21])
    assert passes(fault(row), [0, 1, 2, 9, 12, 20, 21]) != reference(3, 10, [0, 1, 2, 9, 12, 20, 21]), cycles


@given(st.integers(1, 5), st.integers(1, 12), arrivals)
def test_bucket_passes_at_most_burst_and_what_refills_in_any_window(burst, period, cycles):
    out = passes(bucket(burst, period), cycles)
    for i, first in enumerate(out):
        for j, last in enumerate(out[i:], i):
            window = last - first
            assert j - i + 1 <= burst + -(-window // period)


# Frames that turn out bad.


def test_risk_intents_decided_before_a_verdict_are_stale_from_the_next_cycle_on():
    asked = intent()  # of message 7
    for cycle, last_seq, found in (
        (99, 7, Reason.STALE),
        (100, 7, Reason(0)),
        (99, 6, Reason(0)),
        (99, 9, Reason.STALE),
    ):
        risk = gate()
        risk.frame_bad(last_seq, cycle)
        assert reasons(risk, asked, 100) == found


def test_risk_verdict_shows_as_the_fcs_bit_and_stays_until_a_later_message():
    risk = gate()
    risk.frame_bad(7, 50)
    record, _ = risk.check(intent(), 100, False, True)
    assert (record.validity, record.tokens_symbol) == (Validity.FCS, 100)
    assert reasons(risk, intent()._replace(seq=8), 200) == Reason(0)


def test_risk_refund_gives_both_tokens_back_once():
    risk = gate()
    before, _ = risk.check(intent(), 100, False, True)
    risk.refund()
    after, _ = risk.check(intent(), 101, False, True)
    assert (before.tokens_symbol, before.tokens_session) == (after.tokens_symbol, after.tokens_session) == (99, 99)


@given(st.integers(1, 5), st.integers(1, 12), st.lists(st.integers(0, 40), max_size=8), st.integers(0, 30),
       st.integers(0, 30))  # fmt: skip
def test_bucket_with_a_token_given_back_is_as_if_it_had_never_been_taken(burst, period, gaps, taken_after, later):
    taken, untaken = bucket(burst, period), bucket(burst, period)
    now = 0
    for gap in gaps:
        now += gap
        for one in (taken, untaken):
            one.refill(now)
            if one.tokens:
                one.take(now)
    now += taken_after
    taken.refill(now)
    if taken.tokens:
        taken.take(now)
        taken.refill(now + later)
        taken.give_back()
    for cycle in range(now + later, now + later + 3 * period):
        for one in (taken, untaken):
            one.refill(cycle)
        assert taken.tokens == untaken.tokens


def test_bucket_that_has_filled_since_takes_nothing_back():
    tokens = bucket(2, 10)
    tokens.take(0)
    tokens.refill(10)
    tokens.give_back()
    assert tokens.tokens == 2
