/* What the rest of a way takes and costs at least, learned once: from every wire around a tile in the middle of the device
 * to the pins of that tile, with nobody in the way. Wires of one name are alike everywhere, so that the table is by name
 * and distance. */
#include "route_parts.h"

#include <stdlib.h>

/* Beyond the table each tile takes so long, and for wires that are in no table every one between. */
static const float FAR_PS = 34, COST_OF_PS = 1.4f, UNKNOWN = 1e9f;

typedef struct {
    int32_t wire, edge;
} back_t;

typedef struct {
    int32_t x, y, *first;
    back_t *back; /* edges by the wire that they lead to, within the table's reach */
    float *least;
    heap_t waiting;
} lesson_t;

static bool is_near(const tg_router *r, const lesson_t *l, int32_t wire) {
    return abs(column_of(r, wire) - l->x) <= AHEAD && abs(row_of(r, wire) - l->y) <= AHEAD;
}

static void turn_edges(const tg_router *r, lesson_t *l) {
    const tg_problem *g = &r->given;
    for (int32_t pass = 0; pass < 2; pass++) {
        for (int32_t w = 0; w < g->n_wires; w++) {
            if (!is_near(r, l, w))
                continue;
            for (int32_t e = g->first_edge[w]; e < g->first_edge[w + 1]; e++) {
                const int32_t to = g->edges[e].to;
                if (!is_near(r, l, to))
                    continue;
                if (pass == 0)
                    l->first[to]++;
                else
                    l->back[--l->first[to]] = (back_t){w, e};
            }
        }
        if (pass == 0)
            for (int32_t w = 0, end = 0; w <= g->n_wires; w++) {
                end += l->first[w];
                l->first[w] = end;
            }
    }
}

/* Dijkstra, backwards from the targets. False: no memory. */
static bool spread(const tg_router *r, lesson_t *l, float hop_ps) {
    const tg_problem *g = &r->given;
    bool ok = true;
    for (int32_t w = 0; w < g->n_wires; w++)
        l->least[w] = UNKNOWN;
    for (int32_t t = 0; t < g->n_targets; t++) {
        l->least[g->targets[t]] = 0;
        ok = ok && heap_put(&l->waiting, (waiting_t){0, 0, g->targets[t]});
    }
    while (l->waiting.n && ok) {
        const waiting_t now = heap_take(&l->waiting);
        if (now.total > l->least[now.wire])
            continue;
        for (int32_t k = l->first[now.wire]; k < l->first[now.wire + 1]; k++) {
            const back_t *b = &l->back[k];
            const float least = now.total + edge_ps(&g->edges[b->edge]) + hop_ps;
            if (least < l->least[b->wire]) {
                l->least[b->wire] = least;
                ok = ok && heap_put(&l->waiting, (waiting_t){least, least, b->wire});
            }
        }
    }
    return ok;
}

static size_t entry(const tg_router *r, int32_t wire, int32_t right, int32_t down) {
    return ((size_t)r->given.name[wire] * SPAN + (size_t)(down + AHEAD)) * SPAN + (size_t)(right + AHEAD);
}

static void keep(const tg_router *r, const lesson_t *l, float *table) {
    for (size_t i = 0; i < (size_t)r->given.n_names * SPAN * SPAN; i++)
        table[i] = UNKNOWN;
    for (int32_t w = 0; w < r->given.n_wires; w++)
        if (l->least[w] < UNKNOWN)
            table[entry(r, w, column_of(r, w) - l->x, row_of(r, w) - l->y)] = l->least[w];
}

bool lookahead_learn(tg_router *r) {
    const tg_problem *g = &r->given;
    rooms_t rooms = {0};
    lesson_t l = {.x = column_of(r, g->targets[0]), .y = row_of(r, g->targets[0])};
    ROOM(&rooms, (int64_t)g->n_wires + 1, l.first);
    ROOM(&rooms, g->n_wires, l.least);
    int64_t edges = 0;
    for (int32_t w = 0; w < g->n_wires; w++)
        if (is_near(r, &l, w))
            edges += g->first_edge[w + 1] - g->first_edge[w];
    ROOM(&rooms, edges, l.back);
    bool ok = !rooms.failed;
    if (ok) {
        turn_edges(r, &l);
        ok = spread(r, &l, 0);
        keep(r, &l, r->ahead_ps);
        ok = ok && spread(r, &l, (float)r->manner.hop_ps);
        keep(r, &l, r->ahead_cost);
    }
    free(l.waiting.items);
    rooms_free(&rooms);
    return ok;
}

static int32_t within(int32_t tiles) { return tiles < -AHEAD ? -AHEAD : tiles > AHEAD ? AHEAD : tiles; }

void lookahead(const tg_router *r, int32_t wire, int32_t x, int32_t y, float *ps, float *cost) {
    const int32_t right = column_of(r, wire) - x, down = row_of(r, wire) - y;
    const size_t at = entry(r, wire, within(right), within(down));
    if (r->ahead_ps[at] < UNKNOWN) {
        const float far = FAR_PS * (float)(abs(right - within(right)) + abs(down - within(down)));
        *ps = r->ahead_ps[at] + far;
        *cost = r->ahead_cost[at] + far * COST_OF_PS;
        return;
    }
    const tg_area *b = &r->given.reach[wire];
    const int32_t dx = x < b->x0 ? b->x0 - x : x > b->x1 ? x - b->x1 : 0;
    const int32_t dy = y < b->y0 ? b->y0 - y : y > b->y1 ? y - b->y1 : 0;
    *ps = FAR_PS * (float)(dx + dy);
    *cost = *ps * COST_OF_PS;
}
