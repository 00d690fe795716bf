# cython: language_level=3
"""The calibrated clock for other Cython modules: ``cimport tickgate.drivers._clock``; see c/clock.h."""
from libc.stdint cimport uint64_t


cdef extern from "clock.h" nogil:
    const int TG_CLOCK_VDSO
    const int TG_CLOCK_TSC

    ctypedef struct tg_clock:
        int source
        uint64_t base_ticks
        uint64_t base_ns
        uint64_t mult

    uint64_t tg_clock_raw_ns()
    uint64_t tg_clock_ticks(const tg_clock *clock)
    uint64_t tg_clock_to_ns(const tg_clock *clock, uint64_t ticks)
    uint64_t tg_clock_ns(const tg_clock *clock)
    void tg_clock_calibrate(tg_clock *clock, uint64_t settle_ns, int allow_tsc)


cdef class Clock:
    cdef tg_clock c
    # The body is in the header, so that a module that cimports it inlines the read.
    cdef inline uint64_t ns(self) noexcept nogil:
        return tg_clock_ns(&self.c)
