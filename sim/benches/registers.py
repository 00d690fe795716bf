"""Bench of stage `registers`: the bus against the register map, row by row and word by word."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from tickgate.gateware.lib.counting import COUNT_BITS, COUNT_STEP_MAX, LEAPING
from tickgate.sim import cocotb_lib
from tickgate.sw.model.heartbeat import Heartbeat
from tickgate.sw.spec import registers as spec
from tickgate.sw.spec import rows
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME, REGISTERS, Access
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.telemetry import BINS, HISTOGRAM_STAGES
from tickgate.sw.spec.units import CORE_CLOCK_HZ
from tickgate.sw.spec.version import release_word

STAGE = "registers"
EXPECTED_TESTS = 8
FAULTS = {
    "any_key_arms": "kill_switch_is_up_after_reset_and_only_the_key_clears_it",
    "reset_armed": "kill_switch_is_up_after_reset_and_only_the_key_clears_it",
    "commit_late": "rows_leave_whole_with_their_commit",
    "high_word_runs": "now_is_read_in_one_piece",
    "counter_off_by_one": "every_register_reads_what_it_should",
    "group_in_turn": "groups_leave_in_one_cycle",
    "heartbeat_forgotten": "heartbeat_that_stops_latches_the_kill_switch",
}
SIZES = Sizes(slots=4, orders=256, levels=64, stash=16)
READ_CYCLES, WRITE_CYCLES = 6, 2
BUILD_ID = 0x0123456789ABCDEF
#: The low word of `now` turns over while it is read.
FIRST_CYCLE = (1 << 32) - 300
#: High part of most counters after reset: three wraps of their low bits later it turns over.
FIRST_WRAPS = (1 << 32 - COUNT_BITS) - 3
#: Not more than a counter of a stage may have grown before it is visited for the first time.
REACH = 1 << COUNT_BITS - 2
#: Two stages that share a counter, as trigger and orders do.
SOURCES = {"feed": spec.counter_names()[:30], "orders": (*spec.counter_names()[30:], spec.counter_names()[0])}


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test, with counters of two stages."""
    from tickgate.gateware.registers import Registers

    told = {"build_id": BUILD_ID, "first_cycle": FIRST_CYCLE, "first_wraps": FIRST_WRAPS}
    return Registers(sizes, SOURCES, faults=faults, **told)


async def write(dut: Any, address: int, value: int) -> None:
    """One bus write."""
    dut.bus__addr.value, dut.bus__w_data.value, dut.bus__w_en.value = address, value, 1
    await RisingEdge(dut.clk)
    dut.bus__w_en.value = 0


async def read(dut: Any, address: int) -> int:
    """One bus read; the answer has to come after `READ_CYCLES`."""
    dut.bus__addr.value, dut.bus__r_en.value = address, 1
    await RisingEdge(dut.clk)
    dut.bus__r_en.value = 0
    for cycle in range(READ_CYCLES):
        await RisingEdge(dut.clk)
        assert int(dut.bus__r_valid.value) == (cycle == READ_CYCLES - 1), f"r_valid {cycle + 1} cycles after r_en"
    return int(dut.bus__r_data.value)


async def read_register(dut: Any, name: str) -> int:
    """All words of a register, low word first."""
    register = BY_NAME[name]
    return sum([(await read(dut, register.offset + 4 * w)) << 32 * w for w in range(register.words)])


