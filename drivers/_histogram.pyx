# cython: language_level=3
"""A preallocated log-linear histogram; see c/histogram.h and `tickgate.drivers.histogram` for the contract."""
from libc.math cimport ceil
from libc.stdlib cimport free, malloc
from libc.string cimport memset


cdef class Histogram:
    """A latency histogram; all memory is allocated and touched when it is made, none on a record.

    Parameters: ``highest``, the largest value with a bucket (1 to 2**62), and ``precision_bits`` (2 to 16): a reported
    value is exact below ``2**precision_bits`` and otherwise at most ``1 / 2**(precision_bits - 1)`` too high.
    """

    def __cinit__(self, uint64_t highest=1 << 36, unsigned int precision_bits=11):
        if not 1 <= highest <= <uint64_t>1 << 62:
            raise ValueError(f"highest must be from 1 to 2**62, not {highest}")
        if not 2 <= precision_bits <= 16:
            raise ValueError(f"precision_bits must be from 2 to 16, not {precision_bits}")
        self.c.buckets = tg_histogram_index(precision_bits, highest) + 1
        self.c.counts = <uint64_t *>malloc(self.c.buckets * sizeof(uint64_t))
        if self.c.counts == NULL:
            raise MemoryError()
        self.c.precision_bits = precision_bits
        self.c.highest = highest
        self.reset()

    def __dealloc__(self):
        free(self.c.counts)

    def reset(self):
        """Forget every record; keeps the memory, and touches it, so that no record pays for a page fault."""
        memset(self.c.counts, 0, self.c.buckets * sizeof(uint64_t))
        self.c.total = 0
        self.c.overflow = 0
        self.c.min = <uint64_t>-1
        self.c.max = 0
        self.c.sum = 0.0

    def record(self, uint64_t value):
        """Count one value; a value above ``highest`` is counted in ``overflow``."""
        tg_histogram_record(&self.c, value)

    def record_many(self, values):
        """Count every value of a one-dimensional contiguous array of 64-bit unsigned integers (`numpy.uint64`)."""
        cdef const uint64_t[::1] view = values
        cdef Py_ssize_t i
        with nogil:
            for i in range(view.shape[0]):
                tg_histogram_record(&self.c, view[i])

    def merge(self, Histogram other not None):
        """Add the records of ``other``, which must have the same ``highest`` and ``precision_bits``."""
        cdef size_t i
        if other.c.precision_bits != self.c.precision_bits or other.c.highest != self.c.highest:
            raise ValueError(
                f"histograms of different shape: highest {self.c.highest} and {other.c.highest}, "
                f"precision_bits {self.c.precision_bits} and {other.c.precision_bits}"
            )
        with nogil:
            for i in range(self.c.buckets):
                self.c.counts[i] += other.c.counts[i]
        self.c.total += other.c.total
        self.c.overflow += other.c.overflow
        self.c.sum += other.c.sum
        self.c.min = min(self.c.min, other.c.min)
        self.c.max = max(self.c.max, other.c.max)

    def percentile(self, double percent):
        """The least recorded value, within the precision, that ``percent`` (0 to 100) of the records do not exceed."""
        cdef uint64_t rank
        if not 0.0 <= percent <= 100.0:
            raise ValueError(f"percent must be from 0 to 100, not {percent}")
        if self.c.total == 0:
            raise ValueError("an empty histogram has no percentiles")
        # The quotient is rounded: the factor keeps a whole rank whole (99.9 % of 1000 is 999, not 1000).
        rank = <uint64_t>ceil(percent / 100.0 * self.c.total * (1.0 - 1e-12))
        return tg_histogram_at_rank(&self.c, min(max(rank, <uint64_t>1), self.c.total))

    def percentiles(self, percents):
        """A list of `percentile` for each of ``percents``."""
        return [self.percentile(percent) for percent in percents]

    def buckets(self):
        """A list of (lowest value, highest value, count) of the buckets that hold a record, in rising order."""
        cdef size_t i
        return [
            (tg_histogram_low(self.c.precision_bits, i), tg_histogram_high(self.c.precision_bits, i), self.c.counts[i])
            for i in range(self.c.buckets)
            if self.c.counts[i]
        ]

    def __len__(self):
        return self.c.total

    @property
    def count(self):
        """Number of records, overflow included."""
        return self.c.total

    @property
    def overflow(self):
        """Number of records above ``highest``; a percentile that falls among them reports the maximum."""
        return self.c.overflow

    @property
    def highest(self):
        """The largest value with a bucket."""
        return self.c.highest

    @property
    def precision_bits(self):
        """See the class."""
        return self.c.precision_bits

    @property
    def minimum(self):
        """The least recorded value, exact; None of an empty histogram."""
        return self.c.min if self.c.total else None

    @property
    def maximum(self):
        """The largest recorded value, exact; None of an empty histogram."""
        return self.c.max if self.c.total else None

    @property
    def mean(self):
        """The mean of the recorded values; None of an empty histogram."""
        return self.c.sum / self.c.total if self.c.total else None

    @property
    def memory_bytes(self):
        """Memory of the buckets in bytes."""
        return self.c.buckets * sizeof(uint64_t)
