"""`tickgate decode`: text and JSON lines of files and captures."""

import json
from pathlib import Path

import oracle_itch
import oracle_pcap
import pytest
import sample_feed
from sample_feed import mold, tcp_frame, udp_frame

from tickgate.sw.cli.main import main
from tickgate.sw.spec import ouch, soup

FEED = sample_feed.every_type(2)
FIELDS = {
    "user_ref": 7, "side": "B", "quantity": 100, "symbol": "AAPL", "price_e4": 3_211_536, "time_in_force": "3",
    "display": "Y", "capacity": "P", "sweep": "N", "cross_type": "N", "clordid": "ID1",
}  # fmt: skip
ORDER = ouch.build(ouch.ENTER_ORDER, [(2, "FIRM")], **FIELDS)


def put(path: Path, frames: list[bytes]) -> str:
    path.write_bytes(oracle_pcap.build([(1, number, frame) for number, frame in enumerate(frames)]))
    return str(path)


@pytest.fixture
def feed(tmp_path: Path) -> str:
    path = tmp_path / "feed.itch"
    path.write_bytes(sample_feed.binaryfile(FEED))
    return str(path)


def test_json_lines_say_what_the_independent_decoder_reads(feed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", feed, "--json"]) == 0
    told = capsys.readouterr()
    for index, (line, raw) in enumerate(zip(told.out.splitlines(), FEED, strict=True)):
        record = json.loads(line)
        assert record.pop("index") == index
        record.pop("message")
        assert record == oracle_itch.decode(raw)
    assert told.err == ""


def test_text_is_one_line_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    path.write_bytes(sample_feed.binaryfile([sample_feed.delete(5, time_ns=34_200_000_000_001)]))
    assert main(["decode", str(path)]) == 0
    expected = "0 D order_delete stock_locate=1 tracking_number=0 timestamp=09:30:00.000000001 reference=5\n"
    assert capsys.readouterr().out == expected


def test_start_and_limit_choose_messages(feed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = put(tmp_path / "x.pcap", [udp_frame(mold(1, FEED[:20])), udp_frame(mold(21, FEED[20:]))])
    for path in (feed, capture):
        assert main(["decode", path, "--json", "--start", "18", "--limit", "4"]) == 0
        records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [record["timestamp_ns"] for record in records] == [18_000, 19_000, 20_000, 21_000]
    assert main(["decode", feed, "--limit", "0"]) == 0
    assert capsys.readouterr().out == ""


def test_unknown_type_is_shown_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    path.write_bytes(sample_feed.binaryfile([FEED[0], b"Zab"]))
    for name in (str(path), put(tmp_path / "x.pcap", [udp_frame(mold(1, [FEED[0], b"Z" * 12]))])):
        assert main(["decode", name]) == 0
        told = capsys.readouterr()
        assert "Z unknown length=" in told.out.splitlines()[1]
        assert told.err == "1 messages of unknown type or form, shown as bytes\n"


def test_capture_of_orders_is_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [
        tcp_frame(soup.build(soup.UNSEQUENCED_DATA, payload=ORDER)),
        tcp_frame(soup.build(soup.SERVER_HEARTBEAT), 8001, 42277),
    ]
    path = put(tmp_path / "orders.pcap", frames)
    assert main(["decode", path]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0 00:00:01.000000000 ouch O enter_order user_ref=7 side=B quantity=100 symbol=AAPL price=321.1536 "
        "time_in_force=3 display=Y capacity=P sweep=N cross_type=N clordid=ID1 appendage_length=6 options={firm=FIRM}",
        "1 00:00:01.000001000 soup H server_heartbeat length=1",
    ]
    assert main(["decode", path, "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["options"] == {"firm": "FIRM"}
    assert first["price_e4"] == 3_211_536


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "the file is empty"),
        (b"# notes\n" * 20, "it looks like text"),
        (oracle_pcap.build([(0, 0, udp_frame(b"x"))]), "neither MoldUDP64 nor SoupBinTCP in this capture (1 packets)"),
        (oracle_pcap.build([(0, 0, udp_frame(mold(1, [b"D" + bytes(12)])))]), "is Japannext ITCH 1.6"),
        (oracle_pcap.build([(0, 0, udp_frame(mold(1, [b"T" + bytes(4)])))]), "is Japannext ITCH 1.6"),
        (oracle_pcap.build([(0, 0, b"x")])[:-1], "the packet at byte 24 is cut"),
        (sample_feed.binaryfile(FEED)[:-1], "is cut"),
    ],
)
def test_mistakes_are_told_in_two_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, error: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    assert main(["decode", str(path)]) == 2
    told = capsys.readouterr().err
    assert error in told
    assert len(told.splitlines()) <= 2


def test_real_captures_are_decoded(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = []
    for path in sorted((data_dir / "pcap").glob("nsm-*.pcap")):
        assert main(["decode", str(path), "--json"]) == 0
        names.append(json.loads(capsys.readouterr().out)["message"])
    assert names == [
        "add_order", "market_participant_position", "noii", "order_delete", "order_replace", "trading_action",
        "cancel_order", "client_heartbeat", "enter_order", "order_accepted", "server_heartbeat",
    ]  # fmt: skip
