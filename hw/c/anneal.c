/* The moves, and whether they are taken; see anneal.h. */
#include "anneal_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    TRIES_PER_CELL = 10,
    TRIES_PER_ANALYSIS = 15000,
    ANALYSES_PER_CROWDING = 4,
    TARGETS = 8,      /* places looked at for one that holds logic */
    NEAR = 3,         /* tiles around a cell that one is moved next to */
    /* In a thousand tries: each of these, then slices, and what is left for block RAMs. */
    LUTS = 400,
    FLOPS = 300,
    SLICES = 150,
    ROWS = 145,
    /* One try in so many is for a cell on one of the longest paths. */
    LATE_ONE_IN = 20,
    ALONE = TG_CARRY | TG_RAM | TG_RAM_WRITE | TG_MUX5 | TG_MUX6 | TG_FEEDS_MUX5,
    SLICE_BOUND = TG_CARRY | TG_RAM | TG_RAM_WRITE | TG_MUX6 | TG_FEEDS_MUX6
};

/* -ln of the middle of each of LOGS parts of 0 to 1, by a series: the last bits of what libraries say differ. */
void tg_anneal_logs(double minus_log[LOGS]) {
    for (int i = 0; i < LOGS; i++) {
        double u = (i + 0.5) / LOGS, sum = 0;
        while (u < 0.5) {
            u *= 2;
            sum += 0.69314718055994530942;
        }
        const double z = (1 - u) / (1 + u);
        double power = z;
        for (int k = 1; k < 60; k += 2, power *= z * z)
            sum += 2 * power / k;
        minus_log[i] = sum;
    }
}

/* Xorshift (G. Marsaglia, "Xorshift RNGs", 2003). */
static uint32_t draw(tg_anneal *a) {
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;
    return (uint32_t)(a->random >> 32);
}

static int32_t below(tg_anneal *a, int32_t n) { return (int32_t)(((uint64_t)draw(a) * (uint64_t)n) >> 32); }

static int32_t *slot_of(const tg_anneal *a, const tg_cell *c) {
    tile_t *t = tile_at(a, c->x, c->y);
    switch (c->kind) {
    case TG_LUT:
        return &t->lut[c->lc];
    case TG_FLOP:
        return &t->flop[c->lc];
    case TG_RAM_WRITE_PORT:
        return &t->write_port;
    default:
        return NULL;
    }
}

static void stand(tg_anneal *a, int32_t cell, int32_t x, int32_t y, int32_t lc) {
    tg_cell *c = &a->cells[cell];
    c->x = x, c->y = y, c->lc = lc;
    a->at[cell] = (place_t){(int16_t)x, (int16_t)y};
    int32_t *slot = slot_of(a, c);
    if (slot)
        *slot = cell;
}

void tg_anneal_stand(tg_anneal *a, int32_t cell) {
    const tg_cell *c = &a->cells[cell];
    stand(a, cell, c->x, c->y, c->lc);
}

bool tg_lut_is_free(const tg_cell *c) { return !(c->flags & ALONE); }

static void leave(tg_anneal *a, int32_t cell) {
    int32_t *slot = slot_of(a, &a->cells[cell]);
    if (slot)
        *slot = NOBODY;
}

static void add_step(tg_anneal *a, int32_t cell, int32_t x, int32_t y, int32_t lc) {
    if (cell == NOBODY)
        return;
    const tg_cell *c = &a->cells[cell];
    a->steps[a->n_steps++] = (step_t){cell, x, y, lc, c->x, c->y, c->lc};
}

/* All cells of the move leave before any is put somewhere: they take each other's places. */
static void make_steps(tg_anneal *a, bool back) {
    for (int32_t i = 0; i < a->n_steps; i++)
        leave(a, a->steps[i].cell);
    for (int32_t i = 0; i < a->n_steps; i++) {
        const step_t *s = &a->steps[i];
        if (back)
            stand(a, s->cell, s->old_x, s->old_y, s->old_lc);
        else
            stand(a, s->cell, s->x, s->y, s->lc);
    }
}

/* Makes the move of `steps` where it is legal and cheap enough; `one` and `other` are the tiles that may not be legal
 * behind it, NULL where all are. */
static bool judge(tg_anneal *a, const tile_t *one, const tile_t *other) {
    if (!a->n_steps)
        return false;
    a->tried++;
    make_steps(a, false);
    if ((one && !tile_is_legal(a, one)) || (other && !tile_is_legal(a, other))) {
        make_steps(a, true);
        return false;
    }
    a->legal++;
    a->round++;
    const double change = boxes_change(a) + timing_change(a);
    if (change > 0 && change >= a->temperature * a->minus_log[below(a, LOGS)]) {
        make_steps(a, true);
        return false;
    }
    a->taken++;
    boxes_commit(a);
    timing_commit(a);
    return true;
}

static bool may_leave_slice(const tg_anneal *a, int32_t lut) {
    return lut == NOBODY || tg_lut_is_free(&a->cells[lut]);
}

