/* Static timing of a design: when a signal is there at the latest, and until when it may be.
 *
 * One period for all clocks: paths between clocks count as if there was one. That is wrong for few, and never lets a path
 * grow unseen. */
#ifndef TICKGATE_PATHS_H
#define TICKGATE_PATHS_H

#include "rooms.h"

/* A way for a signal: net to a cell, and through it to another net, or into a register (to < 0). ps: of the cell, or its
 * setup time. direct: no wire is between. */
typedef struct {
    int32_t net, cell, to, ps, direct;
} tg_arc;

typedef struct {
    const tg_arc *arcs;
    const int32_t *launch_ps; /* of each net: clock to output where a register drives it, else -1 */
    int32_t n_nets, n_arcs, n_ordered;
    int32_t *order, *waits; /* nets, what drives before what is driven */
    int32_t *into, *first_into, *out_of, *first_out_of; /* arcs by the net they end at, and begin at */
    double *delay; /* of each arc with its wire, as its owner sets it */
    double *arrival, *required; /* of each net */
    double worst_ps;
} paths_t;

/* What no register begins or ends has these times. */
extern const double PATHS_NEVER, PATHS_ANY_TIME;

/* Arcs and launch_ps are not copied. False: no memory. */
bool paths_prepare(paths_t *p, rooms_t *rooms, const tg_arc *arcs, int32_t n_arcs, const int32_t *launch_ps, int32_t n_nets);
/* Arrival forwards, and required backwards from what a path may take: `limit_ps`, or as long as the longest for 0. */
void paths_analyse(paths_t *p, double limit_ps);

/* Until when a signal may be at the end of an arc; what paths may take as in `paths_analyse`. */
static inline double paths_until(const paths_t *p, const tg_arc *arc, double limit_ps) {
    return arc->to < 0 ? limit_ps : p->required[arc->to];
}

#endif
