"""The UART and the console: every line is answered as the specification's own parser says."""

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from tickgate.gateware.board.console import Console
from tickgate.gateware.board.uart import UartReceiver, UartTransmitter, bit_cycles
from tickgate.gateware.registers import READ_CYCLES
from tickgate.sw.spec import console

CYCLES = 5


def lines(seed, count):
    """Commands, and lines that are nearly some."""
    rng = random.Random(seed)
    for _ in range(count):
        command = console.Command(rng.random() < 0.5, rng.randrange(0, 4096, 4), rng.getrandbits(32))
        text = command.line()[:-1]
        yield rng.choice(
            (text, text, text.upper(), text.replace(" ", ""), f" {text} ",
             text + "0", text[:-1], text[:-1] + rng.choice("gGxz.@`/:"), "x" + text[1:], "",
             f"r {rng.randrange(4096):03x}", "r", "w", "?", "\x12 004", "R004", "rr 004", text + "1" * 20)
        )  # fmt: skip


def run_console(sent, faults=frozenset()):
    """Answers to lines, and what happened on the bus; a read of address a gives a * 0x10001."""
    dut = Console(faults=faults)
    done, out = [], []

    async def testbench(ctx):
        rng = random.Random(5)
        for text in sent:
            for char in (text + rng.choice("\r\n")).encode():
                ctx.set(dut.i.payload, char)
                ctx.set(dut.i.valid, 1)
                await ctx.tick()
            ctx.set(dut.i.valid, 0)
            ctx.set(dut.o.ready, 1)
            answer, due = "", None
            for cycle in range(40):
                ctx.set(dut.bus.r_valid, cycle == due)
                if cycle == due:
                    ctx.set(dut.bus.r_data, done[-1].address * 0x10001)
                if ctx.get(dut.bus.w_en) or ctx.get(dut.bus.r_en):
                    write = bool(ctx.get(dut.bus.w_en))
                    value = ctx.get(dut.bus.w_data) if write else 0
                    done.append(console.Command(write, ctx.get(dut.bus.addr), value))
                    due = cycle + READ_CYCLES
                if ctx.get(dut.o.valid):
                    answer += chr(ctx.get(dut.o.payload))
                await ctx.tick()
            out.append(answer)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return done, out


def expected(sent):
    done, out = [], []
    for text in sent:
        command = console.parse(text)
        if not text.strip():
            out.append("")
            continue
        out.append(console.answer(command, command.address * 0x10001 if command else 0))
        if command:
            done.append(command if command.write else command._replace(value=0))
    return done, out


def test_console_answers_every_line_as_the_specification_says():
    sent = list(lines(1, 400))
    commands = [console.parse(text) for text in sent]
    assert sum(c is None for c in commands) > 100 and sum(c is not None for c in commands) > 100
    assert run_console(sent) == expected(sent)


@pytest.mark.parametrize("fault", Console.FAULTS)
def test_console_with_a_planted_fault_is_caught(fault):
    sent = list(lines(1, 400))
    assert run_console(sent, frozenset({fault})) != expected(sent)


def test_command_lines_are_parsed_back():
    for command in (console.Command(False, 0x7FC), console.Command(True, 4, 0xDEADBEEF)):
        assert console.parse(command.line().strip()) == command


class Loop(wiring.Component):
    """A transmitter on a receiver's line."""

    def __init__(self, cycles, receive_cycles):
        self.transmitter, self.receiver = UartTransmitter(cycles), UartReceiver(receive_cycles)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.transmitter, m.submodules.receiver = self.transmitter, self.receiver
        m.d.comb += self.receiver.rx.eq(self.transmitter.tx)
        return m


@pytest.mark.parametrize(("cycles", "other", "whole"), ((8, 8, True), (50, 51, True), (50, 49, True), (50, 58, False)))
def test_uart_carries_every_byte_back_to_back_within_the_tolerance(cycles, other, whole):
    dut, got = Loop(cycles, other), []
    sent = list(range(256)) if cycles == 8 else [0, 255, 0x55, 0xAA, 1, 128, 0]

    async def give(ctx):
        for byte in sent:
            ctx.set(dut.transmitter.i.payload, byte)
            ctx.set(dut.transmitter.i.valid, 1)
            await ctx.tick().until(dut.transmitter.i.ready)
        ctx.set(dut.transmitter.i.valid, 0)
        await ctx.tick().repeat(12 * cycles)

    async def take(ctx):
        async for _, _, valid, byte in ctx.tick().sample(dut.receiver.o.valid, dut.receiver.o.payload):
            if valid:
                got.append(byte)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(give)
    simulator.add_testbench(take, background=True)
    simulator.run()
    assert (got == sent) == whole


def test_a_rate_that_the_clock_cannot_make_is_refused():
    assert bit_cycles(12_000_000, 115_200) == 104
    with pytest.raises(ValueError, match="1000000 Hz does not make 460800 baud"):
        bit_cycles(1_000_000, 460_800)
