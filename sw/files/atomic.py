"""Output files that appear whole under their name, or not at all.

Every writer of the project goes through `atomic_output`: the bytes go to a temporary file in the same folder, which is
renamed when the writer is done and removed when it fails or is interrupted.
"""

import errno
import gzip
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tickgate.sw.spec.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BUFFER_BYTES = 1 << 20


def _disk_error(error: OSError, path: Path) -> UserError | None:
    if error.errno in _FULL:
        return UserError(f"no space left on the disk while writing {path}")
    return None


def _is_special(path: Path) -> bool:
    """Whether the path is a device or a pipe, which can be written but not renamed over."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


@contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary stream to write; its file takes the name `path` at the end of the block, and only then.

    A device or a pipe is written directly. A link is followed: its target is replaced.

    Raises
    ------
    UserError
        No such folder, the path is a folder, no permission, or no space left.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise UserError(f"is a folder, not a file: {path}")
    if _is_special(final):
        with _direct_output(final) as stream:
            yield stream
        return
    temporary: str | None = None
    try:
        try:
            descriptor, temporary = tempfile.mkstemp(prefix=f".{final.name[:100]}.", suffix=".part", dir=final.parent)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"no such folder: {final.parent}") from None
        except PermissionError:
            raise UserError(f"no permission to write in the folder {final.parent}") from None
        with os.fdopen(descriptor, "wb", buffering=_BUFFER_BYTES) as stream:
            yield stream
        os.chmod(temporary, _mode_of(final))
        os.replace(temporary, final)
        temporary = None
    except OSError as error:
        mistake = _disk_error(error, Path(path))
        if mistake is None:
            raise
        raise mistake from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def _direct_output(path: Path) -> Iterator[BinaryIO]:
    try:
        with open(path, "wb", buffering=_BUFFER_BYTES) as stream:
            yield stream
    except OSError as error:
        mistake = _disk_error(error, path)
        if mistake is None:
            raise
        raise mistake from error


def _mode_of(final: Path) -> int:
    """The permissions that plain `open` would leave: those of a file that is there, else what the umask allows."""
    try:
        return stat.S_IMODE(final.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


@contextmanager
def open_output(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """As `atomic_output`; a name that ends in `.gz` is compressed, the same bytes for the same content.

    Raises
    ------
    UserError
        As `atomic_output`.
    """
    with atomic_output(path) as raw:
        if not str(path).endswith(".gz"):
            yield raw
            return
        packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0)
        try:
            yield cast(BinaryIO, packed)
        except BaseException:
            # Closing would write the rest, which on a full disk hides the first error.
            packed.fileobj = None  # type: ignore[assignment]
            raise
        packed.close()
