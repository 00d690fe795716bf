"""The composed device: its Verilog holds no trace and no fault hook, and its parts fit each other."""

import gc
import hashlib
import re

import pytest

from tickgate.gateware import build
from tickgate.gateware.board.roles import Roles
from tickgate.gateware.lib.layouts import counters
from tickgate.gateware.mac.mac import GmiiMac
from tickgate.gateware.top import COUNTER_SOURCES, Top
from tickgate.sim.benches import top as bench
from tickgate.sw.spec.events import TRACES
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64, stash=4)


@pytest.fixture(scope="module")
def plain() -> str:
    return build.to_verilog(Top(SIZES, trace=False), name="top")


def ports(text: str) -> set[str]:
    top = text[text.index("\nmodule top(") :]
    return set(re.findall(r"^  (?:in|out)put (?:\[\d+:0\] )?(\w+);", top[: top.index("\nendmodule")], re.MULTILINE))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_top_for_hardware_has_no_trace_port(plain):
    traced = {name for name in Top(SIZES).signature.members if name.startswith("trace_")}
    assert traced == {f"trace_{stage}" for stage in TRACES}
    assert not {port for port in ports(plain) if port.startswith("trace")}
    assert {"i_a__payload", "o_orders__valid", "o_telemetry__ready"} <= ports(plain)
    gc.collect()  # while the component that is never used may still complain


def test_top_for_hardware_holds_no_fault_hook(plain):
    names = set(re.findall(r"\w+", plain))
    assert not names & {name.split(".")[1] for name in Top.FAULTS}
    assert not {name for name in names if name.startswith("fault")}


def test_top_counts_everything_that_the_register_map_names():
    counted = {name for names in COUNTER_SOURCES.values() for name in names}
    inactive = {f"reject_{(reason.name or '').lower()}" for reason in Reason if not reason & ACTIVE_REASONS}
    assert counted | set(GmiiMac.COUNTERS) | set(Roles.COUNTERS) == set(counter_names()) - inactive


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_top_takes_the_counters_of_what_is_around_it():
    around = {"mac0": GmiiMac.COUNTERS, "mac1": GmiiMac.COUNTERS, "roles": Roles.COUNTERS}
    members = Top(SIZES, around=around).signature.members
    gc.collect()
    assert {name: members[f"counters_{name}"].shape for name in around} == {
        name: counters(names) for name, names in around.items()
    }


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_top_build_id_is_the_hash_of_the_design_with_the_id_zero(monkeypatch):
    asked = []

    def to_verilog(component, name):
        asked.append(component.build_id)
        return f"{name} with the id {component.build_id}"

    monkeypatch.setattr(build, "to_verilog", to_verilog)
    number = int.from_bytes(hashlib.sha256(b"top with the id 0").digest()[:8], "big")
    assert build.build_id(SIZES) == number
    assert build.export("top", SIZES, "anything") == f"anything with the id {number}"
    assert asked == [0, 0, number]
    gc.collect()  # while the components that were never used may still complain


def test_top_exports_a_stage_under_the_name_asked_for():
    assert "\nmodule tickgate_orders(" in build.export("orders", SIZES, "tickgate_orders")


def test_top_verilog_is_the_same_each_time():
    stage = build.STAGES["orders"]
    assert build.to_verilog(stage(SIZES, frozenset()), "orders") == build.to_verilog(
        stage(SIZES, frozenset()), "orders"
    )


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_top_order_latency_of_the_bench_is_the_sum_of_the_stages():
    assert Top.order_cycles() == bench.ORDER_CYCLES
    gc.collect()  # while the components that are never used may still complain


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_top_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="fault must be one of"):
        Top(SIZES, faults=frozenset({"orders.nothing"}))
    gc.collect()  # while the half-made component may still complain
