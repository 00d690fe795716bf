"""Feed traffic for tests: frames of every kind that the feed accepts or drops, seeded, and their words.

The frames are put together byte by byte from `tickgate.sw.spec.net`; a bench may have scapy build and check the same.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tickgate.sw.model.feed import Feed as Model
from tickgate.sw.model.feed import FeedDelivery
from tickgate.sw.spec import defaults as known
from tickgate.sw.spec import itch, mold, net
from tickgate.sw.spec.events import FRAME_WORD, FeedItem, Notice
from tickgate.sw.spec.units import WORD_BYTES

SESSION = b"TICKGATE01"
#: From a frame's first word to `frame_begins`, and from the last one to `frame_bad`.
FRAME_CYCLES, VERDICT_CYCLES = 6, 5
ROW = {
    "dst_ip": known.FEED_IP,
    "dst_port": known.FEED_PORT,
    "session": int.from_bytes(SESSION, "big"),
    "first_seq": 1,
}


@dataclass(frozen=True)
class Frame:
    """A frame on one line, and the mark (if any) that the host commits in front of it."""

    data: bytes
    port: int = 0
    error: bool = False
    mark: int | None = None
    kind: str = ""


def words(data: bytes, error: bool = False) -> list[dict[str, int]]:
    """A frame as FRAME_WORD values; unused lanes of the last word hold ones, which must not matter."""
    out = []
    for at in range(0, len(data), WORD_BYTES):
        part = data[at : at + WORD_BYTES]
        last = at + WORD_BYTES >= len(data)
        filled = part + b"\xff" * (WORD_BYTES - len(part))
        out.append(
            {
                "data": int.from_bytes(filled, "little"),
                "count": len(part),
                "last": int(last),
                "error": int(last and error),
            }
        )
    return out


@dataclass
class Cycle:
    """What the bench drives in one cycle: a word a line (packed FRAME_WORDs), and commits."""

    words: list[int | None] = field(default_factory=lambda: [None, None])
    mark: int | None = None
    row: dict[str, int] | None = None


def plan(
    frames: Iterable[Frame], *, gap: Iterator[int] | int = 3, idle: Iterator[bool] | None = None, lead: int = 2
) -> list[Cycle]:
    """One frame after the other: `gap` idle cycles behind each, and pauses between words where `idle` says so."""
    out = [Cycle() for _ in range(lead)]
    for frame in frames:
        if frame.mark is not None:
            out.append(Cycle(mark=frame.mark))
        for values in words(frame.data, frame.error):
            while idle is not None and next(idle):
                out.append(Cycle())
            out.append(Cycle())
            out[-1].words[frame.port] = FRAME_WORD.pack(values)
        out += [Cycle() for _ in range(gap if isinstance(gap, int) else next(gap))]
    return out


def crossed(rng: random.Random, frames: int) -> tuple[list[Frame], list[Cycle], set[int]]:
    """Plain packets on both lines without regard for each other.

    Returns the frames in the order in which they begin, the cycles, and the numbers of the frames that find the other
    line in a frame.
    """
    out: list[Frame] = []
    cycles: list[Cycle] = []
    busy: set[int] = set()
    ends, taken_until, begin, expected = [0, 0], 0, 2, 1
    for number in range(frames):
        port = rng.randint(0, 1)
        # Line A's frame is the earlier one of two that begin in one cycle.
        together = bool(out) and out[-1].port == 0 and port == 1 and rng.random() < 0.3
        begin = max(ends[port], begin + (0 if together else rng.choice((1, 1, 2, 5, 12, 30))))
        messages = [message(rng) for _ in range(rng.choice((1, 1, 2, 4)))]
        out.append(Frame(udp_frame(packet_bytes(expected, messages)), port))
        parts = words(out[-1].data)
        ends[port] = begin + len(parts)
        cycles += [Cycle() for _ in range(ends[port] - len(cycles))]
        for at, values in enumerate(parts, start=begin):
            cycles[at].words[port] = FRAME_WORD.pack(values)
        if begin < taken_until:
            busy.add(number)
        else:
            taken_until = ends[port]
            expected += len(messages)
    return out, cycles, busy


@dataclass
class Seen:
    """What left the stage: FEED_WORD and FEED_TRACE values with their cycle, and the counters at the end; also the
    cycles of `frame_begins` and `frame_bad`, each with `frame_stamp`."""

    words: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    trace: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    begins: list[tuple[int, int]] = field(default_factory=list)
    bad: list[tuple[int, int]] = field(default_factory=list)


def spans(cycles: list[Cycle]) -> list[tuple[int, int]]:
    """Cycles of the first and of the last word of each frame, in the order in which they begin."""
    out: list[tuple[int, int]] = []
    inside: list[int | None] = [None, None]  # number of the frame that the line is in
    for now, cycle in enumerate(cycles):
        for line, word in enumerate(cycle.words):
            if word is None:
                continue
            number = inside[line]
            if number is None:
                number = len(out)
                out.append((now, now))
            out[number] = (out[number][0], now)
            inside[line] = None if FRAME_WORD.unpack(word)["last"] else number
    return out


def check_verdicts(
    seen: Seen, cycles: list[Cycle], frames: list[Frame], row: dict[str, int] | None, busy: Collection[int]
) -> None:
    """Every frame that was taken is told, and the verdict on it where the model tells of an error.

    Raises
    ------
    AssertionError: they differ.
    """
    model = Model()
    model.commit(row or ROW)
    begins, bad = [], []
    for number, (frame, (first, last)) in enumerate(zip(frames, spans(cycles), strict=True)):
        if frame.mark is not None:
            model.mark(frame.mark)
        told = model.frame(frame.data, frame.error, frame.port, busy=number in busy)
        if number not in busy:
            begins.append((first + FRAME_CYCLES, first))
        if told and told[-1].record.notice == Notice.FCS:
            bad.append((last + VERDICT_CYCLES, first))
    assert seen.begins == begins, f"frames were told {seen.begins}, they began {begins}"
    assert seen.bad == bad, f"verdicts were told {seen.bad}, the model says {bad}"


def expectation(
    frames: Iterable[Frame], row: dict[str, int] | None = None, busy: Collection[int] = ()
) -> tuple[Model, list[FeedDelivery]]:
    """The model after these frames, and what it tells; frames whose number is in `busy` found their line busy."""
    model = Model()
    deliveries = model.commit(row or ROW)
    for number, frame in enumerate(frames):
        if frame.mark is not None:
            model.mark(frame.mark)
        deliveries += model.frame(frame.data, frame.error, frame.port, busy=number in busy)
    return model, deliveries


def reassembled(seen: Seen) -> list[tuple[Any, ...]]:
    """Messages put together again from the marked words: (number, bytes); notices in their place."""
    out: list[tuple[Any, ...]] = []
    number, length, got = 0, -1, bytearray()
    for _, w in seen.words:
        lanes = w["data"].to_bytes(WORD_BYTES, "little")
        if w["end"]:
            got += lanes[: w["end_lane"] + 1]
            assert len(got) == length, f"message {number} has {len(got)} bytes, its length says {length}"
            out.append((number, bytes(got)))
            length = -1
        if w["notice"]:
            out.append((w["notice"], w["notice_seq"], w["notice_count"] if w["notice"] == Notice.GAP else 0))
        if w["start"]:
            number, length, got = w["seq"], w["length"], bytearray(lanes[w["start_lane"] :])
        elif not w["end"] and w["notice"] in (Notice.NONE, Notice.MARK, Notice.SYNC):
            got += lanes
    return out


def check(
    seen: Seen,
    cycles: list[Cycle],
    frames: list[Frame],
    *,
    latency: int,
    row: dict[str, int] | None = None,
    busy: Collection[int] = (),
) -> Model:
    """Compares what was seen with the model: trace, words, stamps, counters.

    Raises
    ------
    AssertionError: with the first difference.
    """
    model, deliveries = expectation(frames, row, busy)
    wanted = [d.record._asdict() for d in deliveries]
    for number, ((cycle, got), want) in enumerate(zip(seen.trace, wanted, strict=False)):
        assert got["cycle"] == cycle, f"record {number} says cycle {got['cycle']}, it left in {cycle}"
        got, want = ({k: int(v) for k, v in r.items() if k not in ("cycle", "stamp")} for r in (got, want))
        assert got == want, f"record {number} is {got}, the model says {want}"
    assert len(seen.trace) == len(wanted), f"{len(seen.trace)} records, the model says {len(wanted)}"
    expected = [
        (d.record.seq, d.data) if d.record.item == FeedItem.MESSAGE else (d.record.notice, d.record.seq, d.record.count)
        for d in deliveries
    ]
    delivered = reassembled(seen)
    assert len(delivered) == len(expected), f"{len(delivered)} deliveries, the model says {len(expected)}"
    for number, (found, want) in enumerate(zip(delivered, expected, strict=True)):
        assert found == want, f"delivery {number} is {found}, the model says {want}"
    for cycle, w in seen.words:
        if w["start"] or w["end"]:
            assert cycle == w["stamp"] + latency, f"a word of cycle {w['stamp']} left in {cycle}"
            sent = [FRAME_WORD.unpack(word)["data"] for word in cycles[w["stamp"]].words if word is not None]
            assert w["data"] in sent, f"the word that left in {cycle} is not the one that came in {w['stamp']}"
    ends = iter(w["stamp"] for _, w in seen.words if w["end"])
    for _, got in seen.trace:
        if got["item"] == FeedItem.MESSAGE:
            assert got["stamp"] == next(ends, None), f"message {got['seq']} has another stamp than its last byte"
            after = got["cycle"] - got["stamp"]
            assert latency <= after <= latency + 1, f"message {got['seq']} was told {after} cycles after its last byte"
    check_verdicts(seen, cycles, frames, row, busy)
    for name, value in seen.counters.items():
        assert value == model.counters[name], f"counter {name} is {value}, the model says {model.counters[name]}"
    return model


def udp_frame(payload: bytes, *, vlan: bool = False, port: int = known.FEED_PORT, trailer: int = 0) -> bytes:
    """A frame to the feed's group: padded to the least size, then `trailer` bytes of a capture device."""
    frame = net.udp_frame(
        payload,
        destination_mac=known.FEED_MAC,
        source_mac=known.FEED_SOURCE_MAC,
        source_ip=known.FEED_SOURCE_IP,
        destination_ip=known.FEED_IP,
        source_port=known.FEED_SOURCE_PORT,
        destination_port=port,
        vlan=0x2123 if vlan else None,
    )
    return frame + bytes(max(0, net.FRAME_SIZE_MIN - len(frame))) + b"\xa5" * trailer


