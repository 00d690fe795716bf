#include "rooms.h"

#include <stdlib.h>
#include <string.h>

void *rooms_take(rooms_t *rooms, int64_t n, size_t each) {
    void *room = rooms->n < ROOMS ? calloc((size_t)(n > 0 ? n : 1), each) : NULL;
    if (room)
        rooms->room[rooms->n++] = room;
    else
        rooms->failed = true;
    return room;
}

void rooms_free(rooms_t *rooms) {
    for (int32_t i = 0; i < rooms->n; i++)
        free(rooms->room[i]);
    rooms->n = 0;
}

void group_by(const int32_t *keys, size_t stride, int32_t n, int32_t n_keys, int32_t *first, int32_t *items) {
    memset(first, 0, sizeof *first * ((size_t)n_keys + 1));
    for (int32_t i = 0; i < n; i++)
        if (keys[(size_t)i * stride] >= 0)
            first[keys[(size_t)i * stride]]++;
    for (int32_t k = 0, end = 0; k <= n_keys; k++) {
        end += first[k];
        first[k] = end;
    }
    /* From the end of each key's part, so that its start is what is left. */
    for (int32_t i = n - 1; i >= 0; i--)
        if (keys[(size_t)i * stride] >= 0)
            items[--first[keys[(size_t)i * stride]]] = i;
}
