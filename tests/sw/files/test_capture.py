"""What a capture holds, message by message, through the scapy layers."""

from pathlib import Path

import oracle_itch
import oracle_pcap
import pytest
import sample_feed
from sample_feed import mold, tcp_frame, udp_frame

pytest.importorskip("scapy.packet", reason="scapy is not installed")

from tickgate.sw.files.capture import CaptureReader
from tickgate.sw.spec import ouch, soup

M = sample_feed.every_type()


def read(tmp_path: Path, frames: list[bytes]) -> tuple[CaptureReader, list]:
    path = tmp_path / "x.pcap"
    path.write_bytes(oracle_pcap.build([(0, number, frame) for number, frame in enumerate(frames)]))
    with CaptureReader(path) as reader:
        return reader, list(reader)


def test_feed_is_shown_as_it_was_sent(tmp_path: Path) -> None:
    frames = [udp_frame(mold(1, M[:2])), udp_frame(mold(1, M[:1])), udp_frame(mold(3, [])), udp_frame(b"x")]
    frames.append(udp_frame(mold(3, [b"Z" * 20], count=1)))
    frames.append(udp_frame(mold(4, [], count=0xFFFF)))
    reader, shown = read(tmp_path, frames)
    assert [(row.where["packet"], row.where["sequence"], row.record["message"]) for row in shown] == [
        (0, 1, "system_event"),
        (0, 2, "stock_directory"),
        (1, 1, "system_event"),
        (2, 3, "heartbeat"),
        (4, 3, "unknown"),
        (5, 4, "end_of_session"),
    ]
    assert (reader.packets, reader.mold_packets, reader.soup_packets, reader.unknown) == (6, 5, 0, 1)
    assert shown[0].where == {"packet": 0, "time_ns": 0, "protocol": "itch", "session": "SESSION001", "sequence": 1}


@pytest.mark.parametrize("port", [26477, 9999])
def test_every_type_has_the_fields_of_the_independent_decoder(tmp_path: Path, port: int) -> None:
    _reader, shown = read(tmp_path, [udp_frame(mold(1, M), port=port)])
    for row, raw in zip(shown, M, strict=True):
        record = dict(row.record)
        assert record.pop("message") == row.table.name
        assert record == oracle_itch.decode(raw)


@pytest.mark.parametrize("port", [8001, 5555])
def test_orders_are_shown_in_both_directions(tmp_path: Path, port: int) -> None:
    order = ouch.build(ouch.INBOUND_EXTENDED[ord("X")], [(2, "FIRM"), (99, b"\1")], user_ref=7, quantity=0)
    pending = ouch.build(ouch.CANCEL_PENDING, timestamp_ns=5, user_ref=7)
    frames = [
        tcp_frame(soup.build(soup.LOGIN_REQUEST, user="u", password="p", session="", sequence=1), 40000, port),
        tcp_frame(soup.build(soup.UNSEQUENCED_DATA, payload=order) + b"\0\1R", 40000, port),
        tcp_frame(soup.build(soup.SEQUENCED_DATA, payload=pending) + soup.build(soup.DEBUG, text=b"hi"), port, 40000),
        tcp_frame(soup.build(soup.SEQUENCED_DATA, payload=b"?"), port, 40000),
        tcp_frame(b"", 40000, port),
    ]
    reader, shown = read(tmp_path, frames)
    assert [(row.where["protocol"], row.record["message"]) for row in shown] == [
        ("soup", "login_request"),
        ("ouch", "cancel_order"),
        ("soup", "client_heartbeat"),
        ("ouch", "cancel_pending"),
        ("soup", "debug"),
        ("ouch", "unknown"),
    ]
    assert shown[1].record["options"] == {"firm": "FIRM", "tag_99": "01"}
    assert shown[4].record["text"] == "hi"
    assert reader.unknown == 1


def test_frame_that_scapy_cannot_dissect_holds_nothing(tmp_path: Path) -> None:
    reader, shown = read(tmp_path, [b"\1", b"", udp_frame(mold(1, M[:1]))[:30], udp_frame(mold(1, M[:1]))])
    assert [row.where["packet"] for row in shown] == [3]
    assert reader.packets == 4


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (mold(1, [M[0], b""]), ["system_event", "unknown"]),
        (mold(1, M[:1], count=2) + b"\0", ["system_event", "unknown"]),
        (mold(1, [], count=2), ["cut"]),
    ],
)
def test_packet_that_is_cut_shows_what_is_there(tmp_path: Path, payload: bytes, names: list[str]) -> None:
    _reader, shown = read(tmp_path, [udp_frame(payload)])
    assert [row.record["message"] for row in shown] == names
