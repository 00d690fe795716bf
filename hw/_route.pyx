# cython: language_level=3
"""Routing by negotiated congestion; see c/route.h and `tickgate.hw.route` for what it is for."""
from libc.stdint cimport int32_t, int64_t, uint16_t

import numpy as np

from tickgate.hw._anneal import ARC
from tickgate.hw.indices import check, check_parts


cdef extern from "route.h" nogil:
    ctypedef struct tg_edge:
        pass

    ctypedef struct tg_net:
        pass

    ctypedef struct tg_fixed:
        pass

    ctypedef struct tg_arc:
        pass

    ctypedef struct tg_arc_sinks:
        pass

    ctypedef struct tg_area:
        pass

    ctypedef struct tg_problem:
        int32_t width
        int32_t n_wires, n_names, n_nets, n_sinks, n_arcs, n_timed, n_targets
        const int32_t *first_edge
        const tg_edge *edges
        const int32_t *tile
        const int32_t *name
        const tg_area *reach
        const tg_net *nets
        const int32_t *sinks
        const tg_fixed *fixed
        const tg_arc *arcs
        const tg_arc_sinks *sinks_of
        const int32_t *launch_ps
        const int32_t *targets

    ctypedef struct tg_manner:
        double goal_ps, wire_ps, tile_ps, hop_ps, memory, ahead

    ctypedef struct tg_turn:
        double sharing, again
        int32_t failed_last

    ctypedef struct tg_round:
        int64_t wires, shared, nets, unreached, looked_at
        double worst_ps

    ctypedef struct tg_router:
        pass

    tg_router *tg_router_new(const tg_problem *problem, const tg_manner *manner)
    void tg_router_free(tg_router *r)
    bint tg_router_round(tg_router *r, const tg_turn *turn, tg_round *told)
    int32_t tg_router_size(const tg_router *r, int32_t net)
    void tg_router_tree(const tg_router *r, int32_t net, int32_t *wires, int32_t *edges)
    double tg_router_sink_ps(const tg_router *r, int32_t sink)


#: An edge, as C has it; columns of a net, and of a wire that a net has from before, that `Router` takes.
EDGE = np.dtype([("to", np.int32), ("ps", np.uint16), ("fanout_ps", np.uint16)])
NET = ("source", "first_sink", "end_sink", "first_fixed", "end_fixed")
FIXED_WIRE = ("wire", "from", "edge")


cdef const int32_t *_words(array) except? NULL:
    """The words of an int32 array of any shape; NULL where it has none. The caller keeps the array."""
    if array.dtype != np.int32 or not array.flags.c_contiguous:
        raise ValueError(f"int32 in C order is wanted, not {array.dtype}")
    cdef const int32_t[::1] words = array.reshape(-1)
    return &words[0] if array.size else NULL


