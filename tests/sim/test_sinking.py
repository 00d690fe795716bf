"""A design whose logic is computed where it is used does in every cycle what the design does that it was made of."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.build import to_verilog
from tickgate.gateware.lib.pipe import Pipe
from tickgate.sim import flatten, gating, merging, runtime, sinking, verilator

DRIVER = """
#include "Vdut.h"
#include "verilated.h"
#include <cstdio>
int main() {
    VerilatedContext context;
    Vdut dut(&context);
    unsigned long long seed = 7, hash = 1469598103934665603ull;
    for (int cycle = 0; cycle < 20000; cycle++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        dut.rst = cycle < 4 || cycle % 5000 == 4321;
        dut.valid = seed >> 33 & 1;
        dut.a = seed >> 34;
        dut.b = seed >> 50;
        dut.clk = 1; dut.eval();
        const unsigned seen = dut.o___05Fvalid ? 1 | dut.o___05Fpayload << 1 : 0;
        hash = (hash ^ seen ^ (unsigned long long)dut.count << 32) * 1099511628211ull;
        dut.clk = 0; dut.eval();
    }
    std::printf("%llx\\n", hash);
}
"""


class Sums(wiring.Component):
    """A gated pipeline with a memory, a choice by cases, a counter, a second pipeline beside it, and a record, part of
    which is worked out behind the last register."""

    valid: In(1)
    a: In(16)
    b: In(16)
    o: Out(stream.Signature(24, always_ready=True))
    count: Out(8)

    def elaborate(self, platform):
        m = Module()
        pipe, twin = Pipe(m, valid="valid"), Pipe(m, "twin", valid="valid")
        for each in (pipe, twin):
            each.put("valid", self.valid, 0, reset=True)
        pipe.put("product", self.a * self.b, 0)
        pipe.put("kind", self.a[:2], 0)
        twin.put("least", Mux(self.a < self.b, self.a, self.b), 0)
        m.submodules.kept = kept = Memory(shape=16, depth=4, init=[])
        read, write = kept.read_port(domain="comb"), kept.write_port()
        kind, total = pipe.get("kind", 1), Signal(24)
        m.d.comb += [read.addr.eq(kind), write.addr.eq(kind), write.data.eq(total[4:20])]
        m.d.comb += write.en.eq(pipe.get("valid", 1) & ~kind[1])
        with m.Switch(kind):
            with m.Case(0):
                m.d.comb += total.eq(pipe.get("product", 1)[8:] + read.data)
            with m.Case(1):
                m.d.comb += total.eq(twin.get("least", 1))
            with m.Default():
                m.d.comb += total.eq(read.data ^ pipe.get("product", 1)[:16])
        pipe.put("total", total, 1)
        m.d.comb += [self.o.valid.eq(pipe.get("valid", 2)), self.o.payload.eq(pipe.get("total", 2) * 3)]
        with m.If(twin.get("valid", 1) & (kind == 3)):
            m.d.sync += self.count.eq(self.count + 1)
        return m


@pytest.fixture(scope="module")
def plain() -> str:
    return verilator.merge_registers(verilator.strip_zero_memories(to_verilog(Sums(), name="dut")))


@pytest.fixture(scope="module")
def expected(plain, tmp_path_factory) -> str:
    return run(tmp_path_factory.mktemp("plain") / "run", plain)


def run(folder: Path, text: str) -> str:
    """The hash of what the design `text` shows in 20,000 cycles."""
    folder.mkdir()
    (folder / "dut.v").write_text(text)
    (folder / "driver.cpp").write_text(DRIVER)
    runtime.executable(folder, ("--top-module", "dut", "--prefix", "Vdut"), ("dut.v", "driver.cpp"))
    return subprocess.run([folder / "obj" / "Vdut"], capture_output=True, text=True, check=True, timeout=60).stdout


@contextmanager
def every_condition_is(name: str) -> Iterator[None]:
    """Plants a fault: whatever a process waits for is taken for `name`."""
    before = sinking._Conditions.of
    sinking._Conditions.of = lambda self, text: before(self, text) and frozenset({name})  # type: ignore[method-assign]
    try:
        yield
    finally:
        sinking._Conditions.of = before  # type: ignore[method-assign]


def test_design_does_the_same_in_every_cycle_and_a_wrong_condition_shows(plain, expected, tmp_path):
    assert run(tmp_path / "right", gating.gated(plain, "dut")) == expected
    with every_condition_is("valid"):
        wrong = gating.gated(plain, "dut")
    assert run(tmp_path / "wrong", wrong) != expected


def test_record_computed_behind_another_port_than_its_own_shows(plain, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(gating, "records", lambda flat: {"o__payload": "valid"})
    assert run(tmp_path / "wrong", gating.gated(plain, "dut")) != expected


def test_logic_that_only_feeds_a_stage_is_behind_its_valid_bit_and_a_record_behind_the_ports(plain):
    flat = flatten.flatten(plain, "dut")
    sunk = sinking.assigned(flat, sinking.records(flat))
    # The valid bits of the two pipelines are one chain.
    assert [sum(name.startswith("valid_1") for name in f.declarations) for f in (flat, sunk.flat)] == [2, 1]
    assert sum(process.block is not None for process in sunk.processes) >= 4
    assert sum(node.block is not None for node in sunk.nodes) >= 4
    products = {node.block for node in sunk.nodes if "*" in " ".join(node.lines)}
    assert products == {"valid", f"{sinking.PORT}o__valid"}, "a product is computed in every cycle"


def test_registers_of_other_reset_values_are_not_merged():
    text = """module dut(clk, rst, a, q, r);
  input clk;
  wire clk;
  input rst;
  wire rst;
  input a;
  wire a;
  output q;
  wire q;
  output r;
  wire r;
  reg x = 1'h0;
  reg y = 1'h1;
  reg z = 1'h0;
  assign q = x;
  assign r = y ^ z;
  always @(posedge clk)
    x <= a;
  always @(posedge clk)
    y <= a;
  always @(posedge clk)
    z <= a;
endmodule
"""
    flat = merging.merge_equal(merging.merge_aliases(flatten.flatten(text, "dut")))
    assert "y" in flat.declarations and "z" not in flat.declarations


@pytest.mark.parametrize("line", ["  function f;", "  always @(negedge clk)", "  assign q = missing;", "  foo bar(a);"])
def test_verilog_of_another_form_is_refused(line):
    declared = "  input clk;\n  wire clk;\n  output q;\n  wire q;\n"
    text = f"module dut(clk, q);\n{declared}{line}\n    q <= 1'h0;\nendmodule\n"
    with pytest.raises(flatten.NotUnderstood):
        flatten.flatten(text, "dut")
