"""The feed stage: frames in, MoldUDP64 messages out, each exactly once and in order.

References: MoldUDP64 1.00; RFC 768, RFC 791, IEEE 802.1Q; the acceptance rules of the feed page in the docs.

Decisions that the rules leave open, all visible here: a frame is a RUNT when it ends before its MoldUDP64 header does
(62 bytes, 66 with a tag), whatever else is wrong with it; `error` on the last word counts beside any other cause; a
frame counts as TRUNCATED whenever its header is good and it ends before the UDP length does; a duplicate counts when
its last byte arrived; SYNC and MARK are told when the type byte of their message arrives.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from tickgate.sw.spec import itch, mold, net
from tickgate.sw.spec.events import FEED_TRACE, FeedItem, Notice
from tickgate.sw.spec.state import Drop

#: Ethertype, ten words of IPv4, UDP ports, length and checksum, MoldUDP64 session.
_HEADERS = struct.Struct(">H10H4H10s")
_MOLD = struct.Struct(">10sQH")
_SEQ_MASK = (1 << 64) - 1
_COUNTER_MASK = (1 << 32) - 1

HEADER_BYTES = net.UDP_PAYLOAD_OFFSET + mold.HEADER_SIZE
"""Bytes of an untagged frame in front of its first block."""
UDP_LENGTH_MIN = net.UDP_SIZE + mold.HEADER_SIZE

_HEADER_DROPS = tuple(f"drop_{d.name.lower()}" for d in Drop)
_Record: Any = FEED_TRACE.tuple_type
_record = _Record._make  # faster than a call with so many arguments
# Plain integers: looking up the member of an enumeration is slow.
_MESSAGE, _NOTICE, _NONE = int(FeedItem.MESSAGE), int(FeedItem.NOTICE), int(Notice.NONE)

#: Counters of this stage, by register name.
COUNTERS = (
    *(_HEADER_DROPS[d] for d in Drop if d <= Drop.DUPLICATE),
    "drop_error_frame",
    "drop_line_busy",
    "frames",
    "messages",
    "gaps",
    "gap_messages",
    "heartbeats",
    "session_ends",
    "marks_missed",
)


class FeedDelivery(NamedTuple):
    """One thing that the feed tells: its trace record, and the message (empty for a notice)."""

    record: Any
    data: bytes


class Feed:
    """The feed handler.

    Parameters
    ----------
    row: values of `rows.FEED_ROW`; empty is the reset value, which accepts nothing that real frames carry.

    Members
    -------
    expected: sequence number expected next.
    mark_seq: where the host's mark waits, None without one.
    counters: this stage's counters by register name.
    """

    def __init__(self, row: Mapping[str, int] | None = None):
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.mark_seq: int | None = None
        self._load(row or {})

    def _load(self, row: Mapping[str, int]) -> None:
        self._destination = (row.get("dst_ip", 0), row.get("dst_port", 0))
        self._session = row.get("session", 0).to_bytes(mold.SESSION_SIZE, "big")
        self.expected = row.get("first_seq", 0)

    def commit(self, row: Mapping[str, int]) -> list[FeedDelivery]:
        """Take a feed row over, between two frames: a new session begins."""
        self._load(row)
        return [_notice(Notice.NEW_SESSION)]

    def mark(self, seq: int) -> None:
        """The host's mark: validity is cleared right in front of message `seq`."""
        self.mark_seq = seq

    def frame(self, data: bytes, error: bool = False, port: int = 0, busy: bool = False) -> list[FeedDelivery]:
        """What one frame (no preamble, no FCS) yields, in order.

        Parameters
        ----------
        error: the last word carried `error`.
        port: 0 line A, 1 line B.
        busy: the frame of line B began while line A was in a frame: it is not looked at.
        """
        counters = self.counters
        counters["frames"] += 1
        if busy:
            counters["drop_line_busy"] += 1
            return []
        if error:
            counters["drop_error_frame"] += 1
        ip_at = net.ETHERNET_SIZE
        if data[12:14] == b"\x81\x00":
            ip_at += net.VLAN_SIZE
        cause = self._judge(data, ip_at)
        if cause is not None:
            counters[_HEADER_DROPS[cause]] += 1
            return []
        out: list[FeedDelivery] = []
        delivered_before = counters["messages"]
        self._packet(data, ip_at + net.IPV4_SIZE + net.UDP_SIZE, port, out)
        if error and counters["messages"] != delivered_before:
            out.append(_notice(Notice.FCS, port=port))
        return out

    def _judge(self, data: bytes, ip_at: int) -> Drop | None:
        """Why the frame is dropped whole, the first cause in the order of `Drop`."""
        if len(data) < HEADER_BYTES - net.ETHERNET_SIZE + ip_at:
            return Drop.RUNT
        ethertype, *words, _, dst_port, udp_length, _, session = _HEADERS.unpack_from(data, ip_at - 2)
        if ethertype != net.ETHERTYPE_IPV4:
            return Drop.ETHERTYPE
        version_ihl = words[0] >> 8
        if version_ihl >> 4 != 4:
            return Drop.IP_VERSION
        if version_ihl != net.IPV4_VERSION_IHL:
            return Drop.IP_OPTIONS
        if words[3] & (net.IPV4_FLAG_MF | net.IPV4_FRAGMENT_OFFSET_MASK):
            return Drop.IP_FRAGMENT
        if words[4] & 0xFF != net.PROTOCOL_UDP:
            return Drop.IP_PROTOCOL
        if sum(words) % 0xFFFF:  # a right header sums to a multiple of 0xFFFF that is not 0
            return Drop.IP_CHECKSUM
        if (words[8] << 16 | words[9], dst_port) != self._destination:
            return Drop.DESTINATION
        if udp_length < UDP_LENGTH_MIN or udp_length > words[1] - net.IPV4_SIZE:
            return Drop.LENGTH
        if session != self._session:
            return Drop.SESSION
        return None

    def _packet(self, data: bytes, mold_at: int, port: int, out: list[FeedDelivery]) -> None:
        counters = self.counters
        size = len(data)
        end = mold_at - net.UDP_SIZE + (data[mold_at - 4] << 8 | data[mold_at - 3])
        if end > size:
            counters["drop_truncated"] += 1
        _, seq, count = _MOLD.unpack_from(data, mold_at)
        if seq > self.expected:
            missing = seq - self.expected
            counters["gaps"] += 1
            counters["gap_messages"] = counters["gap_messages"] + missing & _COUNTER_MASK
            out.append(_notice(Notice.GAP, self.expected, port, missing))
            self.expected = seq
        if count == mold.HEARTBEAT:
            counters["heartbeats"] += 1
            return
        if count == mold.END_OF_SESSION:
            counters["session_ends"] += 1
            return
        at = mold_at + mold.HEADER_SIZE
        for _ in range(count):
            if at + 2 > end:
                counters["drop_block_overrun"] += 1
                return
            if at + 2 > size:
                return
            length = data[at] << 8 | data[at + 1]
            at += 2
            if length < itch.MIN_BLOCK:
                counters["drop_block_short"] += 1
                return
            if at + length > end:
                counters["drop_block_overrun"] += 1
                return
            new = seq >= self.expected
            if new and at < size and (seq == 1 or self.mark_seq is not None):
                self._tell_mark(seq, port, out)
            if at + length > size:
                return
            if new:
                counters["messages"] += 1
                record = _record((0, 0, seq, _MESSAGE, _NONE, length, port, 0, 0))
                out.append(FeedDelivery(record, data[at : at + length]))
                self.expected = seq + 1 & _SEQ_MASK
            else:
                counters["drop_duplicate"] += 1
            at += length
            seq = seq + 1 & _SEQ_MASK

    def _tell_mark(self, seq: int, port: int, out: list[FeedDelivery]) -> None:
        """MARK or SYNC in front of message `seq`; MARK alone where both are due, as it clears more."""
        if self.mark_seq is not None and seq >= self.mark_seq:
            reached = seq == self.mark_seq
            self.mark_seq = None
            if reached:
                out.append(_notice(Notice.MARK, seq, port))
                return
            self.counters["marks_missed"] += 1
        if seq == 1:
            out.append(_notice(Notice.SYNC, seq, port))


def _notice(notice: Notice, seq: int = 0, port: int = 0, count: int = 0) -> FeedDelivery:
    return FeedDelivery(_record((0, 0, seq, _NOTICE, notice, 0, port, 0, count)), b"")
