"""The histogram against plain Python, numpy and the hdrhistogram package."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.drivers.histogram import Histogram, PureHistogram, compiled

hdr = pytest.importorskip("hdrh.histogram")

PERCENTS = (0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0)
VALUES = st.one_of(st.integers(0, 5000), st.integers(0, 2**40), st.integers(0, 2**64 - 1))


@pytest.fixture(params=[Histogram, PureHistogram], ids=["compiled", "pure"])
def kind(request):
    if request.param is Histogram and not compiled():
        pytest.skip("the compiled drivers are not installed (make setup)")
    return request.param


def sample(seed: int, count: int = 49_999) -> np.ndarray:
    """Latencies with a long tail, as real ones have it.

    The count is a prime, so that no percentile asks for a whole rank: there numpy rounds its quotient up at times.
    """
    return np.random.default_rng(seed).lognormal(mean=8.0, sigma=1.5, size=count).astype(np.uint64)


def filled(kind, values, **shape):
    histogram = kind(**shape)
    histogram.record_many(np.asarray(values, dtype=np.uint64))
    return histogram


@pytest.mark.parametrize("precision_bits", [5, 8, 11, 14])
def test_percentiles_are_within_the_stated_precision_of_numpy(kind, precision_bits):
    values = sample(precision_bits)
    histogram = filled(kind, values, precision_bits=precision_bits)
    for percent in PERCENTS:
        exact = int(np.percentile(values, percent, method="inverted_cdf"))
        found = histogram.percentile(percent)
        assert exact <= found <= exact * (1 + 2.0 ** -(precision_bits - 1)), percent


def test_percentiles_agree_with_hdrhistogram(kind):
    values = sample(1, 5_000)
    histogram = filled(kind, values)
    reference = hdr.HdrHistogram(1, 1 << 36, 3)
    for value in values.tolist():
        reference.record_value(value)
    for percent in PERCENTS[1:]:
        # Both are too high by at most their own precision: 2^-10 here, 3 decimal digits there.
        assert histogram.percentile(percent) == pytest.approx(reference.get_value_at_percentile(percent), rel=2e-3)
    assert histogram.count == reference.get_total_count()


@given(values=st.lists(VALUES, min_size=1, max_size=60), precision_bits=st.integers(2, 16))
def test_compiled_kind_equals_the_pure_one(values, precision_bits):
    if not compiled():
        pytest.skip("the compiled drivers are not installed (make setup)")
    shape = {"highest": 1 << 40, "precision_bits": precision_bits}
    fast, plain = filled(Histogram, values, **shape), filled(PureHistogram, values, **shape)
    for member in ("count", "overflow", "minimum", "maximum", "mean", "memory_bytes", "highest", "precision_bits"):
        assert getattr(fast, member) == getattr(plain, member), member
    assert fast.buckets() == plain.buckets()
    assert fast.percentiles(PERCENTS) == plain.percentiles(PERCENTS)


@given(value=st.integers(0, 2**62), precision_bits=st.integers(2, 16))
def test_every_value_lies_in_its_bucket(value, precision_bits):
    histogram = PureHistogram(highest=1 << 62, precision_bits=precision_bits)
    low, high = histogram._bounds(histogram._index(value))
    assert low <= value <= high
    assert high - low <= low * 2.0 ** -(precision_bits - 1)


def test_buckets_leave_no_hole_and_do_not_overlap(kind):
    histogram = PureHistogram(highest=1 << 14, precision_bits=4)
    bounds = [histogram._bounds(index) for index in range(len(histogram._counts))]
    assert all(before[1] + 1 == after[0] for before, after in zip(bounds, bounds[1:], strict=False))
    every = filled(kind, np.arange(1 << 14), highest=1 << 14, precision_bits=4)
    assert sum(count for _, _, count in every.buckets()) == 1 << 14
    assert all(count == high - low + 1 for low, high, count in every.buckets())


def test_small_values_are_exact(kind):
    histogram = filled(kind, [7, 7, 900, 2047])
    assert histogram.buckets() == [(7, 7, 2), (900, 900, 1), (2047, 2047, 1)]
    assert histogram.percentiles([50, 75, 100]) == [7, 900, 2047]


def test_whole_rank_stays_whole(kind):
    histogram = filled(kind, np.arange(1, 1001))
    assert histogram.percentile(99.9) == 999
    assert histogram.percentile(0) == 1


def test_value_above_the_highest_is_counted_apart(kind):
    histogram = filled(kind, [10, 100, 101, 5000], highest=100)
    assert (histogram.count, histogram.overflow, histogram.maximum) == (4, 2, 5000)
    assert histogram.percentile(50) == 100
    assert histogram.percentile(75) == 5000


def test_merge_equals_recording_all_in_one(kind):
    a, b = sample(2, 1000), sample(3, 1000)
    merged, whole = filled(kind, a), filled(kind, np.concatenate([a, b]))
    merged.merge(filled(kind, b))
    assert merged.buckets() == whole.buckets()
    assert merged.percentiles(PERCENTS) == whole.percentiles(PERCENTS)
    assert (merged.minimum, merged.maximum, merged.count) == (whole.minimum, whole.maximum, whole.count)
    assert merged.mean == pytest.approx(whole.mean)


def test_merge_with_an_empty_one_changes_nothing(kind):
    histogram = filled(kind, [5, 6])
    histogram.merge(kind())
    assert (histogram.minimum, histogram.maximum, histogram.count) == (5, 6, 2)


@pytest.mark.parametrize("shape", [{"highest": 1 << 20}, {"precision_bits": 8}])
def test_merge_of_another_shape_is_refused(kind, shape):
    with pytest.raises(ValueError, match="histograms of different shape: highest"):
        kind().merge(kind(**shape))


def test_reset_forgets_everything(kind):
    histogram = filled(kind, [1, 1 << 50])
    histogram.reset()
    assert (len(histogram), histogram.overflow, histogram.buckets()) == (0, 0, [])
    assert histogram.minimum is histogram.maximum is histogram.mean is None


def test_empty_histogram_has_no_percentiles(kind):
    with pytest.raises(ValueError, match="an empty histogram has no percentiles"):
        kind().percentile(50)


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_percent_out_of_range_is_refused(kind, percent):
    with pytest.raises(ValueError, match="percent must be from 0 to 100"):
        filled(kind, [1]).percentile(percent)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_value_that_is_no_64_bit_number_is_refused(kind, value):
    with pytest.raises(OverflowError):
        kind().record(value)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ({"highest": 0}, r"highest must be from 1 to 2\*\*62, not 0"),
        ({"highest": (1 << 62) + 1}, r"highest must be from 1 to 2\*\*62"),
        ({"precision_bits": 1}, "precision_bits must be from 2 to 16, not 1"),
        ({"precision_bits": 17}, "precision_bits must be from 2 to 16, not 17"),
    ],
)
def test_shape_out_of_range_is_refused(kind, shape, text):
    with pytest.raises(ValueError, match=text):
        kind(**shape)


def test_memory_is_stated_and_bounded(kind):
    assert kind().memory_bytes < 1 << 18
