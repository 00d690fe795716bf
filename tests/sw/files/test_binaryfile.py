"""BinaryFILE: reading in blocks, the user's mistakes with their offsets, writing."""

import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sample_feed
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.files import binaryfile
from tickgate.sw.files.binaryfile import BinaryFileReader, index_records, write_binaryfile
from tickgate.sw.files.block import Block, block_of, sliced
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.spec.errors import UserError


def put(tmp_path: Path, messages: list[bytes], more: bytes = b"") -> Path:
    path = tmp_path / "feed.itch"
    path.write_bytes(sample_feed.binaryfile(messages) + more)
    return path


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64, 4096, 1 << 20])
def test_messages_do_not_depend_on_the_chunks_read(tmp_path: Path, chunk_bytes: int) -> None:
    messages = sample_feed.every_type(5)
    with BinaryFileReader(put(tmp_path, messages), chunk_bytes=chunk_bytes) as source:
        blocks = list(source.read_blocks())
    assert [message for block in blocks for message in block] == messages
    assert [block.first_index for block in blocks] == list(np.cumsum([0, *map(len, blocks)])[:-1])
    assert source.messages == len(messages)
    assert source.progress == 1.0


def test_blocks_tell_types_times_and_locates_of_each_message(tmp_path: Path) -> None:
    messages = sample_feed.every_type(2)
    (block,) = BinaryFileReader(put(tmp_path, messages)).read_blocks()
    assert bytes(block.types) == bytes(message[0] for message in messages)
    assert block.known.all()
    assert block.timestamps_ns.tolist() == [number * 1_000 for number in range(46)]
    assert block.locates.tolist() == [1 + number % 7 for number in range(46)]
    assert list(block.select(3, 5)) == messages[3:5]
    assert block.select(3, 5).first_index == 3


def test_gzip_is_read_by_its_content_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "feed.itch"
    messages = sample_feed.every_type()
    path.write_bytes(gzip.compress(sample_feed.binaryfile(messages)))
    assert list(BinaryFileReader(path)) == messages


@pytest.mark.parametrize("keep", [1, 5, 30, 37])
def test_message_cut_at_the_end_is_told_with_its_offset(tmp_path: Path, keep: int) -> None:
    messages = [sample_feed.add(1), sample_feed.add(2)]
    path = tmp_path / "cut.itch"
    path.write_bytes(sample_feed.binaryfile(messages)[: 38 + keep])
    of = "at least 3" if keep == 1 else "38"
    with pytest.raises(UserError, match=f"the message at byte 38 is cut: {keep} of its {of} bytes are there"):
        list(BinaryFileReader(path))


@pytest.mark.parametrize("chunk_bytes", [50, 1 << 20])
def test_known_type_with_a_wrong_length_is_told_with_its_offset(tmp_path: Path, chunk_bytes: int) -> None:
    messages = [sample_feed.add(1), sample_feed.add(2), sample_feed.delete(1) + b"!"]
    expected = r"the message at byte 76 \(number 2\) has type 'D' and 20 bytes; that type has 19"
    with pytest.raises(UserError, match=expected):
        list(BinaryFileReader(put(tmp_path, messages), chunk_bytes=chunk_bytes))


def test_unknown_types_are_counted_and_handed_out(tmp_path: Path) -> None:
    messages = [sample_feed.add(1), b"Z" + bytes(20), b"z", b"Z", sample_feed.delete(1)]
    with BinaryFileReader(put(tmp_path, messages), check=False) as source:
        assert list(source) == messages
    assert source.unknown == Counter({ord("Z"): 2, ord("z"): 1})


def test_record_of_length_zero_ends_the_file(tmp_path: Path) -> None:
    messages = sample_feed.every_type()
    for chunk_bytes in (3, 1 << 20):
        assert list(BinaryFileReader(put(tmp_path, messages, b"\0\0"), chunk_bytes=chunk_bytes)) == messages


