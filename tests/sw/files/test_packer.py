"""Packing: the frames are right to the last byte, grouped by the rules, and the same however the messages arrive."""

from pathlib import Path

import numpy as np
import oracle_mold
import oracle_net
import pytest
import sample_feed
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.files.binaryfile import BinaryFileReader
from tickgate.sw.files.block import block_of
from tickgate.sw.files.packer import Addressing, Frames, Packer
from tickgate.sw.spec.errors import UserError


def unpacked(batches: list[Frames]) -> list[tuple[int, str, int, list[bytes]]]:
    """(time, session, sequence, messages) of each frame, read by the independent decoders."""
    out = []
    for frames in batches:
        for time_ns, frame in frames:
            theirs = oracle_net.decode(frame)
            assert theirs["trailer"] == b""
            session, sequence, count, messages = oracle_mold.decode(theirs["payload"])  # type: ignore[arg-type]
            assert count == len(messages)
            out.append((time_ns, session, sequence, messages))
    return out


def rules(messages: list[bytes], times: list[int], capacity: int, window: int, most: int) -> list[list[bytes]]:
    """The grouping, said again in the plainest way."""
    groups: list[list[bytes]] = []
    first = 0
    for message, time_ns in zip(messages, times, strict=True):
        size = 20 + sum(2 + len(other) for other in groups[-1]) + 2 + len(message) if groups else 0
        if groups and size <= capacity and 0 <= time_ns - first <= window and len(groups[-1]) < most:
            groups[-1].append(message)
        else:
            groups.append([message])
            first = time_ns
    return groups


def test_one_message_a_packet_has_the_declared_addresses() -> None:
    messages = sample_feed.every_type()
    frames = Packer(per_packet=1).pack(block_of(messages))
    headers = oracle_net.decode(next(iter(frames))[1])
    expected = {
        "destination_mac": "01:00:5e:36:0c:6f", "destination_ip": "233.54.12.111", "destination_port": 26477,
        "dont_fragment": True, "vlan": None, "protocol": "udp",
    }  # fmt: skip
    assert expected.items() <= headers.items()
    rows = unpacked([frames])
    assert rows == [(number * 1_000, "TICKGATE01", number + 1, [message]) for number, message in enumerate(messages)]
    assert frames.counts.tolist() == [1] * 23
    assert frames.first_sequence.tolist() == list(range(1, 24))


def test_frames_start_at_words_and_the_rest_is_zero() -> None:
    frames = Packer(per_packet=1).pack(block_of(sample_feed.every_type()))
    assert not (frames.offsets % 8).any()
    used = np.zeros(len(frames.data), dtype=bool)
    for offset, length in zip(frames.offsets, frames.lengths, strict=True):
        used[offset : offset + length] = True
    assert not frames.data[~used].any()


@given(st.data())
def test_packets_follow_the_rules_however_the_messages_arrive(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 60))
    steps = data.draw(st.lists(st.sampled_from([0, 1, 500, 9_999, 10_001, -5]), min_size=count, max_size=count))
    times = [max(int(time_ns), 0) for time_ns in np.cumsum([20, *steps])[1:]]
    kinds = list(sample_feed.SIZES.items())
    messages = []
    for number, time_ns in enumerate(times):
        kind, size = kinds[number * 7 % len(kinds)]
        messages.append(sample_feed.header(kind, number, time_ns) + bytes([number]) * (size - 11))
    most = data.draw(st.sampled_from([1, 2, 5, None]))
    capacity = data.draw(st.sampled_from([34, 120, 1400]))
    packer = Packer(per_packet=most, packet_bytes=capacity)
    cuts = sorted(data.draw(st.lists(st.integers(0, count), max_size=4)))
    edges = [0, *cuts, count]
    blocks = [block_of(messages[low:high], low) for low, high in zip(edges, edges[1:], strict=False)]
    rows = unpacked(list(packer.pack_all(blocks)))
    expected = rules(messages, times, capacity, 10_000, most or 65534)
    assert [row[3] for row in rows] == expected
    sequences = np.cumsum([1, *map(len, expected)])[:-1].tolist()
    assert [row[2] for row in rows] == sequences
    ends = np.cumsum([len(group) for group in expected]).tolist()
    assert [row[0] for row in rows] == [times[end - 1] for end in ends]
    assert packer.sequence == count + 1


@pytest.mark.parametrize("per_packet", [1, 4])
@pytest.mark.parametrize("vlan", [None, 5])
def test_fast_frames_equal_those_built_from_the_tables(per_packet: int, vlan: int | None) -> None:
    addressing = Addressing(session="OTHER", destination_port=1234, vlan=vlan)
    messages = sample_feed.every_type(4)
    batches = list(Packer(addressing, per_packet=per_packet, first_sequence=2**40).pack_all([block_of(messages)]))
    position = 0
    for frames in batches:
        for (_time, frame), count in zip(frames, frames.counts, strict=True):
            assert frame == addressing.frame(2**40 + position, messages[position : position + count])
            position += count
    assert position == len(messages)


def test_records_too_short_to_travel_are_left_out() -> None:
    messages = [sample_feed.delete(1), b"short", sample_feed.delete(2), b"Z" * 12]
    for per_packet in (1, None):
        packer = Packer(per_packet=per_packet)
        rows = unpacked(list(packer.pack_all([block_of(messages)])))
        assert [message for row in rows for message in row[3]] == [messages[0], messages[2], messages[3]]
        assert packer.left_out == 1


def test_long_message_travels_alone_up_to_the_frame() -> None:
    messages = [sample_feed.delete(1), b"Z" * 1400, sample_feed.delete(2)]
    rows = unpacked(list(Packer().pack_all([block_of(messages)])))
    assert [row[3] for row in rows] == [[message] for message in messages]
    with pytest.raises(UserError, match="a message of 1451 bytes does not fit a frame of 1514 bytes"):
        Packer().pack(block_of([b"Z" * 1451]))


def test_nothing_packs_to_nothing() -> None:
    packer = Packer()
    assert list(packer.pack_all([])) == []
    assert len(packer.flush()) == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"per_packet": 0}, "a packet takes at least 1 message, not 0"),
        ({"packet_bytes": 33}, "a packet has 34 to 1472 bytes, not 33"),
        ({"packet_bytes": 1473}, "a packet has 34 to 1472 bytes, not 1473"),
    ],
)
def test_options_out_of_range_are_told(options: dict, error: str) -> None:
    with pytest.raises(UserError, match=error):
        Packer(**options)


def test_heartbeat_and_end_of_session_frames() -> None:
    addressing = Addressing()
    for count, expected in ((None, 0), (0xFFFF, 0xFFFF)):
        payload = oracle_net.decode(addressing.frame(9, [], count))["payload"]
        assert oracle_mold.decode(payload) == ("TICKGATE01", 9, expected, [])  # type: ignore[arg-type]


@pytest.mark.parametrize("per_packet", [1, None])
def test_real_file_survives_packing(data_dir: Path, per_packet: int | None) -> None:
    path = data_dir / "itch" / "real_aapl_20200130_pre.itch"
    with BinaryFileReader(path, chunk_bytes=50_000) as source:
        rows = unpacked(list(Packer(per_packet=per_packet).pack_all(source.read_blocks())))
    with BinaryFileReader(path) as source:
        assert [message for row in rows for message in row[3]] == list(source)