/* A tile with logic to move a cell to: within reach of it, or next to a cell it is connected to. */
static bool find_tile(tg_anneal *a, int32_t cell, int32_t *to_x, int32_t *to_y) {
    int32_t x = a->cells[cell].x, y = a->cells[cell].y, reach = a->reach > 1 ? (int32_t)a->reach : 1;
    const int32_t first = a->first_pin[cell], pins = a->first_pin[cell + 1] - first;
    if (pins && below(a, 2)) {
        const net_t *n = &a->nets[a->pins_of_cell[first + below(a, pins)]];
        const place_t p = a->at[a->cells_of_net[n->first + below(a, n->end - n->first)]];
        if (abs(p.x - x) + abs(p.y - y) > 1) {
            x = p.x, y = p.y;
            reach = reach < NEAR ? reach : NEAR;
        }
    }
    for (int32_t i = 0; i < TARGETS; i++) {
        *to_x = x + below(a, 2 * reach + 1) - reach;
        *to_y = y + below(a, 2 * reach + 1) - reach;
        if (*to_x >= 0 && *to_x < a->width && *to_y >= 0 && *to_y < a->height && tile_at(a, *to_x, *to_y)->logic)
            return true;
    }
    return false;
}

/* LUT and flip-flop at one place against those at another. */
static bool exchange_both(tg_anneal *a, const tg_cell *here, int32_t x, int32_t y, int32_t lc) {
    const tile_t *one = tile_at(a, here->x, here->y), *other = tile_at(a, x, y);
    if (!may_leave_slice(a, one->lut[here->lc]) || !may_leave_slice(a, other->lut[lc]))
        return false;
    add_step(a, one->lut[here->lc], x, y, lc);
    add_step(a, one->flop[here->lc], x, y, lc);
    add_step(a, other->lut[lc], here->x, here->y, here->lc);
    add_step(a, other->flop[lc], here->x, here->y, here->lc);
    return true;
}

/* A LUT or flip-flop against what is at another place; with their mates where they have such. */
static void move_one(tg_anneal *a, int32_t cell) {
    const tg_cell here = a->cells[cell];
    int32_t x, y;
    if (!find_tile(a, cell, &x, &y))
        return;
    const int32_t lc = below(a, LCS);
    if (x == here.x && y == here.y && lc == here.lc)
        return;
    const tile_t *one = tile_at(a, here.x, here.y), *other = tile_at(a, x, y);
    const int32_t there = here.kind == TG_LUT ? other->lut[lc] : other->flop[lc];
    a->n_steps = 0;
    if (here.kind == TG_LUT && !may_leave_slice(a, there))
        return;
    if (here.mate == NOBODY && (there == NOBODY || a->cells[there].mate == NOBODY)) {
        add_step(a, cell, x, y, lc);
        add_step(a, there, here.x, here.y, here.lc);
    } else if (!exchange_both(a, &here, x, y, lc)) {
        return;
    }
    judge(a, one, other);
}

static bool slice_may_move(const tg_anneal *a, const tile_t *t, int32_t slice) {
    if (slice == 2 && t->write_port != NOBODY)
        return false;
    for (int32_t lc = 2 * slice; lc < 2 * slice + 2; lc++)
        if (t->lut[lc] != NOBODY && (a->cells[t->lut[lc]].flags & SLICE_BOUND))
            return false;
    return true;
}

static void move_slice(tg_anneal *a, int32_t cell) {
    const tg_cell here = a->cells[cell];
    int32_t x, y;
    if (!find_tile(a, cell, &x, &y) || (x == here.x && y == here.y))
        return;
    const int32_t from = here.lc / 2, to = below(a, LCS / 2);
    const tile_t *one = tile_at(a, here.x, here.y), *other = tile_at(a, x, y);
    if (!slice_may_move(a, one, from) || !slice_may_move(a, other, to))
        return;
    a->n_steps = 0;
    for (int32_t half = 0; half < 2; half++) {
        add_step(a, one->lut[2 * from + half], x, y, 2 * to + half);
        add_step(a, one->flop[2 * from + half], x, y, 2 * to + half);
        add_step(a, other->lut[2 * to + half], here.x, here.y, 2 * from + half);
        add_step(a, other->flop[2 * to + half], here.x, here.y, 2 * from + half);
    }
    judge(a, one, other);
}

static void add_tile(tg_anneal *a, const tile_t *t, int32_t x, int32_t y) {
    for (int32_t lc = 0; lc < LCS; lc++) {
        add_step(a, t->lut[lc], x, y, lc);
        add_step(a, t->flop[lc], x, y, lc);
    }
    add_step(a, t->write_port, x, y, t->write_port == NOBODY ? 0 : a->cells[t->write_port].lc);
}

