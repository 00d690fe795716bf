"""What is read out of the reports of place and route, and what is said where the tools are missing."""

import json

import pytest

from tickgate.hw import fits, timing
from tickgate.hw.parts import TIMING_PART, part_named
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import sizes_named

CLOCK = "$glbnet$clk$TRELLIS_IO_IN"
PART = part_named(TIMING_PART)


def hop(kind, source, sink, delay, **fields):
    return {"type": kind, "from": {"cell": source}, "to": {"cell": sink}, "delay": delay, **fields}


@pytest.fixture
def reports(tmp_path):
    """The files that the tools leave: two paths, of which the first one leaves the clock domain."""
    path = [
        hop("clk-to-q", "a_FF", "a_FF", 0.31),
        hop("routing", "a_FF", "$abc$1$sum_LUT4", 1.5, net="sum"),
        hop("logic", "$abc$1$sum_LUT4", "$abc$1$sum_LUT4", 0.14),
        hop("routing", "$abc$1$sum_LUT4", "b_FF", 0.75, net="sum_next"),
        hop("setup", "b_FF", "b_FF", 0.05),
    ]
    report = {
        "fmax": {CLOCK: {"achieved": 170.5, "constraint": 160.0}},
        "critical_paths": [
            {"from": "<async>", "to": f"posedge {CLOCK}", "path": [hop("routing", "pin", "c_FF", 9.0)]},
            {"from": f"posedge {CLOCK}", "to": f"posedge {CLOCK}", "path": path},
        ],
        "utilization": {"DP16KD": {"used": 2, "available": 208}, "DCUA": {"used": 0, "available": 2}},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    stat = {"design": {"num_cells_by_type": {"LUT4": 20, "TRELLIS_FF": 8}}}
    (tmp_path / "stage.json").write_text(json.dumps(stat))
    return tmp_path


def test_report_gives_clock_cells_and_the_path_within_the_clock(reports):
    result = timing.read_report("feed", PART, 1, reports)
    assert (result.fmax_hz, result.met) == (170.5e6, True)
    assert result.cells == {"LUT4": 20, "TRELLIS_FF": 8}
    assert result.utilization == {"DP16KD": (2, 208)}
    assert (result.path_from, result.path_to) == ("a_FF", "b_FF")
    assert (result.logic_ns, result.routing_ns) == (0.5, 2.25)
    assert json.loads(json.dumps(timing.as_json(result)))["met"] is True


def test_report_below_the_target_is_not_met(reports):
    report = json.loads((reports / "report.json").read_text())
    report["fmax"][CLOCK]["achieved"] = 159.9
    (reports / "report.json").write_text(json.dumps(report))
    assert not timing.read_report("feed", PART, 1, reports).met


def test_stage_that_does_not_fit_is_refused_with_the_numbers():
    fits.check_fits("book", PART, {"DP16KD": 208})
    with pytest.raises(UserError, match="book does not fit .*: it needs 209 block RAMs, of which .* 208: 1 too many"):
        fits.check_fits("book", PART, {"LUT4": 9000, "DP16KD": 209})
    with pytest.raises(UserError, match="it needs 83,641 flip-flops, of which the part has 83,640: 1 too many"):
        fits.check_fits("book", PART, {"TRELLIS_FF": 83_641})


def test_stage_unknown_names_the_stages(tmp_path):
    with pytest.raises(UserError, match="no stage 'x'; the stages are mac, feed, itch, book"):
        timing.place_and_route("x", sizes_named("small"), PART, 1, tmp_path)
