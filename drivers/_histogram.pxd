# cython: language_level=3
"""The latency histogram for other Cython modules: ``cimport tickgate.drivers._histogram``; see c/histogram.h."""
from libc.stddef cimport size_t
from libc.stdint cimport uint64_t


cdef extern from "histogram.h" nogil:
    ctypedef struct tg_histogram:
        uint64_t *counts
        size_t buckets
        unsigned int precision_bits
        uint64_t highest
        uint64_t total
        uint64_t overflow
        uint64_t min
        uint64_t max
        double sum

    size_t tg_histogram_index(unsigned int precision_bits, uint64_t value)
    uint64_t tg_histogram_low(unsigned int precision_bits, size_t index)
    uint64_t tg_histogram_high(unsigned int precision_bits, size_t index)
    void tg_histogram_record(tg_histogram *h, uint64_t value)
    uint64_t tg_histogram_at_rank(const tg_histogram *h, uint64_t rank)


cdef class Histogram:
    cdef tg_histogram c
    # The body is in the header, so that a module that cimports it inlines the record.
    cdef inline void record_ns(self, uint64_t ns) noexcept nogil:
        tg_histogram_record(&self.c, ns)