@cocotb.test()
async def every_register_reads_what_it_should(dut: Any) -> None:
    """Identity, status, counters, histograms; what is write only or not there reads 0."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    values: dict[str, dict[str, int]] = {}
    for stage, names in SOURCES.items():
        values[stage] = {name: rng.getrandbits(32) if name in LEAPING else rng.randrange(REACH) for name in names}
        getattr(dut, f"counters_{stage}").value = sum(v << 32 * n for n, v in enumerate(values[stage].values()))
    dut.clearing.value = 1
    dut.session_open.value = 1
    await write(dut, BY_NAME["scratch"].offset, 0xDEADBEEF)
    await write(dut, BY_NAME["telemetry_mask"].offset, 0x2A)
    await write(dut, BY_NAME["telemetry_every"].offset, 0xBEEF)
    expected = {
        "map_hash": spec.map_hash(), "build_id": BUILD_ID, "size_slots": SIZES.slots, "size_orders": SIZES.orders,
        "size_levels": SIZES.levels, "size_stash": SIZES.stash, "scratch": 0xDEADBEEF, "status": 0b11010,
        "telemetry_mask": 0x2A, "telemetry_every": 0xBEEF, "map_version": spec.MAP_VERSION, "row_select": 0,
        "release": release_word(), "core_clock_khz": CORE_CLOCK_HZ // 1000, "heartbeat_limit_cycles": 0,
    }  # fmt: skip
    for name in spec.counter_names():
        above = 0 if name in LEAPING else FIRST_WRAPS << COUNT_BITS
        expected[name] = above + sum(v.get(name, 0) for v in values.values()) & 0xFFFFFFFF

    async def bins() -> None:
        while True:  # each cycle tells the bin that was selected in the one before
            await RisingEdge(dut.clk)
            select = int(dut.bin_select.value)
            dut.bin_count.value = 0xB0000000 | select if select < len(HISTOGRAM_STAGES) * BINS else 0

    cocotb.start_soon(bins())
    for register in REGISTERS:
        if register.name == "now":
            continue
        got = await read_register(dut, register.name)
        if register.name.startswith("latency_"):
            first = (register.offset - spec.HISTOGRAMS_AT) // 4
            want = sum((0xB0000000 | first + w) << 32 * w for w in range(register.words))
        else:
            want = 0 if register.access in (Access.WO, Access.ROW) else expected[register.name]
        assert got == want, f"{register.name} at {register.offset:#x} is {got:#x}, not {want:#x}"
    end = max(r.offset + 4 * r.words for r in REGISTERS)
    for address in (0x0FC, 0x3FC, 0x7FC, end, 0xFFC):
        assert await read(dut, address) == 0, f"nothing is at {address:#x}"


@cocotb.test()
async def counters_are_whole_while_they_run(dut: Any) -> None:
    """At all speeds up to the fastest, one of them read in each cycle, over the wrap of 32 bits."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    names = spec.counter_names()
    shared = set.intersection(*map(set, SOURCES.values()))
    speeds = {name: rng.choice((0.02, 0.5, 1.0, 1.0)) for name in names}
    counts = {stage: dict.fromkeys(own, 0) for stage, own in SOURCES.items()}
    asked: list[str] = []
    totals: list[dict[str, int]] = []
    turned_over = set()
    for cycle in range(18000):
        for stage, own in counts.items():
            for name in own:
                if rng.random() < speeds[name]:
                    own[name] += rng.getrandbits(32) if name in LEAPING else 1 if name in shared else COUNT_STEP_MAX
            getattr(dut, f"counters_{stage}").value = sum(
                (value & 0xFFFFFFFF) << 32 * at for at, value in enumerate(own.values())
            )
        totals.append({name: sum(own.get(name, 0) for own in counts.values()) for name in names})
        asked.append(rng.choice(names))
        dut.bus__addr.value, dut.bus__r_en.value = BY_NAME[asked[-1]].offset, 1
        await RisingEdge(dut.clk)
        if cycle >= READ_CYCLES:
            # Of the second cycle behind the read; the sum of two stages is a cycle late.
            name = asked[cycle - READ_CYCLES]
            count = totals[cycle - READ_CYCLES + (1 if name in shared else 2)][name]
            want = count if name in LEAPING else count + (FIRST_WRAPS << COUNT_BITS)
            got = int(dut.bus__r_data.value)
            assert got == want & 0xFFFFFFFF, f"{name} is {got:#x} in cycle {cycle}, not {want & 0xFFFFFFFF:#x}"
            turned_over |= {name} if want >> 32 else set()
    assert len(turned_over) > len(names) // 4, f"only {len(turned_over)} counters turned over"


