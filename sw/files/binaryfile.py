"""BinaryFILE: ITCH messages as Nasdaq distributes them, each behind a 2-byte big-endian length.

Reading is streaming and in bounded memory, also from .gz; writing is atomic. A record of length 0 ends the session.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np

from tickgate.sw.files import atomic
from tickgate.sw.files.block import EXPECTED_LENGTH, LENGTH_SIZE, Block
from tickgate.sw.files.sniff import FileKind, sniff
from tickgate.sw.files.source import MessageSource
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.spec.errors import UserError

CHUNK_BYTES = 4 << 20


def index_records(data: bytes, start: int = 0) -> tuple[list[int], int, bool]:
    """Where the whole records of a buffer lie.

    Returns
    -------
    offsets : list of int
        First byte of each message, behind its length.
    end : int
        Where the first record that is not whole starts (the end of the buffer if all are).
    ended : bool
        Whether a record of length 0 was met; it stands at `end`.
    """
    offsets: list[int] = []
    append = offsets.append
    position = start
    last = len(data) - LENGTH_SIZE
    total = len(data)
    while position <= last:
        length = data[position] << 8 | data[position + 1]
        following = position + 2 + length
        if following > total:
            break
        if not length:
            return offsets, position, True
        append(position + 2)
        position = following
    return offsets, position, False


class BinaryFileReader(MessageSource):
    """The messages of a BinaryFILE, plain or gzip.

    Parameters
    ----------
    path : path or ByteStream
        The file; a stream that has not been read from is taken as it is.
    check : bool
        Look at the first 64 records, and refuse a file that is not ITCH.

    Members
    -------
    unknown : Counter
        Messages of unknown type so far, by type byte.
    messages : int
        Messages so far, unknown types included.

    Raises
    ------
    UserError
        As `ByteStream` and `sniff`; while reading: a message cut at the end, or a known type with a wrong length, with
        the offset of the record in the (decompressed) file.
    """

    kind = FileKind.BINARYFILE

    def __init__(
        self, path: str | os.PathLike[str] | ByteStream, *, check: bool = True, chunk_bytes: int = CHUNK_BYTES
    ):
        self._stream = path if isinstance(path, ByteStream) else ByteStream(path)
        self.path = self._stream.path
        self.messages = 0
        self.unknown: Counter[int] = Counter()
        self._chunk_bytes = chunk_bytes
        if check:
            try:
                kind = sniff(self._stream.head, self.path)
                if kind is not FileKind.BINARYFILE:
                    raise UserError(f"{self.path}: is a {kind.value}, not a BinaryFILE")
            except UserError:
                self._stream.close()
                raise

    @property
    def progress(self) -> float:
        """Share of the file that was read, 0 to 1."""
        return self._stream.progress

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def read_blocks(self) -> Iterator[Block]:
        """The messages in blocks of a few megabytes; each is checked as the class says. Closes the file at the end."""
        with self._stream:
            yield from self._blocks()

    def _blocks(self) -> Iterator[Block]:
        rest = b""
        base = 0
        while True:
            fresh = self._stream.read(self._chunk_bytes)
            data = rest + fresh if rest else fresh
            offsets, end, ended = index_records(data)
            if offsets:
                block = self._block(data, offsets, end)
                self._check(block, base)
                self.messages += len(block)
                yield block
            if ended:
                self._expect_nothing_behind(data, end, base)
                return
            rest = data[end:]
            base += end
            if not fresh:
                break
        if rest:
            size = _record_size(rest)
            raise UserError(
                f"{self.path}: the message at byte {base} is cut: {len(rest)} of its {size} bytes are there"
            )

    def _block(self, data: bytes, offsets: list[int], end: int) -> Block:
        starts = np.array(offsets, dtype=np.int64)
        lengths = np.empty_like(starts)
        lengths[:-1] = starts[1:] - starts[:-1] - LENGTH_SIZE
        lengths[-1] = end - starts[-1]
        return Block(data, starts, lengths, self.messages)

    def _check(self, block: Block, base: int) -> None:
        codes = block.types
        expected = EXPECTED_LENGTH[codes]
        wrong = (expected != 0) & (expected != block.lengths)
        if wrong.any():
            first = int(wrong.argmax())
            raise UserError(
                f"{self.path}: the message at byte {base + int(block.offsets[first]) - LENGTH_SIZE} (number "
                f"{block.first_index + first}) has type {chr(codes[first])!r} and {int(block.lengths[first])} bytes; "
                f"that type has {int(expected[first])}"
            )
        strange = expected == 0
        if strange.any():
            values, counts = np.unique(codes[strange], return_counts=True)
            self.unknown.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def _expect_nothing_behind(self, data: bytes, end: int, base: int) -> None:
        if len(data) > end + LENGTH_SIZE or self._stream.read(1):
            raise UserError(
                f"{self.path}: the record at byte {base + end} has length 0, which ends a file, but more follows"
            )


def _record_size(rest: bytes) -> int | str:
    return LENGTH_SIZE + int.from_bytes(rest[:LENGTH_SIZE], "big") if len(rest) >= LENGTH_SIZE else "at least 3"


class BinaryFileWriter:
    """Writes messages behind their lengths to an open stream; see `write_binaryfile` for a whole file.

    Members
    -------
    messages : int
        Messages written.
    """

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.messages = 0

    def write(self, message: bytes) -> None:
        """Write one message.

        Raises
        ------
        ValueError
            Empty, or longer than 65,535 bytes.
        """
        if not 0 < len(message) <= 0xFFFF:
            raise ValueError(f"a message has 1 to 65,535 bytes, not {len(message)}")
        self._stream.write(len(message).to_bytes(LENGTH_SIZE, "big") + message)
        self.messages += 1

    def write_block(self, block: Block) -> None:
        """Write the messages of a block."""
        if len(block):
            start = int(block.offsets[0]) - LENGTH_SIZE
            end = int(block.offsets[-1] + block.lengths[-1])
            self._stream.write(memoryview(block.data)[start:end])
            self.messages += len(block)


@contextmanager
def open_writer(path: str | os.PathLike[str]) -> Iterator[BinaryFileWriter]:
    """A writer of a file that appears whole at the end of the block, compressed if its name ends in `.gz`.

    Raises
    ------
    UserError
        As `atomic.open_output`.
    """
    with atomic.open_output(path) as stream:
        yield BinaryFileWriter(stream)


def write_binaryfile(path: str | os.PathLike[str], messages: Iterable[bytes]) -> int:
    """Write a whole file; returns the number of messages.

    Raises
    ------
    UserError
        As `atomic.open_output`.
    """
    with open_writer(path) as writer:
        for message in messages:
            writer.write(message)
    return writer.messages
