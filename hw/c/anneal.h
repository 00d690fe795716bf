/* Simulated annealing of a placed ECP5 design: cells of logic tiles and block RAMs change places, so that wires become
 * shorter, paths faster and crowded areas emptier.
 *
 * A move exchanges what stands in two places of the same kind: a LUT, a flip-flop, both together, a slice, a row of whole
 * tiles, a block RAM. After each of them the tiles it touched are as nextpnr demands (tiles.c); a row of tiles is moved
 * only where it cuts no carry chain, which keeps everything else as it was.
 *
 * All arithmetic is on integers and on doubles with +, -, * and /: the same input gives the same places on any machine.
 */
#ifndef TICKGATE_ANNEAL_H
#define TICKGATE_ANNEAL_H

#include "paths.h"

/* What a cell is. Others (pads, multipliers, PLLs) have a place that wires end at, and keep it. */
enum { TG_LUT, TG_FLOP, TG_RAM_WRITE_PORT, TG_BLOCK_RAM, TG_OTHER };

/* What decides where a LUT or flip-flop may stand; as in nextpnr's ecp5/archdefs.h. */
enum {
    TG_CARRY = 1,            /* half of a CCU2C */
    TG_RAM = 2,              /* a bit of a distributed memory: slices A and B only */
    TG_MUX5 = 4,             /* PFUMX: the even LUT of a slice, with the odd one */
    TG_MUX6 = 8,             /* L6MUX21 and wider: the odd LUT of a slice, over those of two or more */
    TG_CLOCK_INVERTED = 16,  /* of a flip-flop, or the write clock of a distributed memory */
    TG_SET_INVERTED = 32,    /* LSR of a flip-flop, or the write enable of a distributed memory */
    TG_RAM_WRITE = 64,       /* taken by the write port of a distributed memory */
    TG_FEEDS_MUX5 = 128,     /* the odd LUT of a PFUMX */
    TG_FEEDS_MUX6 = 256,     /* any LUT that an L6MUX21 chooses from */
    TG_EVEN_SLICE = 512,     /* an L6MUX21 over two PFUMX: its own slice is A or C */
    TG_ENABLE_INVERTED = 1024,
    TG_ENABLE_CONSTANT = 2048,
    TG_GLOBAL_RESET = 4096,
    TG_ASYNCHRONOUS = 8192,
    TG_USES_M = 16384        /* a flip-flop that takes its input from M and not from its LUT */
};

/* A cell as it is given. lc: 0 to 7 within the tile, two to a slice. clock, enable, set: nets of a flip-flop, -1 for none.
 * mate: the flip-flop that takes what a LUT drives directly (DI), and the other way round; -1 for none. */
typedef struct {
    int32_t kind, x, y, lc, flags, clock, enable, set, mate;
} tg_cell;

typedef struct {
    const tg_cell *cells;
    const int32_t *pins; /* pairs: cell, net */
    const uint8_t *logic, *chained; /* a tile: holds logic; its carry goes on to the right */
    const tg_arc *arcs;
    const int32_t *driver, *launch_ps; /* of each net: the cell, and clock to output where that is a register, else -1 */
    int32_t n_cells, n_nets, n_pins, n_arcs, width, height;
} tg_design;

/* wire_ps, tile_ps: a wire takes wire_ps, and tile_ps more for each tile of its way. goal_ps: a path that takes so
 * long weighs 1, longer ones more and shorter ones less, by the eighth power. timing: a tile of a
 * connection on a path that weighs 1, in tiles of wire. crowded, crowd: how much wire a tile may have, and how much more
 * wire costs where there is twice as much. */
typedef struct {
    double wire_ps, tile_ps, goal_ps, timing, crowded, crowd;
    uint64_t seed;
} tg_settings;

typedef struct {
    double worst_ps;    /* the longest path by the estimate */
    int64_t wire;       /* half the perimeter of all nets' boxes, in tiles */
    int64_t tried, legal, taken;
    double crowding;    /* wire per tile that 1 % of the tiles exceed */
} tg_sweep;

typedef struct tg_anneal tg_anneal;

/* NULL: no memory. The design is copied. */
tg_anneal *tg_anneal_new(const tg_design *design, const tg_settings *settings);
void tg_anneal_free(tg_anneal *a);
/* Ten tries a cell. temperature: in tiles of wire. reach: how far a try goes, in tiles. */
void tg_anneal_sweep(tg_anneal *a, double temperature, double reach, tg_sweep *told);
/* As it is. */
void tg_anneal_measure(tg_anneal *a, tg_sweep *told);
/* x, y, lc of a cell. */
void tg_anneal_where(const tg_anneal *a, int32_t cell, int32_t place[3]);
/* Tiles that nextpnr would refuse. */
int32_t tg_anneal_illegal(const tg_anneal *a);

#endif
