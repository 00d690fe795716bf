# cython: language_level=3
"""Simulated annealing of a placed ECP5 design; see c/anneal.h and `tickgate.hw.anneal` for what it is for."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

import numpy as np

from tickgate.hw.indices import check


cdef extern from "anneal.h" nogil:
    enum:
        TG_LUT
        TG_FLOP
        TG_RAM_WRITE_PORT
        TG_BLOCK_RAM
        TG_OTHER
        TG_CARRY
        TG_RAM
        TG_MUX5
        TG_MUX6
        TG_CLOCK_INVERTED
        TG_SET_INVERTED
        TG_RAM_WRITE
        TG_FEEDS_MUX5
        TG_FEEDS_MUX6
        TG_EVEN_SLICE
        TG_ENABLE_INVERTED
        TG_ENABLE_CONSTANT
        TG_GLOBAL_RESET
        TG_ASYNCHRONOUS
        TG_USES_M

    ctypedef struct tg_cell:
        pass

    ctypedef struct tg_arc:
        pass

    ctypedef struct tg_design:
        const tg_cell *cells
        const int32_t *pins
        const uint8_t *logic
        const uint8_t *chained
        const tg_arc *arcs
        const int32_t *driver
        const int32_t *launch_ps
        int32_t n_cells, n_nets, n_pins, n_arcs, width, height

    ctypedef struct tg_settings:
        double wire_ps, tile_ps, goal_ps, timing, crowded, crowd
        uint64_t seed

    ctypedef struct tg_sweep:
        double worst_ps
        int64_t wire, tried, legal, taken
        double crowding

    ctypedef struct tg_anneal:
        pass

    tg_anneal *tg_anneal_new(const tg_design *design, const tg_settings *settings)
    void tg_anneal_free(tg_anneal *a)
    void tg_anneal_sweep(tg_anneal *a, double temperature, double reach, tg_sweep *told)
    void tg_anneal_measure(tg_anneal *a, tg_sweep *told)
    void tg_anneal_where(const tg_anneal *a, int32_t cell, int32_t *place)
    int32_t tg_anneal_illegal(const tg_anneal *a)


LUT, FLOP, RAM_WRITE_PORT, BLOCK_RAM, OTHER = TG_LUT, TG_FLOP, TG_RAM_WRITE_PORT, TG_BLOCK_RAM, TG_OTHER
CARRY, RAM, MUX5, MUX6 = TG_CARRY, TG_RAM, TG_MUX5, TG_MUX6
CLOCK_INVERTED, SET_INVERTED, RAM_WRITE = TG_CLOCK_INVERTED, TG_SET_INVERTED, TG_RAM_WRITE
FEEDS_MUX5, FEEDS_MUX6, EVEN_SLICE = TG_FEEDS_MUX5, TG_FEEDS_MUX6, TG_EVEN_SLICE
ENABLE_INVERTED, ENABLE_CONSTANT, GLOBAL_RESET = TG_ENABLE_INVERTED, TG_ENABLE_CONSTANT, TG_GLOBAL_RESET
ASYNCHRONOUS, USES_M = TG_ASYNCHRONOUS, TG_USES_M

#: Columns of what `Anneal` takes.
CELL = ("kind", "x", "y", "lc", "flags", "clock", "enable", "set", "mate")
ARC = ("net", "cell", "to", "ps", "direct")


cdef dict _told(const tg_sweep *s):
    return {"worst_ps": s.worst_ps, "wire": s.wire, "tried": s.tried, "legal": s.legal, "taken": s.taken,
            "crowding": s.crowding}


cdef class Anneal:
    """A placed design that is annealed.

    Parameters
    ----------
    cells: int32, a row of `CELL` each. pins: int32, pairs of cell and net, none twice. logic, chained: uint8 by row and
        column of tiles: whether a tile holds logic, and whether its carry goes on to the right. arcs: int32, a row of
        `ARC` each. driver, launch_ps: int32 of each net: the cell that drives it or -1, and its time from clock to
        output or -1 where it is no register.

    Raises
    ------
    ValueError: shapes or indices that do not fit together.
    """

    cdef tg_anneal *a
    cdef int32_t n

    def __cinit__(self, cells, pins, logic, chained, arcs, driver, launch_ps, *, double wire_ps, double tile_ps,
                  double goal_ps, double timing, double crowded, double crowd, uint64_t seed):
        cdef const int32_t[:, ::1] c = cells
        cdef const int32_t[:, ::1] p = pins
        cdef const uint8_t[:, ::1] l = logic
        cdef const uint8_t[:, ::1] k = chained
        cdef const int32_t[:, ::1] r = arcs
        cdef const int32_t[::1] d = driver
        cdef const int32_t[::1] t = launch_ps
        cdef tg_design design
        cdef tg_settings settings
        nets, height, width = len(driver), logic.shape[0], logic.shape[1]
        if cells.shape[1] != len(CELL) or pins.shape[1] != 2 or arcs.shape[1] != len(ARC):
            raise ValueError(f"rows of {len(CELL)}, 2 and {len(ARC)} are wanted, "
                             f"not of {cells.shape[1]}, {pins.shape[1]} and {arcs.shape[1]}")
        if not len(cells) or not nets or not logic.size or chained.shape != logic.shape or len(launch_ps) != nets:
            raise ValueError("a design has cells, nets and tiles, with a chain for each tile and a launch for each net")
        check("a column", cells[:, 1], 0, width)
        check("a row", cells[:, 2], 0, height)
        check("a place in a tile", cells[:, 3], 0, 8)
        check("a mate", cells[:, 8], -1, len(cells))
        check("a pin's cell", pins[:, 0], 0, len(cells))
        check("a pin's net", pins[:, 1], 0, nets)
        check("an arc's net", arcs[:, 0], 0, nets)
        check("an arc's cell", arcs[:, 1], 0, len(cells))
        check("an arc's end", arcs[:, 2], -1, nets)
        check("a driver", driver, -1, len(cells))
        if np.any(chained[:, -1]):
            raise ValueError("a carry chain ends at the last column")
        if len(np.unique(pins[:, 1])) != nets:
            raise ValueError("every net has a pin")
        design.cells = <const tg_cell *>&c[0, 0]
        design.pins = &p[0, 0]
        design.logic = &l[0, 0]
        design.chained = &k[0, 0]
        design.arcs = <const tg_arc *>&r[0, 0] if len(arcs) else NULL
        design.driver = &d[0]
        design.launch_ps = &t[0]
        design.n_cells, design.n_nets, design.n_pins, design.n_arcs = len(cells), nets, len(pins), len(arcs)
        design.width, design.height = width, height
        settings.wire_ps, settings.tile_ps, settings.goal_ps, settings.timing = wire_ps, tile_ps, goal_ps, timing
        settings.crowded, settings.crowd, settings.seed = crowded, crowd, seed
        self.a = tg_anneal_new(&design, &settings)
        self.n = len(cells)
        if self.a == NULL:
            raise MemoryError()

    def __dealloc__(self):
        tg_anneal_free(self.a)

    def sweep(self, double temperature, double reach):
        """Ten tries a cell; what came out, as `measure` tells it, with how many were tried, legal and taken."""
        cdef tg_sweep told
        with nogil:
            tg_anneal_sweep(self.a, temperature, reach, &told)
        return _told(&told)

    def measure(self):
        """The longest path in picoseconds, wire in tiles, and wire per tile that 1 % of the tiles exceed; estimates."""
        cdef tg_sweep told
        with nogil:
            tg_anneal_measure(self.a, &told)
        return _told(&told)

    def places(self):
        """Column, row and place in the tile of each cell: int32 of shape (cells, 3)."""
        found = np.empty((self.n, 3), np.int32)
        cdef int32_t[:, ::1] f = found
        cdef int32_t i
        for i in range(self.n):
            tg_anneal_where(self.a, i, &f[i, 0])
        return found

    def illegal(self):
        """How many tiles nextpnr would refuse."""
        return tg_anneal_illegal(self.a)
