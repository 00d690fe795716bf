"""The router: every way leads from its net's source to its sinks, no wire is taken twice, late ones go straight."""

import hashlib
import random

import numpy as np
import pytest

router = pytest.importorskip("tickgate.hw._route", reason="the compiled router is not installed")

MANNER = {"goal_ps": 1500.0, "wire_ps": 300.0, "tile_ps": 40.0, "hop_ps": 60.0, "memory": 1.0, "ahead": 1.0}
SIDES = {"E": (1, 0), "W": (-1, 0), "N": (0, -1), "S": (0, 1)}
PINS, OUTPUTS, LANES = 4, 2, 3


class Fabric:
    """Tiles with pins, outputs, and lanes to each side: to the next tile, and slower ones to the second next."""

    def __init__(self, width=9, height=8):
        self.width, self.height = width, height
        self.names = [f"pin{i}" for i in range(PINS)] + [f"out{i}" for i in range(OUTPUTS)]
        self.names += [f"{side}{reach}_{lane}" for side in SIDES for reach in (1, 2) for lane in range(LANES)]
        tiles = width * height
        self.tile = np.repeat(np.arange(tiles, dtype=np.int32), len(self.names))
        self.name = np.tile(np.arange(len(self.names), dtype=np.int32), tiles)
        self.leads = [[] for _ in self.tile]  # of each wire: to, ps, fanout_ps
        for y in range(height):
            for x in range(width):
                self.connect(x, y)
        self.reach = np.empty((len(self.tile), 4), np.int16)
        for wire, leads in enumerate(self.leads):
            at = [int(self.tile[wire]), *(int(self.tile[to]) for to, _, _ in leads)]
            columns, rows = [t % width for t in at], [t // width for t in at]
            self.reach[wire] = (min(columns), max(columns), min(rows), max(rows))

    def wire(self, x, y, name):
        return (y * self.width + x) * len(self.names) + self.names.index(name)

    def connect(self, x, y):
        for lane in range(LANES):
            for side, (dx, dy) in SIDES.items():
                for reach in (1, 2):
                    to_x, to_y = x + dx * reach, y + dy * reach
                    if not (0 <= to_x < self.width and 0 <= to_y < self.height):
                        continue
                    lane_wire = self.wire(x, y, f"{side}{reach}_{lane}")
                    for out in range(OUTPUTS):
                        self.leads[self.wire(x, y, f"out{out}")].append((lane_wire, 50 + 10 * reach, 2))
                    self.leads[lane_wire].append((self.wire(to_x, to_y, f"pin{lane}"), 40, 3))
                    self.leads[lane_wire].append((self.wire(to_x, to_y, "pin3"), 45, 3))
                    for further, (fx, fy) in SIDES.items():
                        for more in (1, 2):
                            if 0 <= to_x + fx * more < self.width and 0 <= to_y + fy * more < self.height:
                                there = self.wire(to_x, to_y, f"{further}{more}_{lane}")
                                self.leads[lane_wire].append((there, 60 + 10 * more, 4))

    def arrays(self):
        first = np.concatenate([[0], np.cumsum([len(leads) for leads in self.leads])]).astype(np.int32)
        edges = np.array([lead for leads in self.leads for lead in leads], router.EDGE)
        return first, edges


class Made:
    """Connections at random on a fabric, each sink a register or a cell with a net of its own."""

    def __init__(self, seed=1, nets=110, fabric=None):
        rng = random.Random(seed)
        self.fabric = f = fabric or Fabric()
        everywhere = [(x, y) for x in range(f.width) for y in range(f.height)]
        sources = rng.sample([(x, y, out) for x, y in everywhere for out in range(OUTPUTS)], nets)
        pins = [(x, y, pin) for x, y in everywhere for pin in range(PINS)]
        rng.shuffle(pins)
        self.nets, self.sinks, self.fixed, arcs, sinks_of = [], [], [], [], []
        self.launch = []
        for net, (x, y, out) in enumerate(sources):
            first = len(self.sinks)
            # No further than six tiles: there are places for all.
            near = [p for p in pins if abs(p[0] - x) + abs(p[1] - y) <= 6][: rng.randrange(1, 4)]
            for pin in near:
                pins.remove(pin)
                self.sinks.append(f.wire(pin[0], pin[1], f"pin{pin[2]}"))
            to = [net + 1 if net + 1 < nets and net % 3 else -1, *[-1] * (len(near) - 1)]
            for i, end in enumerate(to[: len(near)]):
                arcs.append((net, 0, end, 100 + i, 0))
                sinks_of.append((first + i, first + i + 1))
            self.nets.append((f.wire(x, y, f"out{out}"), first, len(self.sinks), 0, 0))
            self.launch.append(300 if net % 3 == 0 else -1)
        self.arcs, self.sinks_of = np.array(arcs, np.int32), np.array(sinks_of, np.int32)
        self.targets = [f.wire(f.width // 2, f.height // 2, f"pin{pin}") for pin in range(PINS)]

    def arguments(self):
        f = self.fabric
        words = lambda values, columns=None: np.array(values, np.int32).reshape((-1, columns) if columns else -1)  # noqa: E731
        return [f.width, *f.arrays(), f.tile, f.name, f.reach, words(self.nets, 5), words(self.sinks),
                words(self.fixed, 3), words(self.arcs, 5), words(self.sinks_of, 2), words(self.launch),
                words(self.targets)]  # fmt: skip

    def route(self, rounds=40, **manner):
        """The router behind as many rounds as it takes, and what it told of the last one."""
        self.router = router.Router(*self.arguments(), **{**MANNER, **manner})
        sharing = 0.5
        for number in range(rounds):
            told = self.router.round(sharing, 1.2 if number < 6 else 0.0, number > 8)
            sharing = min(1.4 * sharing, 16.0)
            if not told["shared"] and not told["unreached"]:
                break
        return told

    def trees(self):
        """Of each net: wire, the wire that it is reached from, and the edge; by what the router tells."""
        first, wires, edges = self.router.trees()
        begin, all_edges = self.fabric.arrays()
        source_of = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
        trees = []
        for net in range(len(self.nets)):
            tree = []
            for wire, edge in zip(wires[first[net] : first[net + 1]], edges[first[net] : first[net + 1]], strict=True):
                assert edge < 0 or all_edges["to"][edge] == wire
                tree.append((int(wire), int(source_of[edge]) if edge >= 0 else None, int(edge)))
            trees.append(tree)
        return trees

    def faults(self, trees):
        """What is wrong with them, by a plain look."""
        found, taken = [], {}
        for net, tree in enumerate(trees):
            source, first, end, first_fixed, end_fixed = self.nets[net]
            own = {source}
            if [step for step in tree if step[0] in {f[0] for f in self.fixed[first_fixed:end_fixed]}] != self.fixed[
                first_fixed:end_fixed
            ]:
                found.append(f"{net} has lost what was fixed")
            reached = set()
            for wire, begin, _ in tree:
                if wire in taken:
                    found.append(f"wire {wire} is of {taken[wire]} and {net}")
                taken[wire] = net
                if begin is None and wire not in own:
                    found.append(f"wire {wire} begins nowhere")
                if begin is not None and begin not in reached:
                    found.append(f"wire {wire} is reached from {begin}, which {net} has not")
                reached.add(wire)
            found += [f"sink {s} is not reached" for s in self.sinks[first:end] if s not in reached]
            useful = {source, *self.sinks[first:end], *(f[0] for f in self.fixed[first_fixed:end_fixed])}
            for wire, begin, _ in reversed(tree):
                if wire not in useful:
                    found.append(f"wire {wire} leads nowhere")
                useful.add(begin)
        return found

    def delays_ps(self, trees):
        """What each sink's way takes: every pip its time, and the fan-out of the wire it leaves once a pip."""
        _, edges = self.fabric.arrays()
        found = []
        for net, tree in enumerate(trees):
            leaving = [begin for _, begin, _ in tree]
            at = {}
            for wire, begin, edge in tree:
                pip = edges[edge]
                at[wire] = 0 if begin is None else at[begin] + pip["ps"] + pip["fanout_ps"] * leaving.count(begin)
            found += [int(at[s]) for s in self.sinks[self.nets[net][1] : self.nets[net][2]]]
        return found

    def worst_ps(self, delays):
        arrival, worst = [float(ps) if ps >= 0 else -1e9 for ps in self.launch], 0.0
        for (net, _, to, ps, _), (sink, _) in zip(self.arcs.tolist(), self.sinks_of.tolist(), strict=True):
            at = arrival[net] + ps + delays[sink]
            if to < 0:
                worst = max(worst, at)
            else:
                arrival[to] = max(arrival[to], at)
        return worst


@pytest.mark.parametrize("seed", (1, 2, 3))
def test_every_sink_is_reached_and_no_wire_is_taken_twice(seed):
    made = Made(seed)
    first = made.route(rounds=1)
    assert first["shared"] > 0 and any("is of" in fault for fault in made.faults(made.trees()))
    told = made.route()
    trees = made.trees()
    assert (told["shared"], told["unreached"], told["nets"]) == (0, 0, 0) and made.faults(trees) == []
    assert told["wires"] == sum(map(len, trees))
    delays = made.delays_ps(trees)
    assert made.router.sinks_ps().tolist() == delays
    assert told["worst_ps"] == pytest.approx(made.worst_ps(delays))


def test_planted_faults_are_seen():
    made = Made()
    made.route()
    trees = made.trees()
    net = next(n for n, tree in enumerate(trees) if len(tree) > 3)
    for plant, said in (
        (lambda tree: tree.pop(), "is not reached"),
        (lambda tree: tree.pop(1), "which"),
        (lambda tree: tree.append(trees[net - 1][0]), "is of"),
        (lambda tree: tree.append((10_000_000, tree[0][0], 0)), "leads nowhere"),
    ):
        broken = [list(tree) for tree in trees]
        plant(broken[net])
        assert any(said in fault for fault in made.faults(broken)), said


def test_the_same_problem_gives_the_same_ways():
    made, again = Made(7), Made(7)
    made.route()
    again.route()
    assert made.trees() == again.trees()


def two_nets(late):
    """Two nets that both want the one lane from tile to tile; around it is longer. `late` has the longer path."""
    fabric = Fabric(6, 5)
    made = Made(fabric=fabric, nets=2)
    lane, other = fabric.wire(2, 2, "E1_0"), fabric.wire(2, 2, "N1_0")
    for out in range(OUTPUTS):
        fabric.leads[fabric.wire(2, 2, f"out{out}")] = [(lane, 50, 1), (other, 50, 1)]
    made.nets = [(fabric.wire(2, 2, "out0"), 0, 1, 0, 0), (fabric.wire(2, 2, "out1"), 1, 2, 0, 0)]
    made.sinks = [fabric.wire(3, 2, "pin0"), fabric.wire(3, 2, "pin3")]
    made.launch = [300, 300]
    made.arcs = np.array([(n, 0, -1, 1400 if n == late else 100, 0) for n in range(2)], np.int32)
    made.sinks_of = np.array([(0, 1), (1, 2)], np.int32)
    return made, lane


@pytest.mark.parametrize("late", (0, 1))
def test_what_is_late_goes_straight_and_what_has_time_goes_around(late):
    made, lane = two_nets(late)
    told = made.route()
    trees = made.trees()
    assert not told["shared"] and made.faults(trees) == []
    assert [any(wire == lane for wire, _, _ in tree) for tree in trees] == [late == 0, late == 1]


def test_wires_from_before_are_kept_and_begun_from():
    made, lane = two_nets(0)
    made.nets[1] = (*made.nets[1][:3], 0, 1)
    begin = made.nets[1][0]
    edge = int(made.fabric.arrays()[0][begin])  # the first of two that leave the source
    made.fixed = [(lane, begin, edge)]  # of the second net, though the first one is late
    told = made.route()
    trees = made.trees()
    assert not told["shared"] and made.faults(trees) == [] and made.fixed[0] in trees[1]
    assert (made.sinks[1], lane) in [wire[:2] for wire in trees[1]]


def test_what_cannot_be_routed_is_told_and_does_not_hang():
    made, lane = two_nets(0)
    for out in range(OUTPUTS):
        made.fabric.leads[made.fabric.wire(2, 2, f"out{out}")] = [(lane, 50, 1)]
    told = made.route(rounds=30)
    assert told["shared"] >= 1 and told["nets"] == 2
    made.fabric.leads[made.fabric.wire(2, 2, "out1")] = []
    told = made.route(rounds=3)
    assert (told["unreached"], told["shared"]) == (1, 0)


def lone(sinks, hurry, ahead):
    """The ways of one net alone to pins far and near, where all that counts is time, or all that counts is cost."""
    made = Made(3, nets=1)
    fabric = made.fabric
    tiles = [(x, y) for x in range(fabric.width) for y in range(fabric.height) if (x, y) != (4, 3)]
    made.sinks = [fabric.wire(x, y, f"pin{pin}") for x, y in tiles for pin in (0, 3)][:: 2 * len(tiles) // sinks]
    made.nets = [(fabric.wire(4, 3, "out0"), 0, len(made.sinks), 0, 0)]
    made.launch = [0]
    made.arcs = np.array([(0, 0, -1, 100_000 * hurry, 0) for _ in made.sinks], np.int32)
    made.sinks_of = np.array([(s, s + 1) for s in range(len(made.sinks))], np.int32)
    told = made.route(ahead=ahead)
    assert told["unreached"] == told["shared"] == 0 and made.faults(made.trees()) == []
    return made, told


@pytest.mark.parametrize("hurry", (0, 1))
def test_what_is_thought_to_be_ahead_makes_no_way_longer_and_fewer_wires_looked_at(hurry):
    for sinks in (1, 2, 5):
        blind, looked_blind = lone(sinks, hurry, 0.0)
        made, looked = lone(sinks, hurry, 1.0)
        assert looked["looked_at"] < looked_blind["looked_at"]
        if hurry or sinks == 1:
            assert made.router.sinks_ps().sum() <= 1.02 * blind.router.sinks_ps().sum()
        assert looked["wires"] <= looked_blind["wires"] + sinks - 1


def test_net_of_many_ends_begins_from_what_is_near():
    made, told = lone(120, 0, 1.0)
    # A tree of its own for each end would have several wires for each.
    assert told["wires"] < 2.5 * len(made.sinks)


def test_ways_are_the_same_on_any_machine():
    made = Made(7)
    made.route()
    ways = np.array([wire[::2] for tree in made.trees() for wire in tree], np.int32)
    assert hashlib.sha256(ways.tobytes()).hexdigest()[:16] == "1dca479dcc151c55"


@pytest.mark.parametrize(
    ("argument", "at", "value", "said"),
    [
        (2, 0, (1_000_000, 1, 1), "an edge's end must be"),
        (3, 0, -1, "a tile must be"),
        (4, 0, -1, "a name must be"),
        (6, (0, 0), -1, "a source must be"),
        (6, (0, 2), 1_000_000, "a net's sinks must be"),
        (6, (1, 1), 10_000, "a net's sinks must be"),
        (6, (0, 1), 5, "a net's sinks must not end before it begins"),
        (7, 0, -1, "a sink must be"),
        (8, (0, 0), -1, "a fixed wire must be"),
        (8, (0, 2), 1_000_000, "a fixed wire's edge must be"),
        (9, (0, 0), -1, "an arc's net must be"),
        (9, (0, 2), -2, "an arc's end must be"),
        (10, (0, 1), 1_000_000, "an arc's sinks must be"),
        (6, (0, 4), 5, "a net's fixed wires must be"),
        (12, 0, -1, "a target must be"),
        (12, 0, 0, "targets must be wires of one tile"),
        (1, 0, 1, "edges must be those of the first wire"),
        (1, 3, 1_000_000, "edges must be those of the first wire"),
    ],
)
def test_index_that_fits_nothing_is_refused(argument, at, value, said):
    made = Made()
    made.fixed = [(0, 0, 0)]
    arguments = made.arguments()
    arguments[argument][at] = value
    with pytest.raises(ValueError, match=said):
        router.Router(*arguments, **MANNER)


@pytest.mark.parametrize(
    ("argument", "change", "said"),
    [
        (4, lambda a: a[:-1], "every wire has edges and a name"),
        (6, lambda a: a[:, :4].copy(), "rows of 5, 3, 5 and 4 are wanted"),
        (7, lambda a: a.astype(np.int64), "int32 in C order is wanted, not int64"),
        (5, lambda a: a.astype(np.int32), "edges and reach have the wrong type"),
        (11, lambda a: a[:0], "a problem has wires"),
    ],
)
def test_shapes_that_fit_nothing_are_refused(argument, change, said):
    arguments = Made().arguments()
    arguments[argument] = change(arguments[argument])
    with pytest.raises(ValueError, match=said):
        router.Router(*arguments, **MANNER)
