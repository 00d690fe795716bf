"""The feed stage against the model of the stage, frame by frame, in Amaranth's simulator."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.feed import Feed
from tickgate.sim import feed_scenarios as scenarios
from tickgate.sim.feed_scenarios import ROW, Frame, message, packet_bytes, udp_frame
from tickgate.sw.model.feed import Feed as Model
from tickgate.sw.spec.events import FEED_TRACE, FEED_WORD, FRAME_WORD, FeedItem, Notice
from tickgate.sw.spec.rows import FEED_ROW, MARK_ROW

IDLE_END = 12


class Bench:
    """Drives both lines word by word; collects the words that leave, the trace and the counters."""

    def __init__(self, faults=frozenset(), row=ROW):
        self.dut = Feed(faults=faults)
        self.row = row
        self.schedule = []  # a cycle each: (word of line A, word of line B, mark, feed row)
        self.words, self.trace, self.counters = [], [], {}

    def idle(self, cycles):
        self.schedule += [(None, None, None, None)] * cycles

    def frame(self, frame, gaps=None):
        if frame.mark is not None:
            self.schedule.append((None, None, frame.mark, None))
        for values in scenarios.words(frame.data, frame.error):
            while gaps is not None and next(gaps):
                self.idle(1)
            word = FRAME_WORD.pack(values)
            self.schedule.append((None, word, None, None) if frame.port else (word, None, None, None))

    def run(self):
        sim = Simulator(self.dut)
        sim.add_clock(1e-8)
        dut = self.dut

        async def bench(ctx):
            before = {"a": 0, "b": 0, "mark": 0, "row": 0}
            plan = [(None, None, None, self.row)] + [(None,) * 4] * 4 + self.schedule + [(None,) * 4] * IDLE_END
            values_of = {"a": dut.i_a, "b": dut.i_b}
            for now, (word_a, word_b, mark, row) in enumerate(plan):
                ctx.set(dut.now, now)
                for name, word in (("a", word_a), ("b", word_b)):
                    if word is not None:
                        ctx.set(values_of[name].payload.as_value(), word)
                    if before[name] != (word is not None):
                        before[name] = int(word is not None)
                        ctx.set(values_of[name].valid, before[name])
                if mark is not None:
                    ctx.set(dut.cfg_mark.row.as_value(), MARK_ROW.pack({"seq": mark}))
                if row is not None:
                    ctx.set(dut.cfg_feed.row.as_value(), FEED_ROW.pack(row))
                for name, port, on in (("mark", dut.cfg_mark, mark), ("row", dut.cfg_feed, row)):
                    if before[name] != (on is not None):
                        before[name] = int(on is not None)
                        ctx.set(port.commit, before[name])
                if ctx.get(dut.o.valid):
                    self.words.append((now, FEED_WORD.unpack(ctx.get(dut.o.payload.as_value()))))
                if ctx.get(dut.trace.valid):
                    self.trace.append((now, FEED_TRACE.unpack(ctx.get(dut.trace.payload.as_value()))))
                await ctx.tick()
            self.counters = {name: ctx.get(getattr(dut.counters, name)) for name in Feed.COUNTERS}

        sim.add_testbench(bench)
        sim.run()
        return self


def records(bench):
    """The trace without its measured fields."""
    return [{k: v for k, v in values.items() if k not in ("cycle", "stamp")} for _, values in bench.trace]


def expectation(frames, row=ROW, busy=()):
    model = Model()
    deliveries = model.commit(row)
    for number, frame in enumerate(frames):
        if frame.mark is not None:
            model.mark(frame.mark)
        deliveries += model.frame(frame.data, frame.error, frame.port, busy=number in busy)
    return model, deliveries


def messages_of(bench):
    """Messages put together again from the marked words, as (sequence number, bytes); notices in their place."""
    out, open_ = [], None
    for _, w in bench.words:
        lanes = w["data"].to_bytes(8, "little")
        if w["end"]:
            seq, length, got = open_
            got += lanes[: w["end_lane"] + 1]
            assert len(got) == length
            out.append((seq, bytes(got)))
            open_ = None
        if w["notice"]:
            out.append((Notice(w["notice"]), w["notice_seq"], w["notice_count"]))
        if w["start"]:
            open_ = [w["seq"], w["length"], bytearray(lanes[w["start_lane"] :])]
        elif open_ is not None and not w["end"] and w["notice"] not in (Notice.GAP, Notice.NEW_SESSION):
            open_[2].extend(lanes)
    return out


def check(bench, frames, row=ROW, busy=()):
    model, deliveries = expectation(frames, row, busy)
    want = [d.record._asdict() for d in deliveries]
    for record in want:
        record.pop("cycle"), record.pop("stamp")
    got = records(bench)
    for number, (a, b) in enumerate(zip(got, want, strict=False)):
        assert a == b, f"record {number}"
    assert len(got) == len(want)
    assert {k: v for k, v in bench.counters.items() if v} == {k: v for k, v in model.counters.items() if v}
    assert messages_of(bench) == [
        (d.record.seq, d.data) if d.record.item == FeedItem.MESSAGE else (d.record.notice, d.record.seq, d.record.count)
        for d in deliveries
    ]
    return model


def run_frames(frames, gap=3, seed=None, share=0.0, **kwargs):
    bench = Bench(**kwargs)
    rng = random.Random(seed)

    def gaps():
        while True:
            yield rng.random() < share

    for frame in frames:
        bench.frame(frame, gaps() if share else None)
        bench.idle(gap if gap is not None else rng.choice((0, 1, 3, 9)))
    return bench.run()


@pytest.mark.parametrize("vlan", [False, True])
def test_feed_of_every_length_in_every_lane_delivers_each_message(vlan):
    rng = random.Random(1)
    frames, seq = [], 1
    for length in range(12, 51):
        for lead in range(12, 20):  # moves the message through every lane
            frames.append(Frame(udp_frame(packet_bytes(seq, [message(rng, n) for n in (lead, length, 12)]), vlan=vlan)))
            seq += 3
    frames = rng.sample(frames, len(frames))[:0] or frames
    check(run_frames(frames), frames)


@pytest.mark.parametrize("vlan", [False, True])
def test_feed_when_the_frame_is_cut_at_any_byte_delivers_what_was_whole(vlan):
    rng = random.Random(2)
    frames, seq = [], 1
    whole = udp_frame(packet_bytes(1, [message(rng, n) for n in (12, 13, 25)]), vlan=vlan)
    for cut in range(1, len(whole) + 1):
        frame = udp_frame(packet_bytes(seq, [message(rng, n) for n in (12, 13, 25)]), vlan=vlan)[:cut]
        frames.append(Frame(frame, error=cut % 3 == 0))
        model, _ = expectation(frames)
        seq = model.expected
    check(run_frames(frames), frames)


@pytest.mark.parametrize("seed", range(6))
def test_feed_on_random_traffic_equals_the_model(seed):
    rng = random.Random(seed)
    frames = list(scenarios.traffic(rng, 150))
    bench = run_frames(frames, gap=(3, None, 0)[seed % 3], seed=seed, share=(0.0, 0.3, 0.8, 0.0)[seed % 4])
    check(bench, frames)
