"""Packing ITCH messages into MoldUDP64 packets in UDP/IPv4/Ethernet frames.

A packet takes as many messages as fit 1,400 bytes (MoldUDP64 header and blocks) and lie within 10 us of its first
message; with `per_packet=1` each message is a packet. The capture time of a packet is the timestamp of its last
message: it cannot have left earlier. The UDP checksum is 0 (none), as the feed handler does not check it.

A record shorter than 12 bytes cannot travel (such a block ends a MoldUDP64 packet): it is counted and left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tickgate.sw.files.block import LENGTH_SIZE, Block, block_of
from tickgate.sw.spec import defaults, itch, mold, net
from tickgate.sw.spec.errors import UserError

HEADERS_SIZE = net.UDP_PAYLOAD_OFFSET + mold.HEADER_SIZE
"""Bytes of a frame in front of its first block: Ethernet, IPv4, UDP, MoldUDP64."""
ALIGNMENT = 8
"""Frames start at multiples of this in the buffer, so that they can be taken as 64-bit words."""
PACKET_BYTES_LIMIT = net.MTU_BYTES - net.IPV4_SIZE - net.UDP_SIZE


@dataclass(frozen=True, slots=True)
class Addressing:
    """Where the frames of a feed come from and go to; the defaults are those of `sw.spec.defaults`.

    Members
    -------
    destination_mac, source_mac, source_ip, destination_ip, source_port, destination_port : int
        Addresses as integers.
    session : str
        MoldUDP64 session, up to 10 letters.
    vlan : None or int
        TCI of an 802.1Q tag.
    """

    destination_mac: int = defaults.FEED_MAC
    source_mac: int = defaults.FEED_SOURCE_MAC
    source_ip: int = defaults.FEED_SOURCE_IP
    destination_ip: int = defaults.FEED_IP
    source_port: int = defaults.FEED_SOURCE_PORT
    destination_port: int = defaults.FEED_PORT
    session: str = defaults.FEED_SESSION
    vlan: int | None = None

    def frame(self, sequence: int, messages: Iterable[bytes], count: int | None = None) -> bytes:
        """One frame of these messages, built from the tables field by field (the plain way).

        Parameters
        ----------
        sequence : int
            Number of the first message.
        messages : iterable of bytes
            None: a heartbeat.
        count : None or int
            Overrides the count field; 0xFFFF ends the session.
        """
        payload = mold.packet(self.session, sequence, messages)
        if count is not None:
            payload = payload[:18] + count.to_bytes(2, "big") + payload[20:]
        return net.udp_frame(
            payload,
            destination_mac=self.destination_mac,
            source_mac=self.source_mac,
            source_ip=self.source_ip,
            destination_ip=self.destination_ip,
            source_port=self.source_port,
            destination_port=self.destination_port,
            vlan=self.vlan,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Packed frames in one buffer.

    Members
    -------
    data : array of uint8
        The buffer. Frames that were packed start at multiples of 8, with zeros between them; between frames that were
        read anything may stand.
    offsets, lengths : array of int64
        Where each frame lies.
    times_ns : array of uint64
        Nanoseconds since midnight.
    first_sequence : array of uint64
        Sequence number of each frame's first message.
    counts : array of int64
        Messages of each frame.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    times_ns: npt.NDArray[np.uint64]
    first_sequence: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(time_ns, frame) of each."""
        if not len(self):
            return
        first = int(self.offsets.min())
        starts, ends = self.offsets - first, self.offsets - first + self.lengths
        data = self.data[first : first + int(ends.max())].tobytes()
        for time_ns, start, end in zip(self.times_ns.tolist(), starts.tolist(), ends.tolist(), strict=True):
            yield time_ns, data[start:end]

    def select(self, start: int, stop: int) -> "Frames":
        """Frames start..stop-1, sharing the buffer."""
        if start == 0 and stop == len(self):
            return self
        part = slice(start, stop)
        return Frames(
            self.data,
            self.offsets[part],
            self.lengths[part],
            self.times_ns[part],
            self.first_sequence[part],
            self.counts[part],
        )


