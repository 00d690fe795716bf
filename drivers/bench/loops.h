/* The loops of the benchmark in C: round trips, echo, flood and sink, over a port or over the descriptor of a TAP.
 *
 * A frame carries a word behind its Ethernet header: a tag of the measurement and a number, so that a frame of an
 * earlier measurement, or of the kernel, is never counted. All loops end: by a count, by time, or by a stop flag.
 */
#ifndef TICKGATE_BENCH_LOOPS_H
#define TICKGATE_BENCH_LOOPS_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "histogram.h"
#include "port.h"

#define TG_BENCH_HEAD 14u
#define TG_BENCH_UDP_HEADERS 42u /* Ethernet, IPv4 and UDP */
#define TG_BENCH_MIN 22u     /* Ethernet header and word: the payload of UDP in a frame of 64 bytes */
#define TG_BENCH_MAX 2048u
#define TG_BENCH_BURST 32u
#define TG_BENCH_TAG_SHIFT 40 /* the word: tag << 40 | number */
#define TG_BENCH_LOST_MAX 20u /* so many losses one after the other: nobody answers */

typedef struct {
    uint64_t sent, received, lost;
    uint64_t foreign;          /* received, but not of this measurement */
    uint64_t first_ns, last_ns; /* when the flood began; when the last frames came to the sink */
    int error;                 /* 0 or the negative errno that ended the loop */
} tg_bench_count;

static inline int tg_bench_stopped(const uint32_t *stop) { return __atomic_load_n(stop, __ATOMIC_RELAXED) != 0; }

/* How many empty calls go by between two looks at the clock: a call of a port that waits takes long by itself. */
static inline uint32_t tg_bench_look(const tg_port *port) { return port->wait_ms ? 0 : 63; }

static inline void tg_bench_fill(uint8_t *data, const uint8_t *head, uint64_t word) {
    memcpy(data, head, TG_BENCH_HEAD);
    memcpy(data + TG_BENCH_HEAD, &word, 8);
}

static inline uint64_t tg_bench_word(const uint8_t *data, uint32_t len) {
    uint64_t word = 0;
    if (len >= TG_BENCH_MIN)
        memcpy(&word, data + TG_BENCH_HEAD, 8);
    return word;
}

static inline void tg_bench_swap(uint8_t *data, uint32_t len) {
    uint8_t kept[6];
    if (len < TG_BENCH_HEAD)
        return;
    memcpy(kept, data, 6);
    memcpy(data, data + 6, 6);
    memcpy(data + 6, kept, 6);
}

/* Up to n frames of the user sent, with patience while there is no room; what could not be is released. */
static inline int tg_bench_send(tg_port *port, const tg_frame *frames, unsigned n) {
    unsigned done = 0;
    for (uint32_t tries = 0; done < n && tries < 1000000; tries++) {
        int sent = tg_send_burst(port, frames + done, n - done);
        if (sent < 0 && sent != -EINTR && sent != -EAGAIN) {
            tg_release(port, frames + done, n - done);
            return sent;
        }
        if (sent > 0)
            done += (unsigned)sent;
    }
    if (done < n)
        tg_release(port, frames + done, n - done);
    return (int)done;
}

/* One frame out, with room waited for: 1, 0 where none came, or a negative errno. */
static inline int tg_bench_one(tg_port *port, const uint8_t *head, uint64_t word, uint32_t size) {
    tg_frame frame;
    int got = 0;
    for (uint32_t tries = 0; got == 0 && tries < 1000000; tries++) {
        got = tg_alloc(port, &frame, 1);
        if (got == 0)
            tg_send_burst(port, &frame, 0);
    }
    if (got <= 0)
        return got;
    tg_bench_fill(frame.data, head, word);
    frame.len = size;
    return tg_bench_send(port, &frame, 1);
}

/* Wait for the frame with this word: 1 when it came, 0 when patience ended, or a negative errno. *now is the time of
 * that. Other frames are counted and given back. */
