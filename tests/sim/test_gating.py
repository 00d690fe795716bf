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
from tickgate.sim import clusters, flatten, gating, masks, sinking, verilator

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
    stage that is ready at rest, and an output that depends on an input of its cycle."""

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
        with m.If(pipe.get("valid", 1)):
            m.d.sync += wide.eq(Cat(pipe.get("product", 1), wide[:68]))
        odd = Signal()
        m.d.sync += odd.eq((wide & 0x5_0123_4567_89AB_CDEF_0011_2233).xor() ^ (held & 0x8421).xor())
        pipe.put("total", (pipe.get("product", 1) ^ read.data ^ pipe.get("when", 1))[:24], 1)
        m.d.comb += [
            self.o_valid.eq(pipe.get("valid", 2)),
            self.o_total.eq(pipe.get("total", 2)),
            self.state.eq(Cat(left[:4], right[:4], held[:7], odd, wide[92:]) ^ count),
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
    tool = verilator.bin_folder() / "verilator"
    verilator.run(
        [str(tool), "--cc", "--exe", "--build", "-Wno-fatal", "-Wno-lint", "-fno-split", "-fno-reorder", "-CFLAGS", "-O0",
         "--top-module", "dut", "--prefix", "Vdut", "--Mdir", "obj", "dut.v", "driver.cpp"],
        folder,
    )  # fmt: skip
    return subprocess.run([folder / "obj" / "Vdut"], capture_output=True, text=True, check=True, timeout=60).stdout


def units(text: str) -> gating.Gated:
    flat, _ = masks.masked(flatten.flatten(text, "dut"))
    return gating.Gated(sinking.assigned(flat, sinking.records(flat)))


@pytest.fixture(scope="module")
def expected(plain, tmp_path_factory) -> str:
    return run(tmp_path_factory.mktemp("plain") / "run", plain)


def test_gated_design_does_the_same_in_every_cycle(plain, expected, tmp_path):
    found = units(plain)
    waiting = [unit for unit in found.loads if unit.condition]
    assert found.logic and found._late and found._shared and 0 < len(waiting) < len(found.loads)
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
