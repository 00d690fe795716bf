/* The tree of wires of one net. */
#include "route_parts.h"

#include <stdlib.h>
#include <string.h>

void tree_add(tg_router *r, int32_t net, int32_t wire, int32_t from, int32_t edge) {
    way_t *way = &r->ways[net];
    if (way->n == way->room) {
        const int32_t room = way->room ? 2 * way->room : 8;
        branch_t *more = realloc(way->branches, (size_t)room * sizeof *more);
        if (!more) {
            r->failed = true;
            return;
        }
        way->branches = more, way->room = room;
    }
    way->branches[way->n++] = (branch_t){wire, from, edge};
    r->owner[wire] = net;
    r->arrives[wire] = from == NONE ? 0 : r->arrives[from] + edge_ps(&r->given.edges[edge]);
    r->users[wire]++;
}

static bool copy(tg_router *r, const way_t *way) {
    if (r->room_before < way->n) {
        const int32_t room = 2 * way->n;
        branch_t *more = realloc(r->before, (size_t)room * sizeof *more);
        if (more)
            r->before = more;
        bool *used = realloc(r->used, (size_t)room * sizeof *used);
        if (used)
            r->used = used;
        if (!more || !used) {
            r->failed = true;
            return false;
        }
        r->room_before = room;
    }
    if (way->n) /* else there may be none to point at */
        memcpy(r->before, way->branches, (size_t)way->n * sizeof *r->before);
    return true;
}

/* Which branches lead to a sink that is still reached; what comes before one stands before it. */
static void find_used(tg_router *r, int32_t net, int32_t n) {
    const tg_net *of = &r->given.nets[net];
    for (int32_t i = 0; i < n; i++)
        r->leaves[r->before[i].wire] = 0;
    for (int32_t s = of->first_sink; s < of->end_sink; s++)
        if (r->owner[r->given.sinks[s]] == net)
            r->leaves[r->given.sinks[s]] = 1;
    for (int32_t i = n - 1; i >= 0; i--) {
        const branch_t *b = &r->before[i];
        r->used[i] = r->owner[b->wire] == net && r->leaves[b->wire];
        if (r->used[i] && b->from != NONE)
            r->leaves[b->from] = 1;
    }
}

/* Its source and what is fixed; returns how many wires these are. */
static int32_t begin(tg_router *r, int32_t net) {
    const tg_net *of = &r->given.nets[net];
    tree_add(r, net, of->source, NONE, NONE);
    for (int32_t f = of->first_fixed; f < of->end_fixed; f++) {
        const tg_fixed *fixed = &r->given.fixed[f];
        tree_add(r, net, fixed->wire, fixed->from, fixed->edge);
    }
    return r->ways[net].n;
}

void tree_prune(tg_router *r, int32_t net, bool all) {
    way_t *way = &r->ways[net];
    const int32_t n = way->n;
    if (!copy(r, way))
        return;
    for (int32_t i = 0; i < n; i++) {
        r->users[r->before[i].wire]--;
        r->owner[r->before[i].wire] = NONE;
    }
    way->n = 0;
    const int32_t first = begin(r, net);
    if (all || r->failed)
        return;
    for (int32_t i = first; i < n; i++) {
        const branch_t *b = &r->before[i];
        if (r->owner[b->from] == net && !r->users[b->wire])
            r->owner[b->wire] = net;
    }
    find_used(r, net, n);
    for (int32_t i = first; i < n; i++) {
        const branch_t *b = &r->before[i];
        if (r->used[i])
            tree_add(r, net, b->wire, b->from, b->edge);
        else
            r->owner[b->wire] = NONE;
    }
}

void tree_measure(tg_router *r, int32_t net) {
    const way_t *way = &r->ways[net];
    const tg_net *of = &r->given.nets[net];
    for (int32_t s = of->first_sink; s < of->end_sink; s++)
        r->arrives[r->given.sinks[s]] = NONE;
    for (int32_t i = 0; i < way->n; i++)
        r->leaves[way->branches[i].wire] = 0;
    for (int32_t i = 0; i < way->n; i++)
        if (way->branches[i].from != NONE)
            r->leaves[way->branches[i].from]++;
    for (int32_t i = 0; i < way->n; i++) {
        const branch_t *b = &way->branches[i];
        const tg_edge *e = b->edge == NONE ? NULL : &r->given.edges[b->edge];
        r->arrives[b->wire] = e ? r->arrives[b->from] + (float)e->ps + (float)(e->fanout_ps * r->leaves[b->from]) : 0;
    }
    for (int32_t s = of->first_sink; s < of->end_sink; s++)
        r->sinks[s].ps = r->arrives[r->given.sinks[s]] >= 0 ? r->arrives[r->given.sinks[s]] : r->sinks[s].estimate_ps;
}
