"""The messages that a MoldUDP64 feed delivers, out of a packet capture: each exactly once and in order.

Rules as the feed handler's: lower sequence numbers than expected are dropped and counted, an overlapping packet yields
its new messages only, a higher one (also a heartbeat's) is a gap, and another session is counted and dropped. Session
and first sequence number are those of the first MoldUDP64 packet in the capture; line A and line B merge.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tickgate.sw.files.block import LENGTH_SIZE, Block, sliced
from tickgate.sw.files.frames import locate_tcp, locate_udp
from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.files.sniff import SAMPLE_RECORDS, judge_itch, records
from tickgate.sw.files.source import MessageSource
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.spec import itch, mold, soup
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import Notice
from tickgate.sw.spec.state import Drop

BLOCK_BYTES = 1 << 20
_unpack_header = mold.HEADER.unpack_tuple


@dataclass(frozen=True, slots=True)
class Gap:
    """Missing sequence numbers.

    Members
    -------
    index : int
        Number (from 0) of the message delivered next.
    first, count : int
        First missing sequence number, and how many are missing.
    """

    index: int
    first: int
    count: int


def is_mold(payload: bytes) -> bool:
    """Whether a UDP payload is a well-formed MoldUDP64 packet: printable session, blocks that fill it exactly."""
    if len(payload) < mold.HEADER_SIZE or not all(0x20 <= byte < 0x7F for byte in payload[: mold.SESSION_SIZE]):
        return False
    _session, _sequence, count = _unpack_header(payload)
    position = mold.HEADER_SIZE
    if count != mold.END_OF_SESSION:
        for _ in range(count):
            if position + LENGTH_SIZE > len(payload):
                return False
            position += LENGTH_SIZE + int.from_bytes(payload[position : position + LENGTH_SIZE], "big")
    return position == len(payload)


def is_soup(payload: bytes) -> bool:
    """Whether a TCP payload is whole SoupBinTCP packets of known types."""
    packets, rest = soup.split(payload)
    known = soup.SERVER.keys() | soup.CLIENT.keys()
    return bool(packets) and not rest and all(len(packet) >= 3 and packet[2] in known for packet in packets)


class MoldSource(MessageSource):
    """The messages of a capture's MoldUDP64 packets.

    Parameters
    ----------
    path : path or ByteStream
        A pcap or pcapng.
    check : bool
        Look at the first 64 messages, and refuse a feed that is not ITCH 5.0.

    Members
    -------
    session : None or bytes
        Session of the feed, once its first packet was met.
    expected : None or int
        Next sequence number.
    gaps : list of Gap
        Missing numbers so far.
    drops : Counter of Drop
        Frames and messages that were not used, by cause.
    packets : int
        MoldUDP64 packets of the session so far.
    first_time_ns, last_time_ns : None or int
        Capture times of the first and last packet, since 1970-01-01 00:00 UTC.
    ended : bool
        Whether an end of session was met.

    Raises
    ------
    UserError
        As `PcapReader`; at the end: no MoldUDP64 (an OUCH capture is named); messages that are not ITCH 5.0.
    """

    def __init__(
        self, path: str | os.PathLike[str] | ByteStream, *, check: bool = True, block_bytes: int = BLOCK_BYTES
    ):
        self._reader = PcapReader(path)
        self.kind = self._reader.kind
        self.path = self._reader.path
        self.messages = 0
        self.unknown: Counter[int] = Counter()
        self.session: bytes | None = None
        self.expected: int | None = None
        self.gaps: list[Gap] = []
        self.drops: Counter[Drop] = Counter()
        self.packets = 0
        self.first_time_ns: int | None = None
        self.last_time_ns: int | None = None
        self.ended = False
        self._sample: list[tuple[int, int]] | None = [] if check else None
        self._block_bytes = block_bytes
        self._soup_packets = 0
        self._parts: list[bytes] = []
        self._starts: list[int] = []
        self._size = 0

    @property
    def progress(self) -> float:
        """Share of the file that was read, 0 to 1."""
        return self._reader.progress

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def read_blocks(self) -> Iterator[Block]:
        """The messages in blocks of about a megabyte; a message with a wrong length is delivered as it came."""
        for time_ns, frame in self._reader.packets():
            if self.first_time_ns is None:
                self.first_time_ns = time_ns
            self.last_time_ns = time_ns
            self._frame(frame)
            # The first block waits until there is enough to judge by.
            if self._size >= self._block_bytes and (self._sample is None or len(self._sample) >= SAMPLE_RECORDS):
                yield self._take()
        block = self._take()
        if self.session is None:
            raise UserError(f"{self.path}: {self._what_it_is()}")
        if len(block):
            yield block

    def items(self, limit: int | None = None) -> Iterator[bytes | Notice]:
        """The first `limit` messages one by one; `Notice.GAP` stands where numbers are missing."""
        told = 0
        for block in sliced(self.read_blocks(), 0, limit):
            for index, message in enumerate(block, block.first_index):
                while told < len(self.gaps) and self.gaps[told].index <= index:
                    told += 1
                    yield Notice.GAP
                yield message

    def _frame(self, frame: bytes) -> None:
        found = locate_udp(frame)
        if isinstance(found, Drop):
            self.drops[found] += 1
            if found is Drop.IP_PROTOCOL and self.session is None:
                stream = locate_tcp(frame)
                if not isinstance(stream, Drop) and is_soup(frame[stream.start : stream.end]):
                    self._soup_packets += 1
            return
        if found.end - found.start < mold.HEADER_SIZE:
            self.drops[Drop.LENGTH] += 1
            return
        self._datagram(frame[found.start : found.end])

    def _datagram(self, payload: bytes) -> None:
        session, sequence, count = _unpack_header(payload)
        if session != self.session:
            if self.session is not None or not is_mold(payload):
                self.drops[Drop.SESSION] += 1
                return
            self.session, self.expected = session, sequence
        self.packets += 1
        self.ended |= count == mold.END_OF_SESSION
        if count == mold.END_OF_SESSION:
            count = 0
        assert self.expected is not None  # set together with the session
        if sequence > self.expected:
            index = self.messages + len(self._starts)
            self.gaps.append(Gap(index, self.expected, sequence - self.expected))
            self.expected = sequence
        old = self.expected - sequence
        if count:
            if self._sample is not None and len(self._sample) < SAMPLE_RECORDS:
                # Short blocks too, which are never delivered: they tell a dialect.
                self._sample += records(payload[mold.HEADER_SIZE :], min(count, SAMPLE_RECORDS - len(self._sample)))
            self._blocks(payload, count, old)

    def _blocks(self, payload: bytes, count: int, old: int) -> None:
        """Deliver the blocks of a packet from number `old` on."""
        assert self.expected is not None
        size = len(payload)
        position = fresh = mold.HEADER_SIZE
        base = self._size
        starts: list[int] = []
        for number in range(count):
            following = position + LENGTH_SIZE
            # A packet that ends before its count says: the next block lies past its end.
            length = (payload[position] << 8 | payload[position + 1]) if following <= size else size
            if length < itch.MIN_BLOCK:
                self.drops[Drop.BLOCK_SHORT] += 1
                break
            following += length
            if following > size:
                self.drops[Drop.BLOCK_OVERRUN] += 1
                break
            if number < old:
                self.drops[Drop.DUPLICATE] += 1
                fresh = following
            else:
                starts.append(base + position + LENGTH_SIZE - fresh)
            position = following
        if starts:
            self._parts.append(payload[fresh:position])
            self._size += position - fresh
            self._starts += starts
            self.expected += len(starts)

    def _take(self) -> Block:
        if self._sample:
            judge_itch(self._sample, self.path, "the MoldUDP64 packets carry messages of another protocol")
            self._sample = None
        data = b"".join(self._parts)
        offsets = np.array(self._starts, dtype=np.int64)
        lengths = np.diff(np.append(offsets, len(data) + LENGTH_SIZE)) - LENGTH_SIZE
        block = Block(data, offsets, lengths, self.messages)
        self.messages += len(block)
        self._parts, self._starts, self._size = [], [], 0
        codes = block.types
        wrong = ~block.known
        for code, number in zip(*np.unique(codes[wrong], return_counts=True), strict=True):
            if int(code) in itch.LENGTHS:
                self.drops[Drop.WRONG_LENGTH] += int(number)
            else:
                self.drops[Drop.UNKNOWN_TYPE] += int(number)
                self.unknown[int(code)] += int(number)
        return block

    def _what_it_is(self) -> str:
        if not self._reader.packets_read:
            return "the capture holds no Ethernet packets"
        if self._soup_packets:
            return (
                "no MoldUDP64 in this capture: it is an OUCH capture (SoupBinTCP over TCP)\n"
                "`tickgate decode` prints its messages; a feed is needed here"
            )
        many = f"{self._reader.packets_read:,} packets"
        return f"no MoldUDP64 in this capture ({many}, {sum(self.drops.values()):,} of them not used)"
