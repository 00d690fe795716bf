"""What kind of file this is, from its first bytes; and if it is none of ours, what it looks like."""

import codecs
import enum
from collections.abc import Iterable

from tickgate.sw.spec import itch
from tickgate.sw.spec.errors import UserError


class FileKind(enum.Enum):
    """Kinds of files that hold market data."""

    BINARYFILE = "ITCH BinaryFILE"
    PCAP = "pcap"
    PCAPNG = "pcapng"


PCAP_MAGICS: dict[bytes, tuple[str, int]] = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
"""First bytes of a pcap -> (byte order, nanoseconds of a time unit)."""
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"

SAMPLE_RECORDS = 64
"""Records that decide whether a file is ITCH."""

JAPANNEXT_LENGTHS = {
    "T": 5, "S": 10, "L": 17, "R": 45, "H": 14, "Y": 14, "A": 30, "F": 35, "E": 25, "D": 13, "U": 29,
}  # fmt: skip
"""Lengths of Japannext's ITCH 1.6, a dialect with other layouts under the same letters."""

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PAR1", "a Parquet table"),
    (b"\x7fELF", "a program"),
    (b"BZh", "bzip2-compressed data (unpack it first)"),
    (b"\xfd7zXZ\x00", "xz-compressed data (unpack it first)"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data (unpack it first)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\xa1\xb2\xcd\x34", "a modified pcap, which only its maker's tools read"),
    (b"\x34\xcd\xb2\xa1", "a modified pcap, which only its maker's tools read"),
)


def is_known(message: bytes) -> bool:
    """Whether the message has a known type and exactly that type's length."""
    return bool(message) and itch.LENGTHS.get(message[0]) == len(message)


def is_japannext(message: bytes) -> bool:
    """Whether the message has a type and length of Japannext's ITCH 1.6."""
    return bool(message) and JAPANNEXT_LENGTHS.get(chr(message[0])) == len(message)


def records(head: bytes, limit: int = SAMPLE_RECORDS) -> list[tuple[int, int]]:
    """(type byte, length) of the first records of a BinaryFILE that `head` starts; the last one may be cut."""
    out: list[tuple[int, int]] = []
    position = 0
    while len(out) < limit and position + 2 < len(head):
        length = int.from_bytes(head[position : position + 2], "big")
        if length:
            out.append((head[position + 2], length))
        position += 2 + length
    return out


def looks_like(head: bytes) -> str:
    """What a file that is not ITCH looks like, in a few words."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    try:
        # The incremental decoder bears a character that the sample cuts.
        sample = codecs.getincrementaldecoder("utf-8")().decode(head[:4096])
    except UnicodeDecodeError:
        return "unknown binary data"
    if all(letter.isprintable() or letter in "\t\n\r\f" for letter in sample):
        return "text"
    return "unknown binary data"


def judge_itch(sample: Iterable[tuple[int, int]], path: str, otherwise: str) -> None:
    """Accept records as ITCH 5.0, or say what they are.

    Parameters
    ----------
    sample : iterable of (int, int)
        Type byte and length of the first messages.
    path : str
        For the error.
    otherwise : str
        What to call a file that is neither ITCH 5.0 nor a dialect we know.

    Raises
    ------
    UserError
        Fewer than half have a known type and its length.
    """
    listed = list(sample)
    known = sum(itch.LENGTHS.get(code) == length for code, length in listed)
    if listed and 2 * known >= len(listed):
        return
    japannext = sum(JAPANNEXT_LENGTHS.get(chr(code)) == length for code, length in listed)
    if listed and 2 * japannext >= len(listed):
        raise UserError(
            f"{path}: is Japannext ITCH 1.6, another dialect with other layouts under the same letters\n"
            "only Nasdaq TotalView-ITCH 5.0 is read"
        )
    raise UserError(f"{path}: not Nasdaq ITCH 5.0: {otherwise}")


def sniff(head: bytes, path: str) -> FileKind:
    """The kind of a file from its first bytes (up to 65,536 of them).

    Raises
    ------
    UserError
        Empty, or none of ours: the message says what it looks like.
    """
    if not head:
        raise UserError(f"{path}: the file is empty")
    if head[:4] in PCAP_MAGICS:
        return FileKind.PCAP
    if head[:4] == PCAPNG_MAGIC:
        return FileKind.PCAPNG
    sample = records(head)
    known = sum(itch.LENGTHS.get(code) == length for code, length in sample)
    share = f"{known} of its first {len(sample)} records have a known type and its length"
    judge_itch(sample, path, f"it looks like {looks_like(head)} ({share})")
    return FileKind.BINARYFILE
