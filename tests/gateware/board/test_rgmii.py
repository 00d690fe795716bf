"""RGMII: bytes pass as the standard lays their halves on the edges."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from tickgate.gateware.board.description import EthernetPort
from tickgate.gateware.board.rgmii import RgmiiReceive, RgmiiTransmit, pad


class Back(wiring.Component):
    """What is sent, received again."""

    def __init__(self, faults):
        self.transmit, self.receive = RgmiiTransmit(), RgmiiReceive(faults=faults)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmit, m.submodules.receive = self.transmit, self.receive
        m.d.comb += [self.receive.rise.eq(self.transmit.rise), self.receive.fall.eq(self.transmit.fall)]
        return m


def run(faults=frozenset()):
    dut, rng = Back(faults), random.Random(1)
    sent = [(rng.getrandbits(8), rng.getrandbits(1), rng.getrandbits(1)) for _ in range(200)]
    out, wires = [], []

    async def testbench(ctx):
        for data, valid, error in [*sent, (0, 0, 0), (0, 0, 0)]:
            gmii = dut.transmit.i
            ctx.set(gmii.data, data)
            ctx.set(gmii.valid, valid)
            ctx.set(gmii.error, error)
            await ctx.tick()
            wires.append((ctx.get(dut.transmit.rise), ctx.get(dut.transmit.fall)))
            back = dut.receive.o
            out.append((ctx.get(back.data), ctx.get(back.valid), ctx.get(back.error)))

    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    simulator.add_testbench(testbench)
    simulator.run()
    return sent, wires[: len(sent)], out[1 : len(sent) + 1]


def test_rgmii_sends_the_low_half_first_and_the_error_as_a_difference():
    sent, wires, _ = run()
    for (data, valid, error), (rise, fall) in zip(sent, wires, strict=True):
        assert rise == valid << 4 | data & 15
        assert fall == (valid ^ error) << 4 | data >> 4


def test_rgmii_receives_what_it_sent():
    sent, _, out = run()
    assert out == sent


@pytest.mark.parametrize("fault", RgmiiReceive.FAULTS)
def test_rgmii_with_a_planted_fault_is_caught(fault):
    sent, _, out = run(frozenset({fault}))
    assert out != sent


def test_delays_and_modes_out_of_range_are_refused():
    with pytest.raises(ValueError, match="rx_delay_taps must be from 0 to 127, not 128"):
        EthernetPort("eth_rgmii", 0, "rgmii", None, 0, rx_delay_taps=128)
    with pytest.raises(ValueError, match="mode must be"):
        EthernetPort("eth_rgmii", 0, "sgmii", None, 0)
    with pytest.raises(AttributeError, match="none of rx_ctl, rx_ctrl"):
        pad(object(), "rx_ctl", "rx_ctrl")