def packet_bytes(sequence: int, messages: list[bytes], *, session: bytes = SESSION, count: int | None = None) -> bytes:
    """A MoldUDP64 packet whose count need not be true."""
    blocks = b"".join(len(m).to_bytes(2, "big") + m for m in messages)
    number = len(messages) if count is None else count
    return mold.HEADER.pack(session=session, sequence=sequence, count=number, blocks=blocks)


def with_ip(frame: bytes, offset: int, value: bytes, *, fix: bool = True) -> bytes:
    """The frame with bytes of its IPv4 header (or behind it) replaced; the header checksum right again if `fix`."""
    at = net.ETHERNET_SIZE + (net.VLAN_SIZE if frame[12:14] == b"\x81\x00" else 0)
    out = bytearray(frame)
    out[at + offset : at + offset + len(value)] = value
    if fix:
        header = bytes(out[at : at + net.IPV4_SIZE])
        out[at + 10 : at + 12] = net.ipv4_checksum(header).to_bytes(2, "big")
    return bytes(out)


def message(rng: random.Random, length: int | None = None) -> bytes:
    """Random bytes of a block's length, mostly one that ITCH has."""
    if length is None:
        length = rng.choice(list(itch.LENGTHS.values())) if rng.random() < 0.7 else rng.randint(12, 60)
    return bytes(rng.choices(range(256), k=length))


