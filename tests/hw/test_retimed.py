"""Clocks are found as nextpnr finds them, and of an annealed design as they are."""

import copy

import pytest

pytest.importorskip("tickgate.hw._anneal", reason="the compiled annealing is not installed")
from tickgate.hw import retimed, sdf
from tickgate.hw.placed import TOLD, own_paths

OUTPUTS = {"F", "FCO", "Q", "DOB0", "CLKO", "O"}


def cell(kind, parameters=None, **nets):
    return {
        "type": kind,
        "parameters": parameters or {},
        "attributes": {"BEL": "X2/Y3/SLICEB.K1"},
        "port_directions": {port: "output" if port in OUTPUTS else "input" for port in nets},
        "connections": {port: ["x"] if net is None else [net] for port, net in nets.items()},
    }


#: Two clocks. Of `a`: from `fir$t` to `last` through a LUT, with two carries or without, into a memory, and from there
#: to `fir$t`. Of `b`: from a register to itself. From `a` to `b` as well, which is no path of either.
CELLS = {
    "a_clock": cell("DCCA", CLKI=1, CLKO=90),
    "b_clock": cell("TRELLIS_IO", O=91),
    "fir$t": cell("TRELLIS_FF", CLK=90, DI=21, Q=2, LSR=None),
    "low": cell("TRELLIS_COMB", {"MODE": "CCU2"}, A=2, FCO=3),
    "high": cell("TRELLIS_COMB", {"MODE": "CCU2"}, FCI=3, F=4),
    "gate": cell("TRELLIS_COMB", A=2, B=4, F=5),
    "last": cell("TRELLIS_FF", CLK=90, DI=5, Q=20),
    "ram": cell("DP16KD", CLKA=90, CLKB=90, ADA0=2, DOB0=21),
    "other": cell("TRELLIS_FF", CLK=91, DI=6, Q=7),
    "not": cell("TRELLIS_COMB", A=7, B=2, F=6),
}
NETS = {
    "a": ([90], {"src": "a.py:1|b.py:2"}), "b": ([91], {}), "two": ([2], {"src": "a.py:7|b.py:9"}), "three": ([3], {}),
    "four": ([4], {}), "five": ([5], {}), "six": ([6], {}), "seven": ([7], {}), "out": ([21], {}), "none": ([77], {}),
}  # fmt: skip
MODULE = {
    "cells": CELLS,
    "netnames": {name: {"bits": bits, "attributes": attributes} for name, (bits, attributes) in NETS.items()},
    "attributes": {"top": "1"},
}
SDF = r"""
(DELAYFILE
  (CELL
    (CELLTYPE "top")
    (INSTANCE )
        (INTERCONNECT a_clock/CLKO fir\$t/CLK (0:0:0) (0:0:0))
        (INTERCONNECT a_clock/CLKO last/CLK (0:0:0) (0:0:0))
        (INTERCONNECT a_clock/CLKO ram/CLKA (0:0:0) (0:0:0))
        (INTERCONNECT a_clock/CLKO ram/CLKB (0:0:0) (0:0:0))
        (INTERCONNECT b_clock/O other/CLK (1:2:30) (1:2:30))
        (INTERCONNECT fir\$t/Q low/A (90:95:100) (80:81:82))
        (INTERCONNECT fir\$t/Q gate/A (90:95:100) (800:801:802))
        (INTERCONNECT fir\$t/Q ram/ADA0 (1:1:700) (1:1:700))
        (INTERCONNECT fir\$t/Q not/B (1:1:9000) (1:1:9000))
        (INTERCONNECT low/FCO high/FCI (0:0:0) (0:0:0))
        (INTERCONNECT high/F gate/B (1:1:400) (1:1:400))
        (INTERCONNECT gate/F last/DI (0:0:0) (0:0:0))
        (INTERCONNECT ram/DOB0 fir\$t/DI (1:1:60) (1:1:60))
        (INTERCONNECT other/Q not/A (1:1:500) (1:1:500))
        (INTERCONNECT not/F other/DI (1:1:5) (1:1:5))
  (CELL
    (CELLTYPE "TRELLIS_FF")
    (INSTANCE fir\$t)
        (IOPATH CLK Q (257:283:309) (257:283:309))
      (SETUPHOLD (posedge DI) (posedge CLK) (0:0:7) (153:167:181))
      (SETUPHOLD (negedge DI) (posedge CLK) (0:0:7) (153:167:181))
  (CELL
    (INSTANCE last)
      (SETUPHOLD (posedge DI) (posedge CLK) (-1:0:11) (153:167:181))
  (CELL
    (INSTANCE other)
        (IOPATH CLK Q (257:283:309) (257:283:310))
      (SETUPHOLD (posedge DI) (posedge CLK) (0:0:7) (153:167:181))
  (CELL
    (INSTANCE low)
        (IOPATH A FCO (1:1:278) (1:1:278))
  (CELL
    (INSTANCE high)
        (IOPATH FCI F (1:1:257) (1:1:257))
  (CELL
    (INSTANCE gate)
        (IOPATH A F (1:1:141) (1:1:141))
        (IOPATH B F (1:1:142) (1:1:142))
  (CELL
    (INSTANCE not)
        (IOPATH A F (1:1:143) (1:1:143))
        (IOPATH B F (1:1:144) (1:1:144))
  (CELL
    (INSTANCE ram)
        (IOPATH CLKB DOB0 (1:1:900) (1:1:900))
      (SETUPHOLD (posedge ADA0) (posedge CLKA) (1:1:40) (153:167:181))
"""
A, B = ("a_clock", "CLKO"), ("b_clock", "O")
#: 309 + 100 + 278 + 257 + 400 + 142 + 11, and 310 + 500 + 143 + 5 + 7, where the clock comes late at both ends.
A_PS, B_PS = 1497, 965


