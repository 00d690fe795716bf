"""Packet captures: pcap (micro- and nanoseconds, both byte orders) and pcapng, plain or gzip; a pcap writer.

Sources: draft-ietf-opsawg-pcap (file format), draft-ietf-opsawg-pcapng (section, interface, enhanced, simple and
obsolete packet blocks; if_tsresol and if_tsoffset). Times are nanoseconds since 1970-01-01 00:00 UTC.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, NamedTuple

from tickgate.sw.files import atomic
from tickgate.sw.files.sniff import PCAP_MAGICS, PCAPNG_MAGIC, FileKind
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.spec.errors import UserError

LINKTYPE_ETHERNET = 1
SNAPLEN = 262_144
RECORD_MAX = 16 << 20
"""A record that claims more bytes than this is damage, not a packet."""
NANOSECONDS = 1_000_000_000

_CHUNK_BYTES = 1 << 20
_CHUNK_PACKETS = 10_000
_PCAP_HEADER_SIZE = 24
_RECORD_HEADER_SIZE = 16
_LINKTYPE_MASK = 0x0FFF_FFFF  # the upper bits tell of the FCS

_BLOCK_SECTION = 0x0A0D0D0A
_BLOCK_INTERFACE = 1
_BLOCK_PACKET_OBSOLETE = 2
_BLOCK_SIMPLE = 3
_BLOCK_ENHANCED = 6
_OPTION_END = 0
_OPTION_TSRESOL = 9
_OPTION_TSOFFSET = 14


@dataclass(frozen=True, slots=True)
class _Interface:
    """What a pcapng interface description says of its packets."""

    linktype: int
    snaplen: int
    units_per_second: int
    offset_s: int


class Packets(NamedTuple):
    """Consecutive packets in one buffer.

    Members
    -------
    data : bytes
        The buffer.
    times_ns : list of int
        Nanoseconds since 1970-01-01 00:00 UTC.
    starts, ends : list of int
        Where each packet lies in the buffer.
    """

    data: bytes
    times_ns: list[int]
    starts: list[int]
    ends: list[int]


def _joined(packets: list[tuple[int, bytes]]) -> Packets:
    ends = list(accumulate(len(frame) for _, frame in packets))
    data = b"".join(frame for _, frame in packets)
    return Packets(data, [time_ns for time_ns, _ in packets], [0, *ends[:-1]][: len(ends)], ends)


class PcapReader:
    """The packets of a capture.

    Parameters
    ----------
    path : path or ByteStream
        The file; a stream that has not been read from is taken as it is.

    Members
    -------
    kind : FileKind
        PCAP or PCAPNG.
    packets_read : int
        Packets taken out of the file so far.
    other_links : Counter of int
        Packets skipped because their interface is not Ethernet, by link type (pcapng).

    Raises
    ------
    UserError
        Not a capture, not Ethernet; while reading: a record that is cut or damaged, with its offset.
    """

    def __init__(self, path: str | os.PathLike[str] | ByteStream):
        self._stream = path if isinstance(path, ByteStream) else ByteStream(path)
        self.path = self._stream.path
        self.packets_read = 0
        self.other_links: Counter[int] = Counter()
        magic = self._stream.head[:4]
        if magic in PCAP_MAGICS:
            self.kind = FileKind.PCAP
        elif magic == PCAPNG_MAGIC:
            self.kind = FileKind.PCAPNG
        else:
            self._stream.close()
            what = "the file is empty" if not magic else "is not a packet capture (pcap or pcapng)"
            raise UserError(f"{self.path}: {what}")

    @property
    def progress(self) -> float:
        """Share of the file that was read, 0 to 1."""
        return self._stream.progress

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> "PcapReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def packets(self) -> Iterator[tuple[int, bytes]]:
        """(time_ns, frame) of each packet, in the order of the file. Closes the file at the end."""
        for data, times_ns, starts, ends in self.chunks():
            for time_ns, start, end in zip(times_ns, starts, ends, strict=True):
                yield time_ns, data[start:end]

    def chunks(self) -> Iterator[Packets]:
        """All packets, many at a time; those in front of a damage come before its error. Closes the file at the end."""
        with self._stream:
            for chunk in self._chunks_pcap() if self.kind is FileKind.PCAP else self._chunks_pcapng():
                self.packets_read += len(chunk.starts)
                yield chunk

    def _exactly(self, count: int, what: str, offset: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise UserError(f"{self.path}: the {what} at byte {offset} is cut: {len(data)} of {count} bytes are there")
        return data

    def _chunks_pcap(self) -> Iterator[Packets]:
        header = self._exactly(_PCAP_HEADER_SIZE, "file header", 0)
        order, unit_ns = PCAP_MAGICS[header[:4]]
        linktype = struct.unpack_from(order + "I", header, 20)[0] & _LINKTYPE_MASK
        if linktype != LINKTYPE_ETHERNET:
            raise UserError(f"{self.path}: the packets are of link type {linktype}, not Ethernet ({LINKTYPE_ETHERNET})")
        unpack = struct.Struct(order + "IIII").unpack_from
        # Records are found in a large buffer: two reads a packet would cost more than the rest.
        data = b""
        while True:
            base = self._stream.position - len(data)
            size = 0
            if len(data) >= _RECORD_HEADER_SIZE:
                size = unpack(data)[2]
                if size > RECORD_MAX:
                    raise UserError(
                        f"{self.path}: the packet at byte {base} claims {size:,} bytes: the file is damaged"
                    )
            more = self._stream.read(size + _CHUNK_BYTES)
            if not more:
                if not data:
                    return
                if len(data) < _RECORD_HEADER_SIZE:
                    raise UserError(f"{self.path}: the packet at byte {base} is cut in its header")
                there = f"{len(data) - _RECORD_HEADER_SIZE} of {size} bytes are there"
                raise UserError(f"{self.path}: the packet at byte {base} is cut: {there}")
            data += more
            found = Packets(data, [], [], [])
            position, last = 0, len(data)
            while (start := position + _RECORD_HEADER_SIZE) <= last:
                seconds, fraction, size, _original = unpack(data, position)
                end = start + size
                if end > last:
                    break
                found.times_ns.append(seconds * NANOSECONDS + fraction * unit_ns)
                found.starts.append(start)
                found.ends.append(end)
                position = end
            if found.starts:
                yield found
            data = data[position:]

    def _chunks_pcapng(self) -> Iterator[Packets]:
        gathered: list[tuple[int, bytes]] = []
        try:
            for packet in self._packets_pcapng():
                gathered.append(packet)
                if len(gathered) >= _CHUNK_PACKETS:
                    yield _joined(gathered)
                    gathered = []
        except UserError:
            yield _joined(gathered)
            raise
        yield _joined(gathered)

    def _packets_pcapng(self) -> Iterator[tuple[int, bytes]]:
        order = "<"
        interfaces: list[_Interface] = []
        while True:
            offset = self._stream.position
            head = self._stream.read(8)
            if not head:
                return
            if len(head) < 8:
                raise UserError(f"{self.path}: the block at byte {offset} is cut in its header")
            if head[:4] == PCAPNG_MAGIC:
                order = self._section_order(offset)
                interfaces = []
                consumed = 12
            else:
                consumed = 8
            kind, size = struct.unpack(order + "II", head)
            if size < consumed + 4 or size % 4 or size > RECORD_MAX:
                raise UserError(f"{self.path}: the block at byte {offset} claims {size:,} bytes: the file is damaged")
            body = self._exactly(size - consumed, "block", offset)[:-4]
            if kind == _BLOCK_INTERFACE:
                interfaces.append(self._interface(body, order, offset))
            elif kind in (_BLOCK_ENHANCED, _BLOCK_SIMPLE, _BLOCK_PACKET_OBSOLETE):
                packet = self._packet(kind, body, order, interfaces, offset)
                if packet is not None:
                    yield packet

    def _section_order(self, offset: int) -> str:
        magic = self._exactly(4, "section header", offset)
        if magic == b"\x4d\x3c\x2b\x1a":
            return "<"
        if magic == b"\x1a\x2b\x3c\x4d":
            return ">"
        raise UserError(f"{self.path}: the section at byte {offset} has no byte order mark: the file is damaged")

    def _interface(self, body: bytes, order: str, offset: int) -> _Interface:
        if len(body) < 8:
            raise UserError(f"{self.path}: the interface block at byte {offset} is too short: the file is damaged")
        linktype, _reserved, snaplen = struct.unpack_from(order + "HHI", body)
        units_per_second, offset_s = 1_000_000, 0
        position = 8
        while position + 4 <= len(body):
            code, length = struct.unpack_from(order + "HH", body, position)
            value = body[position + 4 : position + 4 + length]
            if code == _OPTION_END:
                break
            if code == _OPTION_TSRESOL and value:
                units_per_second = 1 << (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == _OPTION_TSOFFSET and len(value) == 8:
                offset_s = struct.unpack(order + "q", value)[0]
            position += 4 + (length + 3 & ~3)
        return _Interface(linktype, snaplen, units_per_second, offset_s)

    def _packet(
        self, kind: int, body: bytes, order: str, interfaces: list[_Interface], offset: int
    ) -> tuple[int, bytes] | None:
        fixed = 4 if kind == _BLOCK_SIMPLE else 20
        if len(body) < fixed:
            raise UserError(f"{self.path}: the packet block at byte {offset} is too short: the file is damaged")
        number, high, low = 0, 0, 0
        if kind == _BLOCK_SIMPLE:
            (size,) = struct.unpack_from(order + "I", body)
        elif kind == _BLOCK_ENHANCED:
            number, high, low, size, _original = struct.unpack_from(order + "IIIII", body)
        else:
            number, _drops, high, low, size, _original = struct.unpack_from(order + "HHIIII", body)
        if number >= len(interfaces):
            raise UserError(f"{self.path}: the packet at byte {offset} names interface {number}, which is not declared")
        interface = interfaces[number]
        if kind == _BLOCK_SIMPLE and interface.snaplen:
            size = min(size, interface.snaplen)
        if fixed + size > len(body):
            raise UserError(f"{self.path}: the packet at byte {offset} is longer than its block: the file is damaged")
        if interface.linktype != LINKTYPE_ETHERNET:
            self.other_links[interface.linktype] += 1
            return None
        units = high << 32 | low
        time_ns = interface.offset_s * NANOSECONDS + units * NANOSECONDS // interface.units_per_second
        return time_ns, body[fixed : fixed + size]


class PcapWriter:
    """Writes a pcap with nanosecond times to an open stream; see `open_writer` for a whole file.

    Members
    -------
    packets : int
        Packets written.
    """

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.packets = 0
        stream.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, SNAPLEN, LINKTYPE_ETHERNET))

    def write(self, time_ns: int, frame: bytes) -> None:
        """Write one packet; `time_ns` counts from 1970-01-01 00:00 UTC."""
        size = len(frame)
        self._stream.write(struct.pack("<IIII", time_ns // NANOSECONDS, time_ns % NANOSECONDS, size, size) + frame)
        self.packets += 1


@contextmanager
def open_writer(path: str | os.PathLike[str]) -> Iterator[PcapWriter]:
    """A writer of a capture that appears whole at the end of the block, compressed if its name ends in `.gz`.

    Raises
    ------
    UserError
        As `atomic.open_output`.
    """
    with atomic.open_output(path) as stream:
        yield PcapWriter(stream)
