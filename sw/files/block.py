"""A block of messages: one buffer and where each message lies in it, for code that works on many at once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tickgate.sw.spec import itch

LENGTH_SIZE = 2
"""Bytes of the length in front of each message."""

EXPECTED_LENGTH: npt.NDArray[np.int64] = np.array([itch.LENGTHS.get(code, 0) for code in range(256)], dtype=np.int64)
"""Length of each type byte's message, 0 for an unknown type."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive messages of a source.

    Each message stands behind its 2-byte length, and the records follow each other without a gap, exactly as in a
    BinaryFILE and as behind a MoldUDP64 header.

    Members
    -------
    data : bytes
        The records.
    offsets, lengths : array of int64
        First byte of each message in `data` (behind its length), and its bytes.
    first_index : int
        Number of the first message in its source, from 0; unknown types count.
    """

    data: bytes
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    first_index: int = 0

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.offsets)

    def __iter__(self) -> Iterator[bytes]:
        """The messages."""
        data = self.data
        for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
            yield data[offset : offset + length]

    @property
    def octets(self) -> npt.NDArray[np.uint8]:
        """The buffer as an array, without a copy."""
        return np.frombuffer(self.data, dtype=np.uint8)

    @property
    def types(self) -> npt.NDArray[np.uint8]:
        """Type byte of each message (0 where a message is empty)."""
        octets = self.octets
        if len(octets) == 0:
            return np.zeros(len(self), dtype=np.uint8)
        # An empty message at the very end has no byte of its own.
        codes = octets[np.minimum(self.offsets, len(octets) - 1)]
        return np.where(self.lengths > 0, codes, 0).astype(np.uint8)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each message has a known type and that type's length."""
        return EXPECTED_LENGTH[self.types] == self.lengths

    def integers(self, offset: int, size: int) -> npt.NDArray[np.uint64]:
        """The big-endian integer at `offset` of each message; 0 where a message is too short for it."""
        octets = self.octets
        long_enough = self.lengths >= offset + size
        start = np.where(long_enough, self.offsets + offset, 0)
        value = np.zeros(len(self), dtype=np.uint64)
        for byte in range(size):
            value = (value << np.uint64(8)) | octets[start + byte].astype(np.uint64) if len(self) else value
        value[~long_enough] = 0
        return value

    @property
    def timestamps_ns(self) -> npt.NDArray[np.uint64]:
        """Nanoseconds since midnight of each message; one without a header has 0."""
        return self.integers(5, 6)

    @property
    def locates(self) -> npt.NDArray[np.uint64]:
        """Stock locate of each message; one without a header has 0."""
        return self.integers(1, 2)

    def select(self, start: int, stop: int) -> "Block":
        """The messages start..stop-1 of this block, sharing its buffer."""
        return Block(self.data, self.offsets[start:stop], self.lengths[start:stop], self.first_index + start)


def block_of(messages: Iterable[bytes], first_index: int = 0) -> Block:
    """A block of these messages (each at most 65,535 bytes)."""
    listed = list(messages)
    lengths = np.array([len(message) for message in listed], dtype=np.int64)
    ends = np.cumsum(lengths + LENGTH_SIZE) if listed else lengths
    data = b"".join(part for message in listed for part in (len(message).to_bytes(LENGTH_SIZE, "big"), message))
    return Block(data, ends - lengths, lengths, first_index)


def sliced(blocks: Iterable[Block], start: int = 0, limit: int | None = None) -> Iterator[Block]:
    """The messages from number `start` on, at most `limit` of them; blocks outside are not yielded."""
    stop = None if limit is None else start + limit
    for block in blocks:
        low = max(start - block.first_index, 0)
        high = len(block) if stop is None else min(stop - block.first_index, len(block))
        if low < high:
            yield block if (low, high) == (0, len(block)) else block.select(low, high)
        if stop is not None and block.first_index + len(block) >= stop:
            return