cdef class Router:
    """A placed design that is routed.

    Parameters
    ----------
    width: of the device, in tiles. first_edge: int32, of each wire and behind the last one. edges: of `EDGE`, by the
        wire that they leave. tile, name: int32 of each wire; the same name for wires that are alike in each tile.
    reach: int16, of each wire the columns (first, last) and rows (first, last) of the tiles in which pips leave it.
    nets: int32, a row of `NET` each. sinks: int32, wires. fixed: int32, a row of `FIXED_WIRE` each; in a net, a wire comes
        behind the one that it is reached from.
    arcs: int32, a row of `_anneal.ARC` each, of other nets. sinks_of: int32, of each arc the sinks it is timed by: first, end.
    launch_ps: int32 of each of their nets: time from clock to output, or -1 where it is no register.
    targets: int32, wires of one tile in the middle of the logic, at which connections end.

    Raises
    ------
    ValueError: shapes or indices that do not fit together.
    """

    cdef tg_router *r
    cdef tg_problem problem
    cdef tuple kept
    cdef int32_t n_nets, n_sinks

    def __cinit__(self, int32_t width, first_edge, edges, tile, name, reach, nets, sinks, fixed, arcs, sinks_of,
                  launch_ps, targets, *, double goal_ps, double wire_ps, double tile_ps, double hop_ps, double memory,
                  double ahead):
        wires = len(tile)
        if edges.dtype != EDGE or reach.dtype != np.int16:
            raise ValueError(f"edges and reach have the wrong type: {edges.dtype}, {reach.dtype}")
        widths = [rows.shape[1:] for rows in (nets, fixed, arcs, reach)]
        if widths != [(len(NET),), (len(FIXED_WIRE),), (len(ARC),), (4,)]:
            raise ValueError(f"rows of {len(NET)}, {len(FIXED_WIRE)}, {len(ARC)} and 4 are wanted")
        if not wires or not len(nets) or not len(sinks) or not len(launch_ps) or not len(edges) or not len(targets):
            raise ValueError("a problem has wires, edges, nets, sinks, targets and nets with times")
        if len(first_edge) != wires + 1 or len(name) != wires or sinks_of.shape != (len(arcs), 2):
            raise ValueError("every wire has edges and a name, and every arc its sinks")
        if first_edge[0] != 0 or first_edge[-1] != len(edges) or np.any(np.diff(first_edge) < 0):
            raise ValueError("edges must be those of the first wire, then of the second, and so on")
        if width < 1:
            raise ValueError("a device has columns")
        check("an edge's end", edges["to"], 0, wires)
        check("a tile", tile, 0, 1 << 24)
        check("a name", name, 0, 1 << 24)
        check("a source", nets[:, 0], 0, wires)
        check_parts("a net's sinks", nets[:, 1], nets[:, 2], len(sinks))
        check_parts("a net's fixed wires", nets[:, 3], nets[:, 4], len(fixed))
        check("a sink", sinks, 0, wires)
        check("a fixed wire", fixed[:, :2], 0, wires)
        check("a fixed wire's edge", fixed[:, 2], 0, len(edges))
        check("an arc's net", arcs[:, 0], 0, len(launch_ps))
        check("an arc's end", arcs[:, 2], -1, len(launch_ps))
        check_parts("an arc's sinks", sinks_of[:, 0], sinks_of[:, 1], len(sinks))
        check("a target", targets, 0, wires)
        if len(np.unique(tile[targets])) != 1:
            raise ValueError("targets must be wires of one tile")
        edges, reach = np.ascontiguousarray(edges), np.ascontiguousarray(reach)
        self.kept = (first_edge, edges, tile, name, reach, nets, sinks, fixed, arcs, sinks_of, launch_ps, targets)
        cdef tg_problem *p = &self.problem
        p.width, p.n_wires, p.n_names = width, wires, int(name.max()) + 1
        p.n_nets, p.n_sinks = len(nets), len(sinks)
        p.n_arcs, p.n_timed, p.n_targets = len(arcs), len(launch_ps), len(targets)
        p.first_edge, p.tile, p.name = _words(first_edge), _words(tile), _words(name)
        cdef const int32_t[::1] edge_words = edges.view(np.int32)
        cdef const int32_t[::1] areas = reach.reshape(-1).view(np.int32)
        p.edges, p.reach = <const tg_edge *>&edge_words[0], <const tg_area *>&areas[0]
        p.nets, p.sinks, p.fixed = <const tg_net *>_words(nets), _words(sinks), <const tg_fixed *>_words(fixed)
        p.arcs, p.sinks_of = <const tg_arc *>_words(arcs), <const tg_arc_sinks *>_words(sinks_of)
        p.launch_ps, p.targets = _words(launch_ps), _words(targets)
        cdef tg_manner manner
        manner.goal_ps, manner.wire_ps, manner.tile_ps = goal_ps, wire_ps, tile_ps
        manner.hop_ps, manner.memory, manner.ahead = hop_ps, memory, ahead
        self.n_nets, self.n_sinks = len(nets), len(sinks)
        with nogil:
            self.r = tg_router_new(p, &manner)
        if self.r == NULL:
            raise MemoryError()

    def __dealloc__(self):
        tg_router_free(self.r)

    def round(self, double sharing, double again, bint failed_last):
        """Every net in turn once; what came out.

        Parameters
        ----------
        sharing: how much dearer a wire is for each net that has it. again: by which factor a late connection may take
            longer than the least before its net is routed anew; 0 for never. failed_last: nets that often had to share
            come last.

        Returns wires in use, wires shared, nets to be routed in the next round, sinks without a way, wires looked at, and
        the longest path in picoseconds.
        """
        cdef tg_turn turn
        cdef tg_round told
        cdef bint ok
        turn.sharing, turn.again, turn.failed_last = sharing, again, failed_last
        with nogil:
            ok = tg_router_round(self.r, &turn, &told)
        if not ok:
            raise MemoryError()
        return told

    def trees(self):
        """The wires of all nets: where each net's begin (int32, one more than nets), wires, and the edge to each (-1:
        a source); in a net, a wire comes behind the one that leads to it."""
        cdef int32_t n
        first = np.zeros(self.n_nets + 1, np.int32)
        cdef int32_t[::1] f = first
        for n in range(self.n_nets):
            f[n + 1] = f[n] + tg_router_size(self.r, n)
        wires, edges = np.empty(f[self.n_nets] + 1, np.int32), np.empty(f[self.n_nets] + 1, np.int32)
        cdef int32_t[::1] w = wires
        cdef int32_t[::1] e = edges
        for n in range(self.n_nets):
            tg_router_tree(self.r, n, &w[f[n]], &e[f[n]])
        return first, wires[:-1], edges[:-1]

    def sinks_ps(self):
        """What the way to each sink takes: float64, picoseconds."""
        cdef int32_t s
        found = np.empty(self.n_sinks)
        cdef double[::1] f = found
        for s in range(self.n_sinks):
            f[s] = tg_router_sink_ps(self.r, s)
        return found
