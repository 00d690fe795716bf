"""Rows in force are read back as they were committed, and nothing else is."""

import gc
import random

import pytest
from amaranth.hdl import ClockDomain, Module, ResetSignal, Signal
from amaranth.sim import Simulator

from tickgate.gateware.build import to_verilog
from tickgate.gateware.readback import Readback
from tickgate.gateware.registers import READ_CYCLES
from tickgate.sim.audit import audit_netlist
from tickgate.sim.netlist import Netlist
from tickgate.sim.verilator import strip_zero_memories
from tickgate.sw.spec import registers as spec
from tickgate.sw.spec.registers import BY_NAME, REGISTERS, Access
from tickgate.sw.spec.rows import ROWS
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=4, orders=256, levels=64, stash=4)
DEPTHS = {"": 1, "slot": 4, "slot_side": 8}


def play(dut: Readback, seed: int = 1) -> None:
    """Rows of every kind in any order, each read back word by word.

    Raises
    ------
    AssertionError: a word is not that of the row in force.
    """
    rng = random.Random(seed)
    rows: dict[tuple[str, int], dict[str, int]] = {}

    async def read(ctx, address):
        ctx.set(dut.addr, address)
        ctx.set(dut.r_en, 1)
        await ctx.tick()
        ctx.set(dut.addr, 0)
        ctx.set(dut.r_en, 0)
        await ctx.tick().repeat(READ_CYCLES - 1)
        return ctx.get(dut.r_data)

    async def check(ctx):
        for record, selector in ROWS:
            for slot_side in range(8):
                ctx.set(dut.row_select, slot_side)
                await ctx.tick().repeat(2)
                select = {"": 0, "slot": slot_side >> 1, "slot_side": slot_side}[selector]
                values = rows.get((record.name, select), {})
                for field, register in zip(record.fields, spec.row_registers(record), strict=True):
                    for word in range(register.words):
                        got = await read(ctx, register.offset + 4 * word)
                        want = values.get(field.name, 0) >> 32 * word & 0xFFFFFFFF
                        assert got == want, f"{register.name} of {slot_side}: {got:#x}, not {want:#x}"

    async def commits(ctx):
        order = [(record, n) for record, selector in ROWS for n in range(DEPTHS[selector]) if rng.random() < 0.7]
        order += [(record, {"slot": 4, "slot_side": 8}[s] + rng.randrange(99)) for record, s in ROWS if s]
        rng.shuffle(order)
        for record, select in order:
            values = {f.name: rng.getrandbits(f.bits) for f in record.fields}
            port = getattr(dut, f"cfg_{record.name.removesuffix('_row')}")
            ctx.set(port.row.as_value(), record.pack(values))
            ctx.set(port.select, select)
            ctx.set(port.commit, 1)
            await ctx.tick()
            ctx.set(port.commit, 0)
            ctx.set(port.row.as_value(), rng.getrandbits(record.bits))  # the shadow goes on to the next row
            if select < max(DEPTHS.values()) // (1 if record.name == "trigger_row" else 2):
                rows[record.name, select] = values

    async def testbench(ctx):
        await commits(ctx)
        await commits(ctx)
        await check(ctx)
        for register in REGISTERS:
            if register.access is not Access.ROW:
                assert await read(ctx, register.offset) == 0, register.name
        assert await read(ctx, BY_NAME["map_hash"].offset) == 0
        rows.clear()
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await check(ctx)

    reset = Signal()
    m = Module()
    m.domains.sync = ClockDomain()
    m.submodules.dut = dut
    m.d.comb += ResetSignal().eq(reset)
    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


def test_readback_tells_the_rows_in_force():
    play(Readback(SIZES))


@pytest.mark.parametrize("fault", Readback.FAULTS)
def test_readback_planted_fault_is_caught(fault):
    with pytest.raises(AssertionError):
        play(Readback(SIZES, faults=frozenset({fault})))


def test_readback_latency_and_ports_are_those_of_its_verilog():
    dut = Readback(SIZES)
    text = strip_zero_memories(to_verilog(dut, name="audited"))
    assert audit_netlist("readback", dut, Netlist(text, "audited")).problems == []


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_readback_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="fault must be one of"):
        Readback(SIZES, faults=frozenset({"nothing"}))
    gc.collect()
