"""Statistics of best prices, from which windows and thresholds follow."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.model import price_statistics
from tickgate.sw.model.price_statistics import Crossings, SymbolStatistics, best_base, percentile


def test_percentile_is_the_value_not_exceeded():
    counts = Counter({10: 50, 20: 45, 30: 5})
    assert [percentile(counts, share) for share in (0.0, 0.5, 0.51, 0.95, 0.96, 1.0)] == [10, 10, 20, 20, 30, 30]
    assert percentile({}, 0.5) == 0


ranges = st.dictionaries(
    st.tuples(st.integers(1, 60), st.integers(0, 20)).map(lambda r: (100 * r[0], 100 * (r[0] + r[1]))),
    st.integers(1, 9),
    max_size=12,
)


@given(ranges)
def test_best_base_holds_as_much_as_any_window(found):
    tick, span = 100, 1_000
    base, inside = best_base(found, tick, span)

    def held(base):
        return sum(n for (low, high), n in found.items() if base <= low and high <= base + span - tick)

    assert base % tick == 0
    assert inside == max(held(b) for b in range(0, 8_100, tick))
    assert inside == held(base) or not inside


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_crossings_count_every_rise(moves):
    crossings = Crossings()
    for before, after in moves:
        if after > before:
            crossings.rise(before, after)
    counts = {at: sum(b < at <= a for b, a in moves) for at in range(1, 13)}
    most, where = crossings.best()
    assert most == max(counts.values())
    assert not most or counts[where] == most


def test_statistics_stay_bounded(monkeypatch):
    monkeypatch.setattr(price_statistics, "_GRID_ENTRIES_MAX", 50)
    monkeypatch.setattr(price_statistics, "_SPREAD_GRID_MAX", 50)
    numbers = SymbolStatistics()
    for n in range(500):
        numbers.add((100_000 + n, 1, 200_000 + 3 * n, 1))
    assert len(numbers.ranges) <= 51
    assert sum(numbers.ranges.values()) == 500
    assert len(numbers.half_spreads) <= 51
    assert numbers.grid_e4 > 1


def test_statistics_of_crossed_one_sided_and_empty_books():
    numbers = SymbolStatistics()
    for bbo in ((0, 0, 0, 0), (100, 1, 0, 0), (0, 0, 120, 1), (130, 1, 120, 1)):
        numbers.add(bbo)
    assert (numbers.messages, numbers.free) == (4, 1)
    assert numbers.ranges == {(100, 100): 1, (120, 120): 1, (120, 130): 1}