/* The tiles of a carry chain, or one tile, against as many others that no chain enters or leaves. */
static void move_row(tg_anneal *a, int32_t cell) {
    const int32_t x = a->cells[cell].x, y = a->cells[cell].y;
    int32_t to_x, to_y, first = x, last = x;
    if (!find_tile(a, cell, &to_x, &to_y))
        return;
    while (first > 0 && tile_at(a, first - 1, y)->chained)
        first--;
    while (tile_at(a, last, y)->chained)
        last++;
    const int32_t n = last - first + 1, start = to_x - (x - first);
    if (start < 0 || start + n > a->width || (to_y == y && abs(start - first) < n))
        return;
    if ((start > 0 && tile_at(a, start - 1, to_y)->chained) || tile_at(a, start + n - 1, to_y)->chained)
        return;
    for (int32_t i = 0; i < n; i++)
        if (!tile_at(a, start + i, to_y)->logic)
            return;
    a->n_steps = 0;
    for (int32_t i = 0; i < n; i++) {
        add_tile(a, tile_at(a, first + i, y), start + i, to_y);
        add_tile(a, tile_at(a, start + i, to_y), first + i, y);
    }
    if (!judge(a, NULL, NULL))
        return;
    for (int32_t i = 0; i < n; i++) {
        tile_t *one = tile_at(a, first + i, y), *other = tile_at(a, start + i, to_y);
        const bool chained = one->chained;
        one->chained = other->chained;
        other->chained = chained;
    }
}

static void move_ram(tg_anneal *a) {
    if (a->n_rams < 2)
        return;
    const int32_t one = a->rams[below(a, a->n_rams)], other = a->rams[below(a, a->n_rams)];
    const tg_cell *c = &a->cells[one], *d = &a->cells[other];
    if (one == other)
        return;
    a->n_steps = 0;
    add_step(a, one, d->x, d->y, d->lc);
    add_step(a, other, c->x, c->y, c->lc);
    judge(a, NULL, NULL);
}

static int32_t any(tg_anneal *a, const int32_t *cells, int32_t n) { return n ? cells[below(a, n)] : NOBODY; }

static void move_late(tg_anneal *a) {
    const int32_t cell = a->late[below(a, a->n_late)];
    if (a->cells[cell].kind == TG_FLOP || may_leave_slice(a, cell))
        move_one(a, cell);
    else
        move_row(a, cell);
}

static void move(tg_anneal *a) {
    if (a->n_late && below(a, LATE_ONE_IN) == 0) {
        move_late(a);
        return;
    }
    const int32_t kind = below(a, 1000);
    int32_t cell;
    if (kind < LUTS) {
        if ((cell = any(a, a->free_luts, a->n_free_luts)) != NOBODY)
            move_one(a, cell);
    } else if (kind < LUTS + FLOPS) {
        if ((cell = any(a, a->flops, a->n_flops)) != NOBODY)
            move_one(a, cell);
    } else if (kind < LUTS + FLOPS + SLICES) {
        const bool of_lut = below(a, 2);
        if ((cell = of_lut ? any(a, a->free_luts, a->n_free_luts) : any(a, a->flops, a->n_flops)) != NOBODY)
            move_slice(a, cell);
    } else if (kind < LUTS + FLOPS + SLICES + ROWS) {
        const bool bound = below(a, 4) != 0;
        if ((cell = bound ? any(a, a->bound_luts, a->n_bound_luts) : any(a, a->free_luts, a->n_free_luts)) != NOBODY)
            move_row(a, cell);
    } else {
        move_ram(a);
    }
}

static void weigh(tg_anneal *a, bool crowding) {
    if (crowding) {
        a->crowding = crowding_measure(a);
        boxes_measure(a);
    }
    timing_weigh(a);
}

void tg_anneal_sweep(tg_anneal *a, double temperature, double reach, tg_sweep *told) {
    const int64_t tries = TRIES_PER_CELL * ((int64_t)a->n_free_luts + a->n_flops + a->n_bound_luts);
    a->temperature = temperature;
    a->reach = reach;
    a->tried = a->legal = a->taken = 0;
    for (int64_t i = 0; i < tries; i++) {
        if (i % TRIES_PER_ANALYSIS == 0)
            weigh(a, i % (TRIES_PER_ANALYSIS * ANALYSES_PER_CROWDING) == 0);
        move(a);
    }
    tg_anneal_measure(a, told);
}

void tg_anneal_measure(tg_anneal *a, tg_sweep *told) {
    weigh(a, true);
    *told = (tg_sweep){a->paths.worst_ps, wire_total(a), a->tried, a->legal, a->taken, a->crowding};
}

void tg_anneal_where(const tg_anneal *a, int32_t cell, int32_t place[3]) {
    place[0] = a->cells[cell].x, place[1] = a->cells[cell].y, place[2] = a->cells[cell].lc;
}

int32_t tg_anneal_illegal(const tg_anneal *a) {
    int32_t found = 0;
    for (int32_t i = 0; i < a->width * a->height; i++)
        found += !tile_is_legal(a, &a->tiles[i]);
    return found;
}
