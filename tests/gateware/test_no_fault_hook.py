"""Production Verilog holds nothing of the planted faults: not their names, not a port, not a gate."""

import re

import pytest

from tickgate.gateware.build import to_verilog
from tickgate.gateware.top import Top
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)


def _production() -> str:
    return to_verilog(Top(SIZES, trace=False), name="top")


@pytest.fixture(scope="module")
def plain() -> str:
    return _production()


def test_production_verilog_has_no_trace_port_and_no_name_of_a_fault(plain):
    top = plain[plain.index("\nmodule top(") :]
    ports = re.findall(r"^  (?:in|out)put (?:\[\d+:0\] )?(\w+);", top[: top.index("\nendmodule")], re.MULTILINE)
    assert "o_orders__valid" in ports
    assert not [port for port in ports if "trace" in port or "fault" in port]
    names = set(re.findall(r"\w+", plain))
    assert not names & {fault.split(".")[1] for fault in Top.FAULTS}


def test_production_verilog_is_the_same_whatever_faults_are_declared(plain, monkeypatch):
    monkeypatch.setattr(Top, "FAULTS", {})
    assert _production() == plain


def test_a_planted_fault_is_other_verilog(plain):
    planted = Top(SIZES, trace=False, faults=frozenset({"wiring.kill_skips_orders"}))
    assert to_verilog(planted, name="top") != plain
