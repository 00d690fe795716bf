"""Seeded random numbers that are the same on every machine, NumPy and Python.

Only the raw 64-bit words of PCG64 are used, whose stream NumPy's compatibility policy fixes (unlike that of
`Generator`'s distributions); everything else is integer arithmetic and look-ups in tables of rounded quantiles.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

TABLE_BITS = 12
TABLE_SIZE = 1 << TABLE_BITS
_EXPONENTIAL_SCALE = 1 << 16

Integers = npt.NDArray[np.int64]


class Draws:
    """A stream of raw words, and columns made from it.

    Parameters
    ----------
    seed, branch : int
        0 or more; each branch of a seed is a stream of its own.
    """

    def __init__(self, seed: int, branch: int = 0):
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, branch)))

    def words(self, number: int) -> npt.NDArray[np.uint64]:
        """That many raw words."""
        return np.asarray(self._bits.random_raw(number), dtype=np.uint64)

    def below(self, number: int, end: int) -> Integers:
        """Integers 0 to `end` - 1 (`end` at most 2**31; the bias is below 2**-32)."""
        return (((self.words(number) >> np.uint64(32)) * np.uint64(end)) >> np.uint64(32)).astype(np.int64)

    def unit(self, number: int) -> npt.NDArray[np.float64]:
        """Floats 0 <= u < 1, multiples of 2**-53."""
        return (self.words(number) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def one_below(self, end: int) -> int:
        """One integer 0 to `end` - 1."""
        return int(self.below(1, end)[0])

    def from_table(self, number: int, table: Integers) -> Integers:
        """Entries of a table of `TABLE_SIZE` quantiles."""
        return table[(self.words(number) >> np.uint64(64 - TABLE_BITS)).astype(np.int64)]

    def choice(self, number: int, ends: Integers) -> Integers:
        """Indices by cumulated integer weights: `ends` rises to 2**32 (`cumulated` makes it)."""
        return np.searchsorted(ends, (self.words(number) >> np.uint64(32)).astype(np.int64), side="right")


def cumulated(weights: Sequence[float]) -> Integers:
    """Cumulated weights, scaled to end at exactly 2**32."""
    total = math.fsum(weights)
    running = 0.0
    ends: list[int] = []
    for weight in weights:
        running += weight
        ends.append(round(running / total * 2**32))
    ends[-1] = 2**32
    return np.array(ends, dtype=np.int64)


def weighted_table(choices: Sequence[tuple[int, float]]) -> Integers:
    """A table of quantiles from (value, weight)."""
    total = math.fsum(weight for _, weight in choices)
    ends: list[float] = []
    for _, weight in choices:
        ends.append((ends[-1] if ends else 0.0) + weight / total)
    last = len(choices) - 1
    return np.array(
        [choices[min(bisect_right(ends, (i + 0.5) / TABLE_SIZE), last)][0] for i in range(TABLE_SIZE)], dtype=np.int64
    )


def geometric_table(mean: float) -> Integers:
    """Quantiles of the geometric distribution on 0, 1, 2, ... with that mean."""
    stay = mean / (1.0 + mean)
    return np.array([int(math.log(1 - (i + 0.5) / TABLE_SIZE) / math.log(stay)) for i in range(TABLE_SIZE)])


def exponential_table() -> Integers:
    """Quantiles of the exponential distribution with mean 1, in 1/65,536, that sum to mean 1."""
    values = [-math.log(1 - (i + 0.5) / TABLE_SIZE) for i in range(TABLE_SIZE)]
    scale = _EXPONENTIAL_SCALE * TABLE_SIZE / math.fsum(values)
    return np.array([round(value * scale) for value in values])


def normal_table() -> Integers:
    """Quantiles of the standard normal distribution, in 1/65,536."""
    normal = NormalDist()
    return np.array([round(normal.inv_cdf((i + 0.5) / TABLE_SIZE) * _EXPONENTIAL_SCALE) for i in range(TABLE_SIZE)])
