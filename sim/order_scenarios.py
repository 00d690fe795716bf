"""Scenarios for stage `orders`, and what a logged run of one has to be: for the bench and the unit tests."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

from tickgate.sim import cocotb_lib
from tickgate.sw.model import orders as model
from tickgate.sw.spec import defaults, events, net
from tickgate.sw.spec.config import ascii_field
from tickgate.sw.spec.rows import PEER_ROW, SESSION_ROW

#: From a change of the numbers until `session_ok` has followed.
FOLLOW_CYCLES = 12


@dataclass
class Cycle:
    """Inputs and outputs of one clock cycle; rows and payloads packed, None where not valid."""

    kill: int
    void: int
    session: int | None
    peer: int | None
    i: int | None
    i_ready: int
    i_inject: int | None
    i_inject_ready: int
    o: int | None
    o_ready: int
    o_copy: int | None
    trace: int | None
    done: int
    refund: int
    session_ok: int
    session_open: int


def near_carry(rng: random.Random, dst_ip: int) -> int:
    """A source address under which the sum of the IP header, without the length, is just below its carry."""
    source = rng.getrandbits(16) << 16
    header = net.ipv4_datagram(source, dst_ip, net.PROTOCOL_TCP, b"")[: net.IPV4_SIZE]
    below = int.from_bytes(header[10:12], "big") + net.IPV4_SIZE  # what the sum lacks to 0xFFFF, length left out
    return source | (below - rng.randrange(40)) & 0xFFFF


def session_row(rng: random.Random, firm: bool) -> dict[str, int]:
    """An open session with random numbers, near the wrap of 32 bits and the carry of the IP header at times."""
    high = rng.random() < 0.5
    dst_ip = rng.choice((defaults.ORDER_IP, 0xFFFFFFFF, rng.getrandbits(32)))
    return {
        "open": 1,
        "src_mac": defaults.ORDER_SOURCE_MAC,
        "dst_mac": rng.getrandbits(48),
        "src_ip": rng.choice((near_carry(rng, dst_ip), 0xFFFFFFFF, rng.getrandbits(32))),
        "dst_ip": dst_ip,
        "src_port": defaults.ORDER_SOURCE_PORT,
        "dst_port": defaults.ORDER_PORT,
        "next_seq": 0xFFFFFF00 + rng.getrandbits(8) if high else rng.getrandbits(32),
        "user_ref": 0xFFFFFFFE if high else rng.getrandbits(20),
        "cl_ord_id": ascii_field(f"ORDER{rng.randrange(10**9):09d}", 14),
        "firm": ascii_field("FIRM", 4) if firm else 0,
    }


def peer_row(rng: random.Random, next_seq: int, window: int = 1 << 24) -> dict[str, int]:
    """What the venue said: everything up to `next_seq` is acknowledged."""
    return {"ack_out": rng.getrandbits(32), "window_out": rng.getrandbits(16), "ack_in": next_seq, "window_in": window}


def random_order(rng: random.Random) -> dict[str, int]:
    """Any order: the encoder does not judge, so all bit patterns are possible."""
    order = {f.name: rng.getrandbits(f.bits) for f in events.ORDER.fields}
    if rng.random() < 0.3:
        extreme = rng.choice((0, 1))
        order |= {f.name: extreme * ((1 << f.bits) - 1) for f in events.ORDER.fields if f.name != "slot"}
    return order


@dataclass
class Stimulus:
    """Decides the inputs of each cycle.

    Parameters
    ----------
    idle, backpressure: gap patterns of the inputs and of `o`.
    orders, injects: how many of each to send.
    kills, rows: share of cycles in which the kill switch changes and in which a row is written.
    apart: share of cycles in which no order comes beside the gaps, so that host messages find their place.
    voids: share of cycles in which the order under way turns void; `is_void` stays up for a few.
    """

    rng: random.Random
    idle: cocotb_lib.Pattern
    backpressure: cocotb_lib.Pattern
    orders: int
    injects: int
    firm: bool = False
    kills: float = 0.0
    rows: float = 0.0
    apart: float = 0.0
    voids: float = 0.0
    items: list[dict[str, int]] = field(default_factory=list)
    seq: int = 0

    def run(self) -> Generator[dict[str, Any], Cycle, None]:
        """Inputs of each cycle; send the `Cycle` that came of them back."""
        rng = self.rng
        gaps, stalls, inject_gaps = self.idle(rng), self.backpressure(rng), self.idle(rng)
        session = session_row(rng, self.firm)
        words: list[dict[str, int]] = []
        order: int | None = None
        inject: int | None = None
        orders, injects, killed, void, quiet = self.orders, self.injects, 0, 0, 0
        cycle = 0
        closed_at: int | None = None
        items = list(self.items)
        while quiet < 60:
            begun = cycle >= 30
            ending = not orders and not injects and not words
            row: int | None = None
            peer: int | None = None
            if cycle == 2:
                row = SESSION_ROW.pack(session)
                peer = PEER_ROW.pack(peer_row(rng, session["next_seq"]))
            elif ending and quiet == 0 and self.rows:
                # Whatever waits for a window or a session gets both.
                peer = PEER_ROW.pack(peer_row(rng, 0, 0xFFFFFFFF))
                if closed_at is not None:
                    session, closed_at = session_row(rng, self.firm), None
                    row = SESSION_ROW.pack(session)
            elif begun and rng.random() < self.rows:
                what = rng.random()
                if closed_at is not None or what < 0.1:
                    closed = closed_at is None and rng.random() < 0.3
                    session = session_row(rng, rng.random() < 0.5) | {"open": int(not closed)}
                    closed_at = cycle if closed else None
                    row = SESSION_ROW.pack(session)
                    peer = PEER_ROW.pack(peer_row(rng, session["next_seq"]))
                else:
                    window = rng.choice((1 << 24, 1 << 31, rng.randrange(200)))
                    peer = PEER_ROW.pack(peer_row(rng, session["next_seq"], window))
            if begun and rng.random() < (self.kills if not killed else 0.2):
                killed ^= 1
            if begun and self.voids and rng.random() < (self.voids if not void else 0.2):
                void ^= 1
            if ending:
                killed = 0
            if begun and order is None and orders and not next(gaps) and rng.random() >= self.apart:
                orders -= 1
                order = events.ORDER.pack(items.pop(0) if items else random_order(rng))
            if begun and inject is None and not next(inject_gaps):
                if not words and injects and rng.random() < 0.2:
                    injects -= 1
                    words = cocotb_lib.frame_words(rng.randbytes(rng.choice((3, 12, 74, rng.randint(1, 74)))))
                if words:
                    inject = events.FRAME_WORD.pack(words.pop(0))
            seen: Cycle = yield {
                "kill": killed, "void": void, "session": row, "peer": peer, "i": order, "i_inject": inject,
                "o_ready": int(not next(stalls)),
            }  # fmt: skip
            if order is not None and seen.i_ready:
                order = None
            if inject is not None and seen.i_inject_ready:
                inject = None
            busy = order is not None or inject is not None or words or seen.o is not None or seen.trace is not None
            quiet = 0 if busy or orders or injects else quiet + 1
            cycle += 1
            if cycle > 400_000:
                raise AssertionError("the stage never came to rest")


@dataclass
class Outcome:
    """What `check` found: the frames in the order in which they left, numbers of those that were poisoned, and how many
    of each trace item."""

    frames: list[bytes]
    items: dict[int, int]
    completed_after_kill: int
    poisoned: set[int]


def check(log: list[Cycle], counters: dict[str, int] | None = None) -> Outcome:
    """Holds a run to the reference model, to the rules of streams, and to the rules of the kill switch.

    Raises
    ------
    AssertionError: what differs, with its cycle.
    """
    reference = model.Orders()
    rows: list[tuple[int, str, dict[str, int]]] = []
    orders: list[tuple[int, int, dict[str, int]]] = []  # first valid, transfer, values
    injects: list[bytes] = []
    wanted: list[tuple[int, bool, bytes]] = []
    frames: list[bytes] = []
    items = dict.fromkeys(map(int, events.OrderItem), 0)
    completed_after_kill = 0
    first_valid: int | None = None
    inject = current = b""
    moved: int | None = None
    pending: int | None = None
    done_due = refund_due = False
    sent: Any = None  # record of the frame that is leaving
    bad = False  # its last word carries `error`
    poisoned: set[int] = set()
    last_change = 0
    is_open = 0
    began = False
    struck = False

    for c, now in enumerate(log):
        assert now.o_copy == moved, f"cycle {c}: o_copy is not the word that left in the cycle before"
        assert now.done == done_due, f"cycle {c}: done is {now.done}, not {int(done_due)}"
        assert now.refund == refund_due, f"cycle {c}: refund is {now.refund}, not {int(refund_due)}"
        assert now.session_open == is_open, f"cycle {c}: session_open is {now.session_open}"
        moved, done_due, refund_due = None, False, False
        if pending is not None:
            assert now.o == pending, f"cycle {c}: the word on o changed before its transfer"

        if began and now.kill:
            struck = True

        # A last word that is presented, and the record of its error.
        if now.o is not None and pending is None and (word := events.FRAME_WORD.unpack(now.o))["last"]:
            bad = began and bool(log[c - 1].void)
            assert word["error"] == bad, f"cycle {c}: error is {word['error']}, void was {log[c - 1].void}"
            assert (now.trace is not None) == bad, f"cycle {c}: a record beside the last word, or none of its error"
            if bad:
                record = events.ORDERS_TRACE.unpack(now.trace or 0)
                want = {**reference.poison(sent)._asdict(), "cycle": c, "stamp": sent.stamp}
                assert record == want, f"cycle {c}: trace {record}, the model says {want}"
                items[record["item"]] += 1

        # The record of a frame that begins, and what the model makes of it.
        elif now.trace is not None:
            record = events.ORDERS_TRACE.unpack(now.trace)
            due = [row for row in rows if row[0] <= c - 2]
            del rows[: len(due)]
            for _, kind, values in due:
                (reference.commit_session if kind == "session" else reference.commit_peer)(values)
            items[record["item"]] += 1
            last_change = c
            if record["item"] == events.OrderItem.INJECT:
                assert injects, f"cycle {c}: a host message that was not given"
                expected, frame = reference.inject(injects.pop(0))
                stamp = 0
            else:
                assert orders, f"cycle {c}: an order that was not given"
                waited, taken, values = orders.pop(0)
                assert c == taken + 1, f"cycle {c}: the order of cycle {taken} took {c - taken} cycles"
                stopped = any(log[k].kill for k in range(waited, c + 1))
                closed = not reference._session.get("open")
                reference.kill = stopped or closed
                expected, frame = reference.order(events.ORDER.tuple_type(**values), bool(now.void))
                refund_due = expected.item == events.OrderItem.VOID
                stamp = values["stamp"]
            sent = expected._replace(stamp=stamp)
            want = {**expected._asdict(), "cycle": c, "stamp": stamp}
            assert record == want, f"cycle {c}: trace {record}, the model says {want}"
            if frame:
                wanted.append((c, record["item"] == events.OrderItem.ORDER, frame))
                assert now.o is not None and not current, f"cycle {c}: no first word beside the trace record"
                began = record["item"] == events.OrderItem.ORDER
                struck = False
            else:
                done_due = True
                assert now.o is None, f"cycle {c}: a word of a dropped order"

        if now.o is not None:
            last_change = c
            if now.o_ready:
                word = events.FRAME_WORD.unpack(now.o)
                moved = now.o
                assert word["last"] or word["count"] == 8, f"cycle {c}: a short word inside a frame"
                assert not word["data"] >> 8 * word["count"], f"cycle {c}: bytes behind the end of the frame"
                current += word["data"].to_bytes(8, "little")[: word["count"]]
                assert wanted, f"cycle {c}: a word of no frame"
                if word["last"]:
                    begun, is_order, frame = wanted.pop(0)
                    assert current == frame, (
                        f"frame of cycle {begun}:\n  is        {current.hex()}\n  should be {frame.hex()}"
                    )
                    if bad:
                        poisoned.add(len(frames))
                    frames.append(current)
                    current = b""
                    done_due = done_due or is_order
                    refund_due = refund_due or bad
                    completed_after_kill += is_order and struck and not bad
                    began = bad = False
            pending = None if now.o_ready else now.o
        else:
            assert pending is None, f"cycle {c}: valid fell before the transfer"

        if now.i is not None:
            first_valid = c if first_valid is None else first_valid
            if now.i_ready:
                orders.append((first_valid, c, events.ORDER.unpack(now.i)))
                first_valid = None
        if now.i_inject is not None and now.i_inject_ready:
            word = events.FRAME_WORD.unpack(now.i_inject)
            inject += word["data"].to_bytes(8, "little")[: word["count"]]
            if word["last"]:
                injects.append(inject)
                inject = b""
        for kind, row, layout in (("session", now.session, SESSION_ROW), ("peer", now.peer, PEER_ROW)):
            if row is not None:
                values = layout.unpack(row)
                rows.append((c, kind, values))
                last_change = c
                if kind == "session":
                    is_open = values["open"]
        if c - last_change > FOLLOW_CYCLES and not current:
            for _, kind, values in rows:
                (reference.commit_session if kind == "session" else reference.commit_peer)(values)
            rows.clear()
            assert now.session_ok == reference.session_ok, f"cycle {c}: session_ok is {now.session_ok}"

    assert not orders, f"{len(orders)} orders neither left nor were dropped"
    assert not injects, f"{len(injects)} host messages did not leave"
    assert not wanted and not current, "a frame did not end"
    if counters is not None:
        expected_counters = {**reference.counters, "completed_after_kill": completed_after_kill}
        assert counters == expected_counters, f"counters {counters}, the model says {expected_counters}"
    return Outcome(frames, items, completed_after_kill, poisoned)


def check_with_scapy(frames: list[bytes]) -> None:
    """scapy dissects every frame to OUCH or SoupBinTCP, and builds the same bytes with checksums of its own.

    Raises
    ------
    AssertionError: it does not.
    """
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    from tickgate.sw.files import scapy_layers

    for frame in frames:
        packet = Ether(frame)
        assert bytes(packet) == frame
        payload = bytes(packet[TCP].payload)
        layer = scapy_layers.soup_class(payload)
        if layer.__name__ == "SoupClientUnsequencedData":
            whole = layer(payload)
            whole.length = None
            assert whole.build() == payload, f"scapy builds another payload than {payload.hex()}"
        del packet[IP].chksum, packet[TCP].chksum, packet[IP].len
        assert packet.build() == frame, f"scapy builds another frame than {frame.hex()}"
