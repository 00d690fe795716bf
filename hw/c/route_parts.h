/* What the parts of the router share; see route.h. */
#ifndef TICKGATE_ROUTE_PARTS_H
#define TICKGATE_ROUTE_PARTS_H

#include "heap.h"
#include "route.h"

/* AHEAD: how far the table of costs ahead goes, in tiles. */
enum { NONE = -1, AHEAD = 24, SPAN = 2 * AHEAD + 1 };

/* A wire of a net, and how it is reached: from which other wire, over which edge; NONE for the source. The source and what is
 * fixed come first. */
typedef struct {
    int32_t wire, from, edge;
} branch_t;

typedef struct {
    branch_t *branches;
    int32_t n, room;
    tg_area box;     /* of its source and sinks */
    int32_t margin; /* tiles around it in which ways are looked for */
    int32_t failed; /* rounds after which it had to be routed again */
    int32_t unreached; /* sinks without a way */
    bool late;
} way_t;

typedef struct {
    float ps, least_ps, estimate_ps; /* of its wire: now, where nothing else is, and while it is not reached */
    float late;         /* what the longest path through it has of what it may take: 1 for all, more than 1 for more */
    float hurry;        /* that, from 0 to less than 1 */
} sink_t;

/* The best way to a wire in the search with the number `seen`. */
typedef struct {
    float cost, ps;
    int32_t from, edge, seen;
} visit_t;

typedef struct {
    int32_t failed, item;
    float hurry;
    int32_t tiles;
} turn_t;

struct tg_router {
    tg_problem given;
    tg_manner manner;
    rooms_t rooms;
    bool failed; /* no memory */

    float *ahead_ps, *ahead_cost; /* by name, rows down and columns right of the target (lookahead.c) */

    way_t *ways;
    sink_t *sinks;
    paths_t paths;
    uint16_t *users;
    float *memory;   /* of each wire: how much dearer it became */
    int32_t *owner;  /* of each wire: the net whose tree is being grown, if it is in it */
    float *arrives;  /* of each wire in that tree: its delay from the source */
    int32_t *leaves; /* of each wire: pips that leave it in its net */

    visit_t *visits;
    int32_t search;
    heap_t waiting;
    int64_t looked_at;

    branch_t *before; /* the tree of a net as it was */
    int32_t room_before;
    bool *used; /* of each branch: something hangs on it */
    turn_t *nets_in_turn, *sinks_in_turn;
    int32_t n_in_turn;
};

static inline int32_t column_of(const tg_router *r, int32_t wire) { return r->given.tile[wire] % r->given.width; }
static inline int32_t row_of(const tg_router *r, int32_t wire) { return r->given.tile[wire] / r->given.width; }
static inline float edge_ps(const tg_edge *edge) { return (float)(edge->ps + edge->fanout_ps); }

/* lookahead.c: fills the tables; false for no memory. Then what the way from a wire to a tile takes and costs at least,
 * if nobody else is there. */
bool lookahead_learn(tg_router *r);
void lookahead(const tg_router *r, int32_t wire, int32_t x, int32_t y, float *ps, float *cost);

/* search.c: the cheapest way from a net's tree to one of its sinks, appended to its tree; false where there is none. */
bool search_way(tg_router *r, int32_t net, int32_t sink, double sharing);

/* trees.c: a wire comes to the tree of a net. */
void tree_add(tg_router *r, int32_t net, int32_t wire, int32_t from, int32_t edge);
/* Leaves of a net's tree what nobody else wants and a sink needs, or only its source and what is fixed. */
void tree_prune(tg_router *r, int32_t net, bool all);
/* What each sink's wire takes. */
void tree_measure(tg_router *r, int32_t net);

#endif
