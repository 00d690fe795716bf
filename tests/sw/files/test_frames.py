"""Which frames are taken, and why the others are not."""

from pathlib import Path

import oracle_net
import pytest
import sample_feed
from sample_feed import ip_frame, tcp_frame, udp_frame

from tickgate.sw.files.frames import locate_tcp, locate_udp
from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.spec.state import Drop

TAG = bytes.fromhex("8100 0005")
GOOD = udp_frame(b"payload")


@pytest.mark.parametrize("tag", [b"", TAG])
@pytest.mark.parametrize("trailer", [b"", b"trailer of a switch"])
def test_udp_payload_ends_where_the_datagram_says(tag: bytes, trailer: bytes) -> None:
    frame = udp_frame(b"payload", tag=tag, trailer=trailer)
    found = locate_udp(frame)
    assert not isinstance(found, Drop)
    assert frame[found.start : found.end] == b"payload"
    assert (found.source_ip, found.destination_ip) == (0xC0000201, 0xE9360C6F)
    assert (found.source_port, found.destination_port, found.protocol) == (49649, 26477, 17)
    shorter = udp_frame(b"payload", length=12)
    found = locate_udp(shorter)
    assert not isinstance(found, Drop)
    assert shorter[found.start : found.end] == b"payl"


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (GOOD[:13], Drop.RUNT),
        (GOOD[:33], Drop.RUNT),
        (GOOD[:41], Drop.RUNT),
        (udp_frame(b"x", tag=TAG)[:17], Drop.RUNT),
        (udp_frame(b"x", ethertype=b"\x86\xdd"), Drop.ETHERTYPE),
        (udp_frame(b"x", tag=TAG + TAG), Drop.ETHERTYPE),
        (udp_frame(b"x", first=0x65), Drop.IP_VERSION),
        (udp_frame(b"x", first=0x46), Drop.IP_OPTIONS),
        (udp_frame(b"x", flags=0x2000), Drop.IP_FRAGMENT),
        (udp_frame(b"x", flags=0x0001), Drop.IP_FRAGMENT),
        (udp_frame(b"x", spoil=1), Drop.IP_CHECKSUM),
        (tcp_frame(b"x"), Drop.IP_PROTOCOL),
        (udp_frame(b"x", length=7), Drop.LENGTH),
        (udp_frame(b"x", length=10), Drop.LENGTH),
        (GOOD[:-1], Drop.TRUNCATED),
    ],
)
def test_other_frames_are_dropped_with_their_cause(frame: bytes, cause: Drop) -> None:
    assert locate_udp(frame) is cause


def test_fragment_bit_df_and_reserved_bit_are_fine() -> None:
    for flags in (0, 0x4000, 0x8000):
        assert not isinstance(locate_udp(udp_frame(b"x", flags=flags)), Drop)


def test_tcp_payload_stands_behind_the_options() -> None:
    frame = tcp_frame(b"payload", options=bytes(8), trailer=b"!!")
    found = locate_tcp(frame)
    assert not isinstance(found, Drop)
    assert frame[found.start : found.end] == b"payload"
    assert (found.source_port, found.destination_port) == (42277, 8001)


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (GOOD, Drop.IP_PROTOCOL),
        (GOOD[:10], Drop.RUNT),
        (tcp_frame(b"")[:50], Drop.RUNT),
        (tcp_frame(b"abc")[:-1], Drop.TRUNCATED),
        (ip_frame(bytes(12) + b"\x40" + bytes(7), 6), Drop.LENGTH),
        (ip_frame(bytes(12) + b"\xf0" + bytes(7), 6), Drop.LENGTH),
    ],
)
def test_frames_without_a_tcp_payload_are_dropped(frame: bytes, cause: Drop) -> None:
    assert locate_tcp(frame) is cause


def test_real_frames_are_located_as_the_independent_decoder_says(data_dir: Path) -> None:
    for path in sorted((data_dir / "pcap").glob("nsm-*.pcap")):
        with PcapReader(path) as reader:
            ((_time_ns, frame),) = reader.packets()
        theirs = oracle_net.decode(frame)
        found = (locate_udp if theirs["protocol"] == "udp" else locate_tcp)(frame)
        assert not isinstance(found, Drop)
        assert frame[found.start : found.end] == theirs["payload"]
        assert (found.source_port, found.destination_port) == (theirs["source_port"], theirs["destination_port"])


def test_sample_frames_are_right_themselves() -> None:
    assert oracle_net.decode(GOOD)["payload"] == b"payload"
    assert sample_feed.SIZES["A"] == 36
