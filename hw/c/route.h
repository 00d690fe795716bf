/* Routing of a placed design: at first nets share wires, and each wire that several want becomes dearer in every round,
 * until nobody shares one (negotiated congestion). A connection pays for what its wires take by how long the longest path
 * through it is, and for what they cost by the rest: what is late goes straight, what has time goes around.
 *
 * All arithmetic is on integers and on floats with +, -, * and /, and what costs the same is taken in one order: the same
 * input gives the same routes on any machine.
 *
 * References: L. McMurchie and C. Ebeling, "PathFinder: a negotiation-based performance-driven router for FPGAs", 1995;
 * the table of least costs ahead is that of VPR's "map lookahead" (K. Murray et al., 2020) in kind.
 */
#ifndef TICKGATE_ROUTE_H
#define TICKGATE_ROUTE_H

#include "paths.h"

/* A pip: from the wire that it is listed for, to another. fanout_ps: once more for each pip that leaves the same wire in
 * the same net. */
typedef struct {
    int32_t to;
    uint16_t ps, fanout_ps;
} tg_edge;

/* source: a wire. Its sinks, and the wires that it has from before: from first to before end. */
typedef struct {
    int32_t source, first_sink, end_sink, first_fixed, end_fixed;
} tg_net;

/* A wire that a net has from before, and stays its own: what it is reached from stands before it, or is the source. */
typedef struct {
    int32_t wire, from, edge;
} tg_fixed;

/* Sinks that the wire of an arc leads to: those of the arc's cell. */
typedef struct {
    int32_t first, end;
} tg_arc_sinks;

/* Tiles, from the first to the last. */
typedef struct {
    int16_t x0, x1, y0, y1;
} tg_area;

typedef struct {
    int32_t width; /* in tiles */
    int32_t n_wires, n_names, n_nets, n_sinks, n_arcs, n_timed, n_targets;
    const int32_t *first_edge; /* of each wire, and behind the last one */
    const tg_edge *edges;
    const int32_t *tile, *name; /* of each wire; wires of one name are alike in every tile */
    const tg_area *reach;       /* of each wire: itself and the tiles in which pips leave it */
    const tg_net *nets;
    const int32_t *sinks;
    const tg_fixed *fixed;
    const tg_arc *arcs; /* its nets are others than those above */
    const tg_arc_sinks *sinks_of;
    const int32_t *launch_ps;
    const int32_t *targets; /* wires of one tile in the middle of logic, at which connections end: costs are learned there */
} tg_problem;

/* goal_ps: what paths are to take. wire_ps, tile_ps: what a wire takes before it has a way, and more for each tile.
 * hop_ps: what each wire costs besides what it takes. memory: by how much a wire becomes dearer for each net too many,
 * for good. ahead: how much of the cost ahead is believed; with more than 1, fewer ways are looked at. */
typedef struct {
    double goal_ps, wire_ps, tile_ps, hop_ps, memory, ahead;
} tg_manner;

/* What is to be done in a round. sharing: how much dearer a wire is for each net that has it already. again: by how much
 * a late connection may take longer than the least before its net is routed anew, as a factor; 0 for never.
 * failed_last: nets that often had to share come last, and not by how late they are only. */
typedef struct {
    double sharing, again;
    int32_t failed_last;
} tg_turn;

typedef struct {
    int64_t wires, shared;  /* that nets have, and that several have */
    int64_t nets, unreached; /* that are to be routed in the next round, and sinks without a way */
    int64_t looked_at;      /* wires, in this round */
    double worst_ps;        /* the longest path */
} tg_round;

typedef struct tg_router tg_router;

/* The problem is not copied. NULL: no memory. */
tg_router *tg_router_new(const tg_problem *problem, const tg_manner *manner);
void tg_router_free(tg_router *r);
/* False: no memory; the router is then of no more use. */
bool tg_router_round(tg_router *r, const tg_turn *turn, tg_round *told);
/* How many wires a net has; its wires, and the edge that each one is reached by, -1 for its source; what is nearer to the source comes first. */
int32_t tg_router_size(const tg_router *r, int32_t net);
void tg_router_tree(const tg_router *r, int32_t net, int32_t *wires, int32_t *edges);
/* What a sink's wire takes, in picoseconds; an estimate where it is not reached. */
double tg_router_sink_ps(const tg_router *r, int32_t sink);

#endif
