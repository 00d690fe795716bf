/* What the annealing keeps: taken from the design as it is given, and given back. */
#include "anneal_parts.h"

#include <stdlib.h>
#include <string.h>

static bool take_room(tg_anneal *a, int64_t most_pins_of_a_row) {
    rooms_t *rooms = &a->rooms;
    const int64_t tiles = (int64_t)a->width * a->height, corners = (int64_t)(a->width + 1) * (a->height + 1);
    ROOM(rooms, a->n_cells, a->cells);
    ROOM(rooms, a->n_cells, a->at);
    ROOM(rooms, tiles, a->tiles);
    ROOM(rooms, a->n_nets, a->nets);
    ROOM(rooms, a->n_pins, a->pins_of_cell);
    ROOM(rooms, a->n_cells + 1, a->first_pin);
    ROOM(rooms, a->n_pins, a->cells_of_net);
    ROOM(rooms, a->n_nets + 1, a->first_cell);
    ROOM(rooms, corners, a->wire);
    ROOM(rooms, corners, a->crowded_before);
    ROOM(rooms, tiles, a->sorted);
    ROOM(rooms, a->n_arcs, a->arcs);
    ROOM(rooms, a->n_nets, a->driver);
    ROOM(rooms, a->n_nets, a->launch_ps);
    ROOM(rooms, a->n_arcs, a->weight);
    ROOM(rooms, a->n_arcs, a->hurries);
    ROOM(rooms, 2 * (int64_t)a->n_arcs, a->hurries_of);
    ROOM(rooms, a->n_cells + 1, a->first_hurry);
    ROOM(rooms, 2 * (int64_t)a->n_arcs, a->late);
    ROOM(rooms, most_pins_of_a_row, a->steps);
    ROOM(rooms, a->n_nets, a->net_round);
    ROOM(rooms, a->n_nets, a->net_slot);
    ROOM(rooms, a->n_nets, a->new_net);
    ROOM(rooms, a->n_nets, a->new_box);
    ROOM(rooms, a->n_arcs, a->hurry_round);
    ROOM(rooms, a->n_arcs, a->new_hurry);
    ROOM(rooms, a->n_arcs, a->new_hurry_cost);
    ROOM(rooms, a->n_cells, a->free_luts);
    ROOM(rooms, a->n_cells, a->bound_luts);
    ROOM(rooms, a->n_cells, a->flops);
    ROOM(rooms, a->n_cells, a->rams);
    return !rooms->failed;
}

void tg_anneal_free(tg_anneal *a) {
    if (!a)
        return;
    rooms_free(&a->rooms);
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
    if (!paths_prepare(&a->paths, &a->rooms, a->arcs, d->n_arcs, a->launch_ps, d->n_nets)) {
        tg_anneal_free(a);
        return NULL;
    }
    return a;
}
