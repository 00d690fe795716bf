"""Stage registers: the bus against the register map. The bench holds the same in more depth on Verilator."""

import gc
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.lib.counting import COUNT_BITS, LEAPING
from tickgate.gateware.registers import READ_CYCLES, WRITE_CYCLES, Registers
from tickgate.sw.model.heartbeat import Heartbeat
from tickgate.sw.spec import registers as spec
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, REGISTERS, Access
from tickgate.sw.spec.rows import FEED_ROW, ROWS
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=4, orders=256, levels=64, stash=16)
NAMES = spec.counter_names()
FIRST_WRAPS = 0x2A55A5
SOURCES = {"feed": NAMES[:30], "orders": (*NAMES[30:], NAMES[0])}


def run(dut: Registers, testbench) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()


async def write(ctx, dut, address, value):
    ctx.set(dut.bus.addr, address)
    ctx.set(dut.bus.w_data, value)
    ctx.set(dut.bus.w_en, 1)
    await ctx.tick()
    ctx.set(dut.bus.w_en, 0)


async def write_through(ctx, dut, address, value):
    """Writes, and waits until the write has acted."""
    await write(ctx, dut, address, value)
    await ctx.tick().repeat(WRITE_CYCLES - 1)


async def read(ctx, dut, address):
    ctx.set(dut.bus.addr, address)
    ctx.set(dut.bus.r_en, 1)
    await ctx.tick()
    ctx.set(dut.bus.r_en, 0)
    for _ in range(READ_CYCLES - 1):
        assert not ctx.get(dut.bus.r_valid)
        await ctx.tick()
    assert ctx.get(dut.bus.r_valid)
    return ctx.get(dut.bus.r_data)


def registers(faults: frozenset[str] = frozenset(), **rest) -> Registers:
    return Registers(SIZES, SOURCES, faults=faults, **rest)


def test_registers_each_reads_its_own_value():
    dut = registers(build_id=0x1122334455667788, first_wraps=FIRST_WRAPS)
    rng = random.Random(1)
    # Not more than a counter may have grown before it is visited for the first time.
    reach = 1 << COUNT_BITS - 2
    values = {
        stage: {name: rng.getrandbits(32) if name in LEAPING else rng.randrange(reach) for name in names}
        for stage, names in SOURCES.items()
    }

    async def testbench(ctx):
        for stage, found in values.items():
            for name, value in found.items():
                ctx.set(getattr(dut, f"counters_{stage}")[name], value)
        await write(ctx, dut, BY_NAME["scratch"].offset, 0xDEADBEEF)
        expected = {"map_hash": spec.map_hash(), "size_slots": 4, "size_orders": 256, "size_levels": 64,
                    "size_stash": 16, "scratch": 0xDEADBEEF, "status": 0, "map_version": spec.MAP_VERSION,
                    "release": 0x00010000, "core_clock_khz": 156_250,
                    "build_id": 0x1122334455667788}  # fmt: skip
        for name in NAMES:
            above = 0 if name in LEAPING else FIRST_WRAPS << COUNT_BITS
            expected[name] = above + sum(found.get(name, 0) for found in values.values()) & 0xFFFFFFFF
        for register in REGISTERS:
            if register.name == "now":
                continue
            want = 0 if register.access in (Access.WO, Access.ROW) else expected.get(register.name, 0)
            for word in range(register.words):
                got = await read(ctx, dut, register.offset + 4 * word)
                assert got == want >> 32 * word & 0xFFFFFFFF, register.name

    run(dut, testbench)


def test_registers_answer_reads_in_every_cycle():
    dut = registers()

    async def testbench(ctx):
        asked = [BY_NAME[name].offset for name in ("map_hash", "size_slots", "size_orders", "size_levels")]
        got = []
        for cycle in range(len(asked) + READ_CYCLES):
            ctx.set(dut.bus.r_en, cycle < len(asked))
            if cycle < len(asked):
                ctx.set(dut.bus.addr, asked[cycle])
            if ctx.get(dut.bus.r_valid):
                got.append(ctx.get(dut.bus.r_data))
            await ctx.tick()
        assert got == [spec.map_hash(), 4, 256, 64]

    run(dut, testbench)


