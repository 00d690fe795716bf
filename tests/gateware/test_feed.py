"""The feed stage against the model of the stage, frame by frame, in Amaranth's simulator."""

import gc
import itertools
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.feed import LATENCY_CYCLES, Feed
from tickgate.sim import feed_scenarios as scenarios
from tickgate.sim.benches import feed as bench
from tickgate.sim.feed_scenarios import ROW, Cycle, Frame, Seen, message, packet_bytes, udp_frame
from tickgate.sw.spec.events import FEED_TRACE, FEED_WORD, FeedItem, Notice
from tickgate.sw.spec.registers import counter_names
from tickgate.sw.spec.rows import FEED_ROW, MARK_ROW

IDLE_END = 12


def run(cycles, faults=frozenset(), row=ROW):
    """Drives the stage cycle by cycle (a feed row is committed in front) and collects what leaves."""
    dut, seen = Feed(faults=faults), Seen()
    sim = Simulator(dut)
    sim.add_clock(1e-8)

    async def bench(ctx):
        lines = (dut.i_a, dut.i_b)
        levels = {}

        def level(signal, value):
            if levels.get(id(signal), 0) != value:
                levels[id(signal)] = value
                ctx.set(signal, value)

        if row is not None:
            cycles[0].row = row
        for now, cycle in enumerate([*cycles, *(Cycle() for _ in range(IDLE_END))]):
            ctx.set(dut.now, now)
            for line, word in zip(lines, cycle.words, strict=True):
                level(line.valid, int(word is not None))
                if word is not None:
                    ctx.set(line.payload.as_value(), word)
            level(dut.cfg_mark.commit, int(cycle.mark is not None))
            level(dut.cfg_feed.commit, int(cycle.row is not None))
            if cycle.mark is not None:
                ctx.set(dut.cfg_mark.row.as_value(), MARK_ROW.pack({"seq": cycle.mark}))
            if cycle.row is not None:
                ctx.set(dut.cfg_feed.row.as_value(), FEED_ROW.pack(cycle.row))
            if ctx.get(dut.o.valid):
                seen.words.append((now, FEED_WORD.unpack(ctx.get(dut.o.payload.as_value()))))
            if ctx.get(dut.trace.valid):
                seen.trace.append((now, FEED_TRACE.unpack(ctx.get(dut.trace.payload.as_value()))))
            if ctx.get(dut.frame_begins):
                seen.begins.append((now, ctx.get(dut.frame_stamp)))
            if ctx.get(dut.frame_bad):
                seen.bad.append((now, ctx.get(dut.frame_stamp)))
            await ctx.tick()
        seen.counters = {name: ctx.get(getattr(dut.counters, name)) for name in Feed.COUNTERS}

    sim.add_testbench(bench)
    sim.run()
    return seen


def check(frames, cycles=None, *, busy=(), row=ROW, **kwargs):
    """Frames one after the other through the stage; equal to the model, word for word."""
    cycles = cycles or scenarios.plan(frames)
    seen = run(cycles, row=row, **kwargs)
    model = scenarios.check(seen, cycles, frames, latency=LATENCY_CYCLES, busy=busy, row=row)
    return seen, model


@pytest.mark.parametrize("vlan", [False, True])
def test_feed_of_every_length_in_every_lane_delivers_each_message(vlan):
    rng = random.Random(1)
    frames, seq = [], 1
    for length in range(12, 51):
        for lead in range(12, 20):  # moves the message through every lane
            frames.append(Frame(udp_frame(packet_bytes(seq, [message(rng, n) for n in (lead, length, 12)]), vlan=vlan)))
            seq += 3
    check(frames)


@pytest.mark.parametrize("vlan", [False, True])
def test_feed_when_the_frame_is_cut_at_any_byte_delivers_what_was_whole(vlan):
    rng = random.Random(2)
    frames, seq = [], 1
    whole = udp_frame(packet_bytes(1, [message(rng, n) for n in (12, 13, 25)]), vlan=vlan)
    for cut in range(1, len(whole) + 1):
        frame = udp_frame(packet_bytes(seq, [message(rng, n) for n in (12, 13, 25)]), vlan=vlan)[:cut]
        frames.append(Frame(frame, error=cut % 3 == 0))
        seq = scenarios.expectation(frames)[0].expected
    check(frames)


@pytest.mark.parametrize("seed", range(6))
def test_feed_on_random_traffic_equals_the_model(seed):
    rng = random.Random(seed)
    frames = list(scenarios.traffic(rng, 150))
    share = (0.0, 0.3, 0.8, 0.0)[seed % 4]
    idle = (rng.random() < share for _ in itertools.count()) if share else None
    gap = (3, (rng.choice((0, 1, 3, 9)) for _ in itertools.count()), 0)[seed % 3]
    check(frames, scenarios.plan(frames, gap=gap, idle=idle))


def test_feed_traffic_reaches_every_cause_and_every_notice():
    reached, notices = set(), set()
    for seed in range(6):
        model, deliveries = scenarios.expectation(scenarios.traffic(random.Random(seed), 150))
        reached |= {name for name, value in model.counters.items() if value}
        notices |= {d.record.notice for d in deliveries}
    assert reached == set(Feed.COUNTERS) - {"drop_line_busy"}
    assert notices == set(Notice)


