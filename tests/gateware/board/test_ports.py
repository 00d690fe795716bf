"""A port at 100 Mb/s from its pins to its words and back, with clocks that have nothing to do with each other."""

import dataclasses

import pytest
from amaranth.hdl import Fragment, Module, Signal
from amaranth.lib import io
from amaranth.sim import Simulator

from tickgate.gateware.board.clocks import add_domains
from tickgate.gateware.board.description import EthernetPort
from tickgate.gateware.board.ports import PORTS, MiiPort
from tickgate.sw.model import mac as model

NAMES = {"rx_clk": ("i", 1), "tx_clk": ("i", 1), "rx_data": ("i", 4), "rx_dv": ("i", 1), "rx_er": ("i", 1),
         "tx_data": ("o", 4), "tx_en": ("o", 1)}  # fmt: skip


class Pin(io.SimulationPort):
    """A port of the simulator that has the name of a pin for constraints."""

    io = None


class Pads:
    """The pins of an MII port."""

    def __init__(self):
        for name, (direction, width) in NAMES.items():
            setattr(self, name, Pin(direction, width, name=name))


class Platform:
    """What a design asks of a platform, without one."""

    def __init__(self):
        self.constraints = []

    def add_clock_constraint(self, pin, frequency_hz):
        self.constraints.append(frequency_hz)


@dataclasses.dataclass
class Ready:
    """The board's clocks, for a port."""

    phy_ready: Signal


def nibbles(wire):
    return [half for byte in wire for half in (byte & 15, byte >> 4)]


def run(frames_in, frames_out, preamble=15):
    """Frames into the pins and words, and what came out of words and pins."""
    pads, platform = Pads(), Platform()
    ready = Signal(init=1)
    port = MiiPort(0, EthernetPort("eth_mii", 0, "mii", None, 0), pads, Ready(ready))
    m = Module()
    add_domains(m, ("sync", "rx_0", "tx_0"))
    m.submodules.port = port
    received, sent = [b""], []
    done = {"in": False, "out": False}

    async def line(ctx):
        """The PHY's side of receiving: data changes behind the falling edge."""
        for frame in frames_in:
            wire = model.on_wire(frame)[7:]
            for nibble in [5] * preamble + [*nibbles(wire)] + [None] * 24:
                ctx.set(pads.rx_data.i, nibble or 0)
                ctx.set(pads.rx_dv.i, nibble is not None)
                for level in (0, 1):
                    ctx.set(pads.rx_clk.i, level)
                    await ctx.delay(20e-9)
        done["in"] = True
        while True:
            for level in (0, 1):
                ctx.set(pads.rx_clk.i, level)
                await ctx.delay(20e-9)

    async def other(ctx):
        """The PHY's side of sending: it looks before the rising edge."""
        carrier = []
        while True:
            ctx.set(pads.tx_clk.i, 0)
            await ctx.delay(19e-9)
            if ctx.get(pads.tx_en.o):
                carrier.append(ctx.get(pads.tx_data.o))
            elif carrier:
                sent.append(bytes(low | high << 4 for low, high in zip(carrier[::2], carrier[1::2], strict=True)))
                carrier = []
                if len(sent) == len(frames_out):
                    done["out"] = True
            ctx.set(pads.tx_clk.i, 1)
            await ctx.delay(21e-9)

    async def words(ctx):
        await ctx.tick().repeat(50)
        queue = [(frame[at : at + 8], at + 8 >= len(frame)) for frame in frames_out for at in range(0, len(frame), 8)]
        while not all(done.values()):
            ctx.set(port.i.valid, bool(queue))
            if queue:
                part, last = queue[0]
                word = {"data": int.from_bytes(part, "little"), "count": len(part), "last": last}
                ctx.set(port.i.payload, word)
                if ctx.get(port.i.ready):
                    queue.pop(0)
            if ctx.get(port.o.valid):
                word = port.o.payload
                received[-1] += ctx.get(word.data).to_bytes(8, "little")[: ctx.get(word.count)]
                if ctx.get(word.last):
                    assert not ctx.get(word.error)
                    received.append(b"")
            await ctx.tick()

    simulator = Simulator(Fragment.get(m, platform))
    simulator.add_clock(10e-9)
    simulator.add_testbench(line, background=True)
    simulator.add_testbench(other, background=True)
    simulator.add_testbench(words)
    simulator.run_until(1e-3)
    assert all(done.values()) and platform.constraints == [25_000_000] * 2
    return received[:-1], sent


@pytest.mark.parametrize("preamble", (15, 14))
def test_mii_port_carries_frames_both_ways(preamble):
    frames = [bytes(range(60)), b"\xd5\x55" * 33]
    received, sent = run(frames, frames, preamble)
    assert received == frames
    assert sent == [model.on_wire(frame) for frame in frames]


def test_every_way_of_wiring_a_port_has_a_design():
    assert set(PORTS) == {"rgmii", "mii", "words"}
