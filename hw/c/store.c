/* What the annealing keeps: taken from the design as it is given, and given back. */
#include "anneal_parts.h"

#include <stdlib.h>
#include <string.h>

/* n of something, at least one, so that NULL always means that there is no memory. */
static void *room(tg_anneal *a, bool *ok, int64_t n, size_t each) {
    void *p = a->n_rooms < ROOMS ? calloc((size_t)(n > 0 ? n : 1), each) : NULL;
    if (p)
        a->rooms[a->n_rooms++] = p;
    else
        *ok = false;
    return p;
}

#define ROOM(n, member) (a->member = room(a, &ok, (n), sizeof *a->member))

static bool take_room(tg_anneal *a, int64_t most_pins_of_a_row) {
    bool ok = true;
    const int64_t tiles = (int64_t)a->width * a->height, corners = (int64_t)(a->width + 1) * (a->height + 1);
    ROOM(a->n_cells, cells);
    ROOM(a->n_cells, at);
    ROOM(tiles, tiles);
    ROOM(a->n_nets, nets);
    ROOM(a->n_pins, pins_of_cell);
    ROOM(a->n_cells + 1, first_pin);
    ROOM(a->n_pins, cells_of_net);
    ROOM(a->n_nets + 1, first_cell);
    ROOM(corners, wire);
    ROOM(corners, crowded_before);
    ROOM(tiles, sorted);
    ROOM(a->n_arcs, arcs);
    ROOM(a->n_nets, driver);
    ROOM(a->n_nets, launch_ps);
    ROOM(a->n_nets, order);
    ROOM(a->n_arcs, into);
    ROOM(a->n_nets + 1, first_into);
    ROOM(a->n_arcs, out_of);
    ROOM(a->n_nets + 1, first_out_of);
    ROOM(a->n_nets, arrival);
    ROOM(a->n_nets, required);
    ROOM(a->n_arcs, delay);
    ROOM(a->n_arcs, weight);
    ROOM(a->n_arcs, hurries);
    ROOM(2 * (int64_t)a->n_arcs, hurries_of);
    ROOM(a->n_cells + 1, first_hurry);
    ROOM(2 * (int64_t)a->n_arcs, late);
    ROOM(most_pins_of_a_row, steps);
    ROOM(a->n_nets, net_round);
    ROOM(a->n_nets, net_slot);
    ROOM(a->n_nets, new_net);
    ROOM(a->n_nets, new_box);
    ROOM(a->n_arcs, hurry_round);
    ROOM(a->n_arcs, new_hurry);
    ROOM(a->n_arcs, new_hurry_cost);
    ROOM(a->n_cells, free_luts);
    ROOM(a->n_cells, bound_luts);
    ROOM(a->n_cells, flops);
    ROOM(a->n_cells, rams);
    return ok;
}

void tg_anneal_free(tg_anneal *a) {
    if (!a)
        return;
    for (int32_t i = 0; i < a->n_rooms; i++)
        free(a->rooms[i]);
    free(a);
}

static void take_cells(tg_anneal *a, const tg_design *d) {
    memcpy(a->cells, d->cells, sizeof *a->cells * (size_t)d->n_cells);
    for (int32_t i = 0; i < d->width * d->height; i++) {
        tile_t *t = &a->tiles[i];
        for (int32_t lc = 0; lc < LCS; lc++)
            t->lut[lc] = t->flop[lc] = NOBODY;
        t->write_port = NOBODY;
        t->logic = d->logic[i];
        t->chained = d->chained[i];
    }
    for (int32_t i = 0; i < d->n_cells; i++) {
        tg_anneal_stand(a, i);
        switch (a->cells[i].kind) {
        case TG_LUT:
            if (tg_lut_is_free(&a->cells[i]))
                a->free_luts[a->n_free_luts++] = i;
            else
                a->bound_luts[a->n_bound_luts++] = i;
            break;
        case TG_FLOP:
            a->flops[a->n_flops++] = i;
            break;
        case TG_BLOCK_RAM:
            a->rams[a->n_rams++] = i;
            break;
        default:
            break;
        }
    }
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

static void take_pins(tg_anneal *a, const tg_design *d) {
    group_by(d->pins, 2, d->n_pins, d->n_cells, a->first_pin, a->pins_of_cell);
    group_by(d->pins + 1, 2, d->n_pins, d->n_nets, a->first_cell, a->cells_of_net);
    for (int32_t i = 0; i < d->n_pins; i++) {
        a->pins_of_cell[i] = d->pins[2 * a->pins_of_cell[i] + 1];
        a->cells_of_net[i] = d->pins[2 * a->cells_of_net[i]];
    }
    for (int32_t n = 0; n < d->n_nets; n++) {
        a->nets[n].first = a->first_cell[n];
        a->nets[n].end = a->first_cell[n + 1];
    }
}

tg_anneal *tg_anneal_new(const tg_design *d, const tg_settings *settings) {
    tg_anneal *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->settings = *settings;
    a->n_cells = d->n_cells, a->n_nets = d->n_nets, a->n_pins = d->n_pins, a->n_arcs = d->n_arcs;
    a->width = d->width, a->height = d->height;
    if (!take_room(a, (int64_t)d->width * 2 * (2 * LCS + 1))) {
        tg_anneal_free(a);
        return NULL;
    }
    tg_anneal_logs(a->minus_log);
    take_cells(a, d);
    take_pins(a, d);
    if (d->n_arcs) /* else there may be none to point at */
        memcpy(a->arcs, d->arcs, sizeof *a->arcs * (size_t)d->n_arcs);
    memcpy(a->driver, d->driver, sizeof *a->driver * (size_t)d->n_nets);
    memcpy(a->launch_ps, d->launch_ps, sizeof *a->launch_ps * (size_t)d->n_nets);
    for (int32_t i = 0; i < d->n_arcs; i++)
        a->weight[i] = -1;
    a->random = settings->seed * 0x9E3779B97F4A7C15u ^ 88172645463325252u;
    if (!a->random)
        a->random = 1;
    if (!timing_prepare(a)) {
        tg_anneal_free(a);
        return NULL;
    }
    return a;
}