@pytest.mark.parametrize("chunk_bytes", [3, 1 << 20])
def test_records_behind_the_end_are_told(tmp_path: Path, chunk_bytes: int) -> None:
    messages = [sample_feed.add(1)]
    path = put(tmp_path, messages, b"\0\0" + sample_feed.binaryfile(messages))
    with pytest.raises(UserError, match="the record at byte 38 has length 0, which ends a file, but more follows"):
        list(BinaryFileReader(path, chunk_bytes=chunk_bytes))


def test_capture_is_no_binaryfile(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes.fromhex("d4c3b2a1") + bytes(20))
    with pytest.raises(UserError, match="is a pcap, not a BinaryFILE"):
        BinaryFileReader(path)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        BinaryFileReader(tmp_path / "none")


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    packed = gzip.compress(os.urandom(1 << 17))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match="the gzip stream is damaged or cut"):
        list(BinaryFileReader(ByteStream(path), check=False))


def test_folder_and_forbidden_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="is a folder, not a file"):
        ByteStream(tmp_path)

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UserError, match="no permission to read"):
        ByteStream(tmp_path / "x")


def test_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    messages = sample_feed.every_type()
    read_end, write_end = os.pipe()
    os.write(write_end, sample_feed.binaryfile(messages))
    os.close(write_end)
    with BinaryFileReader(f"/dev/fd/{read_end}") as source:
        assert list(source) == messages
        assert source.progress == 0.0
    os.close(read_end)


def test_writer_gives_the_bytes_of_the_format(tmp_path: Path) -> None:
    messages = sample_feed.every_type()
    plain, packed = tmp_path / "a.itch", tmp_path / "a.itch.gz"
    assert write_binaryfile(plain, messages) == write_binaryfile(packed, iter(messages)) == 23
    assert plain.read_bytes() == gzip.decompress(packed.read_bytes()) == sample_feed.binaryfile(messages)
    with binaryfile.open_writer(tmp_path / "b.itch") as writer:
        for block in BinaryFileReader(packed, chunk_bytes=100).read_blocks():
            writer.write_block(block)
        writer.write_block(block_of([]))
    assert writer.messages == 23
    assert (tmp_path / "b.itch").read_bytes() == plain.read_bytes()


@pytest.mark.parametrize("message", [b"", bytes(65536)])
def test_writer_refuses_what_the_length_cannot_tell(tmp_path: Path, message: bytes) -> None:
    with pytest.raises(ValueError, match="a message has 1 to 65,535 bytes"):
        write_binaryfile(tmp_path / "x", [message])
    assert os.listdir(tmp_path) == []


def test_index_stops_at_a_record_that_is_not_whole() -> None:
    assert index_records(b"\0\1A\0\2BC\0\3D") == ([2, 5], 7, False)
    assert index_records(b"\0\1A\0\0") == ([2], 3, True)
    assert index_records(b"\0") == ([], 0, False)


@given(st.lists(st.binary(max_size=70)), st.integers(0, 30), st.none() | st.integers(0, 30))
def test_slices_of_blocks_are_slices_of_messages(messages: list[bytes], start: int, limit: int | None) -> None:
    first = len(messages) // 3
    blocks = [block_of(messages[:first]), block_of(messages[first:], first)]
    stop = None if limit is None else start + limit
    assert [message for block in sliced(blocks, start, limit) for message in block] == messages[start:stop]


def test_empty_block_has_no_types() -> None:
    block = block_of([])
    assert len(block) == 0
    assert block.types.size == block.timestamps_ns.size == 0
    assert block_of([b""]).types.tolist() == [0]
    assert isinstance(block, Block)


@pytest.mark.parametrize(
    ("name", "count"),
    [("real_aapl_20200130_pre", 10_000), ("real_directory_start_of_day", 1_000), ("simulated_20101224", 12_012)],
)
def test_real_files_read_and_write_back_the_same(data_dir: Path, tmp_path: Path, name: str, count: int) -> None:
    path = data_dir / "itch" / f"{name}.itch"
    with BinaryFileReader(path) as source:
        assert write_binaryfile(tmp_path / "copy", source) == count
    assert not source.unknown
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()
