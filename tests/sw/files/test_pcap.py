"""Captures in every format that is read, and the pcap that is written."""

import gzip
import random
import struct
from pathlib import Path

import oracle_pcap
import pytest

from tickgate.sw.files import pcap
from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.files.sniff import FileKind
from tickgate.sw.spec.errors import UserError

FRAMES = [b"first frame", b"second", b"third one"]
PCAPNG_BODY = b"".join(oracle_pcap.enhanced(1_600_000_000_000_000 + i, frame) for i, frame in enumerate(FRAMES))


def read(tmp_path: Path, data: bytes) -> list[tuple[int, bytes]]:
    path = tmp_path / "capture"
    path.write_bytes(data)
    with PcapReader(path) as reader:
        return list(reader.packets())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_pcap_is_read_in_both_orders_and_units(tmp_path: Path, order: str, magic: int, unit_ns: int, pack) -> None:  # type: ignore[no-untyped-def]
    packets = [(7, 5, FRAMES[0]), (7, 999_999, FRAMES[1]), (4_000_000_000, 0, FRAMES[2])]
    expected = [(seconds * 10**9 + fraction * unit_ns, frame) for seconds, fraction, frame in packets]
    assert read(tmp_path, pack(oracle_pcap.build(packets, order, magic))) == expected


def test_link_type_may_carry_the_size_of_the_fcs(tmp_path: Path) -> None:
    assert len(read(tmp_path, oracle_pcap.build([(0, 0, b"x")], linktype=0x40000001))) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_is_read_with_every_kind_of_packet_block(tmp_path: Path, order: str) -> None:
    data = (
        oracle_pcap.section(order)
        + oracle_pcap.interface(order)
        + oracle_pcap.block(5, bytes(8), order)  # statistics: skipped
        + oracle_pcap.enhanced(1_600_000_000_123_456, FRAMES[0], order)
        + oracle_pcap.simple(FRAMES[1], order)
        + oracle_pcap.obsolete(7, FRAMES[2], order)
    )
    assert read(tmp_path, data) == [
        (1_600_000_000_123_456_000, FRAMES[0]),
        (0, FRAMES[1]),
        (7_000, FRAMES[2]),
    ]


@pytest.mark.parametrize(
    ("options", "units", "time_ns"),
    [
        (oracle_pcap.option(9, b"\x09"), 5, 5),
        (oracle_pcap.option(9, b"\x03"), 5, 5_000_000),
        (oracle_pcap.option(9, b"\x8a"), 512, 500_000_000),
        (oracle_pcap.option(2, b"eth0") + oracle_pcap.option(9, b"\x09") + oracle_pcap.option(0, b""), 5, 5),
        (oracle_pcap.option(0, b"") + oracle_pcap.option(9, b"\x09"), 5, 5_000),
        (oracle_pcap.option(14, struct.pack("<q", 100)), 5, 100_000_005_000),
        (oracle_pcap.option(9, b"") + oracle_pcap.option(14, b"\x01"), 5, 5_000),
    ],
)
def test_pcapng_times_follow_the_interface(tmp_path: Path, options: bytes, units: int, time_ns: int) -> None:
    data = oracle_pcap.section() + oracle_pcap.interface(options=options) + oracle_pcap.enhanced(units, FRAMES[0])
    assert read(tmp_path, data) == [(time_ns, FRAMES[0])]


def test_pcapng_of_two_sections_and_byte_orders_is_read(tmp_path: Path) -> None:
    parts = [oracle_pcap.section(o) + oracle_pcap.interface(o) + oracle_pcap.enhanced(1, FRAMES[0], o) for o in "<>"]
    assert read(tmp_path, b"".join(parts)) == [(1_000, FRAMES[0])] * 2


def test_pcapng_simple_packet_is_cut_at_the_snap_length(tmp_path: Path) -> None:
    block = oracle_pcap.block(3, struct.pack("<I", 99) + b"abcd")
    assert read(tmp_path, oracle_pcap.section() + oracle_pcap.interface(snaplen=4) + block) == [(0, b"abcd")]


def test_pcapng_packets_of_other_links_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "x"
    body = oracle_pcap.interface() + oracle_pcap.interface(linktype=113)
    path.write_bytes(
        oracle_pcap.section() + body + oracle_pcap.enhanced(0, b"x", number=1) + oracle_pcap.enhanced(0, b"y", number=0)
    )
    with PcapReader(path) as reader:
        assert list(reader.packets()) == [(0, b"y")]
    assert reader.other_links == {113: 1}
    assert reader.packets_read == 1
    assert reader.kind is FileKind.PCAPNG


