"""Every stage's bench passes with the seed of the suite, and proves as much as it declares."""

import pytest

from tickgate.sim import cocotb_run

SEED = 1
LATENCY_TEST = "latency_is_what_the_table_says"
STAGES = [pytest.param(stage, marks=[pytest.mark.long] if stage == "top" else []) for stage in cocotb_run.STAGES]


@pytest.mark.parametrize("stage", STAGES)
def test_bench_of_every_stage_passes(stage, tmp_path):
    result = cocotb_run.run(stage, seed=SEED, work=tmp_path)
    assert not result.failed, "\n".join(f"{name}: {message}" for name, message in result.failed.items())
    assert len(result.passed) == cocotb_run.bench_module(stage).EXPECTED_TESTS
    assert LATENCY_TEST in result.passed  # it holds the least and the most of every row of the stage's table
