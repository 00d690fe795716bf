"""The messages of a capture: each exactly once and in order, with everything else counted."""

from collections import Counter
from pathlib import Path

import oracle_itch
import oracle_pcap
import pytest
import sample_feed
from sample_feed import mold, tcp_frame, udp_frame

from tickgate.sw.files.mold_source import Gap, MoldSource, is_mold, is_soup
from tickgate.sw.files.opening import open_source
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.events import Notice
from tickgate.sw.spec.state import Drop

M = sample_feed.every_type(3)


def source_of(tmp_path: Path, frames: list[bytes], **options) -> MoldSource:  # type: ignore[no-untyped-def]
    path = tmp_path / "feed.pcap"
    path.write_bytes(oracle_pcap.build([(1, number, frame) for number, frame in enumerate(frames)]))
    return MoldSource(path, **options)


def packets(*parts: bytes) -> list[bytes]:
    return [udp_frame(part) for part in parts]


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_messages_come_in_order(tmp_path: Path, block_bytes: int) -> None:
    frames = packets(mold(5, M[:3]), mold(8, M[3:4]), mold(9, M[4:]))
    with source_of(tmp_path, frames, block_bytes=block_bytes) as source:
        assert list(source) == M
    assert (source.session, source.expected, source.packets) == (b"SESSION001", 5 + len(M), 3)
    assert (source.gaps, source.drops, source.messages) == ([], Counter(), len(M))
    assert (source.first_time_ns, source.last_time_ns) == (10**9, 10**9 + 2_000)
    assert source.progress == 1.0


def test_repeated_and_overlapping_packets_yield_new_messages_only(tmp_path: Path) -> None:
    frames = packets(mold(1, M[:3]), mold(1, M[:3]), mold(2, M[1:5]), mold(6, M[5:7]))
    source = source_of(tmp_path, frames)
    assert list(source) == M[:7]
    assert source.drops == {Drop.DUPLICATE: 5}
    assert source.gaps == []


def test_gap_is_told_in_its_place(tmp_path: Path) -> None:
    frames = packets(mold(1, M[:2]), mold(5, M[4:6]), mold(20, []), mold(19, M[:2]))
    source = source_of(tmp_path, frames)
    assert list(source.items()) == [*M[:2], Notice.GAP, *M[4:6], Notice.GAP, M[1]]
    assert source.gaps == [Gap(2, 3, 2), Gap(4, 7, 13)]
    assert source.drops == {Drop.DUPLICATE: 1}


def test_items_stop_at_their_limit(tmp_path: Path) -> None:
    assert list(source_of(tmp_path, packets(mold(1, M))).items(4)) == M[:4]


def test_end_of_session_ahead_is_a_gap(tmp_path: Path) -> None:
    source = source_of(tmp_path, packets(mold(1, M[:2]), mold(9, [], count=0xFFFF)))
    assert list(source) == M[:2]
    assert source.ended
    assert source.gaps == [Gap(2, 3, 6)]


def test_other_sessions_and_other_traffic_are_counted(tmp_path: Path) -> None:
    frames = [
        udp_frame(b"a name query of more than twenty bytes"),
        *packets(mold(1, M[:1]), mold(1, M[1:2], session=b"SESSION002")),
        udp_frame(b"short"),
        tcp_frame(b"x"),
    ]
    source = source_of(tmp_path, frames)
    assert list(source) == M[:1]
    assert source.drops == {Drop.SESSION: 2, Drop.LENGTH: 1, Drop.IP_PROTOCOL: 1}


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (mold(2, [M[1], b"short"]), Drop.BLOCK_SHORT),
        (mold(2, [M[1], M[2]])[:-1], Drop.BLOCK_OVERRUN),
        (mold(2, [M[1]], count=2), Drop.BLOCK_OVERRUN),
    ],
)
def test_packet_ends_at_a_bad_block_and_the_rest_is_a_gap(tmp_path: Path, payload: bytes, cause: Drop) -> None:
    source = source_of(tmp_path, packets(mold(1, M[:1]), payload, mold(4, M[3:4])))
    assert list(source.items()) == [M[0], M[1], Notice.GAP, M[3]]
    assert source.drops == {cause: 1}
    assert source.gaps == [Gap(2, 3, 1)]


