"""Bench of stage `feed`: frames of every kind on two lines against the reference model, word by word."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib, feed_scenarios
from tickgate.sim.feed_scenarios import ROW, Cycle, Frame, Seen, message, packet_bytes, udp_frame
from tickgate.sw.spec import defaults as known
from tickgate.sw.spec import mold, net
from tickgate.sw.spec.events import FEED_TRACE, FEED_WORD, FRAME_WORD, FeedItem, Notice
from tickgate.sw.spec.itch import MIN_BLOCK
from tickgate.sw.spec.records import Record, RecordField
from tickgate.sw.spec.rows import FEED_ROW, MARK_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import WORD_BYTES

STAGE = "feed"
EXPECTED_TESTS = 6
#: Faults that want many messages, or lines that cross, or headers by another hand; tests/gateware has the others too.
FAULTS = {
    "checksum_carry_lost": "frames_built_by_scapy_are_delivered_whole",
    "tag_ignored": "frames_built_by_scapy_are_delivered_whole",
    "sequence_carry_lost": "a_long_session_keeps_its_numbers",
    "line_b_cuts_in": "of_two_lines_the_frame_that_began_first_is_taken",
}

_LATENCY_CYCLES = 4
_TAIL_CYCLES = 12


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.feed import Feed

    return Feed(faults=faults)


def _counters() -> Record:
    """The packed counters of the stage, in the order of its port."""
    from tickgate.gateware.feed import Feed

    return Record("counters", tuple(RecordField(name, 32) for name in Feed.COUNTERS))


async def run(dut: Any, cycles: list[Cycle]) -> Seen:
    """Resets the stage, commits the row in the first cycle, drives the cycles, and tells what left."""
    await cocotb_lib.reset(dut)
    seen = Seen()
    cycles[0].row = ROW
    lines = ((dut.i_a__valid, dut.i_a__payload), (dut.i_b__valid, dut.i_b__payload))
    levels: dict[Any, int] = {}

    def level(signal: Any, value: int) -> None:
        if levels.get(signal) != value:
            levels[signal] = value
            signal.value = value

    for now, cycle in enumerate([*cycles, *(Cycle() for _ in range(_TAIL_CYCLES))]):
        dut.now.value = now
        for (valid, payload), word in zip(lines, cycle.words, strict=True):
            level(valid, int(word is not None))
            if word is not None:
                payload.value = word
        level(dut.cfg_mark__commit, int(cycle.mark is not None))
        level(dut.cfg_feed__commit, int(cycle.row is not None))
        if cycle.mark is not None:
            dut.cfg_mark__row.value = MARK_ROW.pack({"seq": cycle.mark})
        if cycle.row is not None:
            dut.cfg_feed__row.value = FEED_ROW.pack(cycle.row)
        await RisingEdge(dut.clk)
        if int(dut.o__valid.value):
            seen.words.append((now, FEED_WORD.unpack(int(dut.o__payload.value))))
        if int(dut.trace__valid.value):
            seen.trace.append((now, FEED_TRACE.unpack(int(dut.trace__payload.value))))
        if int(dut.frame_begins.value):
            seen.begins.append((now, int(dut.frame_stamp.value)))
        if int(dut.frame_bad.value):
            seen.bad.append((now, int(dut.frame_stamp.value)))
    seen.counters = _counters().unpack(int(dut.counters.value))
    return seen


def check(seen: Seen, cycles: list[Cycle], frames: list[Frame], **kwargs: Any) -> None:
    """Equal to the model, word for word."""
    feed_scenarios.check(seen, cycles, frames, latency=_LATENCY_CYCLES, **kwargs)


def gaps(rng: random.Random, name: str) -> tuple[int | Iterator[int], Iterator[bool] | None]:
    """Cycles between frames and pauses between words, for one of the common patterns."""
    if name == "none":
        return 3, None
    return iter(lambda: rng.choice((0, 1, 3, 9)), -1), cocotb_lib.PATTERNS[name](rng)


@cocotb.test()
async def random_traffic_equals_the_model(dut: Any) -> None:
    """Frames of every kind, for each pattern of pauses; frames may follow without a gap."""
    await cocotb_lib.start(dut)
    for number, name in enumerate(cocotb_lib.PATTERNS):
        rng = random.Random(f"{cocotb_lib.seed()} {name}")
        frames = list(feed_scenarios.traffic(rng, 4000 if cocotb_lib.full() else (400, 200)[number > 0]))
        gap, idle = gaps(rng, name)
        cycles = feed_scenarios.plan(frames, gap=gap, idle=idle)
        check(await run(dut, cycles), cycles, frames)


@cocotb.test()
async def frames_built_by_scapy_are_delivered_whole(dut: Any) -> None:
    """The oracle is scapy, not the tables: addresses, lengths and checksums are its own."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Dot1Q, Ether
    from scapy.packet import Raw

    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    frames, sent, seq = [], [], 1
    for number in range(120):
        messages = [message(rng, rng.randint(MIN_BLOCK, 50)) for _ in range(rng.randint(1, 6))]
        blocks = b"".join(len(m).to_bytes(2, "big") + m for m in messages)
        payload = b"TICKGATE01" + seq.to_bytes(8, "big") + len(messages).to_bytes(2, "big") + blocks
        link = Ether(dst=net.mac_text(known.FEED_MAC), src="02:00:00:00:00:01")
        if number % 3 == 0:
            link = link / Dot1Q(vlan=rng.randrange(1, 4095), prio=rng.randrange(8))
        internet = IP(src="192.0.2.9", dst=net.ipv4_text(known.FEED_IP), ttl=rng.randint(1, 255))
        internet.tos, internet.id, internet.flags = rng.getrandbits(8), rng.getrandbits(16), rng.choice(("", "DF"))
        frames.append(
            Frame(bytes(link / internet / UDP(sport=rng.getrandbits(16), dport=known.FEED_PORT) / Raw(payload)))
        )
        sent += [(seq + at, m) for at, m in enumerate(messages)]
        seq += len(messages)
    cycles = feed_scenarios.plan(frames)
    seen = await run(dut, cycles)
    check(seen, cycles, frames)
    assert [item for item in feed_scenarios.reassembled(seen) if isinstance(item[1], bytes)] == sent


