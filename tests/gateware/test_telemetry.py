"""Stage telemetry: frames, loss and histograms; the bench holds the same in more depth on Verilator."""

import gc
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.telemetry import Telemetry
from tickgate.sim.benches import telemetry as bench
from tickgate.sw.spec import net, telemetry
from tickgate.sw.spec.events import TRACES


def play(dut: Telemetry, rng: random.Random, cycles: int, share: float, ready: float, mask: int, every: int):
    """Random records in, then until rest: records given, frames, lost, histograms."""
    given = {stage: [] for stage in TRACES}
    frames: list[bytes] = []
    result: dict[str, object] = {}

    async def source(ctx):
        ctx.set(dut.mask, mask)
        ctx.set(dut.every, every)
        await ctx.tick().repeat(telemetry.BINS + 2)
        for _ in range(cycles):
            for stage, layout in TRACES.items():
                port = getattr(dut, f"i_{stage}")
                valid = rng.random() < share
                ctx.set(port.valid, valid)
                if valid:
                    given[stage].append(bench.random_record(rng, stage))
                    ctx.set(port.payload.as_value(), layout.pack(given[stage][-1]))
            await ctx.tick()
        for stage in TRACES:
            ctx.set(getattr(dut, f"i_{stage}").valid, 0)
        seen = -1
        while seen != len(frames):
            seen = len(frames)
            await ctx.tick().repeat(150)
        result["lost"] = ctx.get(dut.counters.telemetry_lost)
        bins = {}
        for number, stage in enumerate(TRACES):
            bins[stage] = []
            for at in range(telemetry.BINS):
                ctx.set(dut.bin_select, number * telemetry.BINS + at)
                await ctx.tick()
                bins[stage].append(ctx.get(dut.bin_count))
        result["bins"] = bins

    async def sink(ctx):
        current, pending, stall = b"", None, random.Random(1)
        while True:
            ctx.set(dut.o.ready, stall.random() < ready)
            _, _, valid, taken, word = await ctx.tick().sample(dut.o.valid, dut.o.ready, dut.o.payload.as_value())
            assert pending is None or valid and word == pending, "the word changed before its transfer"
            pending = word if valid and not taken else None
            if valid and taken:
                current += (word & (1 << 64) - 1).to_bytes(8, "little")[: word >> 64 & 15]
                if word >> 68 & 1:
                    frames.append(current)
                    current = b""

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(source)
    simulator.add_testbench(sink, background=True)
    simulator.run()
    return given, frames, result["lost"], result["bins"]


@pytest.mark.parametrize(("mask", "every"), ((0, 0), (0x3F, 1), (0x3F, 3)))
def test_telemetry_records_arrive_whole_and_in_order(mask, every):
    given, frames, lost, _ = play(Telemetry(), random.Random(f"{mask} {every}"), 600, 0.012, 0.8, mask, every)
    arrived, _ = bench.check_frames(frames, given)
    bench.check_complete(arrived, given, mask, every, lost)


def test_telemetry_without_sampled_classes_sends_the_others_and_counts_all_latencies():
    seed = random.Random(5)
    given, frames, lost, bins = play(Telemetry(sampled=False), seed, 600, 0.012, 0.8, 0x3F, 1)
    arrived, _ = bench.check_frames(frames, given)
    kept = sum(1 << number for number, stage in enumerate(telemetry.CLASSES) if stage in telemetry.ALWAYS)
    bench.check_complete(arrived, given, kept, 1, lost)
    assert not any(arrived[stage] for stage in telemetry.CLASSES if stage not in telemetry.ALWAYS)
    assert sum(bins["book"]) == sum(bench.latency_of("book", record) is not None for record in given["book"]) > 0


def test_telemetry_overflow_is_counted_to_the_last_record():
    given, frames, lost, bins = play(Telemetry(), random.Random(7), 400, 0.4, 0.3, 0x3F, 1)
    arrived, _ = bench.check_frames(frames, given)
    assert lost > 100
    assert sum(map(len, arrived.values())) + lost == sum(map(len, given.values()))
    # Histograms count what is lost on the way as well.
    for stage, records in given.items():
        want = [0] * telemetry.BINS
        for record in records:
            late = bench.latency_of(stage, record)
            if late is not None:
                want[telemetry.bin_of(late)] += 1
        assert bins[stage] == want, stage


def test_telemetry_frame_layout_is_typed_by_hand():
    given, frames, _, _ = play(Telemetry(), random.Random(3), 40, 0.02, 1.0, 0, 0)
    frame = frames[0]
    assert frame[:16].hex(" ") == "ff ff ff ff ff ff 02 00 00 00 00 11 88 b5 01 01"
    assert frame[16:24] == bytes(8)
    stage = telemetry.CLASSES[frame[24]]
    record = given[stage][int.from_bytes(frame[28:32], "big")]
    assert [int.from_bytes(frame[at : at + 8], "big") for at in (32, 40, 48)] == [
        record[name] for name in ("cycle", "stamp", "seq")
    ]
    assert len(frame) >= net.FRAME_SIZE_MIN


@pytest.mark.parametrize("fault", Telemetry.FAULTS)
def test_telemetry_planted_fault_is_caught(fault):
    def check():
        for share, ready, every in ((0.012, 0.8, 3), (0.4, 0.3, 1)):
            dut = Telemetry(faults=frozenset({fault}))
            given, frames, lost, bins = play(dut, random.Random(fault), 500, share, ready, 0b101, every)
            arrived, _ = bench.check_frames(frames, given)
            wanted = {s: bench.wanted_numbers(s, given[s], 0b101, every) for s in TRACES}
            if share < 0.1:
                bench.check_complete(arrived, given, 0b101, every, lost)
            assert sum(map(len, arrived.values())) + lost == sum(map(len, wanted.values()))
            for stage, records in given.items():
                late = [bench.latency_of(stage, record) for record in records]
                found = [telemetry.bin_of(cycles) for cycles in late if cycles is not None]
                assert bins[stage] == [found.count(at) for at in range(telemetry.BINS)]

    with pytest.raises(AssertionError):
        check()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_telemetry_wrong_depth_or_fault_is_refused():
    with pytest.raises(ValueError, match="fault must be one of"):
        Telemetry(faults=frozenset({"nothing"}))
    with pytest.raises(ValueError, match="depth must be a power of two of 32 or more, not 48"):
        Telemetry(depth=48)
    with pytest.raises(ValueError, match="class_depth must be a power of two of 2 or more, not 1"):
        Telemetry(class_depth=1)
    gc.collect()  # while the half-made component may still complain
