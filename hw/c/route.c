/* The rounds, and what is late in them; see route.h. */
#include "route_parts.h"

#include <stdlib.h>

/* Tiles around a net's box in which ways are looked for: at first, more with each third failure, and at most. */
enum { MARGIN = 3, MORE = 2, EACH = 3, MOST = 30 };
/* Sinks with more of this on the longest path through them may have their nets routed anew (`again`); and by how much
 * they may take longer than the least, besides the factor. */
static const float LATE = 0.95f, TOLERATED_PS = 80;
/* How much a connection may pay by time alone: with all of it, wires that are shared would never be left. */
static const float HURRY_MOST = 0.99f;

static void add_to_box(const tg_router *r, tg_area *box, int32_t wire) {
    const int16_t x = (int16_t)column_of(r, wire), y = (int16_t)row_of(r, wire);
    box->x0 = x < box->x0 ? x : box->x0;
    box->x1 = x > box->x1 ? x : box->x1;
    box->y0 = y < box->y0 ? y : box->y0;
    box->y1 = y > box->y1 ? y : box->y1;
}

static void find_boxes(tg_router *r) {
    const tg_problem *g = &r->given;
    for (int32_t n = 0; n < g->n_nets; n++) {
        const tg_net *of = &g->nets[n];
        way_t *way = &r->ways[n];
        way->box = (tg_area){INT16_MAX, -1, INT16_MAX, -1};
        way->margin = MARGIN;
        add_to_box(r, &way->box, of->source);
        const int32_t x = column_of(r, of->source), y = row_of(r, of->source);
        for (int32_t s = of->first_sink; s < of->end_sink; s++) {
            const int32_t wire = g->sinks[s];
            add_to_box(r, &way->box, wire);
            float cost;
            lookahead(r, of->source, column_of(r, wire), row_of(r, wire), &r->sinks[s].least_ps, &cost);
            const int32_t tiles = abs(column_of(r, wire) - x) + abs(row_of(r, wire) - y);
            r->sinks[s].ps = r->sinks[s].estimate_ps = (float)(r->manner.wire_ps + r->manner.tile_ps * tiles);
        }
    }
}

/* How late every sink is, out of what its wire takes now. */
static void time_sinks(tg_router *r) {
    const tg_problem *g = &r->given;
    paths_t *p = &r->paths;
    const double goal_ps = r->manner.goal_ps;
    for (int32_t a = 0; a < g->n_arcs; a++) {
        float ps = 0;
        for (int32_t s = g->sinks_of[a].first; s < g->sinks_of[a].end; s++)
            ps = r->sinks[s].ps > ps ? r->sinks[s].ps : ps;
        p->delay[a] = g->arcs[a].ps + ps;
    }
    paths_analyse(p, goal_ps);
    for (int32_t s = 0; s < g->n_sinks; s++)
        r->sinks[s].late = r->sinks[s].hurry = 0;
    for (int32_t a = 0; a < g->n_arcs; a++) {
        const double begins = p->arrival[g->arcs[a].net], until = paths_until(p, &g->arcs[a], goal_ps);
        if (begins <= PATHS_NEVER || until >= PATHS_ANY_TIME)
            continue;
        const float late = (float)(1 - (until - p->delay[a] - begins) / goal_ps);
        for (int32_t s = g->sinks_of[a].first; s < g->sinks_of[a].end; s++) {
            sink_t *sink = &r->sinks[s];
            if (late > sink->late) {
                sink->late = late;
                sink->hurry = late < HURRY_MOST ? late : HURRY_MOST;
            }
        }
    }
}

