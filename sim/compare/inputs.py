"""The frames that a comparison feeds: packed from a file of messages, or as they stand in a capture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tickgate.sw.files.block import Block, block_of
from tickgate.sw.files.frames import locate_udp
from tickgate.sw.files.mold_source import MoldSource, is_mold
from tickgate.sw.files.opening import open_source
from tickgate.sw.files.packer import ALIGNMENT, HEADERS_SIZE, Addressing, Frames, Packer
from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.files.sniff import FileKind
from tickgate.sw.spec import defaults, mold, net
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.state import Drop

_PADDING = tuple(bytes(-size % ALIGNMENT) for size in range(ALIGNMENT))

#: Messages (or frames of a capture) that a batch brings at most.
BATCH = 10_000


@dataclass(frozen=True)
class FeedIdentity:
    """What a feed row needs to know of the frames: where they go, which session, and the first sequence number.

    By default those of a `Packer`.
    """

    dst_ip: int = defaults.FEED_IP
    dst_port: int = defaults.FEED_PORT
    session: str = defaults.FEED_SESSION
    first_seq: int = defaults.FEED_FIRST_SEQUENCE

    def row(self) -> dict[str, int]:
        """The values of `rows.FEED_ROW`."""
        session = int.from_bytes(self.session.encode("latin-1").ljust(mold.SESSION_SIZE), "big")
        return {"dst_ip": self.dst_ip, "dst_port": self.dst_port, "session": session, "first_seq": self.first_seq}


def frames_of(packets: Iterable[tuple[int, bytes]]) -> Frames:
    """Frames given one by one, in one buffer."""
    times: list[int] = []
    frames: list[bytes] = []
    for time_ns, frame in packets:
        times.append(time_ns)
        frames.append(frame)
    lengths = np.fromiter(map(len, frames), dtype=np.int64, count=len(frames))
    ends = np.cumsum(-(-lengths // ALIGNMENT) * ALIGNMENT)
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))[: len(frames)]
    padded = b"".join([frame + _PADDING[len(frame) % ALIGNMENT] for frame in frames])
    return _located(padded or b"\0" * ALIGNMENT, times, offsets, lengths)


def _located(data: bytes, times: list[int], offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Frames:
    """Frames that lie in a buffer."""
    octets = np.frombuffer(data, dtype=np.uint8)
    firsts, counts, usual = _usual_sequences(octets, offsets, lengths)
    for number in np.flatnonzero(~usual).tolist():
        at = int(offsets[number])
        firsts[number], counts[number] = _sequence(data[at : at + int(lengths[number])])
    return Frames(octets, offsets, lengths, np.array(times, dtype=np.uint64), firsts, counts)


def _usual_sequences(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """First sequence numbers and counts as `_sequence` tells them, and of which frames they are: those of the usual
    form, untagged and right in every header."""
    firsts, counts = np.zeros(len(offsets), dtype=np.uint64), np.zeros(len(offsets), dtype=np.int64)
    usual = lengths >= HEADERS_SIZE
    rows = data[offsets[usual][:, np.newaxis] + np.arange(HEADERS_SIZE)]
    ip, udp, header = net.ETHERNET_SIZE, net.ETHERNET_SIZE + net.IPV4_SIZE, net.UDP_PAYLOAD_OFFSET
    words = rows.view(">u2").astype(np.int64)
    ethertype, total, fragment = words[:, ip // 2 - 1], words[:, ip // 2 + 1], words[:, ip // 2 + 3]
    udp_length = words[:, udp // 2 + 2]
    good = (
        (ethertype == net.ETHERTYPE_IPV4)
        & (rows[:, ip] == net.IPV4_VERSION_IHL)
        & (fragment & (net.IPV4_FLAG_MF | net.IPV4_FRAGMENT_OFFSET_MASK) == 0)
        & (words[:, ip // 2 : udp // 2].sum(axis=1) % 0xFFFF == 0)
        & (rows[:, ip + 9] == net.PROTOCOL_UDP)
        & (udp_length >= net.UDP_SIZE + mold.HEADER_SIZE)
        & (udp_length <= total - net.IPV4_SIZE)
        & (udp_length <= lengths[usual] - udp)
    )
    usual[usual] = good
    at = header + mold.HEADER.field("sequence").offset
    firsts[usual] = np.ascontiguousarray(rows[good, at : at + 8]).view(">u8")[:, 0]
    count = words[good, HEADERS_SIZE // 2 - 1]
    counts[usual] = np.where(count == mold.END_OF_SESSION, 0, count)
    return firsts, counts, usual


def _sequence(frame: bytes) -> tuple[int, int]:
    """First sequence number and count of a MoldUDP64 frame, (0, 0) of any other."""
    found = locate_udp(frame)
    if isinstance(found, Drop) or found.end - found.start < mold.HEADER_SIZE:
        return 0, 0
    _, first, count = mold.HEADER.unpack_tuple(frame[found.start : found.end])
    return first, 0 if count == mold.END_OF_SESSION else count


class Input:
    """A file as frames.

    Parameters
    ----------
    path: BinaryFILE, pcap or pcapng, plain or gzip.
    pack: messages a frame, None as many as fit; a capture's frames are taken as they stand.
    start, limit: messages (of a capture: frames) skipped at the beginning, and taken at most.

    Members
    -------
    is_capture: the file holds frames. progress: share of the file read by the pass under way.

    Raises
    ------
    UserError: as `open_source`; a start behind the end is found while reading.
    """

    def __init__(self, path: Path, *, pack: int | None = None, start: int = 0, limit: int | None = None):
        self.path = path
        self._pack, self._start, self._limit = pack, start, limit
        self.progress = 0.0
        with open_source(path) as source:
            self.is_capture = source.kind is not FileKind.BINARYFILE

    def identity(self) -> FeedIdentity:
        """Where the frames go; of a capture, its first MoldUDP64 packet says.

        Raises
        ------
        UserError: no MoldUDP64 in the capture.
        """
        if not self.is_capture:
            return FeedIdentity()
        reader = PcapReader(self.path)
        with reader:
            for number, (_, frame) in enumerate(reader.packets()):
                if number < self._start:
                    continue
                found = locate_udp(frame)
                if isinstance(found, Drop) or not is_mold(frame[found.start : found.end]):
                    continue
                session, seq, _ = mold.HEADER.unpack_tuple(frame[found.start : found.end])
                return FeedIdentity(
                    found.destination_ip, found.destination_port, session.decode("latin-1"), max(seq, 1)
                )
        with MoldSource(self.path) as source:  # says what the capture is instead
            for _ in source.read_blocks():
                break
        raise UserError(f"{self.path}: no MoldUDP64 packet behind frame {self._start}")

    def messages(self) -> Iterator[bytes]:
        """The messages in order, as a first pass takes them."""
        for block in self._blocks():
            yield from block

    def batches(self) -> Iterator[Frames]:
        """The frames in batches."""
        return self._captured() if self.is_capture else self._packed()

    def _blocks(self) -> Iterator[Block]:
        left = self._limit if not self.is_capture else None
        skip = 0 if self.is_capture else self._start
        with open_source(self.path) as source:
            for whole in source.read_blocks():
                self.progress = source.progress
                block = whole
                if skip:
                    if skip >= len(block):
                        skip -= len(block)
                        continue
                    block = block_of(list(block)[skip:])
                    skip = 0
                if left is not None:
                    if left <= 0:
                        return
                    if len(block) > left:
                        block = block.select(0, left)
                    left -= len(block)
                for first in range(0, len(block), BATCH):
                    yield block.select(first, min(first + BATCH, len(block)))
        if skip:
            raise UserError(f"{self.path}: --start {self._start:,} lies behind its last message")

    def _packed(self) -> Iterator[Frames]:
        yield from Packer(Addressing(), per_packet=self._pack).pack_all(self._blocks())

    def _captured(self) -> Iterator[Frames]:
        seen = 0
        last = None if self._limit is None else self._start + self._limit
        with PcapReader(self.path) as reader:
            for data, times_ns, starts, ends in reader.chunks():
                offsets = np.array(starts, dtype=np.int64)
                frames = _located(data, times_ns, offsets, np.array(ends, dtype=np.int64) - offsets)
                self.progress = reader.progress
                begin = max(0, self._start - seen)
                end = len(frames) if last is None else min(len(frames), last - seen)
                for first in range(begin, end, BATCH):
                    yield frames.select(first, min(first + BATCH, end))
                seen += len(frames)
                if last is not None and seen >= last:
                    return
