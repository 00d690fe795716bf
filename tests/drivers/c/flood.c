/* Floods one direction with checksummed frames: flood BACKEND RING FRAMES PERCENT [plant].
 *
 * First the one-way rate: as fast as it goes, received frames counted. Then FRAMES at PERCENT of that rate; each holds
 * its number, content that follows from it, and a checksum; its length varies from 64 to 255 bytes. `plant` sends one
 * frame with a wrong byte, one twice, and leaves one out: the receiver must tell. Prints one JSON object.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "ends.h"

#define HEAD 14u
#define BURST 16u

static tg_port *ends[2];
static _Atomic int sending, ready;
static uint64_t total, probe_frames;
static uint64_t received, corrupted, duplicated, disordered;
static uint8_t *seen;
static uint64_t first_ns, last_ns;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t length_of(uint64_t number) { return 64u + (uint32_t)((number * 2654435761u >> 7) % 192u); }

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    return (x ^ (x >> 27)) * 0x94d049bb133111ebull;
}

/* The checksum of what stands between the header and the last eight bytes. */
static uint64_t checksum(const uint8_t *data, uint32_t len) {
    uint64_t sum = len, word;
    uint32_t at = HEAD;
    for (; at + 16 <= len; at += 8) {
        memcpy(&word, data + at, 8);
        sum = mix(sum + word);
    }
    for (; at + 8 < len; at++)
        sum = mix(sum + data[at]);
    return sum;
}

static void fill(uint8_t *data, uint64_t number, uint32_t len) {
    static const uint8_t head[HEAD] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};
    uint64_t word = number;
    memcpy(data, head, HEAD);
    memcpy(data + HEAD, &number, 8);
    for (uint32_t at = HEAD + 8; at + 8 < len; at += 8) {
        word = mix(word + at);
        memcpy(data + at, &word, len - 8 - at < 8 ? len - 8 - at : 8);
    }
    word = checksum(data, len);
    memcpy(data + len - 8, &word, 8);
}

static void look(const tg_frame *f, uint64_t *expected) {
    uint64_t number, sum;
    if (f->len < 64) {
        corrupted++;
        return;
    }
    memcpy(&number, f->data + HEAD, 8);
    memcpy(&sum, f->data + f->len - 8, 8);
    if (number >= total || f->len != length_of(number) || sum != checksum(f->data, f->len)) {
        corrupted++;
        return;
    }
    if (seen[number >> 3] >> (number & 7) & 1)
        duplicated++;
    seen[number >> 3] |= (uint8_t)(1u << (number & 7));
    if (number < *expected)
        disordered++;
    *expected = number + 1;
}

static void *receiver(void *verify) {
    tg_frame frames[64];
    uint64_t expected = 0, silent_since = now_ns();
    received = 0;
    atomic_store(&ready, 1);
    for (uint64_t spins = 0;; spins++) {
        int n = tg_recv_burst(ends[1], frames, 64);
        if (n > 0) {
            if (verify)
                for (int i = 0; i < n; i++)
                    look(&frames[i], &expected);
            tg_release(ends[1], frames, (unsigned)n);
            last_ns = now_ns();
            if (!received)
                first_ns = last_ns;
            received += (uint64_t)n;
            silent_since = last_ns;
        } else if ((spins & 1023) == 0) {
            uint64_t now = now_ns();
            if (atomic_load(&sending))
                silent_since = now;
            else if (now - silent_since > 500000000u)
                return NULL;
        }
    }
}

/* One number after the other; returns how many were sent. gap_ns: time between two bursts, 0: none. */
static uint64_t flood(uint64_t count, double gap_ns, int plant) {
    tg_frame frames[BURST];
    uint64_t next = 0, sent = 0, start = now_ns(), bursts = 0, stuck = 0;
    while (next < count && stuck < 2000000000u) {
        if (gap_ns > 0 && (double)(now_ns() - start) < (double)bursts * gap_ns) {
            if ((++stuck & 255) == 0)
                tg_recv_burst(ends[0], frames, 1); /* lets the port look after what waits in its ring */
            continue;
        }
        int n = tg_alloc(ends[0], frames, BURST);
        unsigned made = 0;
        for (; (int)made < n && next < count; next++) {
            uint32_t len = length_of(next);
            if (plant && next == 7)
                continue;
            fill(frames[made].data, next, len);
            if (plant && next == 5)
                frames[made].data[30] ^= 1;
            frames[made].len = len;
            made++;
            if (plant && next == 6 && (int)made < n) {
                fill(frames[made].data, next, len);
                frames[made++].len = len;
            }
        }
        unsigned done = 0;
        while (done < made && stuck < 2000000000u) {
            int s = tg_send_burst(ends[0], frames + done, made - done);
            done += s > 0 ? (unsigned)s : 0u;
            stuck += s <= 0;
        }
        if (n > (int)made)
            tg_release(ends[0], frames + made, (unsigned)(n - (int)made));
        sent += done;
        bursts += n > 0;
        stuck = n > 0 ? 0 : stuck + 1;
        if (n <= 0)
            tg_send_burst(ends[0], frames, 0);
    }
    for (int i = 0; i < 1000000 && tg_send_burst(ends[0], frames, 0) == 0; i++) /* what still waits */
        if (tg_reclaim(ends[0]) <= 0 && i > 1000)
            break;
    return sent;
}

static uint64_t run(uint64_t count, double gap_ns, void *verify, int plant) {
    pthread_t thread;
    atomic_store(&ready, 0);
    atomic_store(&sending, 1);
    pthread_create(&thread, NULL, receiver, verify);
    while (!atomic_load(&ready))
        usleep(100);
    uint64_t sent = flood(count, gap_ns, plant);
    atomic_store(&sending, 0);
    pthread_join(thread, NULL);
    return sent;
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 2;
    int plant = argc > 5;
    total = strtoull(argv[3], NULL, 10);
    probe_frames = total < 1000000 ? total : 1000000;
    seen = calloc(total / 8 + 1, 1);
    open_ends(argv[1], (uint32_t)atoi(argv[2]), ends);
    run(probe_frames, 0, NULL, 0);
    double rate = received > 1 ? (double)(received - 1) * 1e9 / (double)(last_ns - first_ns) : 0;
    double gap_ns = rate > 0 ? BURST * 1e9 / (rate * atof(argv[4]) / 100) : 0;
    uint64_t sent = run(total, gap_ns, &seen, plant), there = 0;
    double reached = received > 1 ? (double)(received - 1) * 1e9 / (double)(last_ns - first_ns) : 0;
    for (uint64_t i = 0; i < total; i++)
        there += seen[i >> 3] >> (i & 7) & 1;
    tg_stats tx, rx;
    ends[0]->ops->stats(ends[0], &tx);
    ends[1]->ops->stats(ends[1], &rx);
    printf("{\"backend\": \"%s\", \"rate\": %.0f, \"paced_rate\": %.0f, \"frames\": %llu, \"sent\": %llu, "
           "\"received\": %llu, \"lost\": %llu, \"corrupted\": %llu, \"duplicated\": %llu, \"disordered\": %llu, "
           "\"tx_dropped\": %llu, \"rx_dropped\": %llu}\n",
           argv[1], rate, reached, (unsigned long long)total, (unsigned long long)sent, (unsigned long long)received,
           (unsigned long long)(total - there), (unsigned long long)corrupted, (unsigned long long)duplicated,
           (unsigned long long)disordered, (unsigned long long)tx.tx_dropped, (unsigned long long)rx.rx_dropped);
    tg_port_close(ends[1]);
    tg_port_close(ends[0]);
    free(seen);
    return 0;
}