@cocotb.test()
async def of_two_lines_the_frame_that_began_first_is_taken(dut: Any) -> None:
    """Packets on both lines without regard for each other; those that find the input taken are dropped whole."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    for _ in range(20 if cocotb_lib.full() else 4):
        frames, cycles, busy = feed_scenarios.crossed(rng, 80)
        assert busy
        check(await run(dut, cycles), cycles, frames, busy=busy)


@cocotb.test()
async def a_long_session_keeps_its_numbers(dut: Any) -> None:
    """Shortest messages at full rate, beyond the 16,384th, with a packet repeated and one lost at times."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    frames, seq = [], 1
    while seq < 17_000:
        data = udp_frame(packet_bytes(seq, [message(rng, MIN_BLOCK) for _ in range(99)]))
        frames += [Frame(data)] * (2 if rng.random() < 0.1 else 1)
        seq += 99 + (99 if rng.random() < 0.1 else 0)
    cycles = feed_scenarios.plan(frames)
    check(await run(dut, cycles), cycles, frames)


@cocotb.test()
async def a_committed_row_starts_a_new_session_wherever_it_falls(dut: Any) -> None:
    """A row in each cycle of a frame: what was begun is dropped, and the next frame is of the new session."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    first = Frame(udp_frame(packet_bytes(1, [message(rng, 12), message(rng, 20)])))
    second = Frame(udp_frame(packet_bytes(50, [message(rng, 30)])))
    for at in range(1, 22):
        cycles = [*feed_scenarios.plan([first], gap=8), *feed_scenarios.plan([second])]
        cycles[at].row = {**ROW, "first_seq": 50}
        told = [(r["item"], r["notice"], r["seq"]) for _, r in (await run(dut, cycles)).trace]
        again = told.index((FeedItem.NOTICE, Notice.NEW_SESSION, 0), 1)
        assert set(told[1:again]) <= {(FeedItem.NOTICE, Notice.SYNC, 1), (0, 0, 1), (0, 0, 2)}, told
        assert told[again + 1 :] == [(FeedItem.MESSAGE, Notice.NONE, 50)], told


def headers_complete(cycles: list[Cycle], frames: list[Frame], line: int) -> dict[int, int]:
    """Of each frame: the cycle of the last word without a message, to that of the word that completes its header."""
    begun, inside = [], False
    for now, cycle in enumerate(cycles):
        word = cycle.words[line]
        if word is not None:
            if not inside:
                begun.append(now)
            inside = not FRAME_WORD.unpack(word)["last"]
    size = net.UDP_PAYLOAD_OFFSET + mold.HEADER_SIZE
    first, second = ((end - 1) // WORD_BYTES for end in (size, size + net.VLAN_SIZE))
    return {
        start + first: start + (second if frame.data[12:14] == net.ETHERTYPE_VLAN.to_bytes(2, "big") else first)
        for start, frame in zip(begun, frames, strict=True)
    }


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """Of words, messages and notices on either line, tagged or not, however messages and notices fall into words."""
    from tickgate.gateware.feed import Feed

    await cocotb_lib.start(dut)
    found = cocotb_lib.Latencies()
    names = {Notice.GAP: "gap", Notice.FCS: "fcs"}
    for line, port in enumerate(("i_a", "i_b")):
        rng = random.Random(f"{cocotb_lib.seed()} latency {line}")
        frames = [dataclasses.replace(frame, port=line) for frame in feed_scenarios.traffic(rng, 300)]
        seq = 1 << 32
        for _ in range(40):  # marks among the densest messages, behind a gap each
            packet = packet_bytes(seq, [message(rng, MIN_BLOCK) for _ in range(16)])
            frames.append(Frame(udp_frame(packet, vlan=rng.random() < 0.5), line, mark=seq + rng.randrange(1, 16)))
            seq += 17
        cycles = feed_scenarios.plan(frames)
        complete = headers_complete(cycles, frames, line)
        seen = await run(dut, cycles)
        for now, word in seen.words:
            if word["notice"] != Notice.NEW_SESSION:
                gap = word["notice"] == Notice.GAP
                since = complete[word["stamp"]] if gap else word["stamp"]
                found.add(port, "o", names.get(Notice(word["notice"]), "word"), now - since)
        for now, record in seen.trace:
            what = "message" if record["item"] == FeedItem.MESSAGE else names.get(Notice(record["notice"]))
            if what:
                found.add(port, "trace", what, now - (complete[record["stamp"]] if what == "gap" else record["stamp"]))
        ends = dict(feed_scenarios.spans(cycles))
        for now, stamp in seen.begins:
            found.add(port, "frame_begins", "frame", now - stamp)
        for now, stamp in seen.bad:
            found.add(port, "frame_bad", "fcs", now - ends[stamp])
    found.hold(Feed.latency_cycles)
