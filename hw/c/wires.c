/* What wires cost: half the perimeter of the box around a net's pins, times what the area within is crowded. */
#include "anneal_parts.h"

#include <stdlib.h>
#include <string.h>

/* Nets of so few pins are measured anew after each move; of larger ones, the edges are followed. */
enum { SMALL = 5, SMOOTH = 1 };

static double crowding_of(const tg_anneal *a, const box_t *b) {
    const int32_t row = a->width + 1;
    const double *s = a->crowded_before;
    const double sum = s[(b->y1 + 1) * row + b->x1 + 1] - s[(b->y1 + 1) * row + b->x0] - s[b->y0 * row + b->x1 + 1] +
                       s[b->y0 * row + b->x0];
    return sum / ((b->x1 - b->x0 + 1) * (b->y1 - b->y0 + 1));
}

static double price(const tg_anneal *a, const box_t *b) {
    return (b->x1 - b->x0 + b->y1 - b->y0) * (1 + a->settings.crowd * crowding_of(a, b));
}

static void surround(const tg_anneal *a, const net_t *n, box_t *b) {
    int32_t x0 = INT32_MAX, y0 = INT32_MAX, x1 = -1, y1 = -1, on[4] = {0};
    for (int32_t i = n->first; i < n->end; i++) {
        const place_t p = a->at[a->cells_of_net[i]];
        if (p.x < x0)
            x0 = p.x, on[0] = 0;
        if (p.x > x1)
            x1 = p.x, on[1] = 0;
        if (p.y < y0)
            y0 = p.y, on[2] = 0;
        if (p.y > y1)
            y1 = p.y, on[3] = 0;
        on[0] += p.x == x0, on[1] += p.x == x1, on[2] += p.y == y0, on[3] += p.y == y1;
    }
    *b = (box_t){.x0 = x0, .x1 = x1, .y0 = y0, .y1 = y1, .on = {on[0], on[1], on[2], on[3]}};
    b->cost = price(a, b);
}

void boxes_measure(tg_anneal *a) {
    for (int32_t n = 0; n < a->n_nets; n++)
        surround(a, &a->nets[n], &a->nets[n].box);
}

/* A box follows one of its pins; where nothing is left on an edge, the box has to be measured anew (an edge of no pin). */
static void follow(box_t *b, const step_t *s) {
    if (s->x < b->x0)
        b->x0 = s->x, b->on[0] = 0;
    if (s->x > b->x1)
        b->x1 = s->x, b->on[1] = 0;
    if (s->y < b->y0)
        b->y0 = s->y, b->on[2] = 0;
    if (s->y > b->y1)
        b->y1 = s->y, b->on[3] = 0;
    b->on[0] += (s->x == b->x0) - (s->old_x == b->x0);
    b->on[1] += (s->x == b->x1) - (s->old_x == b->x1);
    b->on[2] += (s->y == b->y0) - (s->old_y == b->y0);
    b->on[3] += (s->y == b->y1) - (s->old_y == b->y1);
}

static bool has_lost_an_edge(const box_t *b) { return b->on[0] <= 0 || b->on[1] <= 0 || b->on[2] <= 0 || b->on[3] <= 0; }

double boxes_change(tg_anneal *a) {
    a->n_new = 0;
    for (int32_t i = 0; i < a->n_steps; i++) {
        const step_t *s = &a->steps[i];
        for (int32_t p = a->first_pin[s->cell]; p < a->first_pin[s->cell + 1]; p++) {
            const int32_t n = a->pins_of_cell[p];
            if (a->net_round[n] != a->round) {
                a->net_round[n] = a->round;
                a->net_slot[n] = a->n_new;
                a->new_net[a->n_new] = n;
                a->new_box[a->n_new++] = a->nets[n].box;
            }
            if (a->nets[n].end - a->nets[n].first > SMALL && !has_lost_an_edge(&a->new_box[a->net_slot[n]]))
                follow(&a->new_box[a->net_slot[n]], s);
        }
    }
    double change = 0;
    for (int32_t i = 0; i < a->n_new; i++) {
        const net_t *n = &a->nets[a->new_net[i]];
        box_t *b = &a->new_box[i];
        if (n->end - n->first <= SMALL || has_lost_an_edge(b))
            surround(a, n, b);
        else
            b->cost = price(a, b);
        change += b->cost - n->box.cost;
    }
    return change;
}

void boxes_commit(tg_anneal *a) {
    for (int32_t i = 0; i < a->n_new; i++)
        a->nets[a->new_net[i]].box = a->new_box[i];
}

int64_t wire_total(const tg_anneal *a) {
    int64_t total = 0;
    for (int32_t n = 0; n < a->n_nets; n++) {
        const box_t *b = &a->nets[n].box;
        total += b->x1 - b->x0 + b->y1 - b->y0;
    }
    return total;
}

/* How much more wire a net of many pins takes than half its box's perimeter; roughly what C. Cheng, "RISA", 1994, has. */
static double detour(int32_t pins) {
    if (pins < 4)
        return 1;
    if (pins < 10)
        return 1 + 0.07 * (pins - 3);
    return 1.5 + 0.03 * (pins < 60 ? pins - 10 : 50);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double crowding_measure(tg_anneal *a) {
    const int32_t row = a->width + 1, rows = a->height + 1;
    double *wire = a->wire, *sum = a->crowded_before;
    memset(wire, 0, sizeof *wire * (size_t)row * (size_t)rows);
    for (int32_t i = 0; i < a->n_nets; i++) {
        const net_t *n = &a->nets[i];
        const box_t *b = &n->box;
        const int32_t w = b->x1 - b->x0 + 1, h = b->y1 - b->y0 + 1;
        const double each = detour(n->end - n->first) * (w + h - 2) / ((double)w * h);
        wire[b->y0 * row + b->x0] += each;
        wire[b->y0 * row + b->x1 + 1] -= each;
        wire[(b->y1 + 1) * row + b->x0] -= each;
        wire[(b->y1 + 1) * row + b->x1 + 1] += each;
    }
    for (int32_t y = 0; y < rows; y++)
        for (int32_t x = 1; x < row; x++)
            wire[y * row + x] += wire[y * row + x - 1];
    for (int32_t y = 1; y < rows; y++)
        for (int32_t x = 0; x < row; x++)
            wire[y * row + x] += wire[(y - 1) * row + x];
    memset(sum, 0, sizeof *sum * (size_t)row * (size_t)rows);
    for (int32_t y = 0; y < a->height; y++) {
        for (int32_t x = 0; x < a->width; x++) {
            double around = 0;
            int32_t tiles = 0;
            for (int32_t j = y - SMOOTH; j <= y + SMOOTH; j++) {
                for (int32_t i = x - SMOOTH; i <= x + SMOOTH; i++) {
                    if (i >= 0 && i < a->width && j >= 0 && j < a->height) {
                        around += wire[j * row + i];
                        tiles++;
                    }
                }
            }
            around /= tiles;
            a->sorted[y * a->width + x] = around;
            const double excess = around > a->settings.crowded ? around / a->settings.crowded - 1 : 0;
            sum[(y + 1) * row + x + 1] = sum[y * row + x + 1] + sum[(y + 1) * row + x] - sum[y * row + x] + excess;
        }
    }
    const int32_t tiles = a->width * a->height;
    qsort(a->sorted, (size_t)tiles, sizeof *a->sorted, ascending);
    return a->sorted[tiles * 99 / 100];
}