class Packer:
    """Packs blocks of messages into frames; the result does not depend on how the messages are cut into blocks.

    Parameters
    ----------
    addressing : Addressing
        Where the frames go.
    per_packet : None or int
        At most this many messages a packet; 1 is the fast way.
    first_sequence : int
        Number of the first message.
    packet_bytes : int
        Longest MoldUDP64 packet, 20 + 2 + 12 to 1,472 bytes; a single longer message still travels alone.
    window_ns : int
        How far a packet's messages lie behind its first, at most.

    Members
    -------
    sequence : int
        Number of the next message.
    left_out : int
        Records shorter than 12 bytes so far.

    Raises
    ------
    UserError
        An option out of range; while packing: a message that does not fit a frame.
    """

    def __init__(
        self,
        addressing: Addressing | None = None,
        *,
        per_packet: int | None = None,
        first_sequence: int = defaults.FEED_FIRST_SEQUENCE,
        packet_bytes: int = defaults.PACK_BYTES_MAX,
        window_ns: int = defaults.PACK_WINDOW_NS,
    ):
        if per_packet is not None and per_packet < 1:
            raise UserError(f"a packet takes at least 1 message, not {per_packet}")
        least = mold.HEADER_SIZE + LENGTH_SIZE + itch.MESSAGE_SIZE_MIN
        if not least <= packet_bytes <= PACKET_BYTES_LIMIT:
            raise UserError(f"a packet has {least} to {PACKET_BYTES_LIMIT} bytes, not {packet_bytes}")
        self.addressing = addressing or Addressing()
        self.sequence = first_sequence
        self.left_out = 0
        self._per_packet = per_packet if per_packet is not None else mold.COUNT_MAX
        self._packet_bytes = packet_bytes
        self._window_ns = window_ns
        self._waiting = b""
        template = self.addressing.frame(0, [])
        self._template = np.frombuffer(template, dtype=np.uint8)
        self._ip = len(template) - mold.HEADER_SIZE - net.UDP_SIZE - net.IPV4_SIZE
        bare = bytearray(template[self._ip : self._ip + net.IPV4_SIZE])
        bare[2:4] = bare[10:12] = b"\0\0"
        self._ip_sum = net.ones_complement_sum(bytes(bare))

    def pack(self, block: Block) -> Frames:
        """Frames of the messages so far that no later message can join (with `per_packet` 1: of all)."""
        return self._pack(self._joined(block), final=False)

    def flush(self) -> Frames:
        """The frame of what still waits; afterwards nothing does."""
        return self._pack(self._joined(block_of(())), final=True)

    def pack_all(self, blocks: Iterable[Block]) -> Iterator[Frames]:
        """Frames of all blocks, the last one flushed; empty batches are left out."""
        for block in blocks:
            frames = self.pack(block)
            if len(frames):
                yield frames
        frames = self.flush()
        if len(frames):
            yield frames

    def _joined(self, block: Block) -> Block:
        short = block.lengths < itch.MESSAGE_SIZE_MIN
        if short.any():
            self.left_out += int(short.sum())
            block = block_of(message for message in block if len(message) >= itch.MESSAGE_SIZE_MIN)
        if not self._waiting:
            return block
        start = int(block.offsets[0]) - LENGTH_SIZE if len(block) else 0
        end = int(block.offsets[-1] + block.lengths[-1]) if len(block) else 0
        waiting = self._waiting
        self._waiting = b""
        old = _block_of_records(waiting)
        return Block(
            waiting + block.data[start:end],
            np.concatenate((old.offsets, block.offsets - start + len(waiting))),
            np.concatenate((old.lengths, block.lengths)),
        )

    def _pack(self, block: Block, final: bool) -> Frames:
        if not len(block):
            return self._frames(block, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        longest = int(block.lengths.max())
        if mold.HEADER_SIZE + LENGTH_SIZE + longest > PACKET_BYTES_LIMIT:
            raise UserError(f"a message of {longest} bytes does not fit a frame of {net.FRAME_SIZE_MAX} bytes")
        if self._per_packet == 1:
            firsts = np.arange(len(block), dtype=np.int64)
            return self._frames(block, firsts, np.ones(len(block), dtype=np.int64))
        firsts_list = self._group(block)
        if not final:
            waits_from = firsts_list.pop()
            start = int(block.offsets[waits_from]) - LENGTH_SIZE
            self._waiting = block.data[start : int(block.offsets[-1] + block.lengths[-1])]
            block = block.select(0, waits_from)
        firsts = np.array(firsts_list, dtype=np.int64)
        counts = np.diff(np.append(firsts, len(block)))
        return self._frames(block, firsts, counts)

    def _group(self, block: Block) -> list[int]:
        """Numbers of the messages that start a packet."""
        firsts: list[int] = []
        room, latest, count = -1, -1, 0
        earliest = 0
        capacity, window, most = self._packet_bytes - mold.HEADER_SIZE, self._window_ns, self._per_packet
        times = block.timestamps_ns.tolist()
        for number, (size, time_ns) in enumerate(zip((block.lengths + LENGTH_SIZE).tolist(), times, strict=True)):
            if size > room or not earliest <= time_ns <= latest or count == most:
                firsts.append(number)
                room, count = capacity, 0
                earliest, latest = time_ns, time_ns + window
            room -= size
            count += 1
        return firsts

    def _frames(self, block: Block, firsts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Frames:
        number = len(firsts)
        if not number:
            none = np.zeros(0, dtype=np.int64)
            return Frames(np.zeros(0, dtype=np.uint8), none, none, none.astype(np.uint64), none.astype(np.uint64), none)
        lasts = firsts + counts - 1
        body_start = block.offsets[firsts] - LENGTH_SIZE
        body_size = block.offsets[lasts] + block.lengths[lasts] - body_start
        head = len(self._template)
        sizes = body_size + head
        stride = -(-int(sizes.max()) // ALIGNMENT) * ALIGNMENT
        sequences = np.uint64(self.sequence) + firsts.astype(np.uint64)
        self.sequence += int(counts.sum())
        # Rows of one width, so that headers and bodies of one size are copied row by row at the speed of memcpy.
        rows = np.zeros((number, stride), dtype=np.uint8)
        rows[:, :head] = self._template
        self._fill_headers(rows, sizes, sequences, counts)
        source = block.octets
        for size in np.unique(body_size).tolist():
            which = np.flatnonzero(body_size == size)
            windows = np.lib.stride_tricks.sliding_window_view(source, size)
            rows[which, head : head + size] = windows[body_start[which]]
        offsets = np.arange(number, dtype=np.int64) * stride
        return Frames(rows.reshape(-1), offsets, sizes, block.timestamps_ns[lasts], sequences, counts)

    def _fill_headers(
        self,
        rows: npt.NDArray[np.uint8],
        sizes: npt.NDArray[np.int64],
        sequences: npt.NDArray[np.uint64],
        counts: npt.NDArray[np.int64],
    ) -> None:
        ip = self._ip
        udp = ip + net.IPV4_SIZE
        header = udp + net.UDP_SIZE
        total = sizes - ip
        checksum = self._ip_sum + total
        checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF
        for table, name, base, values in (
            (net.IPV4, "total_length", ip, total),
            (net.IPV4, "checksum", ip, checksum),
            (net.UDP, "length", udp, total - net.IPV4_SIZE),
            (mold.HEADER, "sequence", header, sequences),
            (mold.HEADER, "count", header, counts),
        ):
            field = table.field(name)
            octets = values.astype(">u8").view(np.uint8).reshape(-1, 8)
            rows[:, base + field.offset : base + field.end] = octets[:, 8 - field.size :]


def _block_of_records(data: bytes) -> Block:
    offsets: list[int] = []
    position = 0
    while position < len(data):
        offsets.append(position + LENGTH_SIZE)
        position += LENGTH_SIZE + int.from_bytes(data[position : position + LENGTH_SIZE], "big")
    starts = np.array(offsets, dtype=np.int64)
    lengths = np.diff(np.append(starts, len(data) + LENGTH_SIZE)) - LENGTH_SIZE
    return Block(data, starts, lengths)
