"""A design that is evaluated only where something changes does in every cycle what the plain design does."""

import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.build import to_verilog
from tickgate.gateware.lib.pipe import Pipe
from tickgate.sim import clusters, flatten, gating, masks, narrowing, runtime, sinking, verilator

CYCLES = 20000
DRIVER = """
#include "Vdut.h"
#include "verilated.h"
#include <cstdio>
int main() {
    VerilatedContext context;
    Vdut dut(&context);
    unsigned long long seed = 7, hash = 1469598103934665603ull;
    for (int cycle = 0; cycle < %d; cycle++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        dut.rst = cycle < 4 || cycle %% 5000 == 4321;
        if (cycle / 64 %% 2) {
            dut.valid = seed >> 33 & 1;
            dut.a = seed >> 34;
            dut.b = seed >> 50;
        } else {
            dut.valid = (seed >> 33 & 15) == 0;
        }
        dut.clk = 1; dut.eval();
        const unsigned long long seen = dut.o_valid ? dut.o_valid | (unsigned long long)dut.o_total << 1 : 0;
        hash = (hash ^ seen ^ (unsigned long long)dut.state << 32) * 1099511628211ull;
        dut.clk = 0; dut.eval();
        const unsigned shown = dut.now_or_b;
        hash = (hash ^ shown) * 1099511628211ull;
    }
    std::printf("%%llx\\n", hash);
}
"""


class Mixed(wiring.Component):
    """A gated pipeline, registers that change places, a memory that two stages write, wide registers, a free counter, a
    stage that is ready at rest and one that the reset leaves idle, sums of 64 bits with and without their carry, and an
    output that depends on an input of its cycle."""

    valid: In(1)
    a: In(16)
    b: In(16)
    o_valid: Out(1)
    o_total: Out(24)
    state: Out(24)
    now_or_b: Out(16)

    def elaborate(self, platform):
        m = Module()
        now, left, right, held, wide = Signal(16), Signal(16), Signal(16, init=5), Signal(16), Signal(100)
        m.d.sync += now.eq(now + 1)
        with m.If(self.valid & self.a[0]):
            m.d.sync += [left.eq(right ^ held), right.eq(left)]
        pipe = Pipe(m, valid="valid")
        pipe.put("valid", self.valid, 0, reset=True)
        pipe.put("product", self.a * self.b, 0)
        pipe.put("kind", self.a[:2], 0)
        pipe.put("when", now, 0)
        m.submodules.kept = kept = Memory(shape=16, depth=4, init=[3, 1, 4, 1])
        read, low, high = kept.read_port(domain="comb"), kept.write_port(), kept.write_port()
        m.d.comb += [
            read.addr.eq(pipe.get("kind", 1)),
            low.addr.eq(pipe.get("kind", 1)),
            low.data.eq(pipe.get("product", 1)[3:]),
            low.en.eq(pipe.get("valid", 1)),
            high.addr.eq(held[:2]),
            high.data.eq(held ^ right),
            high.en.eq(held[4] & ~pipe.get("valid", 1)),
        ]
        ready, count = Signal(), Signal(8)
        m.d.comb += ready.eq(~pipe.get("valid", 1) | held[0])
        with m.If(ready):
            m.d.sync += [held.eq(self.b ^ left), count.eq(count + self.valid)]
        idle, lazy = Signal(init=1), Signal(8)
        m.d.sync += idle.eq(~pipe.get("valid", 1) | left[3])
        with m.If(idle):
            m.d.sync += lazy.eq(self.a[8:] ^ held[8:])
        with m.If(pipe.get("valid", 1)):
            m.d.sync += wide.eq(Cat(pipe.get("product", 1), wide[:68]))
        long, behind = Signal(64, init=(1 << 64) - 3000), Signal(64)
        m.d.sync += [long.eq(long + 1), behind.eq(long - wide[:64])]
        odd, sums = Signal(), Signal()  # in registers of their own: what changes in every cycle would raise both
        m.d.sync += sums.eq(long.xor() ^ behind.xor() ^ (long + wide[:64])[64])
        m.d.sync += odd.eq((wide & 0x5_0123_4567_89AB_CDEF_0011_2233).xor() ^ (held & 0x8421).xor())
        pipe.put("total", (pipe.get("product", 1) ^ read.data ^ pipe.get("when", 1))[:24], 1)
        m.d.comb += [
            self.o_valid.eq(pipe.get("valid", 2)),
            self.o_total.eq(pipe.get("total", 2)),
            self.state.eq(Cat(left[:4], right[:4], held[:7], odd, wide[92:]) ^ count ^ sums ^ lazy),
            self.now_or_b.eq(now ^ (self.b & right)),
        ]
        return m


