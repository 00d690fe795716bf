"""Bench of stage `telemetry`: trace records of every class against the frames that leave, and the histograms."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib
from tickgate.sw.spec import events, telemetry
from tickgate.sw.spec.events import TRACES, FeedItem, OrderItem, TriggerFlag, TriggerStatus
from tickgate.sw.spec.sizes import Sizes

STAGE = "telemetry"
EXPECTED_TESTS = 5
FAULTS = {
    "loss_not_counted": "loss_is_counted_to_the_last_record",
    "every_one_more": "records_arrive_whole_and_in_order",
    "little_endian": "records_arrive_whole_and_in_order",
    "intents_masked": "records_arrive_whole_and_in_order",
    "bin_off_by_one": "histograms_count_every_latency",
}
Given = dict[str, list[dict[str, int]]]


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.telemetry import Telemetry

    return Telemetry(faults=faults)


def random_record(rng: random.Random, stage: str) -> dict[str, int]:
    """A trace record with a plausible latency and any other content."""
    record = {f.name: rng.getrandbits(f.bits) for f in TRACES[stage].fields}
    late = rng.choice((rng.randrange(40), rng.randrange(16, 25), rng.randrange(5000), 1 << 20))
    record["cycle"] = record["stamp"] + late & (1 << 64) - 1
    if stage == "feed":
        record["item"] = rng.choice(list(FeedItem))
    if stage in ("itch", "book"):
        record["itch_type"] = rng.choice((0, ord("A"), ord("D")))
    if stage == "trigger":
        record["flags"] = rng.choice((1, 2, 4, 8, 16, 3, 5))
        record["status"] = rng.choice(list(TriggerStatus)) if record["flags"] & TriggerFlag.EVAL else 0
    if stage == "orders":
        record["item"] = rng.choice(list(OrderItem))
    return record


def is_always_sent(stage: str, record: dict[str, int]) -> bool:
    """Intents, verdicts and orders."""
    if stage == "trigger":
        other = ~(TriggerFlag.EVAL | TriggerFlag.DONE)
        return record["status"] != TriggerStatus.NONE or bool(record["flags"] & other)
    return stage in ("risk", "orders")


def latency_of(stage: str, record: dict[str, int]) -> int | None:
    """The latency that the stage's histogram counts, None where the record has none."""
    timed = {
        "feed": record.get("item") == FeedItem.MESSAGE,
        "itch": record.get("itch_type") != 0,
        "book": record.get("itch_type") != 0,
        "trigger": bool(record.get("flags", 0) & TriggerFlag.EVAL),
        "risk": True,
        "orders": record.get("item") == OrderItem.ORDER,
    }
    return record["cycle"] - record["stamp"] & 0xFFFFFFFF if timed[stage] else None


def wanted_numbers(stage: str, given: list[dict[str, int]], mask: int, every: int) -> list[int]:
    """Numbers of the records of one class that are to be sent when none is lost."""
    numbers, left = [], 0
    for number, record in enumerate(given):
        if is_always_sent(stage, record):
            numbers.append(number)
        elif mask >> telemetry.CLASSES.index(stage) & 1 and every:
            if left == 0:
                numbers.append(number)
                left = every
            left -= 1
    return numbers


def check_frames(frames: Iterable[bytes], given: Given) -> tuple[dict[str, list[int]], int]:
    """Record numbers that arrived by class, and the loss that the last frame tells.

    Raises
    ------
    AssertionError: a frame or record is not what was given, or out of order.
    """
    arrived: dict[str, list[int]] = {stage: [] for stage in TRACES}
    lost = 0
    for position, frame in enumerate(frames):
        assert len(frame) <= telemetry.FRAME_SIZE_MAX, f"frame {position} has {len(frame)} bytes"
        header, records = telemetry.decode(frame)
        assert header["frame_sequence"] == position, f"frame {position} says {header['frame_sequence']}"
        assert header["count"] == len(records) > 0
        assert sum(telemetry.RECORDS[s].size for s, _ in records) + telemetry.RECORDS_OFFSET == len(frame)
        assert header["lost"] >= lost
        lost = header["lost"]
        for stage, values in records:
            record = given[stage][values["number"]]
            for name, value in values.items():
                if name in record and name != "slot" or name == "slot" and stage != "feed":
                    assert value == record[name], f"{stage} record {values['number']}: {name} is {value:#x}"
            assert stage != "feed" or values["slot"] == events.NO_SLOT
            arrived[stage].append(values["number"])
    for stage, numbers in arrived.items():
        assert numbers == sorted(set(numbers)), f"{stage}: records out of order or sent twice"
    return arrived, lost


def check_complete(arrived: dict[str, list[int]], given: Given, mask: int, every: int, lost: int) -> None:
    """All records of the classes that keep several arrived; a sample may have met another one, and is counted then.

    Raises
    ------
    AssertionError: they did not.
    """
    wanted = {stage: wanted_numbers(stage, given[stage], mask, every) for stage in TRACES}
    for stage in TRACES:
        if stage in telemetry.ALWAYS:
            assert arrived[stage] == wanted[stage], stage
        else:
            assert set(arrived[stage]) <= set(wanted[stage]), stage
    offered = sum(map(len, wanted.values()))
    assert sum(map(len, arrived.values())) + lost == offered and lost <= offered // 10


