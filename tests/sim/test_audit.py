"""Every stage's stated latencies and ports agree with its Verilog, and the audit sees what it is there to see."""

import gc

import pytest

from tickgate.gateware.build import STAGES, to_verilog
from tickgate.sim.audit import AUDIT_SIZES, audit_netlist, audit_stage
from tickgate.sim.netlist import Netlist
from tickgate.sim.verilator import strip_zero_memories


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[pytest.mark.long] if stage == "top" else []) for stage in STAGES]
)
def test_audit_of_every_stage_finds_no_problem(stage):
    audit = audit_stage(stage)
    assert audit.problems == []
    assert audit.rows and all(row.stated == row.found for row in audit.rows)


@pytest.fixture(scope="module")
def risk():
    """A component with declared paths and inputs, and its Verilog."""
    component = STAGES["risk"](AUDIT_SIZES, frozenset())
    text = strip_zero_memories(to_verilog(component, name="audited"))
    gc.collect()
    return component, Netlist(text, "audited")


def _problems(risk, **changed):
    component, netlist = risk
    # Everything but what is changed is the component's own.
    stated = type("Stated", (), {**changed, "__getattr__": lambda self, name: getattr(component, name)})
    return audit_netlist("risk", stated(), netlist).problems


def test_audit_of_a_minimum_that_is_one_off_says_so(risk):
    pair = ("i_intents", "o", "accepted")
    least, most = risk[0].latency_cycles[pair]
    (problem,) = _problems(risk, latency_cycles={pair: (least + 1, most + 1)})
    assert f"{least + 1} stated, {least} registers" in problem


def test_audit_of_a_maximum_below_the_minimum_says_so(risk):
    pair = ("i_intents", "o", "accepted")
    least, _ = risk[0].latency_cycles[pair]
    (problem,) = _problems(risk, latency_cycles={pair: (least, least - 1)})
    assert "below minimum" in problem


def test_audit_of_an_undeclared_path_or_input_says_so(risk):
    assert _problems(risk, combinational_paths=()) == ["combinational path from now to trace__payload"]
    assert _problems(risk, unused_inputs=()) == ["unused input: cfg_gate__select"]


def test_audit_of_a_component_without_latencies_says_so(risk):
    assert _problems(risk, latency_cycles={}) == ["no latency_cycles stated"]
