# cython: language_level=3
"""A calibrated monotonic clock; see c/clock.h."""


cdef class Clock:
    """A monotonic nanosecond clock, calibrated when it is made.

    Parameters: ``settle_ns``, how long to calibrate (1 ms to 1 s; 20 ms gives a few parts in a million), and
    ``allow_tsc``, False to use clock_gettime even where the time stamp counter is invariant.
    """

    def __cinit__(self, uint64_t settle_ns=20_000_000, bint allow_tsc=True):
        if not 1_000_000 <= settle_ns <= 1_000_000_000:
            raise ValueError(f"settle_ns must be from 1_000_000 to 1_000_000_000, not {settle_ns}")
        with nogil:
            tg_clock_calibrate(&self.c, settle_ns, allow_tsc)

    @property
    def source(self):
        """``rdtscp`` or ``clock_gettime``."""
        return "rdtscp" if self.c.source == TG_CLOCK_TSC else "clock_gettime"

    @property
    def ticks_per_second(self):
        """Measured rate of the source in hertz."""
        return 1e9 * 2.0**32 / self.c.mult

    def now_ns(self):
        """Nanoseconds of the CLOCK_MONOTONIC_RAW timeline."""
        return tg_clock_ns(&self.c)

    def ticks(self):
        """Raw count of the source; `to_ns` turns a count into nanoseconds."""
        return tg_clock_ticks(&self.c)

    def to_ns(self, uint64_t ticks):
        """Nanoseconds of the CLOCK_MONOTONIC_RAW timeline at a count that is not older than this clock."""
        return tg_clock_to_ns(&self.c, ticks)

    def read_cost_ns(self, unsigned int reads=10_000):
        """Mean cost in nanoseconds of one read from C, measured over ``reads`` reads."""
        cdef uint64_t start, sink = 0
        cdef unsigned int i
        if reads == 0:
            raise ValueError("reads must be at least 1, not 0")
        with nogil:
            start = tg_clock_ns(&self.c)
            for i in range(reads):
                sink ^= tg_clock_ns(&self.c)
            start = tg_clock_ns(&self.c) - start
        return start / <double>reads