def times(*changes):
    text = SDF
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return sdf.read(text.splitlines())


def analysis(*changes, cells=CELLS):
    return retimed.Analysis(cells, times(*changes))


def told(a_mhz=1e6 / A_PS, b_mhz=1e6 / B_PS):
    """A report of nextpnr with these clocks."""
    step = {"type": "setup", "delay": 0}
    return {
        "fmax": {
            "a": {"achieved": a_mhz, "constraint": 100.0},
            "b": {"achieved": b_mhz, "constraint": 100.0},
        },
        "critical_paths": [
            {"from": f"posedge {source}", "to": f"posedge {sink}", "path": [step]}
            for source, sink in (("b", "b"), ("a", "a"), ("a", "b"))
        ],
    }


def test_slowest_times_are_read_and_names_are_without_escapes():
    found = times()
    assert found.paths["fir$t", "CLK", "Q"] == 309 and found.paths["other", "CLK", "Q"] == 310
    assert found.setups["last", "DI"] == sdf.Setup("CLK", False, 11)
    assert found.wires["gate", "A"] == (("fir$t", "Q"), 802)
    assert len(found.wires) == 15 and len(found.setups) == 4
    assert sdf.read([r"(INSTANCE a\\b\[3\])", "(IOPATH A F (0:0:1) (0:0:1)"]).paths == {(r"a\b[3]", "A", "F"): 1}
    falling = times(
        ("(INSTANCE last)\n      (SETUPHOLD (posedge DI) (pos", "(INSTANCE last)\n (SETUPHOLD (posedge DI) (neg")
    )
    assert falling.setups["last", "DI"].falling


@pytest.mark.parametrize(
    "line",
    [
        "(IOPATH A (1:2:3) (1:2:3)",
        "(IOPATH A F (1:2:1e+06) (1:2:3)",
        "(INTERCONNECT a b (1:2:3) (1:2:3)",
        "(SETUPHOLD (posedge A) 3",
    ],
)
def test_line_that_is_none_of_nextpnrs_is_refused(line):
    with pytest.raises(ValueError, match="^not a line of nextpnr's delay file: "):
        sdf.read([f"  {line}\n"])


def test_longest_path_of_each_clock_is_found_with_every_step():
    a, b = analysis().longest(A), analysis().longest(B)
    assert (a.period_ps, b.period_ps) == (A_PS, B_PS)
    assert a.start == a.end == (A, False)
    q, pins = (
        ("fir$t", "Q"),
        [("low", "A"), ("low", "FCO"), ("high", "FCI"), ("high", "F"), ("gate", "B"), ("gate", "F")],
    )
    assert [tuple(hop) for hop in a.hops] == [
        ("clk-to-q", q, q, 309),
        ("routing", q, pins[0], 100),
        ("logic", pins[0], pins[1], 278),
        ("routing", pins[1], pins[2], 0),
        ("logic", pins[2], pins[3], 257),
        ("routing", pins[3], pins[4], 400),
        ("logic", pins[4], pins[5], 142),
        ("routing", pins[5], ("last", "DI"), 0),
        ("setup", ("last", "DI"), ("last", "DI"), 11),
    ]
    assert analysis().longest(("gate", "F")) is None  # no clock


@pytest.mark.parametrize(
    ("old", "new", "a_ps"),
    [
        ("(1:1:700) (1:1:700)", "(1:1:3000) (1:1:700)", 309 + 3000 + 40),  # into the memory
        ("(1:1:60) (1:1:60)", "(1:1:60) (1:1:6000)", 900 + 6000 + 7),  # out of the memory
        ("(800:801:802)", "(800:801:1200)", 309 + 1200 + 141 + 11),  # past the carries
        ("ram/CLKA (0:0:0)", "ram/CLKA (0:0:999)", A_PS),  # a clock that comes late gives time at the end
        ("last/CLK (0:0:0) (0:0:0)", "last/CLK (0:0:50) (0:0:50)", A_PS - 50),
        (r"fir\$t/CLK (0:0:0) (0:0:0)", r"fir\$t/CLK (0:0:50) (0:0:50)", A_PS + 50),
    ],
)
def test_each_kind_of_start_end_and_way_counts(old, new, a_ps):
    path = analysis((old, new)).longest(A)
    assert path.period_ps == a_ps == sum(hop.ps for hop in path.hops)
    skew = [hop for hop in path.hops if hop.kind == "clk-skew"]
    assert len(skew) == (old.startswith(("last/CLK", r"fir\$t/CLK")))