@pytest.fixture(scope="module")
def plain() -> str:
    return verilator.merge_registers(verilator.strip_zero_memories(to_verilog(Mixed(), name="dut")))


def run(folder: Path, text: str) -> str:
    """The hash of what the design `text` shows in each cycle."""
    folder.mkdir()
    (folder / "dut.v").write_text(text)
    (folder / "driver.cpp").write_text(DRIVER % CYCLES)
    runtime.executable(folder, ("--top-module", "dut", "--prefix", "Vdut"), ("dut.v", "driver.cpp"))
    return subprocess.run([folder / "obj" / "Vdut"], capture_output=True, text=True, check=True, timeout=60).stdout


def units(text: str) -> gating.Gated:
    flat, _ = masks.masked(flatten.flatten(text, "dut"))
    flat, count = narrowing.narrowed(flat)
    assert count
    return gating.Gated(sinking.assigned(flat, sinking.records(flat)))


@pytest.fixture(scope="module")
def expected(plain, tmp_path_factory) -> str:
    return run(tmp_path_factory.mktemp("plain") / "run", plain)


@pytest.mark.parametrize("few", [0, gating.FEW], ids=["stay", "watch"])
def test_gated_design_does_the_same_in_every_cycle(plain, expected, tmp_path, monkeypatch, few):
    monkeypatch.setattr(gating, "FEW", few)
    found = units(plain)
    waiting = [unit for unit in found.loads if unit.condition]
    assert found.logic and found._late and found._shared and 0 < len(waiting) < len(found.loads)
    assert any(found._stays(unit) for unit in waiting) == (few == 0)
    assert [found._stays(unit) for unit in waiting if unit.registers & {"count", "lazy"}] == [False, False]
    assert run(tmp_path / "gated", gating.gated(plain, "dut")) == expected


@pytest.mark.parametrize("bits", [1, 100], ids=["valid", "wide"])
def test_an_input_that_raises_no_flag_shows(plain, expected, tmp_path, monkeypatch, bits):
    number = gating.Gated._number

    def forgetful(self):
        number(self)
        missed = [n for n, raised in self._raised.items() if raised and self._declared[n].bits == bits]
        self._raised[next(n for n in missed if bits > 1 or n == "valid_1")].clear()

    monkeypatch.setattr(gating.Gated, "_number", forgetful)
    assert run(tmp_path / "wrong", gating.gated(plain, "dut")) != expected


def test_a_sum_that_is_too_narrow_shows(plain, expected, tmp_path, monkeypatch):
    bits = narrowing._bits
    monkeypatch.setattr(narrowing, "_bits", lambda *of: min(bits(*of), 40))
    assert run(tmp_path / "wrong", gating.gated(plain, "dut")) != expected


def module(body: str) -> str:
    """A design of one bit in, one out, a clock, a reset and `body`."""
    ports = "".join(f"  {kind} {name};\n  wire {name};\n" for kind, name in PORTS)
    return f"module dut(clk, rst, a, q);\n{ports}{body}endmodule\n"


PORTS = (("input", "clk"), ("input", "rst"), ("input", "a"), ("output", "q"))
CIRCLE = """  reg x = 1'h0;
  reg [1:0] one [3:0];
  reg [1:0] two [3:0];
  assign q = x;
  always @(posedge clk)
    x <= one[0] ^ two[0];
  always @(posedge clk) begin
    if (a) begin
      one[1] <= two[2];
    end
  end
  always @(posedge clk) begin
    if (x) begin
      two[1] <= one[2];
    end
  end
"""
TAKEN = """  reg x = 1'h0;
  reg x__next = 1'h0;
  assign q = x;
  always @(posedge clk)
    x__next <= x;
  always @(posedge clk) begin
    x <= x__next;
    if (a) begin
      x <= x;
    end
  end
"""
TWICE = """  reg [1:0] x = 2'h0;
  assign q = x[0] ^ x[1];
  always @(posedge clk)
    x[0] <= a;
  always @(posedge clk)
    x[1] <= ~ a;
"""


CHOSEN = """  reg x = 1'h0;
  reg [1:0] y = 2'h0;
  assign q = x ^ y[0];
  always @(posedge clk)
    { x, y[x] } <= { a, a };
"""


