"""The calibrated clock: which source, how true, never backwards."""

import time

import pytest

from tickgate.drivers import clock as facade

_clock = pytest.importorskip("tickgate.drivers._clock", reason="the compiled drivers are not installed (make setup)")


@pytest.fixture(params=[True, False], ids=["best source", "clock_gettime"])
def clock(request):
    return _clock.Clock(allow_tsc=request.param)


def rates(clock, rounds: int = 5, span_ns: int = 20_000_000) -> list[float]:
    found = []
    for _ in range(rounds):
        theirs, ours = time.perf_counter_ns(), clock.now_ns()
        time.sleep(span_ns / 1e9)
        ours, theirs = clock.now_ns() - ours, time.perf_counter_ns() - theirs
        found.append(ours / theirs)
    return found


def test_clock_runs_within_a_percent_of_perf_counter(clock):
    # The median: on a busy machine one round may be cut between its two readings.
    assert sorted(rates(clock))[2] == pytest.approx(1.0, abs=0.01)


def test_clock_with_a_wrong_rate_is_seen(clock):
    class Fast:
        def now_ns(self):
            return clock.now_ns() * 102 // 100

    assert sorted(rates(Fast()))[2] != pytest.approx(1.0, abs=0.01)


def test_clock_never_falls(clock):
    readings = [clock.now_ns() for _ in range(100_000)]
    assert all(a <= b for a, b in zip(readings, readings[1:], strict=False))


def test_clock_follows_monotonic_raw(clock):
    # Same timeline, not only same rate; 5 ms allows for being descheduled between the two calls.
    assert abs(clock.now_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)) < 5_000_000


def test_ticks_convert_to_the_time_between_two_readings(clock):
    before = clock.now_ns()
    middle = clock.to_ns(clock.ticks())
    assert before <= middle <= clock.now_ns()


def test_source_is_named_and_its_rate_is_believable(clock):
    assert clock.source in ("rdtscp", "clock_gettime")
    assert 1e8 <= clock.ticks_per_second <= 1e10
    assert 0 < clock.read_cost_ns(1000) < 100_000


def test_refused_tsc_falls_back_to_clock_gettime():
    clock = _clock.Clock(allow_tsc=False)
    assert (clock.source, clock.ticks_per_second) == ("clock_gettime", 1e9)


@pytest.mark.parametrize("settle_ns", [0, 999_999, 1_000_000_001])
def test_calibration_time_out_of_range_is_refused(settle_ns):
    with pytest.raises(ValueError, match="settle_ns must be from 1_000_000 to 1_000_000_000"):
        _clock.Clock(settle_ns)


def test_no_reads_is_refused():
    with pytest.raises(ValueError, match="reads must be at least 1"):
        _clock.Clock().read_cost_ns(0)


def test_facade_uses_the_compiled_clock_once():
    facade.clock.cache_clear()
    assert facade.compiled()
    assert facade.clock() is facade.clock()
    assert facade.describe().startswith(("rdtscp at ", "clock_gettime"))
    assert facade.now_ns() <= facade.now_ns()


def test_facade_without_the_compiled_clock_says_so(monkeypatch):
    monkeypatch.setenv("TICKGATE_PURE", "1")
    facade.clock.cache_clear()
    try:
        assert not facade.compiled()
        assert facade.describe() == "perf_counter (pure Python)"
        assert facade.now_ns() <= facade.now_ns()
    finally:
        facade.clock.cache_clear()