def with_falling(*names, port="CLK"):
    """The cells where these act at the falling edge, and what changes in the delay file."""
    cells = copy.deepcopy(CELLS)
    changes = []
    for name in names:
        cells[name]["parameters"] = {f"{port}MUX": "INV "}
        if name == "last":
            changes.append(("(posedge DI) (posedge CLK) (-1", "(posedge DI) (negedge CLK) (-1"))
    return cells, changes


def test_path_from_one_edge_to_the_other_has_half_a_period():
    cells, changes = with_falling("last")
    path = analysis(*changes, cells=cells).longest(A)
    assert (path.period_ps, path.start.falling, path.end.falling) == (2 * A_PS, False, True)
    # From falling to falling edge it is a whole one again, and the way into the memory needs more.
    cells, changes = with_falling("last", "fir$t")
    path = analysis(*changes, cells=cells).longest(A)
    assert (path.period_ps, path.start.falling, path.end.falling) == (2 * (309 + 700 + 40), True, False)
    cells, changes = with_falling("ram", port="CLKB")
    path = analysis(("(1:1:900) (1:1:900)", "(1:1:800) (1:1:800)"), *changes, cells=cells).longest(A)
    assert (path.period_ps, path.start.falling) == (2 * (800 + 60 + 7), True)
    # nextpnr takes the inverting multiplexer of a pin's register for none.
    cells, changes = with_falling("other")
    assert analysis(*changes, cells=cells).longest(B).period_ps == 2 * B_PS
    cells["other"]["type"] = "SIOLOGIC"
    assert analysis(*changes, cells=cells).longest(B).period_ps == B_PS


def test_circle_is_refused():
    with pytest.raises(ValueError, match=r"^a path through (gate|high|low)\.\w+ leads in a circle$"):
        analysis((r"(INTERCONNECT fir\$t/Q low/A", "(INTERCONNECT gate/F low/A"))


def test_carries_alone_are_corrected_and_both_figures_are_told():
    before = times(("(1:1:257) (1:1:257)", "(1:1:230) (1:1:230)"))
    before.paths["gate", "B", "F"] = 1  # of no carry cell: what is told behind the file counts
    report = told()
    done = retimed.correct(report, MODULE, before, times())
    true_ps = A_PS - 27
    assert report["fmax"]["a"] == {"achieved": 1e6 / true_ps, "constraint": 100.0, TOLD: 1e6 / A_PS}
    assert report["fmax"]["b"] == told()["fmax"]["b"]
    own = own_paths(report)
    assert own["b"] == [{"type": "setup", "delay": 0}] and len(own["a"]) == 9
    assert sum(hop["delay"] for hop in own["a"]) == pytest.approx(true_ps / 1e3)
    assert own["a"][1] == {
        "type": "routing",
        "delay": 0.1,
        "from": {"cell": "fir$t", "port": "Q", "loc": [2, 3]},
        "to": {"cell": "low", "port": "A", "loc": [2, 3]},
        "net": "two",
        "sources": ["a.py:7", "b.py:9"],
    }
    assert report["critical_paths"][2] == told()["critical_paths"][2]
    assert str(done) == f"timed again: a {1e6 / A_PS:.1f} to {1e6 / true_ps:.1f} MHz"


def test_path_through_carries_gives_way_to_one_that_is_longer_then():
    before = times(("(1:1:257) (1:1:257)", "(1:1:0) (1:1:0)"))
    report = told()
    retimed.correct(report, MODULE, before, times())
    assert [hop["to"]["cell"] for hop in own_paths(report)["a"]][-1] == "last"
    assert report["fmax"]["a"]["achieved"] == 1e6 / (309 + 802 + 141 + 11)
    cells, changes = with_falling("last")
    report = told(a_mhz=5e5 / A_PS)
    retimed.correct(report, {**MODULE, "cells": cells}, before, times(*changes))
    assert report["critical_paths"][1]["from"] == "posedge a" and report["critical_paths"][1]["to"] == "negedge a"
    assert report["fmax"]["a"]["achieved"] == 5e5 / (309 + 802 + 141 + 11)


def test_clock_that_is_found_otherwise_than_told_stays_as_told():
    before = times(("(1:1:257) (1:1:257)", "(1:1:230) (1:1:230)"))
    report = told(a_mhz=1e6 / (A_PS + 1))
    done = retimed.correct(report, MODULE, before, times())
    assert report == told(a_mhz=1e6 / (A_PS + 1)) and str(done) == "timed again: as told; left as told: a"
    report = told()
    report["fmax"]["strange"] = {"achieved": 3.0, "constraint": 100.0}
    assert retimed.correct(report, MODULE, before, times()).strange == ("strange",)
    assert report["fmax"]["strange"] == {"achieved": 3.0, "constraint": 100.0}