@cocotb.test()
async def rows_leave_whole_with_their_commit(dut: Any) -> None:
    """Every row, fields in any order; writes in every cycle, also right behind a commit."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    seen: list[tuple[str, int, int]] = []
    records = {record.name.removesuffix("_row"): record for record, _ in rows.ROWS}

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk)
            for short in records:
                port = f"cfg_{short}"
                if int(getattr(dut, f"{port}__commit").value):
                    row, select = (int(getattr(dut, f"{port}__{part}").value) for part in ("row", "select"))
                    seen.append((short, row, select))

    cocotb.start_soon(watch())
    wanted = []
    for short, record in [*records.items()] * 3:
        values = {f.name: rng.getrandbits(f.bits) for f in record.fields}
        select = rng.randrange(128)
        writes = spec.row_writes(record, values, select)
        shadows, commit = writes[:-1], writes[-1]
        rng.shuffle(shadows)
        for address, value in [*shadows, commit, (shadows[0][0], shadows[0][1] ^ 1)]:
            await write(dut, address, value)
        wanted.append((short, record.pack(values), select))
    await cocotb_lib.idle(dut, 4)
    assert seen == wanted, f"{len(seen)} commits, {len(wanted)} were written"


@cocotb.test()
async def groups_leave_in_one_cycle(dut: Any) -> None:
    """Any rows, any slot and side: all commits in the same cycle, slots selected by slot, triggers by slot and side."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    selectors = {record.name.removesuffix("_row"): selector for record, selector in rows.ROWS}
    for _ in range(100):
        names = [name for name in selectors if rng.random() < 0.5]
        slot, side = rng.randrange(SIZES.slots), rng.randrange(2)
        await write(dut, BY_NAME["commit_group"].offset, spec.group_value(names, slot, side))
        await ClockCycles(dut.clk, WRITE_CYCLES)
        found = [name for name in selectors if int(getattr(dut, f"cfg_{name}__commit").value)]
        assert found == names, f"{found} were taken over, {names} were asked for"
        for name in names:
            want = {"slot": slot, "slot_side": 2 * slot + side}.get(selectors[name])
            got = int(getattr(dut, f"cfg_{name}__select").value)
            assert want is None or got == want, f"{name}: {got} was selected, not {want}"
        await RisingEdge(dut.clk)
        assert not [name for name in selectors if int(getattr(dut, f"cfg_{name}__commit").value)]


@cocotb.test()
async def heartbeat_that_stops_latches_the_kill_switch(dut: Any) -> None:
    """Limits and pauses of all kinds against the model, cycle by cycle; arming does not help while it is lost."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    model = Heartbeat()
    beat, limit, arm = (BY_NAME[name].offset for name in ("heartbeat", "heartbeat_limit_cycles", "arm"))
    await write(dut, arm, ARM_KEY)
    lost = 0
    for turn in range(150):
        at = int(dut.now.value)
        if turn % 10 == 0:
            cycles = rng.choice((0, 1, 2, 3, 20, 50))
            model.write_limit(at + 1, cycles)
            await write(dut, limit, cycles)
        else:
            model.beat(at + 1)
            await write(dut, beat, rng.getrandbits(32))
        await write(dut, arm, ARM_KEY)
        await ClockCycles(dut.clk, WRITE_CYCLES - 1)
        for _ in range(rng.randrange(60)):
            await RisingEdge(dut.clk)
            want = model.holds_kill(int(dut.now.value))
            assert int(dut.kill.value) == want, f"turn {turn}: kill is not {want} in cycle {int(dut.now.value)}"
            lost += want
            if rng.random() < 0.1:
                await write(dut, arm, ARM_KEY)
    assert lost, "the heartbeat was never lost"


@cocotb.test()
async def kill_switch_is_up_after_reset_and_only_the_key_clears_it(dut: Any) -> None:
    """Kill acts in the next cycle, and no arming before it undoes it; arming acts one cycle later."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    assert int(dut.kill.value) == 1, "the kill switch is down after reset"
    kill, arm = BY_NAME["kill"].offset, BY_NAME["arm"].offset
    level = 1
    for _ in range(400):
        address = rng.choice((kill, arm, arm, BY_NAME["clear"].offset, rng.randrange(0, 1 << 12, 4)))
        if address == BY_NAME["heartbeat_limit_cycles"].offset:
            continue  # it has a test of its own
        value = rng.choice((ARM_KEY, ARM_KEY, ARM_KEY ^ 1 << rng.randrange(32), 0, rng.getrandbits(32)))
        overtaken = address != kill and rng.random() < 0.2
        await write(dut, address, value)
        if overtaken:
            await write(dut, kill, value)
        level = 1 if address == kill or overtaken else 0 if address == arm and value == ARM_KEY else level
        for _ in range(1 if address == kill else WRITE_CYCLES - overtaken):
            await RisingEdge(dut.clk)
        assert int(dut.kill.value) == level, f"kill is not {level} after {value:#x} to {address:#x}"
        assert int(dut.armed.value) == 1 - level
        assert int(dut.clear.value) == (address == BY_NAME["clear"].offset)
    await write(dut, arm, ARM_KEY)
    await cocotb_lib.reset(dut)
    assert int(dut.kill.value) == 1, "the kill switch is down after a reset in mid-run"


