"""Every planted fault is found by the detector that its bench names; a fault that survives fails the suite."""

import pytest

from tickgate.gateware.build import STAGES as COMPONENTS
from tickgate.sim import cocotb_run

SEED = 1
#: Faults that few messages without back-pressure do not show.
HARD = {
    ("feed", "sequence_carry_lost"): "a sequence number beyond 16,384",
    ("itch", "sequence_cut"): "a sequence number beyond 16,384",
    ("itch", "buffer_overwrites"): "a book that stands still",
    ("orders", "count_needs_ready"): "back-pressure on an order's last word",
    ("orders", "payload_slips"): "back-pressure at the start of a payload",
}
PLANTED = [(stage, fault) for stage in cocotb_run.STAGES for fault in cocotb_run.bench_module(stage).FAULTS]


def test_every_stage_has_planted_faults():
    assert {stage for stage, _ in PLANTED} == set(cocotb_run.STAGES)
    assert len(PLANTED) >= 12
    assert sum(stage == "top" for stage, _ in PLANTED) <= 3
    assert set(HARD) <= set(PLANTED) and len(HARD) >= 3


@pytest.mark.parametrize("stage", cocotb_run.STAGES)
def test_detectors_are_tests_of_the_bench(stage):
    bench = cocotb_run.bench_module(stage)
    assert all(hasattr(bench, detector) for detector in bench.FAULTS.values())


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize("stage", cocotb_run.STAGES)
def test_a_fault_that_is_not_declared_is_refused(stage):
    with pytest.raises(ValueError, match="no_such_fault"):
        COMPONENTS[stage](cocotb_run.bench_sizes(stage), frozenset({"no_such_fault"}))


@pytest.mark.parametrize(
    ("stage", "fault"),
    [pytest.param(*planted, marks=[pytest.mark.long] if planted[0] == "top" else []) for planted in PLANTED],
)
def test_planted_fault_is_found_by_its_detector(stage, fault, tmp_path):
    detector = cocotb_run.bench_module(stage).FAULTS[fault]
    result = cocotb_run.run(stage, seed=SEED, faults=frozenset({fault}), tests=(detector,), work=tmp_path)
    assert detector in result.failed, f"{stage}: the fault {fault} survives {detector}"