#: Share of each kind of frame in `traffic`; a bench's coverage check names these.
KINDS = {
    "plain": 30, "overlap": 8, "duplicate": 6, "gap": 6, "heartbeat": 4, "heartbeat_ahead": 3, "end": 2,
    "end_ahead": 1, "truncated": 10, "error": 5, "session": 2, "destination": 2, "port": 2, "ethertype": 2,
    "double_tag": 2, "version": 2, "options": 2, "fragment": 3, "protocol": 2, "checksum": 4, "udp_short": 2,
    "udp_long": 2, "block_short": 4, "block_overrun": 4, "count_high": 4, "count_low": 3, "runt": 3, "noise": 2,
    "big": 1,
}  # fmt: skip


def traffic(rng: random.Random, frames: int, *, first: int = 1, kinds: dict[str, int] | None = None) -> Iterator[Frame]:
    """Seeded frames; the sequence numbers follow what a feed that starts at `first` has delivered.

    Marks are now and then committed for a number soon to come, or one that has passed.
    """
    # The generator follows the numbers by the model of the stage, so that duplicates and gaps are what they are called.
    model = Model({**ROW, "first_seq": first})
    shares = kinds or KINDS
    names, weights = list(shares), list(shares.values())
    for _ in range(frames):
        kind = rng.choices(names, weights)[0]
        data = _frame(rng, kind, model.expected)
        mark = None
        if rng.random() < 0.08:
            mark = max(0, model.expected + rng.randint(-2, 8))
            model.mark(mark)
        error = kind == "error" or rng.random() < 0.01
        frame = Frame(data, rng.randint(0, 1), error, mark, kind)
        model.frame(frame.data, frame.error, frame.port)
        yield frame


