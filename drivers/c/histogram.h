/* A log-linear histogram of 64-bit values, in the manner of HdrHistogram: all memory is there before the first
 * record, a record is an index computation and an increment.
 *
 * Values below 2^precision_bits have a bucket each; above, every power of two is cut into 2^(precision_bits - 1) equal
 * buckets. A bucket is therefore never wider than its lowest value / 2^(precision_bits - 1).
 */
#ifndef TICKGATE_HISTOGRAM_H
#define TICKGATE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t *counts; /* buckets entries, owned by the caller */
    size_t buckets;
    unsigned precision_bits;
    uint64_t highest; /* larger values are counted in overflow only; min, max and sum hold them too */
    uint64_t total;
    uint64_t overflow;
    uint64_t min;
    uint64_t max;
    double sum;
} tg_histogram;

static inline size_t tg_histogram_index(unsigned precision_bits, uint64_t value) {
    unsigned log2 = 63u - (unsigned)__builtin_clzll(value | 1);
    unsigned shift = log2 < precision_bits ? 0 : log2 - (precision_bits - 1);
    return ((size_t)shift << (precision_bits - 1)) + (size_t)(value >> shift);
}

/* The lowest value that bucket index holds. */
static inline uint64_t tg_histogram_low(unsigned precision_bits, size_t index) {
    size_t half = (size_t)1 << (precision_bits - 1);
    if (index < 2 * half)
        return index;
    unsigned shift = (unsigned)(index / half) - 1;
    return (uint64_t)(index - shift * half) << shift;
}

/* The highest value that bucket index holds. */
static inline uint64_t tg_histogram_high(unsigned precision_bits, size_t index) {
    size_t half = (size_t)1 << (precision_bits - 1);
    unsigned shift = index < 2 * half ? 0 : (unsigned)(index / half) - 1;
    return tg_histogram_low(precision_bits, index) + (((uint64_t)1 << shift) - 1);
}

static inline void tg_histogram_record(tg_histogram *h, uint64_t value) {
    h->total++;
    h->sum += (double)value;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    if (value > h->highest)
        h->overflow++;
    else
        h->counts[tg_histogram_index(h->precision_bits, value)]++;
}

/* The value at rank (1 .. total): the highest value of the bucket that holds it, never above the recorded maximum. */
static inline uint64_t tg_histogram_at_rank(const tg_histogram *h, uint64_t rank) {
    uint64_t seen = 0;
    for (size_t i = 0; i < h->buckets; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            uint64_t high = tg_histogram_high(h->precision_bits, i);
            return high < h->max ? high : h->max;
        }
    }
    return h->max;
}

#endif