static inline int tg_bench_await(tg_port *port, const tg_clock *clock, uint64_t word, uint64_t until_ns, uint64_t *now,
                                 tg_bench_count *count) {
    tg_frame frames[8];
    const uint32_t look = tg_bench_look(port);
    for (uint32_t spins = 0;; spins++) {
        int got = tg_recv_burst(port, frames, 8), found = 0;
        if (got < 0 && got != -EINTR && got != -EAGAIN)
            return got;
        if (got > 0) {
            *now = tg_clock_ns(clock);
            for (int i = 0; i < got; i++)
                found |= tg_bench_word(frames[i].data, frames[i].len) == word;
            count->foreign += (uint64_t)(got - found);
            tg_release(port, frames, (unsigned)got);
            if (found)
                return 1;
        }
        if ((spins & look) == look || got > 0) {
            *now = tg_clock_ns(clock);
            if (*now > until_ns)
                return 0;
        }
    }
}

/* Round trips, each recorded into the histogram: until `trips` are done or `limit_ns` is over. */
static inline void tg_bench_ping(tg_port *port, const tg_clock *clock, tg_histogram *times, const uint8_t *head,
                                 uint64_t tag, uint64_t trips, uint32_t size, uint64_t patience_ns, uint64_t limit_ns,
                                 tg_bench_count *count) {
    uint64_t end = tg_clock_ns(clock) + limit_ns, start = 0, now = 0;
    uint32_t silent = 0;
    for (uint64_t i = 1; i <= trips && now < end; i++) {
        const uint64_t word = tag << TG_BENCH_TAG_SHIFT | i;
        start = tg_clock_ns(clock);
        int result = tg_bench_one(port, head, word, size);
        if (result > 0) {
            count->sent++;
            result = tg_bench_await(port, clock, word, start + patience_ns, &now, count);
        } else {
            now = tg_clock_ns(clock);
        }
        if (result < 0) {
            count->error = result;
            return;
        }
        if (result > 0) {
            tg_histogram_record(times, now - start);
            count->received++;
            silent = 0;
        } else {
            count->lost++;
            if (++silent == TG_BENCH_LOST_MAX) {
                count->error = -ETIMEDOUT;
                return;
            }
        }
    }
}

/* Send back what comes, addresses swapped, until stopped. */
static inline void tg_bench_echo(tg_port *port, const uint32_t *stop, tg_bench_count *count) {
    tg_frame frames[TG_BENCH_BURST];
    while (!tg_bench_stopped(stop)) {
        int got = tg_recv_burst(port, frames, TG_BENCH_BURST);
        if (got > 0) {
            count->received += (uint64_t)got;
            for (int i = 0; i < got; i++)
                tg_bench_swap(frames[i].data, frames[i].len);
            got = tg_bench_send(port, frames, (unsigned)got);
            count->sent += got > 0 ? (uint64_t)got : 0;
        }
        if (got < 0 && got != -EINTR && got != -EAGAIN) {
            count->error = got;
            return;
        }
    }
}

/* Frames as fast as they go for duration_ns; then what still waits in the rings is pushed on. */
static inline void tg_bench_flood(tg_port *port, const tg_clock *clock, const uint8_t *head, uint64_t tag,
                                  uint32_t size, uint64_t duration_ns, tg_bench_count *count) {
    tg_frame frames[TG_BENCH_BURST];
    const uint64_t end = tg_clock_ns(clock) + duration_ns;
    uint64_t number = 0;
    count->first_ns = end - duration_ns;
    while (tg_clock_ns(clock) < end) {
        int got = tg_alloc(port, frames, TG_BENCH_BURST);
        if (got <= 0) {
            got = tg_send_burst(port, frames, 0);
        } else {
            for (int i = 0; i < got; i++) {
                tg_bench_fill(frames[i].data, head, tag << TG_BENCH_TAG_SHIFT | ++number);
                frames[i].len = size;
            }
            got = tg_bench_send(port, frames, (unsigned)got);
            count->sent += got > 0 ? (uint64_t)got : 0;
        }
        if (got < 0 && got != -EINTR && got != -EAGAIN) {
            count->error = got;
            return;
        }
    }
    for (int i = 0; i < 2000; i++) {
        tg_send_burst(port, frames, 0);
        tg_reclaim(port);
    }
}

static inline void tg_bench_came(const tg_clock *clock, uint64_t mine, tg_bench_count *count) {
    if (!mine)
        return;
    count->last_ns = tg_clock_ns(clock);
    count->received += mine;
}

