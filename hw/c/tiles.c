/* Which cells a logic tile of an ECP5 holds together. A tile has one clock, one set or reset and their polarities; each of
 * its four slices has one enable. */
#include "anneal_parts.h"

typedef struct {
    bool has_flop, has_ram;
    int32_t polarity, asynchronous, clock, set;
} shared_t;

static bool lut_is_legal(const tg_anneal *a, const tile_t *t, int32_t lc, shared_t *shared) {
    const int32_t slice = lc / 2, flags = a->cells[t->lut[lc]].flags;
    const bool in_write_port = slice == 2 && t->write_port != NOBODY;
    if (in_write_port != ((flags & TG_RAM_WRITE) != 0))
        return false;
    if ((flags & TG_MUX5) && lc % 2 != 0)
        return false;
    if ((flags & TG_MUX6) && lc % 2 != 1)
        return false;
    if ((flags & TG_EVEN_SLICE) && slice % 2 != 0)
        return false;
    if (lc % 2 == 1 && t->lut[lc - 1] != NOBODY && ((a->cells[t->lut[lc - 1]].flags ^ flags) & TG_CARRY))
        return false;
    if (flags & TG_RAM) {
        const int32_t polarity = flags & (TG_CLOCK_INVERTED | TG_SET_INVERTED);
        if (slice > 1 || ((shared->has_flop || shared->has_ram) && shared->polarity != polarity))
            return false;
        shared->polarity = polarity;
        shared->has_ram = true;
    }
    return true;
}

static bool flop_is_legal(const tg_anneal *a, const tile_t *t, int32_t lc, shared_t *shared, int32_t *of_slice) {
    const tg_cell *f = &a->cells[t->flop[lc]];
    const int32_t polarity = f->flags & (TG_CLOCK_INVERTED | TG_SET_INVERTED);
    const int32_t asynchronous = f->flags & TG_ASYNCHRONOUS;
    if ((f->flags & TG_USES_M) && t->lut[lc] != NOBODY && (a->cells[t->lut[lc]].flags & (TG_MUX5 | TG_MUX6)))
        return false;
    if (*of_slice != NOBODY) {
        const tg_cell *other = &a->cells[*of_slice];
        if (((f->flags ^ other->flags) & (TG_GLOBAL_RESET | TG_ENABLE_CONSTANT | TG_ENABLE_INVERTED)) ||
            f->enable != other->enable)
            return false;
    }
    *of_slice = t->flop[lc];
    if ((shared->has_flop || shared->has_ram) && shared->polarity != polarity)
        return false;
    if (shared->has_flop &&
        (shared->clock != f->clock || shared->set != f->set || shared->asynchronous != asynchronous))
        return false;
    *shared = (shared_t){true, shared->has_ram, polarity, asynchronous, f->clock, f->set};
    return true;
}

bool tile_is_legal(const tg_anneal *a, const tile_t *t) {
    shared_t shared = {0};
    for (int32_t slice = 0; slice < LCS / 2; slice++) {
        int32_t flop_of_slice = NOBODY;
        for (int32_t lc = slice * 2; lc < slice * 2 + 2; lc++) {
            if (t->lut[lc] != NOBODY && !lut_is_legal(a, t, lc, &shared))
                return false;
            if (t->flop[lc] != NOBODY && !flop_is_legal(a, t, lc, &shared, &flop_of_slice))
                return false;
        }
    }
    return true;
}