async def play(dut: Any, rng: random.Random, cycles: int, share: float, pressure: cocotb_lib.Pattern, mask: int,
               every: int) -> tuple[Given, list[bytes], int]:  # fmt: skip
    """Gives random records in a share of the cycles of each class, and waits until all that was kept has left."""
    await cocotb_lib.start(dut)
    monitor = cocotb_lib.StreamMonitor(dut, "o", events.FRAME_WORD, pressure, rng)
    dut.mask.value, dut.every.value = mask, every
    await cocotb_lib.idle(dut, telemetry.BINS + 4)
    given: Given = {stage: [] for stage in TRACES}
    for _ in range(cycles):
        for stage, layout in TRACES.items():
            valid = rng.random() < share
            getattr(dut, f"i_{stage}__valid").value = int(valid)
            if valid:
                given[stage].append(random_record(rng, stage))
                getattr(dut, f"i_{stage}__payload").value = layout.pack(given[stage][-1])
        await RisingEdge(dut.clk)
    for stage in TRACES:
        getattr(dut, f"i_{stage}__valid").value = 0
    seen = -1
    while seen != len(monitor.items):
        seen = len(monitor.items)
        await cocotb_lib.idle(dut, 200)
    monitor.stop()
    return given, cocotb_lib.word_frames(monitor.items), int(dut.counters.value)


@cocotb.test()
async def records_arrive_whole_and_in_order(dut: Any) -> None:
    """Few enough records that none is lost, masks and rates of all kinds."""
    for pressure in ("none", "quarter"):
        for mask, every in ((0, 0), (0x3F, 1), (0x3F, 0), (0b000101, 3), (0x3F, 7)):
            rng = random.Random(f"{cocotb_lib.seed()} {pressure} {mask} {every}")
            given, frames, lost = await play(dut, rng, 1500, 0.006, cocotb_lib.PATTERNS[pressure], mask, every)
            arrived, _ = check_frames(frames, given)
            check_complete(arrived, given, mask, every, lost)


@cocotb.test()
async def loss_is_counted_to_the_last_record(dut: Any) -> None:
    """Far too many records, and a host that takes little."""
    for pressure in ("none", "most", "bursts"):
        rng = random.Random(f"{cocotb_lib.seed()} loss {pressure}")
        given, frames, lost = await play(dut, rng, 1500, 0.3, cocotb_lib.PATTERNS[pressure], 0x3F, 1)
        arrived, _ = check_frames(frames, given)
        offered = sum(len(records) for records in given.values())
        assert lost > 100, f"only {lost} records were lost"
        assert sum(map(len, arrived.values())) + lost == offered


@cocotb.test()
async def histograms_count_every_latency(dut: Any) -> None:
    """Every bin of every stage, also with a record in every cycle."""
    rng = random.Random(cocotb_lib.seed())
    given, _, _ = await play(dut, rng, 1500, 0.9, cocotb_lib.never, 0, 0)
    for number, (stage, records) in enumerate(given.items()):
        want = [0] * telemetry.BINS
        for record in records:
            late = latency_of(stage, record)
            if late is not None:
                want[telemetry.bin_of(late)] += 1
        got = []
        for at in range(telemetry.BINS):
            dut.bin_select.value = number * telemetry.BINS + at
            await RisingEdge(dut.clk)
            await RisingEdge(dut.clk)
            got.append(int(dut.bin_count.value))
        assert got == want, f"{stage}: {got}, not {want}"


@cocotb.test()
async def bins_are_told_while_they_count(dut: Any) -> None:
    """One more in every cycle, and looked at in every one."""
    record = random_record(random.Random(cocotb_lib.seed()), "risk") | {"stamp": 5, "cycle": 5 + 11}
    await play(dut, random.Random(cocotb_lib.seed()), 1, 0, cocotb_lib.never, 0, 0)
    dut.bin_select.value = list(TRACES).index("risk") * telemetry.BINS + telemetry.bin_of(11)
    dut.i_risk__payload.value = TRACES["risk"].pack(record)
    dut.i_risk__valid.value = 1
    await cocotb_lib.idle(dut, 40)
    counts = []
    for _ in range(40):
        await RisingEdge(dut.clk)
        counts.append(int(dut.bin_count.value))
    dut.i_risk__valid.value = 0
    assert counts[0] > 20, f"{counts[0]} are counted of 40"
    assert counts == list(range(counts[0], counts[0] + len(counts))), f"bin told as {counts}"


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """The count of a bin is there in the cycle behind its selection, and not sooner."""
    from tickgate.gateware.telemetry import Telemetry

    rng = random.Random(cocotb_lib.seed())
    await play(dut, rng, 300, 0.9, cocotb_lib.never, 0, 0)
    counts = []
    for select in range(len(telemetry.HISTOGRAM_STAGES) * telemetry.BINS):
        dut.bin_select.value = select
        await cocotb_lib.idle(dut, 3)
        counts.append(int(dut.bin_count.value))
    found = cocotb_lib.Latencies()
    for select in range(1, len(counts)):
        if counts[select] == counts[select - 1]:
            continue
        dut.bin_select.value = select - 1
        await cocotb_lib.idle(dut, 3)
        dut.bin_select.value = select
        for cycle in range(4):
            await RisingEdge(dut.clk)
            if int(dut.bin_count.value) == counts[select]:
                found.add("bin_select", "bin_count", "read", cycle)
                break
    found.hold(Telemetry.latency_cycles)
