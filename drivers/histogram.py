"""A latency histogram with bounded relative error: compiled where it is installed, else in Python.

Both kinds have the same members, the same buckets and the same results. A reported value is exact below
``2**precision_bits`` and otherwise at most ``1 / 2**(precision_bits - 1)`` too high (default: 0.1 %), never too low.
The compiled kind allocates nothing on a record.

Reference: the bucket layout is that of HdrHistogram (hdrhistogram.org), with powers of two instead of decimal digits.
"""

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class PureHistogram:
    """The histogram in plain Python; also the reference that the compiled one is tested against.

    Parameters:
        highest: largest value with a bucket, 1 to 2**62.
        precision_bits: 2 to 16, see the module.

    Raises:
        ValueError: a parameter is out of its range.
    """

    def __init__(self, highest: int = 1 << 36, precision_bits: int = 11) -> None:
        if not 1 <= highest <= 1 << 62:
            raise ValueError(f"highest must be from 1 to 2**62, not {highest}")
        if not 2 <= precision_bits <= 16:
            raise ValueError(f"precision_bits must be from 2 to 16, not {precision_bits}")
        self.highest = highest
        self.precision_bits = precision_bits
        self._counts = [0] * (self._index(highest) + 1)
        self.reset()

    def reset(self) -> None:
        """Forget every record."""
        self._counts[:] = [0] * len(self._counts)
        self.count = 0
        self.overflow = 0
        self.minimum: int | None = None
        self.maximum: int | None = None
        self._sum = 0.0

    def record(self, value: int) -> None:
        """Count one value; a value above ``highest`` is counted in ``overflow``.

        Raises:
            OverflowError: the value is negative or has more than 64 bits.
        """
        if not 0 <= value < 1 << 64:
            raise OverflowError(f"a value must have at most 64 bits and no sign, not {value}")
        self.count += 1
        self._sum += value
        self.minimum = value if self.minimum is None else min(self.minimum, value)
        self.maximum = value if self.maximum is None else max(self.maximum, value)
        if value > self.highest:
            self.overflow += 1
        else:
            self._counts[self._index(value)] += 1

    def record_many(self, values: "npt.NDArray[np.uint64]") -> None:
        """Count every value of a one-dimensional array."""
        for value in values.tolist():
            self.record(value)

    def merge(self, other: "PureHistogram") -> None:
        """Add the records of ``other``.

        Raises:
            ValueError: it has another ``highest`` or ``precision_bits``.
        """
        if (other.highest, other.precision_bits) != (self.highest, self.precision_bits):
            raise ValueError(
                f"histograms of different shape: highest {self.highest} and {other.highest}, "
                f"precision_bits {self.precision_bits} and {other.precision_bits}"
            )
        self._counts[:] = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.overflow += other.overflow
        self._sum += other._sum
        self.minimum = min((m for m in (self.minimum, other.minimum) if m is not None), default=None)
        self.maximum = max((m for m in (self.maximum, other.maximum) if m is not None), default=None)

    def percentile(self, percent: float) -> int:
        """The least recorded value, within the precision, that ``percent`` of the records do not exceed.

        Raises:
            ValueError: ``percent`` is not from 0 to 100, or nothing was recorded.
        """
        if not 0.0 <= percent <= 100.0:
            raise ValueError(f"percent must be from 0 to 100, not {percent}")
        if self.maximum is None:
            raise ValueError("an empty histogram has no percentiles")
        # The quotient is rounded: the factor keeps a whole rank whole (99.9 % of 1000 is 999, not 1000).
        rank = max(1, math.ceil(percent / 100.0 * self.count * (1.0 - 1e-12)))
        seen = 0
        for _, high, count in self.buckets():
            seen += count
            if seen >= rank:
                return min(high, self.maximum)
        return self.maximum

    def percentiles(self, percents: Iterable[float]) -> list[int]:
        """A list of `percentile` for each of ``percents``."""
        return [self.percentile(percent) for percent in percents]

    def buckets(self) -> list[tuple[int, int, int]]:
        """A list of (lowest value, highest value, count) of the buckets that hold a record, in rising order."""
        return [(*self._bounds(index), count) for index, count in enumerate(self._counts) if count]

    @property
    def mean(self) -> float | None:
        """The mean of the recorded values; None of an empty histogram."""
        return self._sum / self.count if self.count else None

    @property
    def memory_bytes(self) -> int:
        """Memory of the buckets in bytes, as the compiled kind has it."""
        return 8 * len(self._counts)

    def __len__(self) -> int:
        return self.count

    def _index(self, value: int) -> int:
        shift = max(0, value.bit_length() - self.precision_bits)
        return (shift << (self.precision_bits - 1)) + (value >> shift)

    def _bounds(self, index: int) -> tuple[int, int]:
        half = 1 << (self.precision_bits - 1)
        shift = max(0, index // half - 1)
        low = (index - shift * half) << shift
        return low, low + (1 << shift) - 1


if TYPE_CHECKING:
    from tickgate.drivers._histogram import Histogram as Histogram
elif os.environ.get("TICKGATE_PURE"):
    Histogram = PureHistogram
else:
    try:
        from tickgate.drivers._histogram import Histogram
    except ModuleNotFoundError:
        Histogram = PureHistogram


def compiled() -> bool:
    """Whether `Histogram` is the compiled kind."""
    return Histogram is not PureHistogram