def _frame(rng: random.Random, kind: str, expected: int) -> bytes:
    vlan = rng.random() < 0.4
    trailer = rng.choice((0, 0, 0, 1, 4, 20))
    messages = [message(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9)))]
    at, session, count, port = expected, SESSION, None, known.FEED_PORT
    match kind:
        case "overlap":
            messages += [message(rng), message(rng)]
            at = max(0, expected - rng.randint(1, len(messages) - 1))
        case "duplicate":
            at = max(0, expected - len(messages) - rng.choice((0, 0, 1, 70_000)))
        case "gap":
            at = expected + rng.choice((1, 1, 2, 5, 300, 70_000))
        case "heartbeat" | "heartbeat_ahead":
            messages, at = [], expected + (rng.randint(1, 9) if kind == "heartbeat_ahead" else -min(expected, 1))
        case "end" | "end_ahead":
            messages, count = [], mold.END_OF_SESSION
            at = expected + (rng.randint(1, 9) if kind == "end_ahead" else 0)
        case "session":
            broken = bytearray(SESSION)
            broken[rng.randrange(10)] ^= 1 << rng.randrange(8)
            session = bytes(broken)
        case "port":
            port ^= 1 << rng.randrange(16)
        case "block_short":
            where = rng.randrange(len(messages))
            messages[where] = message(rng, rng.randint(0, 11))
        case "count_high":
            count = len(messages) + rng.choice((1, 2, 40))
        case "count_low":
            count = len(messages) - 1
        case "big":
            messages = [message(rng, rng.choice((700, 1200, 12))), message(rng)]
    packet = packet_bytes(at, messages, session=session, count=count)
    if kind == "block_overrun":
        broken = bytearray(packet)
        size = len(messages[-1])
        longer = (size + rng.choice((1, 1, 2, 8, 256, 60_000))).to_bytes(2, "big")
        broken[-size - 2 : -size] = longer
        packet = bytes(broken)
    frame = udp_frame(packet, vlan=vlan, port=port, trailer=trailer)
    return _damaged(rng, kind, frame)


def _damaged(rng: random.Random, kind: str, frame: bytes) -> bytes:
    ip_at = net.ETHERNET_SIZE + (net.VLAN_SIZE if frame[12:14] == b"\x81\x00" else 0)
    match kind:
        case "truncated":
            return frame[: rng.randint(1, len(frame) - 1)]
        case "runt":
            return frame[: rng.randint(1, 66)]
        case "noise":
            return bytes(rng.choices(range(256), k=rng.randint(1, 120)))
        case "destination":
            return with_ip(frame, 16 + rng.randrange(4), bytes([rng.randrange(256)]))
        case "ethertype":
            return frame[: ip_at - 2] + rng.choice((b"\x86\xdd", b"\x08\x06", b"\x00\x40")) + frame[ip_at:]
        case "double_tag":
            return frame[:12] + b"\x81\x00\x00\x07" + frame[12:]
        case "version":
            return with_ip(frame, 0, bytes([rng.choice((0x65, 0x55, 0x05))]))
        case "options":
            return with_ip(frame, 0, bytes([rng.choice((0x46, 0x44, 0x4F))]))
        case "fragment":
            return with_ip(frame, 6, rng.choice((b"\x20\x00", b"\x00\x01", b"\x1f\xff", b"\x80\x00", b"\x00\x00")))
        case "protocol":
            return with_ip(frame, 9, bytes([rng.choice((6, 1, 16, 0))]))
        case "checksum":
            return _checksum_case(rng, frame, ip_at)
        case "udp_short":
            return with_ip(frame, 24, rng.choice((8, 27, 0, 28, 29)).to_bytes(2, "big"), fix=False)
        case "udp_long":
            length = int.from_bytes(frame[ip_at + 24 : ip_at + 26], "big")
            return with_ip(frame, 24, (length + rng.choice((1, 2, 8, 3000))).to_bytes(2, "big"), fix=False)
    return frame


def _checksum_case(rng: random.Random, frame: bytes, ip_at: int) -> bytes:
    """A wrong checksum, or a header whose sum carries in a way that is easily got wrong."""
    match rng.randrange(4):
        case 0:
            return with_ip(frame, rng.randrange(20), bytes([rng.randrange(256)]), fix=False)
        case 1:
            stated = int.from_bytes(frame[ip_at + 10 : ip_at + 12], "big")
            off = (stated + rng.choice((1, 0xFFFF, 2, 9, 0xFFF7))) & 0xFFFF
            return with_ip(frame, 10, off.to_bytes(2, "big"), fix=False)
        case 2:
            return with_ip(frame, 12, b"\xff\xff\xff\xff")
    return with_ip(frame, 4, bytes(rng.choices(range(256), k=2)))
