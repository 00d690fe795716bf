"""An order session behind its hand-over: what was sent and not acknowledged, what arrives, and who says so.

The device numbers and sends; every segment that it sends is copied to the host, which alone retransmits. The receive
path is software: acknowledgements and windows go back to the device as peer rows, the venue's bytes to the caller, and
whatever breaks the session closes it in the device, whose orders then reject with `session`.

References: RFC 9293 (TCP), RFC 6298 (retransmission timer), RFC 5681 (fast retransmit), RFC 826 (ARP), SoupBinTCP 3.00.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tickgate.sw.host.device import Device, RowAt
from tickgate.sw.host.handover import TcpNumbers
from tickgate.sw.spec import net, rows, soup

_MODULUS = 1 << 32
#: Bounds of the retransmission timeout; RFC 6298 asks for 1 s at first, a local venue answers far sooner.
RTO_FIRST_S, RTO_MIN_S, RTO_MAX_S = 0.2, 0.02, 4.0
#: Acknowledgements of the same byte after which the segment behind it counts as lost (RFC 5681 section 3.2).
DUPLICATES = 3
_ARP_REQUEST = bytes.fromhex("0001 0800 06 04 0001")
_ARP_REPLY = bytes.fromhex("0001 0800 06 04 0002")


class OrderEngine(Protocol):
    """The device's side of a session."""

    def commit_session(self, row: dict[str, int]) -> None:
        """Take a session row over."""

    def commit_peer(self, row: dict[str, int]) -> None:
        """Take over what the venue last said."""


class DeviceEngine:
    """A device over its control role as the engine of a session; its orders are copied to the host by other ways."""

    def __init__(self, device: Device):
        self._device = device

    def commit_session(self, row: dict[str, int]) -> None:
        """Into the device."""
        self._device.commit(RowAt(rows.SESSION_ROW), row)

    def commit_peer(self, row: dict[str, int]) -> None:
        """Into the device."""
        self._device.commit(RowAt(rows.PEER_ROW), row)


@dataclass
class _Segment:
    sequence: int
    payload: bytes
    sent_s: float
    resent: bool = False

    @property
    def end(self) -> int:
        return (self.sequence + len(self.payload)) % _MODULUS


@dataclass
class SessionStatistics:
    """What happened on a session.

    Members
    -------
    segments, bytes: sent by the device, each counted once.
    retransmits: segments sent again; fast_retransmits: those of them for which no timer ran out.
    duplicates, out_of_order, foreign, malformed: frames from the wire that brought nothing.
    acks: acknowledgements sent without data.
    """

    segments: int = 0
    bytes: int = 0
    retransmits: int = 0
    fast_retransmits: int = 0
    duplicates: int = 0
    out_of_order: int = 0
    foreign: int = 0
    malformed: int = 0
    acks: int = 0


def before(a: int, b: int) -> bool:
    """Whether sequence number `a` is before `b`, modulo 2^32."""
    return 0 < (b - a) % _MODULUS < _MODULUS // 2


