"""The audit's view of Verilog: registers counted, memories included, and each finding provoked once."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.build import to_verilog
from tickgate.sim.audit import audit_netlist
from tickgate.sim.netlist import Netlist
from tickgate.sim.verilator import strip_zero_memories


class Delays(wiring.Component):
    """Paths of 0, 1, 2 and 4 registers."""

    a: In(8)
    b: In(8)
    plain: Out(8)
    once: Out(8)
    looked_up: Out(8)
    low: Out(4)
    latency_cycles = {("a", "once", "any"): (1, 1), ("a", "looked_up", "any"): (2, 2)}
    combinational_paths = frozenset({("b", "plain")})

    def __init__(self, extra=False):
        self._extra = extra
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.plain.eq(self.b + 1)
        m.d.sync += self.once.eq(self.a)
        if self._extra:
            late = Signal(8)
            m.d.sync += [late.eq(self.a), self.once.eq(late)]
        m.submodules.mem = mem = Memory(shape=8, depth=64, init=[])
        write, read = mem.write_port(), mem.read_port()
        m.d.comb += [write.addr.eq(self.b), write.data.eq(self.b), write.en.eq(1), read.addr.eq(self.a)]
        m.d.sync += self.looked_up.eq(read.data)
        pair = Signal(8)
        with m.If(self.b[7]):
            m.d.sync += pair[4:].eq(self.a[4:])
        m.d.sync += pair[:4].eq(self.once[:4])
        m.d.sync += self.low.eq(pair[:4])
        return m


def netlist_of(component):
    return Netlist(strip_zero_memories(to_verilog(component, name="dut")), "dut")


@pytest.fixture
def component():
    return Delays()


@pytest.fixture
def netlist(component):
    return netlist_of(component)


@pytest.mark.parametrize(
    "source, sink, registers",
    [("a", "once", 1), ("b", "plain", 0), ("a", "plain", None), ("a", "looked_up", 2), ("b", "looked_up", 3),
     ("a", "low", 3)],
)  # fmt: skip
def test_fewest_registers_counts_each_path(netlist, source, sink, registers):
    assert netlist.fewest_registers(netlist.bits(source), netlist.bits(sink)) == registers


def test_audit_of_a_component_that_keeps_its_word_finds_nothing(component, netlist):
    assert audit_netlist("delays", component, netlist).problems == []


def test_audit_of_a_longer_path_than_stated_fails():
    component = Delays(extra=True)
    problems = audit_netlist("delays", component, netlist_of(component)).problems
    assert problems == ["latency a to once: 1 stated, 2 registers in the Verilog"]


def test_audit_of_an_undeclared_combinational_path_fails(component, netlist):
    component.combinational_paths = frozenset()
    assert "combinational path from b to plain" in audit_netlist("delays", component, netlist).problems


def test_audit_of_a_missing_port_fails(netlist):
    class Other(Delays):
        another: Out(3)

    other = Other()
    netlist_of(other)
    problems = audit_netlist("delays", other, netlist).problems
    assert "port another: the signature says ('output', 3), the Verilog None" in problems


def test_audit_of_a_latency_between_unknown_ports_fails(component, netlist):
    component.latency_cycles = {("a", "nowhere", "any"): (1, 1)}
    assert "latency a to nowhere: no such ports" in audit_netlist("delays", component, netlist).problems


def test_audit_without_stated_latencies_fails(component, netlist):
    component.latency_cycles = {}
    assert "no latency_cycles stated" in audit_netlist("delays", component, netlist).problems


def test_undriven_and_unused_signals_are_found():
    text = """module dut(clk, rst, a, b, y);
  input clk; wire clk; input rst; wire rst;
  input a; wire a; input b; wire b;
  output y; wire y;
  wire lost;
  assign y = a & lost;
endmodule
"""
    found = Netlist(text, "dut")
    assert found.undriven() == ["dut.lost"]
    assert found.unused_inputs() == ["b"]


def case_of(keyword):
    return f"""module dut(clk, rst, s, a, b, y);
  input clk; wire clk; input rst; wire rst;
  input [1:0] s; wire [1:0] s; input a; wire a; input b; wire b;
  output y; reg y;
  always @* begin
    y = 1'h0;
    {keyword} (s)
      2'b{"1?" if keyword[-1] in "zx" else "10"}:
          y = a;
      2'h1:
          y = b;
    endcase
  end
endmodule
"""


@pytest.mark.parametrize("keyword", ["case", "casez", "casex"])
def test_branches_of_every_kind_of_case_are_followed(keyword):
    found = Netlist(case_of(keyword), "dut")
    assert found.unregistered_inputs("y") == ["a", "b", "s"]
    assert found.unused_inputs() == []


def test_a_statement_that_pyverilog_passes_over_is_no_silence():
    with pytest.raises(NotImplementedError, match="dut has a UniqueCaseStatement"):
        Netlist(case_of("unique case"), "dut")


def test_an_expression_that_is_not_understood_is_no_silence(netlist, monkeypatch):
    class Strange:
        pass

    bind = netlist._binds["dut.plain"][0]
    monkeypatch.setattr(bind, "tree", Strange())
    with pytest.raises(NotImplementedError, match="dut has a Strange"):
        netlist.unregistered_inputs("plain")
