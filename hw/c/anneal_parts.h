/* What the parts of the annealing share; see anneal.h. */
#ifndef TICKGATE_ANNEAL_PARTS_H
#define TICKGATE_ANNEAL_PARTS_H

#include "anneal.h"

#include <stdbool.h>

enum { LCS = 8, NOBODY = -1, LOGS = 1024 };

typedef struct {
    int16_t x, y;
} place_t;

typedef struct {
    int32_t lut[LCS], flop[LCS], write_port;
    bool logic, chained;
} tile_t;

/* The box around a net's pins, and how many of them stand on each of its edges (left, right, top, bottom). */
typedef struct {
    int32_t x0, x1, y0, y1, on[4];
    double cost;
} box_t;

typedef struct {
    int32_t first, end; /* of its pins */
    box_t box;
} net_t;

typedef struct {
    int32_t cell, x, y, lc, old_x, old_y, old_lc;
} step_t;

/* An arc on a path that is long enough to count. most: tiles at which that path would be longer than any one is now. */
typedef struct {
    int32_t from, to;
    double weight, cost, most;
} hurry_t;

struct tg_anneal {
    tg_settings settings;
    int32_t n_cells, n_nets, n_pins, n_arcs, width, height;
    tg_cell *cells;
    place_t *at; /* of each cell, for the boxes: it is read often, and what is not in it would be in the way */
    tile_t *tiles;

    net_t *nets;
    int32_t *pins_of_cell, *first_pin, *cells_of_net, *first_cell; /* nets by cell, cells by net */
    double *wire, *crowded_before, *sorted; /* of each tile; what those above and left of it have too much, summed */

    /* timing.c */
    tg_arc *arcs;
    int32_t *driver, *launch_ps;
    paths_t paths;
    double *weight;
    hurry_t *hurries;
    int32_t n_hurries, *hurries_of, *first_hurry; /* by cell, both ends */
    int32_t *late, n_late; /* cells on the longest paths */

    /* A move. */
    step_t *steps;
    int32_t n_steps;
    int32_t round, *net_round, *net_slot, *hurry_round; /* what was looked at in this round is not looked at again */
    int32_t *new_net, n_new;
    box_t *new_box;
    int32_t *new_hurry, n_new_hurries;
    double *new_hurry_cost;

    int32_t *free_luts, n_free_luts, *bound_luts, n_bound_luts, *flops, n_flops, *rams, n_rams;
    double minus_log[LOGS]; /* -ln of a random number, to be drawn from */
    double temperature, reach, crowding;
    int64_t tried, legal, taken;
    uint64_t random;
    rooms_t rooms;
};

static inline tile_t *tile_at(const tg_anneal *a, int32_t x, int32_t y) { return &a->tiles[y * a->width + x]; }

/* anneal.c: a cell's slot and place as it says of itself; whether a LUT may be moved without its neighbours. */
void tg_anneal_stand(tg_anneal *a, int32_t cell);
bool tg_lut_is_free(const tg_cell *c);
void tg_anneal_logs(double minus_log[LOGS]);

/* tiles.c: whether nextpnr takes the tile as it is (slices_compatible in its ecp5/arch_place.cc). */
bool tile_is_legal(const tg_anneal *a, const tile_t *t);

/* wires.c */
void boxes_measure(tg_anneal *a);
double boxes_change(tg_anneal *a);
void boxes_commit(tg_anneal *a);
double crowding_measure(tg_anneal *a);
int64_t wire_total(const tg_anneal *a);

/* timing.c */
void timing_weigh(tg_anneal *a);
double timing_change(tg_anneal *a); /* more than anything else where a path would become the longest of all */
void timing_commit(tg_anneal *a);

#endif