@pytest.mark.parametrize("record", [record for record, _ in ROWS], ids=lambda record: record.name)
def test_registers_row_leaves_whole_with_its_commit(record):
    dut = registers()
    rng = random.Random(record.name)
    values = {f.name: rng.getrandbits(f.bits) for f in record.fields}
    port = getattr(dut, f"cfg_{record.name.removesuffix('_row')}")

    async def testbench(ctx):
        for address, value in spec.row_writes(record, values, 5):
            assert not ctx.get(port.commit)
            await write(ctx, dut, address, value)
        await ctx.tick().repeat(WRITE_CYCLES - 1)
        assert ctx.get(port.commit) and ctx.get(port.select) == 5
        assert record.unpack(ctx.get(port.row.as_value())) == values
        await ctx.tick()
        assert not ctx.get(port.commit)

    run(dut, testbench)


@pytest.mark.parametrize(("names", "slot", "side"), ((("limits", "gate"), 3, 0), (("trigger", "symbol"), 2, 1)))
def test_registers_group_leaves_in_one_cycle(names, slot, side):
    dut = registers()
    ports = {name: getattr(dut, f"cfg_{name}") for name in spec_rows()}

    async def testbench(ctx):
        for record, _ in ROWS:
            writes = spec.row_writes(record, {f.name: 1 for f in record.fields})[:-1]
            for address, value in writes:
                await write(ctx, dut, address, value)
        await write_through(ctx, dut, BY_NAME["commit_group"].offset, spec.group_value(names, slot, side))
        assert [name for name, port in ports.items() if ctx.get(port.commit)] == sorted(names, key=list(ports).index)
        for name in names:
            selector = {r.name: s for r, s in ROWS}[f"{name}_row"]
            assert ctx.get(ports[name].select) == {"slot": slot}.get(selector, 2 * slot + side)
        await ctx.tick()
        assert not [name for name, port in ports.items() if ctx.get(port.commit)]

    run(dut, testbench)


def spec_rows():
    return [record.name.removesuffix("_row") for record, _ in ROWS]


@pytest.mark.parametrize("limit", (1, 2, 3, 17))
def test_registers_heartbeat_that_stops_latches_the_kill_switch(limit):
    dut, model = registers(), Heartbeat()
    rng = random.Random(limit)

    async def testbench(ctx):
        async def beat(address, value):
            now = ctx.get(dut.now)
            await write(ctx, dut, address, value)
            return now

        arm, beats = BY_NAME["arm"].offset, BY_NAME["heartbeat"].offset
        model.write_limit(await beat(BY_NAME["heartbeat_limit_cycles"].offset, limit), limit)
        for _ in range(20):
            model.beat(await beat(beats, 0))
            await write_through(ctx, dut, arm, ARM_KEY)
            for _ in range(rng.randrange(2 * limit + 4)):
                assert ctx.get(dut.kill) == model.holds_kill(ctx.get(dut.now)), ctx.get(dut.now)
                await ctx.tick()
        while not ctx.get(dut.kill):
            await ctx.tick()
        await write_through(ctx, dut, arm, ARM_KEY)
        assert ctx.get(dut.kill) and await read(ctx, dut, BY_NAME["status"].offset) == 0b100000
        await write(ctx, dut, BY_NAME["heartbeat_limit_cycles"].offset, 0)
        await write(ctx, dut, arm, ARM_KEY)
        await ctx.tick().repeat(2 * limit + 4)
        assert not ctx.get(dut.kill)

    run(dut, testbench)


def test_registers_kill_is_up_after_reset_and_falls_only_for_the_key():
    dut = registers()

    async def testbench(ctx):
        kill, arm = BY_NAME["kill"].offset, BY_NAME["arm"].offset
        assert ctx.get(dut.kill)
        for bit in range(32):
            await write_through(ctx, dut, arm, ARM_KEY ^ 1 << bit)
            assert ctx.get(dut.kill)
        await write_through(ctx, dut, arm, ARM_KEY)
        assert not ctx.get(dut.kill) and ctx.get(dut.armed)
        assert await read(ctx, dut, BY_NAME["status"].offset) & 1
        await write(ctx, dut, kill, 0)
        assert ctx.get(dut.kill) and not ctx.get(dut.armed)
        # An arming that is under way does not undo a kill behind it; one behind a kill does.
        await write(ctx, dut, arm, ARM_KEY)
        await write(ctx, dut, kill, 0)
        for _ in range(2 * WRITE_CYCLES):
            assert ctx.get(dut.kill)
            await ctx.tick()
        await write(ctx, dut, kill, 0)
        await write_through(ctx, dut, arm, ARM_KEY)
        assert not ctx.get(dut.kill)

    run(dut, testbench)