@cocotb.test()
async def now_is_read_in_one_piece(dut: Any) -> None:
    """The low word latches the high one, and both are of the cycle behind the read."""
    await cocotb_lib.start(dut)
    low, high = BY_NAME["now"].offset, BY_NAME["now"].offset + 4
    values = []
    for offset in range(60):
        await cocotb_lib.idle(dut, offset % 3)
        at = int(dut.now.value)  # of the cycle that ended at this edge
        value = await read(dut, low)
        await cocotb_lib.idle(dut, 3)
        value |= await read(dut, high) << 32
        assert value == at + 2, f"now is {value:#x}, the cycle behind the read was {at + 2:#x}"
        values.append(value)
    assert values[0] >> 32 == 0 and values[-1] >> 32 == 1


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """What a write changes, and the answer to a read, come after the stated cycles."""
    from tickgate.gateware.registers import Registers

    await cocotb_lib.start(dut)
    found = cocotb_lib.Latencies()

    async def measure(address: int, value: int, *signals: Any) -> list[int]:
        """Cycles from a write to a change of each signal."""
        await cocotb_lib.idle(dut, 3)
        before = [int(signal.value) for signal in signals]
        await write(dut, address, value)  # this edge ends the cycle of the write
        cycles = [0 if int(s.value) != was else None for s, was in zip(signals, before, strict=True)]
        for cycle in range(1, 6):
            await RisingEdge(dut.clk)
            for n, (signal, was) in enumerate(zip(signals, before, strict=True)):
                if cycles[n] is None and int(signal.value) != was:
                    cycles[n] = cycle
        assert None not in cycles, f"a write to {address:#x} changed nothing"
        return [c for c in cycles if c is not None]

    for name, value, event in (("arm", ARM_KEY, "arm"), ("kill", 1, "write")):
        found.add("bus", "kill", event, (await measure(BY_NAME[name].offset, value, dut.kill))[0])
    found.add("bus", "clear", "write", (await measure(BY_NAME["clear"].offset, 1, dut.clear))[0])
    for record, _ in rows.ROWS:
        port = f"cfg_{record.name.removesuffix('_row')}"
        ones = {f.name: (1 << f.bits) - 1 for f in record.fields}
        *shadows, (commit, select) = spec.row_writes(record, ones, 0)
        for address, value in shadows:
            cycles = await measure(address, value, getattr(dut, f"{port}__row"))
            found.add("bus", port, "shadow", cycles[0])
        cycles = await measure(commit, select, getattr(dut, f"{port}__commit"))
        found.add("bus", port, "commit", cycles[0])
    for _ in range(3):
        dut.bus__addr.value, dut.bus__r_en.value = BY_NAME["status"].offset, 1
        for cycle in range(8):
            await RisingEdge(dut.clk)
            dut.bus__r_en.value = 0
            if int(dut.bus__r_valid.value):
                found.add("bus__r_en", "bus__r_valid", "read", cycle)
    found.hold(Registers.latency_cycles)
