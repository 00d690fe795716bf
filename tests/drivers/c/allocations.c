/* Counts the calls of the allocator on the hot path: allocations BACKEND. Linked with --wrap for each of its functions. */
#include "ends.h"

static long calls;

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_aligned_alloc(size_t, size_t);
void __real_free(void *);
void *__wrap_malloc(size_t n) {
    calls++;
    return __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t m) {
    calls++;
    return __real_calloc(n, m);
}
void *__wrap_realloc(void *p, size_t n) {
    calls++;
    return __real_realloc(p, n);
}
void *__wrap_aligned_alloc(size_t a, size_t n) {
    calls++;
    return __real_aligned_alloc(a, n);
}
void __wrap_free(void *p) {
    calls++;
    __real_free(p);
}

int main(int argc, char **argv) {
    tg_port *ends[2];
    tg_frame frames[16];
    tg_stats stats;
    long passed = 0, opening;
    if (argc != 2)
        return 2;
    open_ends(argv[1], 256, ends);
    opening = calls;
    for (long tries = 0; passed < 20000 && tries < 100000000; tries++) {
        int n = tg_alloc(ends[0], frames, 16);
        for (int i = 0; i < n; i++) {
            memset(frames[i].data, 0xff, 14);
            frames[i].len = 64;
        }
        int sent = n > 0 ? tg_send_burst(ends[0], frames, (unsigned)n) : 0;
        sent = sent < 0 ? 0 : sent;
        if (n > sent)
            tg_release(ends[0], frames + sent, (unsigned)(n - sent));
        int got = tg_recv_burst(ends[1], frames, 16);
        if (got > 0) /* back where it came from, without a copy where the backend can */
            got = tg_send_burst(ends[1], frames, (unsigned)got) == got ? got : -1;
        if (got < 0)
            return 4;
        passed += got;
        while ((n = tg_recv_burst(ends[0], frames, 16)) > 0)
            tg_release(ends[0], frames, (unsigned)n);
        tg_reclaim(ends[0]);
        tg_check(ends[0]);
        ends[0]->ops->stats(ends[0], &stats);
    }
    printf("%ld frames, %ld calls while opening, %ld on the way\n", passed, opening, calls - opening);
    tg_port_close(ends[1]);
    tg_port_close(ends[0]);
    return 0;
}