def test_registers_status_remembers_that_tables_were_cleared():
    dut = registers()

    async def testbench(ctx):
        status = BY_NAME["status"].offset
        assert await read(ctx, dut, status) == 0
        ctx.set(dut.clearing, 1)
        ctx.set(dut.mark_pending, 1)
        await ctx.tick()
        assert await read(ctx, dut, status) == 0b10110
        ctx.set(dut.clearing, 0)
        ctx.set(dut.mark_pending, 0)
        ctx.set(dut.session_open, 1)
        assert await read(ctx, dut, status) == 0b11000

    run(dut, testbench)


def test_registers_now_keeps_its_words_together_across_the_turn_of_the_low_one():
    dut = registers(first_cycle=(1 << 32) - 20)

    async def testbench(ctx):
        for _ in range(6):
            at = ctx.get(dut.now) + 1
            low = await read(ctx, dut, BY_NAME["now"].offset)
            high = await read(ctx, dut, BY_NAME["now"].offset + 4)
            assert low | high << 32 == at

    run(dut, testbench)


@pytest.mark.parametrize("fault", (None, *Registers.FAULTS))
def test_registers_planted_fault_is_caught(fault):
    dut = registers(frozenset({fault} if fault else ()), first_cycle=(1 << 32) - 120)
    port, values = dut.cfg_feed, {f.name: (1 << f.bits) - 1 for f in FEED_ROW.fields}
    wrong = []

    async def testbench(ctx):
        for stage, names in SOURCES.items():
            for number, name in enumerate(names):
                ctx.set(getattr(dut, f"counters_{stage}")[name], number + 1)
        if not ctx.get(dut.kill):
            wrong.append("reset_armed")
        await write(ctx, dut, BY_NAME["kill"].offset, 1)
        await write_through(ctx, dut, BY_NAME["arm"].offset, ARM_KEY ^ 1)
        if not ctx.get(dut.kill):
            wrong.append("any_key_arms")
        for address, value in spec.row_writes(FEED_ROW, values):
            await write(ctx, dut, address, value)
        group = spec.group_value(("feed", "mark"))
        await write_through(ctx, dut, BY_NAME["commit_group"].offset, group)
        if fault != "commit_late" and ctx.get(port.commit) != ctx.get(dut.cfg_mark.commit):
            wrong.append("group_in_turn")
        await ctx.tick().repeat(3)
        for address, value in spec.row_writes(FEED_ROW, values):
            await write(ctx, dut, address, value)
        rows = []
        for _ in range(2 + WRITE_CYCLES):
            if ctx.get(port.commit):
                rows.append(FEED_ROW.unpack(ctx.get(port.row.as_value())))
            await write(ctx, dut, BY_NAME["feed_dst_ip"].offset, 0)
        await write(ctx, dut, BY_NAME["heartbeat_limit_cycles"].offset, 3)
        await ctx.tick().repeat(5)
        await write_through(ctx, dut, BY_NAME["arm"].offset, ARM_KEY)
        if not ctx.get(dut.kill):
            wrong.append("heartbeat_forgotten")
        if rows != [values]:
            wrong.append("commit_late")
        if await read(ctx, dut, BY_NAME[NAMES[8]].offset) != 9:
            wrong.append("counter_off_by_one")
        while ctx.get(dut.now) < (1 << 32) - 3:
            await ctx.tick()
        low = await read(ctx, dut, BY_NAME["now"].offset)
        if (low | await read(ctx, dut, BY_NAME["now"].offset + 4) << 32) != (1 << 32) - 2:
            wrong.append("high_word_runs")

    run(dut, testbench)
    assert wrong == ([fault] if fault else [])


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_registers_unknown_counter_or_fault_is_refused():
    with pytest.raises(ValueError, match="has the counter 'nothing', which the register map does not have"):
        Registers(SIZES, {"feed": ("nothing",)})
    with pytest.raises(ValueError, match="fault must be one of"):
        registers(frozenset({"nothing"}))
    gc.collect()  # while the half-made component may still complain


def test_registers_group_of_an_unknown_row_is_refused():
    with pytest.raises(ValueError, match="a row is one of feed, mark, .*, not 'nothing'"):
        spec.group_value(("nothing",))


def test_registers_row_writes_name_the_shadows_of_the_map():
    assert spec.row_writes(FEED_ROW, {})[-1] == (BY_NAME["feed_commit"].offset, 0)
