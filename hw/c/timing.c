/* Static timing of the whole design (paths.h) by estimated wires, and what each connection on a long path costs. */
#include "anneal_parts.h"

#include <stdlib.h>

/* Arcs that weigh less cost nothing. What an arc weighed before counts with AGED: weights that follow each analysis at
 * once drive the same cells to and fro. */
static const double LEAST = 0.005, AGED = 0.85, MOST = 64;
/* Ends of arcs on paths of at least this part of the longest one are moved more often. */
static const double LATE = 0.97;
static const double NEVER_TAKEN = 1e30;

static double tiles_between(const tg_anneal *a, int32_t from, int32_t to) {
    return abs(a->at[from].x - a->at[to].x) + abs(a->at[from].y - a->at[to].y);
}

static bool is_wire(const tg_anneal *a, const tg_arc *arc) { return !arc->direct && a->driver[arc->net] != NOBODY; }

static void analyse(tg_anneal *a) {
    for (int32_t i = 0; i < a->n_arcs; i++) {
        const tg_arc *arc = &a->arcs[i];
        a->paths.delay[i] = arc->ps;
        if (is_wire(a, arc))
            a->paths.delay[i] +=
                a->settings.wire_ps + a->settings.tile_ps * tiles_between(a, a->driver[arc->net], arc->cell);
    }
    paths_analyse(&a->paths, 0);
}

static void add_late(tg_anneal *a, int32_t cell) {
    if (a->cells[cell].kind <= TG_FLOP)
        a->late[a->n_late++] = cell;
}

void timing_weigh(tg_anneal *a) {
    analyse(a);
    const paths_t *p = &a->paths;
    a->n_hurries = a->n_late = 0;
    for (int32_t i = 0; i < a->n_arcs; i++) {
        const tg_arc *arc = &a->arcs[i];
        const int32_t from = a->driver[arc->net];
        const double until = paths_until(p, arc, p->worst_ps);
        if (!is_wire(a, arc) || from == arc->cell || p->arrival[arc->net] <= PATHS_NEVER || until >= PATHS_ANY_TIME)
            continue;
        /* The longest path through this arc. */
        const double takes = p->worst_ps - (until - p->delay[i] - p->arrival[arc->net]);
        const double part = takes > 0 ? takes / a->settings.goal_ps : 0;
        const double squared = part * part, fourth = squared * squared;
        const double now = fourth * fourth < MOST ? fourth * fourth : MOST;
        a->weight[i] = a->weight[i] < 0 ? now : AGED * a->weight[i] + (1 - AGED) * now;
        if (takes > LATE * p->worst_ps) {
            add_late(a, arc->cell);
            add_late(a, from);
        }
        if (a->weight[i] < LEAST)
            continue;
        const double weight = a->settings.timing * a->weight[i], tiles = tiles_between(a, from, arc->cell);
        const double spare_ps = (p->worst_ps > a->settings.goal_ps ? p->worst_ps : a->settings.goal_ps) - takes;
        a->hurries[a->n_hurries++] =
            (hurry_t){from, arc->cell, weight, weight * tiles, tiles + spare_ps / a->settings.tile_ps};
    }
    for (int32_t c = 0; c <= a->n_cells; c++)
        a->first_hurry[c] = 0;
    for (int32_t h = 0; h < a->n_hurries; h++) {
        a->first_hurry[a->hurries[h].from]++;
        a->first_hurry[a->hurries[h].to]++;
        a->hurry_round[h] = 0;
    }
    for (int32_t c = 0, end = 0; c <= a->n_cells; c++) {
        end += a->first_hurry[c];
        a->first_hurry[c] = end;
    }
    for (int32_t h = a->n_hurries - 1; h >= 0; h--) {
        a->hurries_of[--a->first_hurry[a->hurries[h].from]] = h;
        a->hurries_of[--a->first_hurry[a->hurries[h].to]] = h;
    }
}

double timing_change(tg_anneal *a) {
    double change = 0;
    a->n_new_hurries = 0;
    for (int32_t i = 0; i < a->n_steps; i++) {
        const int32_t cell = a->steps[i].cell;
        for (int32_t j = a->first_hurry[cell]; j < a->first_hurry[cell + 1]; j++) {
            const int32_t h = a->hurries_of[j];
            if (a->hurry_round[h] == a->round)
                continue;
            a->hurry_round[h] = a->round;
            const hurry_t *of = &a->hurries[h];
            const double tiles = tiles_between(a, of->from, of->to), cost = of->weight * tiles;
            if (tiles > of->most)
                return NEVER_TAKEN;
            change += cost - of->cost;
            a->new_hurry[a->n_new_hurries] = h;
            a->new_hurry_cost[a->n_new_hurries++] = cost;
        }
    }
    return change;
}

void timing_commit(tg_anneal *a) {
    for (int32_t i = 0; i < a->n_new_hurries; i++)
        a->hurries[a->new_hurry[i]].cost = a->new_hurry_cost[i];
}
