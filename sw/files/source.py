"""What every source of messages offers, whatever file it reads."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tickgate.sw.files.block import Block, sliced
from tickgate.sw.files.sniff import FileKind
from tickgate.sw.spec.events import Notice


class MessageSource(ABC):
    """Messages of one file, in order, once; use it as a context manager.

    Members
    -------
    kind : FileKind
        What is read.
    path : str
        Where from.
    messages : int
        Messages handed out so far, unknown types included.
    unknown : Counter of int
        Messages of unknown type so far, by type byte.
    """

    kind: FileKind
    path: str
    messages: int
    unknown: Counter[int]

    @abstractmethod
    def read_blocks(self) -> Iterator[Block]:
        """The messages in blocks, for code that works on many at once."""

    @property
    @abstractmethod
    def progress(self) -> float:
        """Share of the file that was read, 0 to 1."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __iter__(self) -> Iterator[bytes]:
        """The messages one by one."""
        for block in self.read_blocks():
            yield from block

    def items(self, limit: int | None = None) -> Iterator[bytes | Notice]:
        """The first `limit` messages one by one, and between them what the feed has to tell (gaps)."""
        for block in sliced(self.read_blocks(), 0, limit):
            yield from block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