def test_unknown_types_and_wrong_lengths_are_counted_and_delivered(tmp_path: Path) -> None:
    odd = [b"Z" + bytes(20), b"A" + bytes(20)]
    source = source_of(tmp_path, packets(mold(1, [*M[:5], *odd])))
    assert list(source) == [*M[:5], *odd]
    assert source.unknown == {ord("Z"): 1}
    assert source.drops == {Drop.UNKNOWN_TYPE: 1, Drop.WRONG_LENGTH: 1}


def test_tagged_frames_with_trailers_are_read(tmp_path: Path) -> None:
    frames = [udp_frame(mold(1, M[:2]), tag=bytes.fromhex("81000005"), trailer=b"stamp of a switch...")]
    assert list(source_of(tmp_path, frames)) == M[:2]


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([], "the capture holds no Ethernet packets"),
        (
            [udp_frame(b"a name query of more than twenty bytes")],
            r"in this capture \(1 packets, 1 of them",
        ),
        ([tcp_frame(b"\0\1H"), tcp_frame(b"\0\4Uabc")], "it is an OUCH capture"),
        ([tcp_frame(b"GET / HTTP/1.1")], "no MoldUDP64 in this capture"),
        ([tcp_frame(b"\0\1H")[:50]], "no MoldUDP64 in this capture"),
    ],
)
def test_capture_without_a_feed_is_told(tmp_path: Path, frames: list[bytes], error: str) -> None:
    with pytest.raises(UserError, match=error):
        list(source_of(tmp_path, frames))


def test_feed_of_another_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="carry messages of another protocol"):
        list(source_of(tmp_path, packets(mold(1, [b"z" + bytes(30)] * 9))))
    assert len(list(source_of(tmp_path, packets(mold(1, [b"z" + bytes(30)] * 9)), check=False))) == 9


def test_feed_is_judged_by_64_messages_not_by_its_first(tmp_path: Path) -> None:
    feed = [b"z" * 30, *M[:63]]
    frames = packets(*(mold(1 + number, [message]) for number, message in enumerate(feed)))
    assert list(source_of(tmp_path, frames, block_bytes=1)) == feed


def test_feed_of_heartbeats_only_is_empty(tmp_path: Path) -> None:
    source = source_of(tmp_path, packets(mold(7, []), mold(7, [])))
    assert list(source.items()) == []
    assert source.packets == 2


def test_payloads_are_recognised_by_their_form() -> None:
    assert is_mold(mold(1, M[:2]))
    assert is_mold(mold(1, [], count=0xFFFF))
    assert not is_mold(mold(1, M[:2]) + b"!")
    assert not is_mold(mold(1, M[:2], count=3))
    assert not is_mold(mold(1, M[:2], session=bytes(10)))
    assert not is_mold(b"short")
    assert is_soup(b"\0\1H\0\1R")
    assert not is_soup(b"\0\1H\0")
    assert not is_soup(b"\0\1?")
    assert not is_soup(b"\0\0")
    assert not is_soup(b"")


@pytest.mark.parametrize(
    ("name", "kind", "sequence"),
    [
        ("AddOrderNoMpidAttributionMessage", "A", 14_757_721),
        ("MarketParticipantPositionMessage", "L", 17_861_990),
        ("NetOrderImbalanceIndicatorMessage", "I", 14_757_919),
        ("OrderDeleteMessage", "D", 14_757_722),
        ("OrderReplaceMessage", "U", 14_757_701),
        ("StockTradingActionMessage", "H", 34_147_961),
    ],
)
def test_real_captures_of_the_feed_are_read(data_dir: Path, name: str, kind: str, sequence: int) -> None:
    with open_source(data_dir / "pcap" / f"nsm-itch50-{name}.pcap") as source:
        (message,) = source
    assert oracle_itch.decode(message)["type"] == kind
    assert isinstance(source, MoldSource)
    assert source.expected == sequence + 1
    assert source.session == b"000010059B"
    assert not source.drops


def test_real_captures_of_orders_are_named(data_dir: Path) -> None:
    paths = sorted((data_dir / "pcap").glob("*-[oO]uch*.pcap"))
    assert len(paths) == 10
    for path in paths:
        with pytest.raises(UserError, match="it is an OUCH capture"), open_source(path) as source:
            list(source)


def test_real_captures_of_japannext_are_named(data_dir: Path) -> None:
    paths = sorted((data_dir / "pcap").glob("jnx-Itch*.pcap"))
    assert len(paths) == 5
    for path in paths:
        with pytest.raises(UserError, match=r"is Japannext ITCH 1\.6"), open_source(path) as source:
            list(source)
