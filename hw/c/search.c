/* The cheapest way from the tree of a net to one of its sinks (A*). */
#include "route_parts.h"

#include <stdlib.h>

/* Where a tree has more wires than MANY, a sink that is in no hurry looks at those within NEAR tiles only, if there are
 * at least ENOUGH. */
enum { MANY = 60, NEAR = 4, ENOUGH = 8 };
static const float IN_NO_HURRY = 0.5f;
/* Tiles more around a net's box where there is no way, and then as many as there can be. */
enum { WIDER = 8, ANYWHERE = 1000 };

typedef struct {
    int32_t net, wire, x, y;
    float hurry, sharing, hop_ps, ahead;
    bool all; /* of the tree, to start from */
    tg_area area;
} aim_t;

static bool touches(const tg_area *one, const tg_area *other) {
    return one->x1 >= other->x0 && one->x0 <= other->x1 && one->y1 >= other->y0 && one->y0 <= other->y1;
}

static void reach(tg_router *r, const aim_t *aim, int32_t wire, float cost, float ps, int32_t from, int32_t edge) {
    visit_t *v = &r->visits[wire];
    if (v->seen == r->search && v->cost <= cost)
        return;
    *v = (visit_t){cost, ps, from, edge, r->search};
    float ahead_ps, ahead_cost;
    lookahead(r, wire, aim->x, aim->y, &ahead_ps, &ahead_cost);
    const float total = cost + aim->ahead * (aim->hurry * ahead_ps + (1 - aim->hurry) * ahead_cost);
    if (!heap_put(&r->waiting, (waiting_t){total, cost, wire}))
        r->failed = true;
}

/* Every wire of the tree is a place to start from, at what it takes to get there. */
static void start(tg_router *r, const aim_t *aim) {
    const way_t *way = &r->ways[aim->net];
    if (!aim->all && way->n > MANY && aim->hurry <= IN_NO_HURRY) {
        const tg_area near = {(int16_t)(aim->x - NEAR), (int16_t)(aim->x + NEAR), (int16_t)(aim->y - NEAR),
                             (int16_t)(aim->y + NEAR)};
        int32_t found = 0;
        for (int32_t i = 0; i < way->n; i++) {
            const int32_t w = way->branches[i].wire;
            if (touches(&r->given.reach[w], &near)) {
                reach(r, aim, w, aim->hurry * r->arrives[w], r->arrives[w], NONE, NONE);
                found++;
            }
        }
        if (found >= ENOUGH)
            return;
    }
    for (int32_t i = 0; i < way->n; i++) {
        const int32_t w = way->branches[i].wire;
        reach(r, aim, w, aim->hurry * r->arrives[w], r->arrives[w], NONE, NONE);
    }
}

static void leave(tg_router *r, const aim_t *aim, const waiting_t *now) {
    const tg_problem *g = &r->given;
    const float ps = r->visits[now->wire].ps;
    for (int32_t e = g->first_edge[now->wire]; e < g->first_edge[now->wire + 1]; e++) {
        const int32_t to = g->edges[e].to;
        if (r->owner[to] == aim->net || !touches(&r->given.reach[to], &aim->area))
            continue;
        if (g->first_edge[to] == g->first_edge[to + 1] && to != aim->wire) /* a pin of somebody else */
            continue;
        const float takes = edge_ps(&g->edges[e]);
        const float costs = (takes + aim->hop_ps) * (1 + r->memory[to]) * (1 + aim->sharing * (float)r->users[to]);
        reach(r, aim, to, now->cost + aim->hurry * takes + (1 - aim->hurry) * costs, ps + takes, now->wire, e);
    }
}

static bool search_within(tg_router *r, const aim_t *aim) {
    r->search++;
    r->waiting.n = 0;
    start(r, aim);
    while (r->waiting.n && !r->failed) {
        const waiting_t now = heap_take(&r->waiting);
        if (now.cost > r->visits[now.wire].cost)
            continue;
        r->looked_at++;
        if (now.wire == aim->wire)
            return true;
        leave(r, aim, &now);
    }
    return false;
}

/* The way that was found, from the tree on. */
static void take(tg_router *r, const aim_t *aim) {
    int32_t length = 0;
    for (int32_t w = aim->wire; r->visits[w].from != NONE; w = r->visits[w].from)
        length++;
    for (; length > 0; length--) {
        int32_t w = aim->wire;
        for (int32_t i = 1; i < length; i++)
            w = r->visits[w].from;
        tree_add(r, aim->net, w, r->visits[w].from, r->visits[w].edge);
    }
}

bool search_way(tg_router *r, int32_t net, int32_t sink, double sharing) {
    const way_t *way = &r->ways[net];
    const int32_t wire = r->given.sinks[sink];
    aim_t aim = {.net = net, .wire = wire, .x = column_of(r, wire), .y = row_of(r, wire),
                 .hurry = r->sinks[sink].hurry, .sharing = (float)sharing, .hop_ps = (float)r->manner.hop_ps,
                 .ahead = (float)r->manner.ahead};
    const int32_t margins[] = {way->margin, way->margin + WIDER, ANYWHERE};
    for (int32_t i = 0; i < 3 && !r->failed; i++) {
        const int32_t m = margins[i];
        aim.all = i > 0;
        aim.area = (tg_area){(int16_t)(way->box.x0 - m), (int16_t)(way->box.x1 + m), (int16_t)(way->box.y0 - m),
                            (int16_t)(way->box.y1 + m)};
        if (search_within(r, &aim)) {
            take(r, &aim);
            return true;
        }
    }
    return false;
}