@pytest.mark.parametrize("gap", [0, 1, 2, 3])
def test_feed_verdict_names_its_frame_also_when_the_next_one_follows_on_the_other_line(gap):
    rng, frames = random.Random(gap), []
    for n in range(12):
        frames.append(Frame(udp_frame(packet_bytes(1 + n, [message(rng, 12 + n)])), n % 2, error=n % 3 < 2))
    seen, _ = check(frames, scenarios.plan(frames, gap=gap))
    assert len(seen.bad) == 8


def test_feed_counters_are_registers():
    assert set(Feed.COUNTERS) <= set(counter_names())


def test_feed_before_a_row_is_committed_delivers_nothing():
    frames = list(scenarios.traffic(random.Random(3), 10, kinds={"plain": 1}))
    seen = run(scenarios.plan(frames), row=None)
    assert seen.words == [] and seen.trace == []
    assert seen.counters["drop_destination"] == 10


@pytest.mark.parametrize("vlan", [False, True])
def test_feed_when_a_gap_ends_at_the_mark_tells_gap_then_mark(vlan):
    frame = udp_frame(packet_bytes(9, [message(random.Random(1), 20)]), vlan=vlan)
    cycles = scenarios.plan([Frame(frame, mark=9)])
    seen, _ = check([Frame(frame, mark=9)], cycles)
    header = next(now for now, cycle in enumerate(cycles) if cycle.words[0]) + (8 if vlan else 7)
    told = next(now for now, r in seen.trace if r["notice"] == Notice.GAP)
    assert told - header == Feed.latency_cycles["i_a", "trace", "gap"][0 if vlan else 1]
    assert [r["notice"] for _, r in seen.trace if r["item"] == FeedItem.NOTICE] == [
        Notice.NEW_SESSION,
        Notice.GAP,
        Notice.MARK,
    ]


@pytest.mark.parametrize("cut_in", range(14))
def test_feed_when_a_row_is_committed_inside_a_frame_starts_a_new_session(cut_in):
    rng = random.Random(cut_in)
    first = Frame(udp_frame(packet_bytes(1, [message(rng, 12), message(rng, 20)])))
    second = Frame(udp_frame(packet_bytes(50, [message(rng, 30)])))
    cycles = scenarios.plan([first], lead=2)[: 2 + cut_in]
    row = {**ROW, "first_seq": 50}
    rest = scenarios.plan([first], lead=0)[cut_in:]
    rest[0].row = row
    cycles += [*rest, *scenarios.plan([second], lead=0)]
    seen = run(cycles)
    found = [(r["item"], r["notice"], r["seq"]) for _, r in seen.trace]
    again = found.index((FeedItem.NOTICE, Notice.NEW_SESSION, 0), 1)
    assert set(found[1:again]) <= {(0, Notice.SYNC, 1), (1, Notice.SYNC, 1), (0, 0, 1), (0, 0, 2)}
    assert found[again + 1 :] == [(FeedItem.MESSAGE, Notice.NONE, 50)]


@pytest.mark.parametrize("seed", range(3))
def test_feed_with_both_lines_busy_takes_the_frame_that_began_first(seed):
    frames, cycles, busy = scenarios.crossed(random.Random(seed), 60)
    assert busy
    check(frames, cycles, busy=busy)


def _traffic_of(*kinds, seed=11, frames=40):
    return list(scenarios.traffic(random.Random(seed), frames, kinds=dict.fromkeys(("plain", *kinds), 1)))


def _crossing():
    frames, cycles, busy = scenarios.crossed(random.Random(1), 30)
    return {"frames": frames, "cycles": cycles, "busy": busy}


def _past_the_carry():
    """The first message number with a carry into bit 14 lies a few frames ahead."""
    row = {**ROW, "first_seq": (1 << 14) - 5}
    frames = [Frame(udp_frame(packet_bytes(row["first_seq"] + n, [message(random.Random(n), 20)]))) for n in range(12)]
    return {"frames": frames, "row": row}


#: Traffic that must show each planted fault.
FAULT_TRAFFIC = {
    "wrong_lane": lambda: {"frames": _traffic_of()},
    "checksum_carry_lost": lambda: {"frames": _traffic_of("checksum")},
    "tag_ignored": lambda: {"frames": _traffic_of()},
    "overlap_off_by_one": lambda: {"frames": _traffic_of("overlap")},
    "sequence_carry_lost": _past_the_carry,
    "gap_silent": lambda: {"frames": _traffic_of("heartbeat_ahead")},
    "padding_counts": lambda: {"frames": _traffic_of("block_overrun")},
    "end_ungated": lambda: {"frames": _traffic_of("truncated")},
    "fcs_silent": lambda: {"frames": _traffic_of("error")},
    "line_b_cuts_in": _crossing,
    "verdict_silent": lambda: {"frames": _traffic_of("error")},
    "frame_kept": lambda: {"frames": _traffic_of("error")},
}


def test_feed_every_fault_has_its_traffic():
    assert set(FAULT_TRAFFIC) == set(Feed.FAULTS)
    assert set(bench.FAULTS) <= set(Feed.FAULTS)


@pytest.mark.parametrize("fault", Feed.FAULTS)
def test_feed_with_a_planted_fault_differs_from_the_model(fault):
    traffic = FAULT_TRAFFIC[fault]()
    check(**traffic)
    with pytest.raises(AssertionError):
        check(**traffic, faults=frozenset({fault}))


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_feed_with_an_unknown_fault_is_refused():
    def make():
        with pytest.raises(ValueError, match="fault must be one of wrong_lane, .* not 'nonsense'"):
            Feed(faults=frozenset({"nonsense"}))

    make()
    gc.collect()  # while the half-made component may still complain