@pytest.mark.parametrize("body, why", [(CIRCLE, "circle"), (TWICE, "several processes"), (CHOSEN, "chosen by a net")])
def test_what_has_no_order_is_refused(body, why):
    with pytest.raises(flatten.NotUnderstood, match=why):
        gating.gated(module(body), "dut")


@pytest.mark.parametrize("bits", [1, 100])
def test_a_name_that_is_taken_is_refused(bits):
    text = module(TAKEN.replace("reg x", f"reg [{bits - 1}:0] x").replace("= x;", "= x[0];"))
    with pytest.raises(flatten.NotUnderstood, match="taken"):
        gating.gated(text, "dut")


def test_registers_stand_behind_what_reads_them_and_the_cheapest_waits():
    sets = {"p": {"x"}, "q": {"y"}, "r": {"z"}}
    reads = {"p": {"y"}, "q": {"x"}, "r": {"y"}}
    order, broken = clusters.behind_readers(
        "pqr", lambda item: sets[item], lambda item: reads[item], lambda name: {"x": 9, "y": 1, "z": 1}[name]
    )
    assert broken == {"y"} and order.index("q") < order.index("p")


def test_units_that_read_each_other_have_no_order():
    one, other = clusters.Unit(), clusters.Unit()
    sets = {id(one): {"x"}, id(other): {"y"}}
    with pytest.raises(ValueError, match="circle"):
        clusters.together([one, other], lambda unit: sets[id(unit)], lambda unit: {"x", "y"} - sets[id(unit)])


PICKED = """  wire [3:0] x;
  reg [7:0] y = 8'h00;
  assign { x[3], x[1] } = { y[5], y[3] };
  assign { x[2], x[0] } = 2'h1;
  assign q = ^ x;
  always @(posedge clk)
    y <= { y[6:0], a };
"""


@pytest.mark.parametrize("picks", [True, False])
def test_bits_picked_one_by_one_become_a_mask(picks):
    text = module(PICKED if picks else PICKED.replace("y[3] }", "y[4] }"))
    flat, count = masks.masked(flatten.flatten(text, "dut"))
    lines = [statement.lines[0] for statement in flat.statements]
    assert count == picks
    assert ("assign x = y[5:2] & 4'ha | 4'h1;" in lines) == picks


SUM = """  reg [69:0] now = 70'h0;
  wire [69:0] later;
  wire [69:0] shown;
  assign later = now + 2'h2;
  assign q = later[TOP];
  always @(posedge clk)
    now <= { now[68:0], a };
"""


@pytest.mark.parametrize(
    "body, width",
    [
        (SUM.replace("TOP", "63:60"), "[63:0] "),
        (SUM.replace("TOP", "7"), "[7:0] "),
        (SUM.replace("assign q = later[TOP]", "assign q = later"), "[0:0] "),  # all of it, into one bit
        (SUM.replace("TOP", "64"), "[69:0] "),
        (SUM.replace("TOP", "a"), "[69:0] "),
        (SUM.replace("q = later[TOP]", "q = ^ later"), "[69:0] "),
        (SUM.replace("TOP", "7").replace("now + 2'h2", "now >> 2'h2"), "[69:0] "),
        (SUM.replace("TOP", "7").replace("now + 2'h2", "now + 2'h2 >> 1'h1"), "[69:0] "),
        (SUM.replace("TOP", "7").replace("now + 2'h2", "{ now[1:0], now[69:2] } - now"), "[7:0] "),
        (SUM.replace("assign q = later[TOP]", "assign { shown[1], q } = later"), "[69:0] "),
    ],
)
def test_a_sum_is_as_wide_as_what_reads_it_takes(body, width):
    flat, count = narrowing.narrowed(flatten.flatten(module(body), "dut"))
    assert flat.declarations["later"].width == width
    assert flat.declarations["now"].width == flat.declarations["shown"].width == "[69:0] "
    assert count == (width != "[69:0] ")


def test_the_compiler_is_told_that_most_flags_are_down():
    text = "if ((0x00000010U & vlSelfRef.device__DOT__flags_8)) {\nif ((1U & vlSelfRef.device__DOT__other)) {\n"
    marked = gating.hinted(text).splitlines()
    assert marked[0] == "if (VL_UNLIKELY((0x00000010U & vlSelfRef.device__DOT__flags_8))) {"
    assert marked[1] == text.splitlines()[1]
