/* Two threads, one at each end of a shared-memory pair, both sending and receiving in bursts of changing sizes, holding
 * frames back and returning them out of order: stress FRAMES. For ThreadSanitizer; also checks the content. */
#include <pthread.h>
#include <stdatomic.h>

#include "ends.h"

static uint64_t total;
static _Atomic uint64_t wrong;
static _Atomic int done;

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    return *state ^= *state << 5;
}

static void *side(void *argument) {
    tg_port *port = argument;
    tg_frame out[32], in[32], held[64];
    unsigned holding = 0;
    uint64_t sent = 0, got = 0;
    uint32_t random = (uint32_t)(uintptr_t)port | 1u;
    for (uint64_t tries = 0; (sent < total || got < total) && tries < 4000000000u; tries++) {
        unsigned want = 1 + next_random(&random) % 32;
        int n = sent < total ? tg_alloc(port, out, want) : 0;
        for (int i = 0; i < n; i++) {
            uint64_t number = sent + (uint64_t)i;
            out[i].len = 16 + (uint32_t)(number % 100);
            memcpy(out[i].data, &number, 8);
            memset(out[i].data + 8, (int)(number & 255), out[i].len - 8);
            out[i].stamp = ~number;
        }
        if (n > (int)(total - sent)) {
            tg_release(port, out + (total - sent), (unsigned)(n - (int)(total - sent)));
            n = (int)(total - sent);
        }
        int accepted = n > 0 ? tg_send_burst(port, out, (unsigned)n) : 0;
        if (accepted < n)
            tg_release(port, out + accepted, (unsigned)(n - accepted));
        sent += (uint64_t)accepted;
        n = tg_recv_burst(port, in, 1 + next_random(&random) % 32);
        for (int i = 0; i < n; i++) {
            uint64_t number;
            memcpy(&number, in[i].data, 8);
            uint32_t last = in[i].data[in[i].len - 1];
            if (number != got || in[i].stamp != ~number || in[i].len != 16 + number % 100 || last != (number & 255))
                atomic_fetch_add(&wrong, 1);
            got++;
            if (holding < 64 && next_random(&random) % 4 == 0)
                held[holding++] = in[i];
            else
                tg_release(port, &in[i], 1);
        }
        if (n < 0)
            atomic_fetch_add(&wrong, 1);
        while (holding && next_random(&random) % 3) {
            unsigned which = next_random(&random) % holding;
            tg_release(port, &held[which], 1);
            held[which] = held[--holding];
        }
        tg_reclaim(port);
    }
    tg_release(port, held, holding);
    if (sent != total || got != total)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&done, 1);
    return NULL;
}

int main(int argc, char **argv) {
    tg_port *ends[2];
    pthread_t threads[2];
    if (argc != 2)
        return 2;
    total = strtoull(argv[1], NULL, 10);
    open_ends("shm", 128, ends);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, side, ends[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%llu frames each way, %llu wrong\n", (unsigned long long)total, (unsigned long long)wrong);
    tg_port_close(ends[1]);
    tg_port_close(ends[0]);
    return wrong != 0;
}