class OrderSession:
    """The host's half of a session that a device owns.

    Parameters
    ----------
    numbers: as they were taken over.
    engine: told of acknowledgements, and of the end.
    send: puts a frame on the wire of the session; it may get lost.
    user_ref, cl_ord_id, firm: of the session row.
    begun: bytes of the venue that were read before the hand-over and belong to no whole packet, or to unread ones.
    inject: hands SoupBinTCP bytes to the device; with it the session sends a heartbeat when nothing else was sent for
        `soup.HEARTBEAT_INTERVAL_S`, as the venue expects.
    clock: seconds, monotonic.

    Members
    -------
    closed: why the session is over, "" while it is not.
    statistics: what happened so far.
    """

    def __init__(
        self, numbers: TcpNumbers, engine: OrderEngine, send: Callable[[bytes], object], *, user_ref: int = 1,
        cl_ord_id: int = 0, firm: int = 0, begun: bytes = b"", inject: Callable[[bytes], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        self.closed = ""
        self.statistics = SessionStatistics()
        self._numbers, self._engine, self._send, self._clock = numbers, engine, send, clock
        self._row = numbers.session_row(user_ref, cl_ord_id, firm)
        self._peer = numbers.peer_row()
        self._unacked: deque[_Segment] = deque()
        self._next = numbers.next_seq  # highest that a copy told of
        self._same = 0
        self._rto_s, self._srtt_s, self._deviation_s = RTO_FIRST_S, 0.0, 0.0
        self._timer_s: float | None = None
        self._recovered = numbers.next_seq
        self._heard_s = self._sent_s = clock()
        self._stream = begun + numbers.received
        self._inject = inject
        engine.commit_peer(dict(self._peer))
        engine.commit_session(dict(self._row))

    @property
    def unacknowledged_bytes(self) -> int:
        """Sent and not acknowledged."""
        return sum(len(segment.payload) for segment in self._unacked)

    def packets(self) -> list[bytes]:
        """Whole SoupBinTCP packets of the venue since the last call."""
        found, self._stream = soup.split(self._stream)
        return found

    def sent(self, frame: bytes) -> None:
        """A copy of a segment that the device sent.

        Raises
        ------
        ValueError: no segment of this session, or not the next one.
        """
        found = parse(frame)
        if found is None:
            raise ValueError("the copy is no TCP segment")
        header, payload = found
        if header["sequence"] != self._next:
            raise ValueError(f"the copy begins at {header['sequence']}, due is {self._next}")
        now = self._clock()
        self._unacked.append(_Segment(self._next, payload, now))
        self._sent_s = now
        self._next = (self._next + len(payload)) % _MODULUS
        self.statistics.segments += 1
        self.statistics.bytes += len(payload)
        if self._timer_s is None:
            self._timer_s = now + self._rto_s

    def received(self, frame: bytes) -> None:
        """A frame from the wire; what is not of this session is counted and left alone."""
        if self._arp(frame):
            return
        n = self._numbers
        try:
            found = parse(frame)
        except ValueError:
            self.statistics.malformed += 1
            return
        if found is None:
            self.statistics.foreign += 1
            return
        header, payload = found
        where = (header["source_ip"], header["destination_ip"], header["source_port"], header["destination_port"])
        if where != (n.dst_ip, n.src_ip, n.dst_port, n.src_port):
            self.statistics.foreign += 1
            return
        if self.closed:
            return
        self._heard_s = self._clock()
        if header["flags"] & net.TCP_RST:
            if header["sequence"] == self._peer["ack_out"]:
                self.close("the venue reset the connection")
            return
        if header["flags"] & net.TCP_ACK:
            self._acknowledged(header["acknowledgment"], header["window"], len(payload))
        self._data(header["sequence"], payload, bool(header["flags"] & net.TCP_FIN))

    def poll(self) -> None:
        """What time brings: retransmissions, heartbeats, and the end where the venue is silent."""
        now = self._clock()
        if self.closed:
            return
        if now - self._heard_s > soup.TIMEOUT_S:
            self.close(f"nothing came from the venue for {soup.TIMEOUT_S} s")
            return
        if self._timer_s is not None and now >= self._timer_s and self._unacked:
            self._rto_s = min(2 * self._rto_s, RTO_MAX_S)
            self._timer_s = now + self._rto_s
            self._recovered = self._next
            self._resend(self._unacked[0])
        if self._inject is not None and now - self._sent_s >= soup.HEARTBEAT_INTERVAL_S:
            self._sent_s = now  # its copy comes later
            self._inject(soup.build(soup.CLIENT_HEARTBEAT))

    def close(self, why: str) -> None:
        """End the session in the device: its orders reject from now on."""
        if not self.closed:
            self.closed = why
            self._engine.commit_session({**self._row, "open": 0, "next_seq": self._next})

    def _acknowledged(self, ack: int, window: int, length: int) -> None:
        base = self._peer["ack_in"]
        if before(self._next, ack) or before(ack, base):
            return  # of what was not sent, or old
        scaled = min(window << self._numbers.window_shift_in, _MODULUS - 1)
        moved = ack != base
        now = self._clock()
        if moved:
            self._same = 0
            while self._unacked and not before(ack, self._unacked[0].end):
                segment = self._unacked.popleft()
                if not segment.resent:
                    self._measure(now - segment.sent_s)
            self._timer_s = now + self._rto_s if self._unacked else None
            if self._unacked and before(ack, self._recovered):
                self._resend(self._unacked[0])  # the next hole of the same loss
        elif self._unacked and not length and scaled == self._peer["window_in"]:
            self._same += 1
            if self._same == DUPLICATES and not before(ack, self._recovered):
                self._recovered = self._next
                self.statistics.fast_retransmits += 1
                self._resend(self._unacked[0])
        if moved or scaled != self._peer["window_in"]:
            self._peer |= {"ack_in": ack, "window_in": scaled}
            self._engine.commit_peer(dict(self._peer))

    def _measure(self, seconds: float) -> None:
        """RFC 6298 section 2."""
        if not self._srtt_s:
            self._srtt_s, self._deviation_s = seconds, seconds / 2
        else:
            self._deviation_s += (abs(self._srtt_s - seconds) - self._deviation_s) / 4
            self._srtt_s += (seconds - self._srtt_s) / 8
        self._rto_s = min(max(self._srtt_s + 4 * self._deviation_s, RTO_MIN_S), RTO_MAX_S)

    def _resend(self, segment: _Segment) -> None:
        segment.resent = True
        self.statistics.retransmits += 1
        self._send(self._frame(segment.sequence, segment.payload, net.TCP_ACK | net.TCP_PSH))

    def _data(self, sequence: int, payload: bytes, ends: bool) -> None:
        """The venue's bytes: what is next is taken, everything that brings bytes is acknowledged."""
        due = self._peer["ack_out"]
        known = (due - sequence) % _MODULUS
        if not payload and not ends:
            return
        if known >= _MODULUS // 2:  # bytes before it are missing
            self.statistics.out_of_order += 1
        elif known >= len(payload) and not (ends and known == len(payload)):
            self.statistics.duplicates += 1
        else:
            fresh = payload[known:]
            self._stream += fresh
            self._peer["ack_out"] = (due + len(fresh) + ends) % _MODULUS
            self._engine.commit_peer(dict(self._peer))
        self.statistics.acks += 1
        self._send(self._frame(self._next, b"", net.TCP_ACK))
        if ends and self._peer["ack_out"] != due:
            self.close("the venue closed the connection")

    def _frame(self, sequence: int, payload: bytes, flags: int) -> bytes:
        n = self._numbers
        return net.tcp_frame(
            payload, destination_mac=n.dst_mac, source_mac=n.src_mac, source_ip=n.src_ip, destination_ip=n.dst_ip,
            source_port=n.src_port, destination_port=n.dst_port, sequence=sequence,
            acknowledgment=self._peer["ack_out"], window=self._peer["window_out"], flags=flags,
        ).ljust(net.FRAME_SIZE_MIN, b"\0")  # fmt: skip

    def _arp(self, frame: bytes) -> bool:
        """Answer who asks for the session's address: no kernel does any more."""
        n = self._numbers
        if frame[12:14] != b"\x08\x06":
            return False
        ours = n.src_ip.to_bytes(4, "big")
        if frame[14:22] == _ARP_REQUEST and frame[38:42] == ours:
            asker, mac = frame[22:32], n.src_mac.to_bytes(6, "big")
            reply = asker[:6] + mac + b"\x08\x06" + _ARP_REPLY + mac + ours + asker
            self._send(reply.ljust(net.FRAME_SIZE_MIN, b"\0"))
        return True


def parse(frame: bytes) -> tuple[dict[str, int], bytes] | None:
    """Header fields and payload of a TCP segment over IPv4 without options, TCP options skipped; None of another frame.

    Raises
    ------
    ValueError: a segment that is cut, or one of its checksums is wrong.
    """
    start = net.ETHERNET_SIZE + net.IPV4_SIZE
    if len(frame) < start or frame[12:15] != b"\x08\x00\x45" or frame[23] != net.PROTOCOL_TCP:
        return None
    ip = net.IPV4.unpack(frame[net.ETHERNET_SIZE :])
    segment = frame[start : net.ETHERNET_SIZE + ip["total_length"]]
    if net.internet_checksum(frame[net.ETHERNET_SIZE : start]):
        raise ValueError("the checksum of the IP header is wrong")
    if len(segment) < net.TCP_SIZE or len(segment) != ip["total_length"] - net.IPV4_SIZE:
        raise ValueError("the segment is cut")
    tcp = net.TCP.unpack(segment)
    if tcp["checksum"] != net.tcp_checksum(ip["source_ip"], ip["destination_ip"], segment):
        raise ValueError("the checksum of the segment is wrong")
    data = 4 * (tcp["data_offset"] >> 4)
    if not net.TCP_SIZE <= data <= len(segment):
        raise ValueError("the data offset is none")
    return {**ip, **tcp}, segment[data:]
