"""Input bytes, compressed or not, with a look at the start before reading: works on files and pipes alike."""

import gzip
import io
import os
import zlib
from types import TracebackType
from typing import cast

from tickgate.sw.spec.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 1 << 16
"""What `head` offers at most."""


class ByteStream:
    """The bytes of a file, decompressed when it starts as gzip does.

    Parameters
    ----------
    path : path
        File or pipe.

    Members
    -------
    head : bytes
        The first 65,536 bytes or fewer, still to be read.
    progress : float
        Share of the file that was read, 0 to 1 (0 for a pipe).

    Raises
    ------
    UserError
        No such file, a folder, no permission; while reading: a damaged or cut gzip stream.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        try:
            self._raw = cast(io.BufferedReader, open(path, "rb", buffering=1 << 20))
        except FileNotFoundError:
            raise UserError(f"no such file: {self.path}") from None
        except IsADirectoryError:
            raise UserError(f"is a folder, not a file: {self.path}") from None
        except PermissionError:
            raise UserError(f"no permission to read: {self.path}") from None
        self._file: io.BufferedReader | gzip.GzipFile = self._raw
        self.position = 0
        """Bytes handed out so far (of the decompressed content)."""
        self._raw_position = 0
        try:
            self.size_bytes = os.fstat(self._raw.fileno()).st_size
            self.compressed = self._raw.peek(2)[:2] == GZIP_MAGIC
            if self.compressed:
                self._file = gzip.GzipFile(fileobj=self._raw, mode="rb")
            self._ahead = b""
            self._ahead = self._take(HEAD_BYTES)
            self.head = self._ahead
        except BaseException:
            self._raw.close()
            raise

    def _take(self, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0:
            try:
                # One read of the system at a time: between them an interrupt is noticed, also on a pipe that stalls.
                part = self._file.read1(count)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise UserError(f"{self.path}: the gzip stream is damaged or cut ({error})") from None
            if not part:
                break
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer only at the end.

        Raises
        ------
        UserError
            A damaged or cut gzip stream.
        """
        if self._ahead:
            out = self._ahead[:count]
            self._ahead = self._ahead[count:]
            if len(out) < count:
                out += self._take(count - len(out))
        else:
            out = self._take(count)
        self.position += len(out)
        return out

    @property
    def progress(self) -> float:
        """Share of the file that was read from the disk, 0 to 1."""
        if not self.size_bytes:
            return 0.0
        if not self._raw.closed:
            self._raw_position = self._raw.tell()
        return min(self._raw_position / self.size_bytes, 1.0)

    def close(self) -> None:
        """Close the file; may be called again."""
        if not self._raw.closed:
            self._raw_position = self.size_bytes if not self._raw.seekable() else self._raw.tell()
        self._file.close()
        self._raw.close()

    def __enter__(self) -> "ByteStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