static int by_turn(const void *a, const void *b) {
    const turn_t *x = a, *y = b;
    if (x->failed != y->failed)
        return x->failed < y->failed ? -1 : 1;
    if (x->hurry != y->hurry)
        return x->hurry > y->hurry ? -1 : 1;
    if (x->tiles != y->tiles)
        return x->tiles < y->tiles ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

static void put_nets_in_turn(tg_router *r, bool failed_last) {
    for (int32_t i = 0; i < r->n_in_turn; i++) {
        turn_t *t = &r->nets_in_turn[i];
        const tg_net *of = &r->given.nets[t->item];
        t->failed = failed_last ? r->ways[t->item].failed : 0;
        t->hurry = 0;
        for (int32_t s = of->first_sink; s < of->end_sink; s++)
            t->hurry = r->sinks[s].hurry > t->hurry ? r->sinks[s].hurry : t->hurry;
    }
    qsort(r->nets_in_turn, (size_t)r->n_in_turn, sizeof *r->nets_in_turn, by_turn);
}

/* All sinks of a net that are not reached, the latest first, then the nearest. */
static void route_net(tg_router *r, int32_t net, double sharing) {
    const tg_net *of = &r->given.nets[net];
    const int32_t x = column_of(r, of->source), y = row_of(r, of->source);
    tree_prune(r, net, r->ways[net].late);
    int32_t n = 0;
    for (int32_t s = of->first_sink; s < of->end_sink; s++) {
        const int32_t wire = r->given.sinks[s];
        const int32_t tiles = abs(column_of(r, wire) - x) + abs(row_of(r, wire) - y);
        r->sinks_in_turn[n++] = (turn_t){0, s, r->sinks[s].hurry, tiles};
    }
    qsort(r->sinks_in_turn, (size_t)n, sizeof *r->sinks_in_turn, by_turn);
    r->ways[net].unreached = 0;
    for (int32_t i = 0; i < n && !r->failed; i++) {
        const int32_t s = r->sinks_in_turn[i].item;
        if (r->owner[r->given.sinks[s]] != net)
            r->ways[net].unreached += !search_way(r, net, s, sharing);
    }
    for (int32_t i = 0; i < r->ways[net].n; i++)
        r->owner[r->ways[net].branches[i].wire] = NONE;
}

static bool is_late(const tg_router *r, int32_t net, double again) {
    const tg_net *of = &r->given.nets[net];
    for (int32_t s = of->first_sink; s < of->end_sink; s++) {
        const sink_t *sink = &r->sinks[s];
        if (sink->late > LATE && sink->ps > sink->least_ps * (float)again + TOLERATED_PS)
            return true;
    }
    return false;
}

static bool shares(const tg_router *r, int32_t net) {
    const way_t *way = &r->ways[net];
    for (int32_t i = 0; i < way->n; i++)
        if (r->users[way->branches[i].wire] > 1)
            return true;
    return false;
}

/* Wires that are shared become dearer, and nets that share, lack a way or are late have their turn in the next round. */
static void judge(tg_router *r, double again, tg_round *told) {
    const tg_problem *g = &r->given;
    for (int32_t w = 0; w < g->n_wires; w++) {
        told->wires += r->users[w] > 0;
        if (r->users[w] > 1) {
            told->shared++;
            r->memory[w] += (float)r->manner.memory * (float)(r->users[w] - 1);
        }
    }
    r->n_in_turn = 0;
    for (int32_t n = 0; n < g->n_nets; n++) {
        way_t *way = &r->ways[n];
        way->late = again > 0 && is_late(r, n, again);
        told->unreached += way->unreached;
        if (!way->late && !way->unreached && !shares(r, n))
            continue;
        r->nets_in_turn[r->n_in_turn++].item = n;
        if (++way->failed % EACH == 0 && way->margin < MOST)
            way->margin += MORE;
    }
    told->nets = r->n_in_turn;
}

bool tg_router_round(tg_router *r, const tg_turn *turn, tg_round *told) {
    *told = (tg_round){0};
    r->looked_at = 0;
    put_nets_in_turn(r, turn->failed_last);
    for (int32_t i = 0; i < r->n_in_turn && !r->failed; i++)
        route_net(r, r->nets_in_turn[i].item, turn->sharing);
    for (int32_t i = 0; i < r->n_in_turn; i++)
        tree_measure(r, r->nets_in_turn[i].item);
    time_sinks(r);
    told->looked_at = r->looked_at;
    told->worst_ps = r->paths.worst_ps;
    judge(r, turn->again, told);
    return !r->failed;
}

static bool take_room(tg_router *r) {
    const tg_problem *g = &r->given;
    rooms_t *rooms = &r->rooms;
    const int64_t table = (int64_t)g->n_names * SPAN * SPAN;
    ROOM(rooms, table, r->ahead_ps);
    ROOM(rooms, table, r->ahead_cost);
    ROOM(rooms, g->n_nets, r->ways);
    ROOM(rooms, g->n_sinks, r->sinks);
    ROOM(rooms, g->n_wires, r->users);
    ROOM(rooms, g->n_wires, r->memory);
    ROOM(rooms, g->n_wires, r->owner);
    ROOM(rooms, g->n_wires, r->arrives);
    ROOM(rooms, g->n_wires, r->leaves);
    ROOM(rooms, g->n_wires, r->visits);
    ROOM(rooms, g->n_nets, r->nets_in_turn);
    ROOM(rooms, g->n_sinks, r->sinks_in_turn);
    return paths_prepare(&r->paths, rooms, g->arcs, g->n_arcs, g->launch_ps, g->n_timed);
}

tg_router *tg_router_new(const tg_problem *problem, const tg_manner *manner) {
    tg_router *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->given = *problem;
    r->manner = *manner;
    if (!take_room(r)) {
        tg_router_free(r);
        return NULL;
    }
    for (int32_t w = 0; w < r->given.n_wires; w++)
        r->owner[w] = NONE;
    if (!lookahead_learn(r)) {
        tg_router_free(r);
        return NULL;
    }
    find_boxes(r);
    time_sinks(r);
    for (int32_t n = 0; n < r->given.n_nets; n++) {
        r->nets_in_turn[n].item = n;
        r->nets_in_turn[n].tiles = 0;
    }
    r->n_in_turn = r->given.n_nets;
    return r;
}

void tg_router_free(tg_router *r) {
    if (!r)
        return;
    for (int32_t n = 0; r->ways && n < r->given.n_nets; n++)
        free(r->ways[n].branches);
    free(r->waiting.items);
    free(r->before);
    free(r->used);
    rooms_free(&r->rooms);
    free(r);
}

int32_t tg_router_size(const tg_router *r, int32_t net) { return r->ways[net].n; }

void tg_router_tree(const tg_router *r, int32_t net, int32_t *wires, int32_t *edges) {
    const way_t *way = &r->ways[net];
    for (int32_t i = 0; i < way->n; i++) {
        wires[i] = way->branches[i].wire;
        edges[i] = way->branches[i].edge;
    }
}

double tg_router_sink_ps(const tg_router *r, int32_t sink) { return r->sinks[sink].ps; }
