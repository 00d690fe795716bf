/* A heap of wires, the one with the least first; of equals, which one depends on nothing but what was put in before. */
#ifndef TICKGATE_HEAP_H
#define TICKGATE_HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* total: what it is sorted by. cost: of it, what is so for sure. */
typedef struct {
    float total, cost;
    int32_t wire;
} waiting_t;

typedef struct {
    waiting_t *items;
    int32_t n, room;
} heap_t;

/* False: no memory. */
static inline bool heap_put(heap_t *h, waiting_t item) {
    if (h->n == h->room) {
        const int32_t room = h->room ? 2 * h->room : 4096;
        waiting_t *more = realloc(h->items, (size_t)room * sizeof *more);
        if (!more)
            return false;
        h->items = more, h->room = room;
    }
    int32_t at = h->n++;
    for (; at > 0 && item.total < h->items[(at - 1) / 2].total; at = (at - 1) / 2)
        h->items[at] = h->items[(at - 1) / 2];
    h->items[at] = item;
    return true;
}

static inline waiting_t heap_take(heap_t *h) {
    const waiting_t first = h->items[0], last = h->items[--h->n];
    int32_t at = 0;
    for (int32_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && h->items[child + 1].total < h->items[child].total)
            child++;
        if (last.total <= h->items[child].total)
            break;
        h->items[at] = h->items[child];
    }
    h->items[at] = last;
    return first;
}

#endif
