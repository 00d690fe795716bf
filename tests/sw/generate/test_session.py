"""A generated session holds what it promises, judged by a plain book that shares nothing with the generator."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

import pytest

from tickgate.sw.generate import Mix, SessionOptions, blocks, session
from tickgate.sw.spec.errors import UserError

LENGTHS = {
    "S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40,
    "E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48,
}  # fmt: skip
FULL_DAY = {"add": 44.1, "delete": 42.6, "replace": 8.0, "execute and cancel": 3.2, "imbalance": 1.5}
GROUPS = {"A": "add", "F": "add", "D": "delete", "U": "replace", "I": "imbalance"} | dict.fromkeys(
    "ECX", "execute and cancel"
)
STUB_ASK_E4 = 1_999_999_900
MESSAGES = 200_000
OPTIONS = SessionOptions(seed=11, symbols=8, messages=MESSAGES)


def number(message: bytes, start: int, end: int) -> int:
    return int.from_bytes(message[start:end], "big")


@dataclass
class Judge:
    """Every order in plain dictionaries; raises where a message does not fit what went before."""

    orders: dict[int, list[int]] = field(default_factory=dict)  # reference -> locate, side byte, shares, price
    levels: dict[tuple[int, int], dict[int, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    types: Counter[str] = field(default_factory=Counter)
    live: Counter[int] = field(default_factory=Counter)
    peak: int = 0
    peak_of: Counter[int] = field(default_factory=Counter)
    used: set[int] = field(default_factory=set)
    used_again: int = 0
    heads_taken: int = 0
    printable: Counter[int] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    states: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    halts: list[tuple[int, str]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    spreads: list[int] = field(default_factory=list)
    prices: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    touches: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    crossed_runs: list[int] = field(default_factory=list)
    crossed_now: Counter[int] = field(default_factory=Counter)
    gaps: Counter[int] = field(default_factory=Counter)
    runs: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    ticks: dict[int, int] = field(default_factory=dict)
    names: dict[int, bytes] = field(default_factory=dict)
    halted: set[int] = field(default_factory=set)
    latest_ns: int = 0
    _run: list[int] = field(default_factory=list)

    def take(self, message: bytes) -> None:
        kind, locate, time_ns = chr(message[0]), number(message, 1, 3), number(message, 5, 11)
        assert len(message) == LENGTHS[kind]
        self._clock(time_ns, locate)
        if not self.types:
            assert (kind, message[11:12]) == ("S", b"O")
        self.types[kind] += 1
        {"A": self._add, "F": self._add, "E": self._execute, "C": self._execute, "X": self._cancel,
         "D": self._delete, "U": self._replace, "H": self._action, "h": self._halt, "S": self._event,
         }.get(kind, lambda message, locate: None)(message, locate)  # fmt: skip
        if kind in "AFECXDU":
            self._top(locate)

    def _clock(self, time_ns: int, locate: int) -> None:
        assert time_ns >= self.latest_ns
        gap = time_ns - self.latest_ns
        self.gaps[min(gap, 2)] += 1
        self._run = [*self._run, locate] if gap <= 1 else [locate]
        single = len(set(self._run)) == 1
        self.runs[single] = max(self.runs[single], len(self._run))
        self.latest_ns = time_ns

    def _insert(self, reference: int, locate: int, side: int, shares: int, price: int) -> None:
        assert reference not in self.orders and shares > 0 and 0 < price < 2**32 and side in b"BS"
        self.used_again += reference in self.used
        self.used.add(reference)
        self.orders[reference] = [locate, side, shares, price]
        self.levels[locate, side].setdefault(price, []).append(reference)
        self.live[locate] += 1
        self.peak = max(self.peak, len(self.orders))
        self.peak_of[locate] = max(self.peak_of[locate], self.live[locate])

    def _remove(self, reference: int) -> None:
        locate, side, _shares, price = self.orders.pop(reference)
        queue = self.levels[locate, side][price]
        queue.remove(reference)
        if not queue:
            del self.levels[locate, side][price]
        self.live[locate] -= 1

    def _order(self, message: bytes, locate: int) -> tuple[int, list[int]]:
        reference = number(message, 11, 19)
        order = self.orders[reference]
        assert order[0] == locate
        return reference, order

    def _add(self, message: bytes, locate: int) -> None:
        price = number(message, 32, 36)
        assert message[24:32] == self.names[locate]
        self._insert(number(message, 11, 19), locate, message[19], number(message, 20, 24), price)
        self.prices[locate].append(price)

    def _execute(self, message: bytes, locate: int) -> None:
        reference, order = self._order(message, locate)
        assert self.states[locate][-1] == "T" and locate not in self.halted
        shares = number(message, 19, 23)
        assert 0 < shares <= order[2]
        side = self.levels[locate, order[1]]
        best = max(side) if order[1] == ord("B") else min(side)
        assert order[3] == best and side[best][0] == reference
        order[2] -= shares
        if not order[2]:
            self._remove(reference)
            self.heads_taken += 1
        if message[0] == ord("C"):
            self.printable[message[31]] += 1
            assert number(message, 32, 36) > 0

    def _cancel(self, message: bytes, locate: int) -> None:
        _reference, order = self._order(message, locate)
        shares = number(message, 19, 23)
        assert 0 < shares < order[2]
        order[2] -= shares

    def _delete(self, message: bytes, locate: int) -> None:
        self._remove(self._order(message, locate)[0])

    def _replace(self, message: bytes, locate: int) -> None:
        reference, (_locate, side, old_shares, old_price) = self._order(message, locate)
        shares, price = number(message, 27, 31), number(message, 31, 35)
        self._remove(reference)
        self._insert(number(message, 19, 27), locate, side, shares, price)
        self.replaced["price" * (price != old_price) + "size" * (shares != old_shares)] += 1
        self.prices[locate].append(price)

    def _action(self, message: bytes, locate: int) -> None:
        self.states[locate].append(chr(message[19]))

    def _halt(self, message: bytes, locate: int) -> None:
        action = chr(message[20])
        self.halts.append((locate, action))
        (self.halted.add if action == "H" else self.halted.discard)(locate)

    def _event(self, message: bytes, locate: int) -> None:
        assert locate == 0
        self.events.append(chr(message[11]))

    def _top(self, locate: int) -> None:
        bids, asks = self.levels[locate, ord("B")], self.levels[locate, ord("S")]
        if not bids or not asks:
            return
        bid, ask = max(bids), min(asks)
        if bid == self.ticks[locate] or ask == STUB_ASK_E4:
            return
        if ask > bid:
            self.spreads.append((ask - bid) // self.ticks[locate])
            self.touches[locate].append(bid)
            if self.crossed_now[locate]:
                self.crossed_runs.append(self.crossed_now.pop(locate))
        else:
            self.crossed_now[locate] += 1


def judged(messages: Iterable[bytes]) -> Judge:
    judge = Judge()
    listed = list(messages)
    first_price: dict[int, int] = {}
    for message in listed:
        if message[0] == ord("R"):
            judge.names[number(message, 1, 3)] = message[11:19]
        elif message[0] in b"AF" and 10_000 > number(message, 32, 36) > 1_000:
            first_price.setdefault(number(message, 1, 3), 1)
    judge.ticks = {locate: first_price.get(locate, 100) for locate in judge.names}
    for message in listed:
        judge.take(message)
    return judge


def messages_of(options: SessionOptions) -> Iterator[bytes]:
    for block in blocks(options):
        yield from block


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    return list(messages_of(OPTIONS))


@pytest.fixture(scope="module")
def judge(messages: list[bytes]) -> Judge:
    return judged(messages)


def test_session_has_exactly_the_messages_asked_for(judge: Judge) -> None:
    assert sum(judge.types.values()) == MESSAGES


def test_shares_are_within_one_point_of_the_full_day(judge: Judge) -> None:
    shares: Counter[str] = Counter()
    for kind, count in judge.types.items():
        shares[GROUPS.get(kind, "rest")] += 100 * count / MESSAGES
    for group, share in FULL_DAY.items():
        assert shares[group] == pytest.approx(share, abs=1.0), group
    assert 0 < shares["rest"] < 1.6


def test_all_twenty_three_types_occur(judge: Judge) -> None:
    assert set(judge.types) == set(LENGTHS)


def test_directory_comes_first_and_covers_all_symbols(messages: list[bytes]) -> None:
    head = messages[1 : 1 + 2 * OPTIONS.symbols]
    assert [chr(m[0]) for m in head] == ["R"] * OPTIONS.symbols + ["H"] * OPTIONS.symbols
    assert [number(m, 1, 3) for m in head[: OPTIONS.symbols]] == list(range(1, OPTIONS.symbols + 1))
    assert all(m[19:20] == b"T" for m in head[OPTIONS.symbols :])


def test_system_events_come_in_order(judge: Judge) -> None:
    assert judge.events == ["O", "S", "Q", "M", "E", "C"]


def test_symbols_are_busy_by_zipf(messages: list[bytes]) -> None:
    busy = Counter(number(m, 1, 3) for m in messages if m[0] in b"AFECXDU")
    counts = [count for _, count in busy.most_common()]
    harmonic = sum(1 / rank for rank in range(1, 9))
    for rank, count in enumerate(counts, 1):
        assert count / sum(counts) == pytest.approx(1 / rank / harmonic, rel=0.25)


def test_median_spread_is_one_to_three_ticks(judge: Judge) -> None:
    assert 1 <= median(judge.spreads) <= 3


def test_executions_take_heads_whole_and_in_part(judge: Judge) -> None:
    executions = judge.types["E"] + judge.types["C"]
    assert 0.1 < judge.heads_taken / executions < 0.9
    assert set(judge.printable) == set(b"YN")


def test_replaces_change_price_and_size_and_both(judge: Judge) -> None:
    assert min(judge.replaced["price"], judge.replaced["size"], judge.replaced["pricesize"]) > 100


def test_stub_quotes_rest_on_both_sides(judge: Judge, messages: list[bytes]) -> None:
    assert any(100 in prices for prices in judge.prices.values())
    assert sum(number(m, 32, 36) == STUB_ASK_E4 for m in messages if m[0] in b"AF") == OPTIONS.symbols


def test_sub_dollar_symbol_trades_in_ticks_of_a_hundredth_cent(judge: Judge) -> None:
    cheap = [locate for locate, tick in judge.ticks.items() if tick == 1]
    assert cheap
    for locate in cheap:
        prices = [price for price in judge.prices[locate] if price != STUB_ASK_E4]
        assert max(prices) < 10_000 and any(price % 100 for price in prices)


def test_bursts_come_at_the_minimum_gap_in_one_symbol_and_across(judge: Judge) -> None:
    assert judge.gaps[0] > MESSAGES // 20 and judge.gaps[1] > MESSAGES // 100
    assert min(judge.runs.values()) >= 32


def test_references_are_used_again(judge: Judge) -> None:
    assert judge.used_again > 100


def test_references_are_dense_and_of_one_class_a_symbol(judge: Judge, messages: list[bytes]) -> None:
    classes = defaultdict(set)
    for m in messages:
        if m[0] in b"AF":
            classes[number(m, 1, 3)].add(number(m, 11, 19) % 4)
    assert all(len(found) == 1 for found in classes.values())
    assert max(judge.used) < 4 * len(judge.used)


def test_halts_pauses_and_operational_halts_end_in_trading(judge: Judge) -> None:
    passed = {"".join(states) for states in judge.states.values()}
    assert any("THQT" in states for states in passed) and any("TPQT" in states for states in passed)
    assert all(states.endswith("T") for states in passed)
    assert [action for _, action in judge.halts] == ["H", "T"] * (len(judge.halts) // 2) and judge.halts


def test_breaker_trips_once_and_halts_every_symbol(messages: list[bytes]) -> None:
    position = next(i for i, m in enumerate(messages) if m[0] == ord("W"))
    assert {chr(m[0]) + chr(m[19]) for m in messages[position + 1 : position + 9]} == {"HH"}
    without = SessionOptions(messages=20_000, breaker=False)
    assert not any(m[0] == ord("W") for m in messages_of(without))


def test_live_orders_stay_within_the_cap(judge: Judge) -> None:
    assert max(judge.peak_of.values()) <= 350 and judge.peak <= 8 * 350
    tight = judged(messages_of(SessionOptions(messages=60_000, live=8 * 60)))
    assert max(tight.peak_of.values()) <= 60


def test_live_orders_fill_up_to_the_cap_but_no_more() -> None:
    crowded = judged(messages_of(SessionOptions(symbols=1, messages=60_000, live=100)))
    assert 80 < crowded.peak <= 100


def test_crossed_quotes_are_rare_brief_and_by_option(judge: Judge) -> None:
    assert 10 < len(judge.crossed_runs) and sum(judge.crossed_runs) < MESSAGES // 100
    assert max(judge.crossed_runs) < 400
    never = judged(messages_of(SessionOptions(messages=60_000, crossed=0.0)))
    assert not never.crossed_runs and not never.crossed_now
    often = judged(messages_of(SessionOptions(messages=60_000, crossed=0.02)))
    assert len(often.crossed_runs) > 100


def test_prices_stay_within_the_window_but_for_excursions(judge: Judge) -> None:
    outside = total = 0
    for locate, bids in judge.touches.items():
        centre, half = median(bids), 512 * judge.ticks[locate]
        outside += sum(abs(bid - centre) > half for bid in bids)
        total += len(bids)
    assert 0 < outside / total < 0.03


def test_prices_never_leave_the_window_without_excursions() -> None:
    calm = judged(messages_of(SessionOptions(messages=100_000, excursions=0, seed=3)))
    for locate, bids in calm.touches.items():
        assert max(bids) - min(bids) < 900 * calm.ticks[locate]


def test_drift_moves_the_busiest_price_away() -> None:
    drifting = judged(messages_of(SessionOptions(messages=60_000, price_process="drift", drift_ticks=1_500)))
    moved = [abs(bids[-1] - bids[0]) / drifting.ticks[locate] for locate, bids in drifting.touches.items()]
    assert max(moved) > 1_000


def test_drift_stops_at_the_bounds_of_the_price() -> None:
    far = judged(messages_of(SessionOptions(messages=40_000, price_process="drift", drift_ticks=1_000_000, zipf=0)))
    tops = {locate: max(bids) // far.ticks[locate] for locate, bids in far.touches.items()}
    assert min(min(bids) // far.ticks[locate] for locate, bids in far.touches.items()) > 1_500
    assert all(top <= 10_000 for locate, top in tops.items() if far.ticks[locate] == 1)


def test_many_symbols_hold_too() -> None:
    many = judged(messages_of(SessionOptions(symbols=64, messages=100_000, seed=5)))
    assert many.peak <= 64 * 350 and len(many.names) == 64
    assert 1 <= median(many.spreads) <= 4


def test_mix_moves_the_shares() -> None:
    options = SessionOptions(messages=60_000, mix=Mix().with_text("replace=30, imbalance=0"))
    types = judged(messages_of(options)).types
    assert types["I"] < 30
    assert types["U"] / sum(types.values()) == pytest.approx(30 / 120.5, abs=0.02)


def digest(options: SessionOptions) -> str:
    state = hashlib.sha256()
    for block in blocks(options):
        state.update(block.data)
    return state.hexdigest()


def test_equal_options_give_equal_bytes_and_other_seeds_others() -> None:
    options = SessionOptions(messages=50_000, seed=42)
    assert digest(options) == digest(options)
    assert digest(options) != digest(SessionOptions(messages=50_000, seed=43))


def test_bytes_are_the_same_on_every_python_and_machine() -> None:
    assert digest(SessionOptions(messages=20_000)) == "17fc018a690eeee9a0c843619a57a056bb110a60f58982627f3c70eab3df832e"


def test_blocks_and_session_tell_the_same() -> None:
    options = SessionOptions(messages=40_000)
    whole = list(blocks(options))
    assert [block.first_index for block in whole] == [sum(map(len, whole[:i])) for i in range(len(whole))]
    assert all(block.known.all() for block in whole)
    pairs = list(session(options))
    assert [message for _, message in pairs] == [message for block in whole for message in block]
    assert all(time_ns == number(message, 5, 11) for time_ns, message in pairs)


@pytest.mark.parametrize(
    ("position", "change"),
    [
        ("E", lambda m: m[:19] + (10**6).to_bytes(4, "big") + m[23:]),
        ("D", lambda m: m[:11] + (2**60).to_bytes(8, "big")),
        ("U", lambda m: m[:19] + (4).to_bytes(8, "big") + m[27:]),
        ("X", lambda m: m[:1] + b"\0\x63" + m[3:]),
        ("A", lambda m: m[:5] + bytes(6) + m[11:]),
    ],
)
def test_judge_bites_on_a_planted_fault(messages: list[bytes], position: str, change: object) -> None:
    assert callable(change)
    spoiled = messages[:20_000]
    where = next(i for i, m in enumerate(spoiled) if i > 5_000 and chr(m[0]) == position)
    spoiled[where] = change(spoiled[where])
    with pytest.raises((AssertionError, KeyError)):
        judged(spoiled)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"symbols": 0}, "symbols must be from 1 to 10,000, not 0"),
        ({"messages": 0}, "messages must be from 1"),
        ({"seed": -1}, "seed must be from 0"),
        ({"zipf": float("nan")}, "zipf must be from 0 to 3"),
        ({"crossed": 0.5}, "crossed must be from 0 to 0.05"),
        ({"volatility_ticks": -1}, "volatility must be from 0 to 5"),
        ({"drift_ticks": -1}, "drift must be from 0"),
        ({"excursions": -1}, "excursions must be from 0"),
        ({"price_process": "jumps"}, "price process must be one of reverting, drift"),
        ({"live": 100}, "live must be at least 40 a symbol, 320 for 8 symbols, not 100"),
    ],
)
def test_option_out_of_range_is_refused_with_the_range(options: dict[str, object], text: str) -> None:
    with pytest.raises(UserError, match=text):
        SessionOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("add=0", "share of add must be above 0"),
        ("add=-1", "share of add must be 0 or more"),
        ("delete=60", r"delete \(60.0\) must not exceed add"),
        ("add=60", "live orders would grow without bound"),
        ("trade=1", "a mix is a list like"),
        ("add", "a mix is a list like"),
        ("add=many", "share of add must be a number"),
    ],
)
def test_mix_that_cannot_be_is_refused(text: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        Mix().with_text(text)


def test_too_few_messages_for_the_symbols_are_refused_with_the_number() -> None:
    with pytest.raises(UserError, match="500 symbols needs more than 1,000 messages: about"):
        next(blocks(SessionOptions(symbols=500, messages=1_000)))
