"""The pin harness keeps every input and output of what it wraps between registers."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tickgate.gateware.build import to_verilog
from tickgate.hw.harness import PinHarness
from tickgate.hw.parts import PARTS, TIMING_PART, part_named
from tickgate.sim.netlist import Netlist
from tickgate.sw.spec.errors import UserError


class Adder(wiring.Component):
    """Adds."""

    a: In(8)
    b: In(8)
    total: Out(9)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.total.eq(self.a + self.b)
        return m


def test_harness_puts_registers_on_both_sides():
    netlist = Netlist(to_verilog(PinHarness(Adder()), name="dut"), "dut")
    assert sorted(netlist.ports) == ["clk", "rst", "serial_in", "serial_out"]
    # Shift register, output register, parities of 9 bits and of 3.
    assert netlist.fewest_registers(netlist.bits("serial_in"), netlist.bits("serial_out")) == 4


def test_timing_part_is_the_device_that_figures_are_published_for():
    part = part_named(TIMING_PART)
    assert (part.nextpnr, part.speed, part.target_hz) == (("--um5g-85k",), "8", 160_000_000)


def test_part_unknown_names_the_parts():
    with pytest.raises(UserError, match=f"no part 'x'; the parts are {', '.join(PARTS)}"):
        part_named("x")
