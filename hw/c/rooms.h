/* Memory that is taken at the beginning and given back together at the end, and numbers sorted by what they belong to. */
#ifndef TICKGATE_ROOMS_H
#define TICKGATE_ROOMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ROOMS = 64 };

typedef struct {
    void *room[ROOMS];
    int32_t n;
    bool failed; /* there was no memory for one of them */
} rooms_t;

/* n of something, all zero; at least one, so that NULL always means that there is no memory. */
void *rooms_take(rooms_t *rooms, int64_t n, size_t each);
void rooms_free(rooms_t *rooms);

#define ROOM(rooms, n, member) ((member) = rooms_take((rooms), (n), sizeof *(member)))

/* The numbers from 0 to n - 1 by their keys, `stride` words apart; those of key k, in turn, are in `items` from first[k]
 * to before first[k + 1]. A key below 0 is none. */
void group_by(const int32_t *keys, size_t stride, int32_t n, int32_t n_keys, int32_t *first, int32_t *items);

#endif
