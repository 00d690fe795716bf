#include "paths.h"

const double PATHS_NEVER = -1e9, PATHS_ANY_TIME = 1e9;

bool paths_prepare(paths_t *p, rooms_t *rooms, const tg_arc *arcs, int32_t n_arcs, const int32_t *launch_ps,
                   int32_t n_nets) {
    *p = (paths_t){.arcs = arcs, .launch_ps = launch_ps, .n_nets = n_nets, .n_arcs = n_arcs};
    ROOM(rooms, n_nets, p->order);
    ROOM(rooms, n_nets, p->waits);
    ROOM(rooms, n_arcs, p->into);
    ROOM(rooms, n_nets + 1, p->first_into);
    ROOM(rooms, n_arcs, p->out_of);
    ROOM(rooms, n_nets + 1, p->first_out_of);
    ROOM(rooms, n_arcs, p->delay);
    ROOM(rooms, n_nets, p->arrival);
    ROOM(rooms, n_nets, p->required);
    if (rooms->failed)
        return false;
    const size_t words = sizeof *arcs / sizeof arcs->net;
    if (n_arcs) { /* else there may be none to point at */
        group_by(&arcs->net, words, n_arcs, n_nets, p->first_out_of, p->out_of);
        group_by(&arcs->to, words, n_arcs, n_nets, p->first_into, p->into);
    }
    for (int32_t n = 0; n < n_nets; n++) {
        p->waits[n] = p->first_into[n + 1] - p->first_into[n];
        if (!p->waits[n])
            p->order[p->n_ordered++] = n;
    }
    for (int32_t i = 0; i < p->n_ordered; i++) {
        const int32_t n = p->order[i];
        for (int32_t j = p->first_out_of[n]; j < p->first_out_of[n + 1]; j++) {
            const int32_t to = arcs[p->out_of[j]].to;
            if (to >= 0 && !--p->waits[to])
                p->order[p->n_ordered++] = to;
        }
    }
    return true;
}

static void arrive(paths_t *p) {
    double worst = 0;
    for (int32_t n = 0; n < p->n_nets; n++)
        p->arrival[n] = PATHS_NEVER;
    for (int32_t o = 0; o < p->n_ordered; o++) {
        const int32_t n = p->order[o];
        double at = p->launch_ps[n] >= 0 ? p->launch_ps[n] : PATHS_NEVER;
        for (int32_t j = p->first_into[n]; j < p->first_into[n + 1]; j++) {
            const int32_t i = p->into[j];
            const double through = p->arrival[p->arcs[i].net] + p->delay[i];
            at = through > at ? through : at;
        }
        p->arrival[n] = at;
        for (int32_t j = p->first_out_of[n]; j < p->first_out_of[n + 1]; j++) {
            const int32_t i = p->out_of[j];
            if (p->arcs[i].to < 0 && at + p->delay[i] > worst)
                worst = at + p->delay[i];
        }
    }
    p->worst_ps = worst;
}

void paths_analyse(paths_t *p, double limit_ps) {
    arrive(p);
    const double limit = limit_ps > 0 ? limit_ps : p->worst_ps;
    for (int32_t n = 0; n < p->n_nets; n++)
        p->required[n] = PATHS_ANY_TIME;
    for (int32_t o = p->n_ordered - 1; o >= 0; o--) {
        const int32_t n = p->order[o];
        for (int32_t j = p->first_out_of[n]; j < p->first_out_of[n + 1]; j++) {
            const int32_t i = p->out_of[j];
            const double until = paths_until(p, &p->arcs[i], limit) - p->delay[i];
            if (until < p->required[n])
                p->required[n] = until;
        }
    }
}
