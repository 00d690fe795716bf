"""`tickgate info`: what is in a file."""

import json
from pathlib import Path

import oracle_pcap
import pytest
import sample_feed
from sample_feed import mold, udp_frame

from tickgate.sw.cli.main import main

FEED = [
    sample_feed.add(1, locate=9, time_ns=34_200_000_000_000),
    sample_feed.add(2, locate=9, time_ns=34_200_000_000_001),
    sample_feed.delete(1, locate=9, time_ns=34_200_000_000_002),
    sample_feed.delete(7, locate=9, time_ns=34_200_000_000_003),
]


@pytest.mark.parametrize("kind", ["itch", "pcap"])
def test_json_tells_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = tmp_path / "x"
    feed = [*FEED, b"Z" * 20]
    frames = [udp_frame(mold(1, feed[:2])), udp_frame(mold(4, feed[2:]))]
    path.write_bytes(
        sample_feed.binaryfile(feed) if kind == "itch" else oracle_pcap.build([(1, 0, frame) for frame in frames])
    )
    assert main(["info", str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    expected = {
        "file": str(path), "kind": "ITCH BinaryFILE" if kind == "itch" else "pcap", "messages": 5,
        "types": {"A": 2, "D": 2}, "wrong_length": {}, "first_ns": 34_200_000_000_000, "last_ns": 34_200_000_000_003,
        "symbols": 1, "symbols_with_orders": 1,
        "busiest": [{"locate": 9, "symbol": "AAPL", "messages": 4, "peak_live_orders": 2}],
        "peak_live_orders": 2, "live_orders_at_end": 1, "unknown_references": 1, "suggested_size": "small",
        "suggested_size_fits": True, "unknown": {"Z": 1},
    }  # fmt: skip
    if kind == "pcap":
        expected |= {
            "drops": {"unknown_type": 1}, "gaps": 1, "missing": 1, "packets": 2, "session": "SESSION001",
            "capture_first_ns": 10**9, "capture_last_ns": 10**9,
        }  # fmt: skip
    assert report == expected


def test_text_names_symbols_types_and_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.pcap"
    frames = [udp_frame(mold(1, FEED)), udp_frame(mold(9, [b"Z" * 20])), udp_frame(mold(9, [b"Z" * 20]))]
    path.write_bytes(oracle_pcap.build([(1, 0, frame) for frame in frames]))
    assert main(["info", str(path)]) == 0
    told = capsys.readouterr().out
    for part in (
        "x.pcap: pcap, 5 messages",
        "time      09:30:00.000000000 to 09:30:00.000000003",
        "session SESSION001, 3 packets, 1 gaps with 4 messages missing",
        "not used  duplicate 1, unknown_type 1",
        "A add_order                               2  40.00 %",
        "Z unknown, skipped                        1  20.00 %",
        "AAPL     locate 9                 4 messages, at most 2 live orders",
        "orders    at most 2 live, 1 at the end",
        "1 messages name an order that is not on the book",
        "size      small (4 symbols, 1,024 orders) holds the 1 busiest with at most 2 orders",
    ):
        assert part in told


def test_feed_of_heartbeats_has_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(oracle_pcap.build([(1, 0, udp_frame(mold(1, [])))]))
    assert main(["info", str(path)]) == 0
    assert "x.pcap: pcap, 0 messages" in capsys.readouterr().out


def test_feed_that_no_size_holds_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    path.write_bytes(sample_feed.binaryfile([sample_feed.add(number) for number in range(46_000)]))
    assert main(["info", str(path)]) == 0
    assert "is the largest, but too small for the 1 busiest with at most 46,000 orders" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(["none"], "no such file: none"), (["none", "--top", "0"], "--top lists at least 1 symbol, not 0")],
)
def test_mistakes_are_told(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    assert main(["info", *arguments]) == 2
    assert error in capsys.readouterr().err


def test_real_files_have_their_known_counts(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(data_dir / "itch" / "real_aapl_20200130_pre.itch"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["types"] == {
        "R": 1, "H": 1, "Y": 1, "L": 52, "A": 4758, "F": 2, "E": 849, "X": 6, "D": 4083, "U": 7, "P": 240,
    }  # fmt: skip
    assert report["busiest"][0]["symbol"] == "AAPL"
    assert main(["info", str(data_dir / "itch" / "simulated_20101224.itch"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown_references"] == 117
