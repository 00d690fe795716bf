/* A monotonic clock in nanoseconds, read in about 20 ns without a system call.
 *
 * Source: the time stamp counter (rdtscp) where the CPU states that it is invariant, that is, counts at one rate in
 * every power state (Intel SDM vol. 3, "Invariant TSC": CPUID 80000007H, EDX bit 8); elsewhere clock_gettime through
 * the vDSO. Counts are scaled to nanoseconds against CLOCK_MONOTONIC_RAW, which no time daemon slews.
 */
#ifndef TICKGATE_CLOCK_H
#define TICKGATE_CLOCK_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

enum { TG_CLOCK_VDSO = 0, TG_CLOCK_TSC = 1 };

/* ns = base_ns + (ticks - base_ticks) * mult / 2^32 */
typedef struct {
    int source;
    uint64_t base_ticks;
    uint64_t base_ns;
    uint64_t mult;
} tg_clock;

static inline uint64_t tg_clock_raw_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Whether rdtscp exists and its counter is invariant. */
static inline int tg_clock_tsc_is_invariant(void) {
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (!__get_cpuid(0x80000001u, &a, &b, &c, &d) || !(d & (1u << 27)))
        return 0;
    if (!__get_cpuid(0x80000007u, &a, &b, &c, &d))
        return 0;
    return (d >> 8) & 1;
#else
    return 0;
#endif
}

static inline uint64_t tg_clock_ticks(const tg_clock *clock) {
#if defined(__x86_64__)
    if (clock->source == TG_CLOCK_TSC) {
        unsigned cpu;
        return __rdtscp(&cpu);
    }
#endif
    (void)clock;
    return tg_clock_raw_ns();
}

static inline uint64_t tg_clock_to_ns(const tg_clock *clock, uint64_t ticks) {
    return clock->base_ns + (uint64_t)(((unsigned __int128)(ticks - clock->base_ticks) * clock->mult) >> 32);
}

static inline uint64_t tg_clock_ns(const tg_clock *clock) {
    return tg_clock_to_ns(clock, tg_clock_ticks(clock));
}

/* One (ticks, ns) pair: the closest of several readings, because an interrupt may fall between the two clocks. */
static inline void tg_clock_pair(const tg_clock *clock, uint64_t *ticks, uint64_t *ns) {
    uint64_t best = UINT64_MAX;
    *ticks = *ns = 0;
    for (int i = 0; i < 32; i++) {
        uint64_t before = tg_clock_ticks(clock), now = tg_clock_raw_ns(), after = tg_clock_ticks(clock);
        if (after - before < best) {
            best = after - before;
            *ticks = before + best / 2;
            *ns = now;
        }
    }
}

/* Choose the source and measure its rate; takes settle_ns (20 ms gives a few parts in a million).
 * allow_tsc = 0 forces the vDSO. A rate that is not believable (under 100 MHz or over 10 GHz, as a virtual machine
 * that traps or rescales the counter may show) falls back to the vDSO too. */
static inline void tg_clock_calibrate(tg_clock *clock, uint64_t settle_ns, int allow_tsc) {
    uint64_t t0, n0, t1, n1;
    clock->base_ticks = 0;
    clock->base_ns = 0;
    clock->mult = (uint64_t)1 << 32;
    clock->source = allow_tsc && tg_clock_tsc_is_invariant() ? TG_CLOCK_TSC : TG_CLOCK_VDSO;
    if (clock->source == TG_CLOCK_VDSO)
        return;
    tg_clock_pair(clock, &t0, &n0);
    while (tg_clock_raw_ns() - n0 < settle_ns) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    tg_clock_pair(clock, &t1, &n1);
    uint64_t ticks = t1 - t0, ns = n1 - n0;
    if (t1 <= t0 || ticks < ns / 10 || ticks > ns * 10) {
        clock->source = TG_CLOCK_VDSO;
        return;
    }
    clock->mult = (uint64_t)((((unsigned __int128)ns) << 32) / ticks);
    clock->base_ticks = t1;
    clock->base_ns = n1;
}

#endif
