"""The annealing: every design it leaves is as nextpnr demands, and what it tells is what a plain count gives."""

import random
from collections import defaultdict

import numpy as np
import pytest

anneal = pytest.importorskip("tickgate.hw._anneal", reason="the compiled annealing is not installed")

KIND, X, Y, LC, FLAGS, CLOCK, ENABLE, SET, MATE = range(9)
WIDTH, HEIGHT = 16, 12
SETTINGS = {"wire_ps": 430.0, "tile_ps": 43.0, "goal_ps": 3000.0, "timing": 2.0, "crowded": 20.0, "crowd": 2.0}


class Made:
    """A placed design of all that stands in tiles, with wires at random."""

    def __init__(self, seed=1, tiles=90):
        self.rng = rng = random.Random(seed)
        self.cells, self.chained = [], np.zeros((HEIGHT, WIDTH), np.uint8)
        self.logic = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.logic[1:-1, 1:-1] = 1
        places = [(x, y) for y in range(1, HEIGHT - 1) for x in range(1, WIDTH - 1)]
        for x in (2, 7):  # carry chains over three tiles
            for y in (3, 6, 9):
                for at in range(3):
                    places.remove((x + at, y))
                    for lc in range(8):
                        self.lut(x + at, y, lc, anneal.CARRY)
                    self.chained[y, x + at] = at < 2
        rng.shuffle(places)
        for x, y in places[:10]:  # distributed memories
            for lc in range(4):
                self.lut(x, y, lc, anneal.RAM)
            self.add(anneal.RAM_WRITE_PORT, x, y, 4)
            for lc in (4, 5):
                self.lut(x, y, lc, anneal.RAM_WRITE)
            self.some(x, y, range(6, 8))
        for x, y in places[10:20]:  # PFUMX, and two of them under an L6MUX21
            self.lut(x, y, 0, anneal.MUX5 | anneal.FEEDS_MUX6)
            self.lut(x, y, 1, anneal.FEEDS_MUX5 | anneal.MUX6 | anneal.EVEN_SLICE)
            self.lut(x, y, 2, anneal.MUX5 | anneal.FEEDS_MUX6)
            self.lut(x, y, 3, anneal.FEEDS_MUX5)
            self.lut(x, y, 4, anneal.MUX5)
            self.lut(x, y, 5, anneal.FEEDS_MUX5)
            self.some(x, y, range(6, 8))
        for x, y in places[20:tiles]:
            self.some(x, y, range(8))
        for at in range(4):
            self.add(anneal.BLOCK_RAM, 3 * at + 1, 0, 0)
            self.add(anneal.OTHER, 3 * at + 2, HEIGHT - 1, 0)
        self.cells = np.array(self.cells, np.int32)
        self.wires(seed)

    def add(self, kind, x, y, lc, flags=0, control=(-1, -1, -1), mate=-1):
        self.cells.append([kind, x, y, lc, flags, *control, mate])
        return len(self.cells) - 1

    def lut(self, x, y, lc, flags=0):
        return self.add(anneal.LUT, x, y, lc, flags)

    def some(self, x, y, lcs):
        """LUTs and flip-flops, some of them together, under one clock and reset and an enable a slice."""
        clock, set_, flags = self.rng.randrange(2), self.rng.randrange(-1, 3), anneal.GLOBAL_RESET
        for lc in lcs:
            control = (clock, (x + lc // 2) % 3, set_)
            kind = self.rng.randrange(4)
            if kind == 1:
                lut = self.lut(x, y, lc)
                self.cells[lut][MATE] = self.add(anneal.FLOP, x, y, lc, flags, control, lut)
            elif kind == 2:
                self.lut(x, y, lc)
            if kind in (2, 3):
                self.add(anneal.FLOP, x, y, lc, flags | anneal.USES_M, control)

    def wires(self, seed):
        """Nets from a cell to some, in few cases many; to LUTs of higher numbers only, so that there is no loop."""
        rng, pins, arcs, driver, launch = random.Random(seed), [], [], [], []
        net_of = {}
        for i, cell in enumerate(self.cells):
            if cell[KIND] != anneal.RAM_WRITE_PORT:
                net_of[i] = len(driver)
                driver.append(i)
                launch.append(-1 if cell[KIND] == anneal.LUT else 300)
        for i, net in net_of.items():
            many = 30 if rng.random() < 0.03 else rng.randrange(1, 4)
            ends = {j for j in rng.sample(list(net_of), many) if j > i or self.cells[j][KIND] != anneal.LUT}
            pins += [(end, net) for end in sorted(ends | {i})]
            for end in ends - {i}:
                is_lut = self.cells[end][KIND] == anneal.LUT
                arcs.append((net, end, net_of[end] if is_lut else -1, 130 if is_lut else 90, 0))
        self.pins, self.arcs = np.array(pins, np.int32), np.array(arcs, np.int32)
        self.driver, self.launch = np.array(driver, np.int32), np.array(launch, np.int32)

    def anneal(self, seed=1, **settings):
        return anneal.Anneal(
            self.cells, self.pins, self.logic, self.chained, self.arcs, self.driver, self.launch,
            seed=seed, **{**SETTINGS, **settings},
        )  # fmt: skip

    # What a plain count gives.

    def wire(self, places):
        ends = defaultdict(list)
        for cell, net in self.pins:
            ends[net].append(places[cell])
        return sum(int(np.ptp([p[0] for p in at]) + np.ptp([p[1] for p in at])) for at in ends.values())

    def worst_ps(self, places):
        arrival = [float(ps) if ps >= 0 else -1e9 for ps in self.launch]
        worst = 0.0
        for net, end, to, ps, _ in sorted(self.arcs.tolist(), key=lambda arc: arc[0]):
            begin, at = places[self.driver[net]], places[end]
            takes = ps + SETTINGS["wire_ps"] + SETTINGS["tile_ps"] * (abs(begin[0] - at[0]) + abs(begin[1] - at[1]))
            if to < 0:
                worst = max(worst, arrival[net] + takes)
            else:
                arrival[to] = max(arrival[to], arrival[net] + takes)
        return worst

    def faults(self, places):
        """What nextpnr would not take, by its rules written down once more."""
        found, at = [], {}
        for i, (cell, place) in enumerate(zip(self.cells.tolist(), places.tolist(), strict=True)):
            x, y, lc = place
            if cell[KIND] == anneal.OTHER and place != cell[X : LC + 1]:
                found.append(f"{i} was moved")
            if cell[KIND] <= anneal.RAM_WRITE_PORT and not self.logic[y, x]:
                found.append(f"{i} is where no logic is")
            if (cell[KIND], x, y, lc) in at:
                found.append(f"{i} stands on another cell")
            at[cell[KIND], x, y, lc] = i
            if cell[MATE] >= 0 and places[cell[MATE]].tolist() != place:
                found.append(f"{i} is not with its mate")
            if cell[FLAGS] & anneal.RAM and lc > 3:
                found.append(f"memory {i} is in slice {lc // 2}")
        cells = self.cells
        for kind, x, y, lc in list(at):
            i = at[kind, x, y, lc]
            flags = cells[i][FLAGS]
            if kind != anneal.LUT:
                continue
            partner = at.get((anneal.LUT, x, y, lc ^ 1))
            if partner is not None and (cells[partner][FLAGS] ^ flags) & anneal.CARRY:
                found.append(f"{i} shares a slice with a carry")
            if flags & anneal.MUX5 and (lc % 2 or partner is None or not cells[partner][FLAGS] & anneal.FEEDS_MUX5):
                found.append(f"PFUMX {i} lost its LUT")
            if flags & anneal.EVEN_SLICE:
                others = [at.get((anneal.LUT, x, y, lc + d)) for d in (-1, 1)]
                if lc not in (1, 5) or any(o is None or not cells[o][FLAGS] & anneal.FEEDS_MUX6 for o in others):
                    found.append(f"L6MUX21 {i} lost its LUTs")
            flop = at.get((anneal.FLOP, x, y, lc))
            if flop is not None and flags & (anneal.MUX5 | anneal.MUX6) and cells[flop][FLAGS] & anneal.USES_M:
                found.append(f"{i} and its flip-flop both want M")
            if flags & anneal.RAM_WRITE and (anneal.RAM_WRITE_PORT, x, y, 4) not in at:
                found.append(f"{i} lost its write port")
        by_tile, by_slice = defaultdict(set), defaultdict(set)
        for (kind, x, y, lc), i in at.items():
            if kind == anneal.FLOP:
                by_tile[x, y].add((cells[i][CLOCK], cells[i][SET]))
                by_slice[x, y, lc // 2].add(cells[i][ENABLE])
        found += [f"tile {tile} has clocks and resets {s}" for tile, s in by_tile.items() if len(s) > 1]
        found += [f"slice {tile} has enables {s}" for tile, s in by_slice.items() if len(s) > 1]
        # Chains: the same cells in the same order, one tile after the other.
        for i in np.flatnonzero(cells[:, FLAGS] & anneal.CARRY):
            for j in np.flatnonzero(cells[:, FLAGS] & anneal.CARRY):
                if cells[i, Y] == cells[j, Y] and abs(cells[i, X] - cells[j, X]) < 3:
                    if (places[j] - places[i]).tolist() != (cells[j, X : LC + 1] - cells[i, X : LC + 1]).tolist():
                        found.append(f"{i} and {j} of a chain stand apart")
        return found


@pytest.mark.parametrize("seed", (1, 2, 3))
def test_annealed_design_is_as_nextpnr_demands_shorter_and_faster(seed):
    made = Made(seed)
    work = made.anneal(seed)
    start = work.places()
    assert (start == made.cells[:, X : LC + 1]).all() and made.faults(start) == [] and work.illegal() == 0
    before = work.measure()
    assert before["wire"] == made.wire(start)
    for temperature in (2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.0):
        told = work.sweep(temperature, 6.0)
        places = work.places()
        assert made.faults(places) == [] and work.illegal() == 0
        assert told["wire"] == made.wire(places)
        assert told["worst_ps"] == pytest.approx(made.worst_ps(places))
        assert told["tried"] >= told["legal"] >= told["taken"] > 0
    assert told["wire"] < 0.8 * before["wire"] and told["worst_ps"] < before["worst_ps"]
    moved = set(made.cells[(places != start).any(axis=1), KIND].tolist())
    assert moved >= {anneal.LUT, anneal.FLOP, anneal.RAM_WRITE_PORT} and anneal.OTHER not in moved
    chains = made.cells[:, FLAGS] & anneal.CARRY > 0
    assert (places[chains] != start[chains]).any()


def test_block_rams_change_places_where_that_makes_wires_shorter():
    made = Made()
    rams, pads = (np.flatnonzero(made.cells[:, KIND] == kind) for kind in (anneal.BLOCK_RAM, anneal.OTHER))
    pulls = dict(zip(rams, reversed(pads), strict=True))
    made.pins = np.array([(i, net) for net, pull in enumerate(pulls.items()) for i in pull], np.int32)
    made.arcs = made.arcs[:0]
    made.driver, made.launch = np.array(list(pulls), np.int32), np.full(len(pulls), -1, np.int32)
    work = made.anneal()
    for _ in range(3):
        told = work.sweep(0.0, 6.0)
    assert work.places()[rams, 0].tolist() == made.cells[rams, X].tolist()[::-1]
    assert told["wire"] == made.wire(work.places()) < made.wire(made.cells[:, X : LC + 1])


def test_the_same_seed_gives_the_same_places_and_another_one_others():
    made = Made()
    first, again, other = (made.anneal(seed) for seed in (5, 5, 6))
    for work in (first, again, other):
        work.sweep(0.5, 6.0)
    assert (first.places() == again.places()).all() and (first.places() != other.places()).any()


def test_paths_that_weigh_become_shorter_and_crowding_falls_where_it_costs():
    def end(**settings):
        work = Made(4).anneal(**settings)
        for temperature in (2.0, 1.0, 0.5, 0.2, 0.1, 0.0):
            told = work.sweep(temperature, 8.0)
        return told

    plain = end(timing=0.0, crowd=0.0)
    assert end(timing=8.0, crowd=0.0)["worst_ps"] < plain["worst_ps"]
    assert end(timing=0.0, crowd=20.0, crowded=plain["crowding"] / 2)["crowding"] < plain["crowding"]


def flop(lc, **columns):
    row = {"kind": anneal.FLOP, "x": 3, "y": 3, "lc": lc, "flags": anneal.USES_M, "clock": 0, "enable": 0, "set": 0}
    row |= {"mate": -1} | columns
    return [row[name] for name in anneal.CELL]


def lut(lc, flags=0):
    return flop(lc, kind=anneal.LUT, flags=flags, clock=-1, enable=-1, set=-1)


WRITE_PORT = flop(4, kind=anneal.RAM_WRITE_PORT, flags=0)
LEGAL = {
    "two enables in two slices": [flop(0), flop(2, enable=1)],
    "a memory and its write port": [lut(0, anneal.RAM), WRITE_PORT, lut(4, anneal.RAM_WRITE)],
    "a mux and a flip-flop beside it": [lut(0, anneal.MUX5), lut(1, anneal.FEEDS_MUX5), flop(1)],
    "a memory and a flip-flop of one polarity": [
        lut(0, anneal.RAM | anneal.CLOCK_INVERTED),
        flop(6, flags=anneal.USES_M | anneal.CLOCK_INVERTED),
    ],
}
ILLEGAL = {
    "two enables in a slice": [flop(0), flop(1, enable=1)],
    "two kinds of enables in a slice": [flop(0), flop(1, flags=anneal.USES_M | anneal.ENABLE_INVERTED)],
    "a constant enable in a slice": [flop(0), flop(1, flags=anneal.USES_M | anneal.ENABLE_CONSTANT)],
    "a global reset in half a slice": [flop(0), flop(1, flags=anneal.USES_M | anneal.GLOBAL_RESET)],
    "two clocks in a tile": [flop(0), flop(7, clock=1)],
    "two resets in a tile": [flop(0), flop(7, set=1)],
    "two edges in a tile": [flop(0), flop(7, flags=anneal.USES_M | anneal.CLOCK_INVERTED)],
    "two polarities of reset in a tile": [flop(0), flop(7, flags=anneal.USES_M | anneal.SET_INVERTED)],
    "an asynchronous reset beside another": [flop(0), flop(7, flags=anneal.USES_M | anneal.ASYNCHRONOUS)],
    "a flip-flop that wants a mux's M": [lut(0, anneal.MUX5), lut(1, anneal.FEEDS_MUX5), flop(0)],
    "a PFUMX at an odd place": [lut(1, anneal.MUX5)],
    "an L6MUX21 at an even place": [lut(0, anneal.MUX6)],
    "an L6MUX21 in an odd slice": [lut(3, anneal.MUX6 | anneal.EVEN_SLICE)],
    "a memory in a high slice": [lut(4, anneal.RAM)],
    "a LUT in a write port": [WRITE_PORT, lut(4)],
    "a write port's LUT without it": [lut(4, anneal.RAM_WRITE)],
    "half a carry": [lut(0, anneal.CARRY), lut(1)],
    "a memory and a flip-flop of another edge": [
        lut(0, anneal.RAM),
        flop(6, flags=anneal.USES_M | anneal.CLOCK_INVERTED),
    ],
    "two memories of two edges": [lut(0, anneal.RAM), lut(2, anneal.RAM | anneal.CLOCK_INVERTED)],
}


def tile(cells):
    """The cells of one tile, and a pad that all are connected to."""
    made = Made()
    made.cells = np.array([*cells, flop(0, kind=anneal.OTHER, x=0, y=0, flags=0)], np.int32)
    made.pins = np.array([(i, 0) for i in range(len(made.cells))], np.int32)
    made.arcs = np.zeros((0, len(anneal.ARC)), np.int32)
    made.driver, made.launch = np.array([len(cells)], np.int32), np.array([-1], np.int32)
    made.chained = np.zeros_like(made.logic)
    return made.anneal()


@pytest.mark.parametrize("what", LEGAL)
def test_legal_tile_is_taken(what):
    assert tile(LEGAL[what]).illegal() == 0


@pytest.mark.parametrize("what", ILLEGAL)
def test_illegal_tile_is_seen(what):
    assert tile(ILLEGAL[what]).illegal() == 1


@pytest.mark.parametrize(
    ("array", "at", "value", "said"),
    [
        ("cells", (0, X), WIDTH, "a column must be from 0 to 15, not"),
        ("cells", (0, Y), -1, "a row must be from 0 to 11, not -1"),
        ("cells", (0, LC), 8, "a place in a tile must be from 0 to 7"),
        ("cells", (0, MATE), 10_000, "a mate must be"),
        ("pins", (0, 0), -1, "a pin's cell must be"),
        ("pins", (0, 1), 10_000, "a pin's net must be"),
        ("arcs", (0, 2), -2, "an arc's end must be"),
        ("driver", 0, 10_000, "a driver must be"),
        ("chained", (0, WIDTH - 1), 1, "a carry chain ends at the last column"),
    ],
)
def test_index_that_fits_nothing_is_refused(array, at, value, said):
    made = Made()
    getattr(made, array)[at] = value
    with pytest.raises(ValueError, match=said):
        made.anneal()


def test_shapes_that_fit_nothing_are_refused():
    made = Made()
    made.arcs = made.arcs[:, :4].copy()
    with pytest.raises(ValueError, match="rows of 9, 2 and 5 are wanted, not of 9, 2 and 4"):
        made.anneal()
    made = Made()
    made.launch = made.launch[:-1]
    with pytest.raises(ValueError, match="a launch for each net"):
        made.anneal()