/* Count what comes with this tag, until stopped. */
static inline void tg_bench_sink(tg_port *port, const tg_clock *clock, uint64_t tag, const uint32_t *stop,
                                 tg_bench_count *count) {
    tg_frame frames[TG_BENCH_BURST];
    while (!tg_bench_stopped(stop)) {
        int got = tg_recv_burst(port, frames, TG_BENCH_BURST);
        if (got > 0) {
            uint64_t mine = 0;
            for (int i = 0; i < got; i++)
                mine += tg_bench_word(frames[i].data, frames[i].len) >> TG_BENCH_TAG_SHIFT == tag;
            count->foreign += (uint64_t)got - mine;
            tg_bench_came(clock, mine, count);
            tg_release(port, frames, (unsigned)got);
        } else if (got < 0 && got != -EINTR && got != -EAGAIN) {
            count->error = got;
            return;
        }
    }
}

/* Addresses and ports of a UDP datagram in IPv4 without options, in turn: its checksums stay right. */
static inline void tg_bench_swap_udp(uint8_t *data, uint32_t len) {
    uint8_t kept[4];
    if (len < TG_BENCH_UDP_HEADERS || data[12] != 0x08 || data[13] != 0x00 || data[14] != 0x45 || data[23] != 17)
        return;
    memcpy(kept, data + 26, 4);
    memcpy(data + 26, data + 30, 4);
    memcpy(data + 30, kept, 4);
    memcpy(kept, data + 34, 2);
    memcpy(data + 34, data + 36, 2);
    memcpy(data + 36, kept, 2);
}

/* Echo and sink at the descriptor of a TAP (O_NONBLOCK): one read or write is one frame. `over` bytes of headers are in
 * front of what the port at the other end has as a frame. */
static inline void tg_bench_echo_fd(int fd, const uint32_t *stop, tg_bench_count *count) {
    uint8_t data[TG_BENCH_MAX];
    while (!tg_bench_stopped(stop)) {
        ssize_t got = read(fd, data, sizeof data);
        if (got > 0) {
            count->received++;
            tg_bench_swap(data, (uint32_t)got);
            tg_bench_swap_udp(data, (uint32_t)got);
            count->sent += write(fd, data, (size_t)got) == got;
        } else if (got < 0 && errno != EAGAIN && errno != EINTR) {
            count->error = -errno;
            return;
        }
    }
}

static inline void tg_bench_sink_fd(int fd, const tg_clock *clock, uint64_t tag, uint32_t over, const uint32_t *stop,
                                    tg_bench_count *count) {
    uint8_t data[TG_BENCH_MAX];
    while (!tg_bench_stopped(stop)) {
        ssize_t got = read(fd, data, sizeof data);
        if (got > 0) {
            uint32_t len = (uint32_t)got > over ? (uint32_t)got - over : 0;
            uint64_t mine = tg_bench_word(data + over, len) >> TG_BENCH_TAG_SHIFT == tag;
            count->foreign += 1 - mine;
            tg_bench_came(clock, mine, count);
        } else if (got < 0 && errno != EAGAIN && errno != EINTR) {
            count->error = -errno;
            return;
        }
    }
}

/* The floor of all that two CPUs do together: a cache line that goes to the other CPU and back. `line` is alone on its
 * line; the near end writes odd numbers, the far end the even ones behind them. */
static inline void tg_bench_bounce_back(uint64_t *line, const uint32_t *stop) {
    uint64_t seen;
    while (!tg_bench_stopped(stop))
        if ((seen = __atomic_load_n(line, __ATOMIC_ACQUIRE)) & 1)
            __atomic_store_n(line, seen + 1, __ATOMIC_RELEASE);
}

/* Trips done within limit_ns: all of `trips` unless nobody answers. */
static inline uint64_t tg_bench_bounce(uint64_t *line, const tg_clock *clock, uint64_t trips, uint64_t limit_ns) {
    const uint64_t end = tg_clock_ns(clock) + limit_ns;
    uint64_t number = __atomic_load_n(line, __ATOMIC_ACQUIRE), done;
    for (done = 0; done < trips; done++) {
        __atomic_store_n(line, number + 1, __ATOMIC_RELEASE);
        for (uint32_t spins = 1; __atomic_load_n(line, __ATOMIC_ACQUIRE) != number + 2; spins++)
            if ((spins & 4095) == 0 && tg_clock_ns(clock) > end)
                return done;
        number += 2;
    }
    return done;
}

#endif
