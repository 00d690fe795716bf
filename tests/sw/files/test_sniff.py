"""What a file is, and what it looks like when it is none of ours."""

import os
import random
import zlib
from pathlib import Path

import pytest
import sample_feed

from tickgate.sw.files.opening import open_source
from tickgate.sw.files.sniff import FileKind, is_japannext, is_known, looks_like, sniff
from tickgate.sw.spec.errors import UserError

PNG = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452") + zlib.compress(bytes(1000))


@pytest.mark.parametrize(
    ("content", "looks"),
    [
        (PNG, "a PNG image"),
        (b"# Title\n\nSome text.\n" * 9, "text"),
        ("Gr\u00fc\u00dfe \u2014 text\n".encode() * 400, "text"),
        (b"%PDF-1.7\n\xff\xff", "a PDF document"),
        (b"PK\x03\x04" + bytes(30), "a zip archive"),
        (b"\x7fELF" + bytes(60), "a program"),
        (bytes(5000), "unknown binary data"),
        (b"\xff" * 100, "unknown binary data"),
    ],
)
def test_what_is_not_itch_is_named(tmp_path: Path, content: bytes, looks: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path}: not Nasdaq ITCH 5.0: it looks like {looks} \\(0 of its first"):
        open_source(path)
    assert looks_like(content) == looks


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_refused(seed: int) -> None:
    with pytest.raises(UserError, match=r"not Nasdaq ITCH 5\.0"):
        sniff(random.Random(seed).randbytes(1 << 16), "x")


def test_empty_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.touch()
    with pytest.raises(UserError, match="the file is empty"):
        open_source(path)


@pytest.mark.parametrize(("known", "accepted"), [(32, True), (31, False)])
def test_half_of_the_first_64_records_must_be_known(known: int, accepted: bool) -> None:
    strange = [b"Z" + bytes(11)] * (64 - known)
    head = sample_feed.binaryfile(strange + [sample_feed.delete(1)] * known + strange)
    if accepted:
        assert sniff(head, "x") is FileKind.BINARYFILE
    else:
        with pytest.raises(UserError, match="31 of its first 64 records have a known type and its length"):
            sniff(head, "x")


def test_binaryfile_of_japannext_itch_is_named() -> None:
    messages = [b"T" + bytes(4), b"D" + bytes(12), b"E" + bytes(24), b"U" + bytes(28)] * 5
    with pytest.raises(UserError, match=r"x: is Japannext ITCH 1\.6"):
        sniff(sample_feed.binaryfile(messages), "x")


def test_message_is_known_by_type_and_length() -> None:
    assert is_known(sample_feed.delete(1))
    assert not is_known(sample_feed.delete(1)[:-1])
    assert not is_known(b"")
    assert is_japannext(b"D" + bytes(12))
    assert not is_japannext(b"")


def test_source_is_chosen_by_content(tmp_path: Path) -> None:
    messages = sample_feed.every_type()
    path = tmp_path / "x.pcap"
    path.write_bytes(sample_feed.binaryfile(messages))
    with open_source(path) as source:
        assert source.kind is FileKind.BINARYFILE
        assert list(source.items()) == messages
    assert os.listdir(tmp_path) == ["x.pcap"]