PCAP = oracle_pcap.build([(0, 0, b"abcdefgh")])
NG = oracle_pcap.section() + oracle_pcap.interface() + oracle_pcap.enhanced(0, b"abcd")
NG_HEAD = len(oracle_pcap.section() + oracle_pcap.interface())


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "the file is empty"),
        (b"text", "is not a packet capture"),
        (PCAP[:10], "the file header at byte 0 is cut: 10 of 24 bytes are there"),
        (PCAP[:30], "the packet at byte 24 is cut in its header"),
        (PCAP[:-3], "the packet at byte 24 is cut: 5 of 8 bytes are there"),
        (
            PCAP[:32] + b"\xff\xff\xff\x7f" + PCAP[36:],
            "the packet at byte 24 claims 2,147,483,647 bytes",
        ),
        (oracle_pcap.build([], linktype=113), "the packets are of link type 113, not Ethernet"),
        (NG[:-5], f"the block at byte {NG_HEAD} is cut"),
        (NG[: NG_HEAD + 3], f"the block at byte {NG_HEAD} is cut in its header"),
        (NG[:8] + b"\0\0\0\0" + NG[12:], "the section at byte 0 has no byte order mark"),
        (NG[:NG_HEAD] + struct.pack("<II", 6, 13), f"the block at byte {NG_HEAD} claims 13 bytes: the file is damaged"),
        (oracle_pcap.section() + oracle_pcap.block(1, bytes(4)), "the interface block at byte 28 is too short"),
        (NG[:NG_HEAD] + oracle_pcap.block(6, bytes(4)), f"the packet block at byte {NG_HEAD} is too short"),
        (oracle_pcap.section() + oracle_pcap.enhanced(0, b"x"), "names interface 0, which is not declared"),
        (
            NG[:NG_HEAD] + oracle_pcap.block(3, struct.pack("<I", 50)),
            f"byte {NG_HEAD} is longer than its block",
        ),
    ],
)
def test_damage_is_told_with_its_offset(tmp_path: Path, data: bytes, error: str) -> None:
    with pytest.raises(UserError, match=error):
        read(tmp_path, data)


def capture(packets: list[bytes], ng: bool) -> bytes:
    if not ng:
        heads = (struct.pack("<IIII", 0, number, len(packet), len(packet)) for number, packet in enumerate(packets))
        return oracle_pcap.build([]) + b"".join(head + packet for head, packet in zip(heads, packets, strict=True))
    enhanced = (oracle_pcap.enhanced(number, packet) for number, packet in enumerate(packets))
    return oracle_pcap.section() + oracle_pcap.interface() + b"".join(enhanced)


@pytest.mark.parametrize("ng", [False, True])
def test_chunks_hold_all_packets_whatever_their_sizes(tmp_path: Path, ng: bool) -> None:
    rng = random.Random(4)
    sizes = [rng.choice((0, 1, 60, 1514)) for _ in range(12_000)]
    for number, size in ((50, 3 << 20), (51, 1 << 20), (9_000, 2_000_000)):  # longer than what is read at once
        sizes[number] = size
    packets = [bytes([number & 0xFF]) * size for number, size in enumerate(sizes)]
    path = tmp_path / "capture"
    path.write_bytes(capture(packets, ng))
    with PcapReader(path) as reader:
        chunks = list(reader.chunks())
        assert reader.packets_read == len(packets) and len(chunks) > 1
    found = [chunk.data[start:end] for chunk in chunks for start, end in zip(chunk.starts, chunk.ends, strict=True)]
    assert found == packets
    assert [time_ns // 1000 for chunk in chunks for time_ns in chunk.times_ns] == list(range(len(packets)))


@pytest.mark.parametrize("ng", [False, True])
def test_packets_in_front_of_a_damage_are_read_before_it_is_told(tmp_path: Path, ng: bool) -> None:
    path = tmp_path / "capture"
    path.write_bytes(capture(FRAMES, ng)[:-3])
    with PcapReader(path) as reader:
        packets = reader.packets()
        assert [next(packets)[1] for _ in range(2)] == FRAMES[:2]
        with pytest.raises(UserError, match="is cut"):
            next(packets)


def test_writer_gives_a_nanosecond_pcap(tmp_path: Path) -> None:
    packets = [(1_600_000_000, 123_456_789, FRAMES[0]), (1_600_000_001, 0, FRAMES[1])]
    for name in ("x.pcap", "x.pcap.gz"):
        with pcap.open_writer(tmp_path / name) as writer:
            for seconds, nanoseconds, frame in packets:
                writer.write(seconds * 10**9 + nanoseconds, frame)
        assert writer.packets == 2
    data = (tmp_path / "x.pcap").read_bytes()
    assert oracle_pcap.read(data) == (1, packets)
    assert gzip.decompress((tmp_path / "x.pcap.gz").read_bytes()) == data
    expected = [(seconds * 10**9 + nanoseconds, frame) for seconds, nanoseconds, frame in packets]
    with PcapReader(tmp_path / "x.pcap.gz") as reader:
        assert list(reader.packets()) == expected
        assert reader.progress == 1.0


def test_scapy_reads_what_the_writer_wrote(tmp_path: Path) -> None:
    from scapy.utils import rdpcap

    with pcap.open_writer(tmp_path / "x.pcap") as writer:
        writer.write(1_600_000_000_123_456_789, b"\1" * 60)
    (packet,) = rdpcap(str(tmp_path / "x.pcap"))
    assert bytes(packet) == b"\1" * 60
    assert int(packet.time * 10**9) == 1_600_000_000_123_456_789


@pytest.mark.parametrize("chunk_bytes", [16, 17, 100])
def test_packets_do_not_depend_on_the_chunks_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(pcap, "_CHUNK_BYTES", chunk_bytes)
    packets = [(number, 0, bytes([number]) * (number * 7 % 60)) for number in range(50)]
    expected = [(seconds * 10**9, frame) for seconds, _fraction, frame in packets]
    assert read(tmp_path, oracle_pcap.build(packets)) == expected
