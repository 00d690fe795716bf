"""`tickgate convert`: every direction, exit statuses, and no half file."""

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import oracle_itch
import oracle_mold
import oracle_net
import oracle_pcap
import pytest
import sample_feed
from sample_feed import mold, udp_frame

from tickgate.sw.cli.main import main

FEED = [
    *sample_feed.every_type(2),
    sample_feed.add(1_000, "B", 100, 1_000_000, 9, 50_000),
    sample_feed.add(1_001, "S", 200, 1_010_000, 9, 50_500),
    sample_feed.execute(1_000, 100, 9, 60_000),
]
BBO_OF_9 = ["46,9,1000000,100,0,0,1", "47,9,1000000,100,1010000,200,1", "48,9,0,0,1010000,200,1"]


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    path = tmp_path / "feed.itch"
    path.write_bytes(sample_feed.binaryfile(FEED))
    return path


def messages_of(path: Path) -> list[bytes]:
    data = path.read_bytes()
    linktype, packets = oracle_pcap.read(gzip.decompress(data) if path.suffix == ".gz" else data)
    assert linktype == 1
    out: list[bytes] = []
    for _seconds, _nanoseconds, frame in packets:
        session, sequence, _count, messages = oracle_mold.decode(oracle_net.decode(frame)["payload"])  # type: ignore[arg-type]
        assert (session, sequence) == ("TICKGATE01", len(out) + 1)
        out += messages
    return out


@pytest.mark.parametrize("name", ["x.pcap", "x.pcap.gz"])
def test_itch_to_pcap_and_back_keeps_every_byte(feed: Path, tmp_path: Path, name: str) -> None:
    assert main(["convert", str(feed), str(tmp_path / name)]) == 0
    assert messages_of(tmp_path / name) == FEED
    assert main(["convert", str(tmp_path / name), str(tmp_path / "back.itch.gz")]) == 0
    assert gzip.decompress((tmp_path / "back.itch.gz").read_bytes()) == feed.read_bytes()


def test_pack_1_gives_each_message_its_frame_and_time(feed: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.pcap"
    assert main(["convert", str(feed), str(out), "--pack", "1", "--date", "2020-01-30"]) == 0
    _linktype, packets = oracle_pcap.read(out.read_bytes())
    assert len(packets) == len(FEED)
    for (seconds, nanoseconds, _frame), message in zip(packets, FEED, strict=True):
        assert (seconds - 1_580_342_400) * 10**9 + nanoseconds == oracle_itch.decode(message)["timestamp_ns"]


def test_start_and_limit_choose_messages(feed: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.itch"
    assert main(["convert", str(feed), str(out), "--start", "3", "--limit", "4"]) == 0
    assert out.read_bytes() == sample_feed.binaryfile(FEED[3:7])


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.parquet"])
def test_bbo_is_that_of_the_true_book(feed: Path, tmp_path: Path, name: str) -> None:
    assert main(["convert", str(feed), str(tmp_path / name)]) == 0
    assert main(["convert", str(tmp_path / name), str(tmp_path / "again.csv")]) == 0
    lines = (tmp_path / "again.csv").read_text().splitlines()
    assert lines[0] == "index,locate,bid_px,bid_qty,ask_px,ask_qty,valid"
    assert [line for line in lines if line.split(",")[1] == "9"] == BBO_OF_9


def test_bbo_of_a_part_knows_the_book_before_it(feed: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    assert main(["convert", str(feed), str(out), "--start", "47", "--limit", "1"]) == 0
    assert out.read_text().splitlines()[1:] == BBO_OF_9[1:2]
    assert main(["convert", str(feed), str(out)]) == 0
    assert main(["convert", str(out), str(tmp_path / "y.csv"), "--start", "47", "--limit", "1"]) == 0
    assert (tmp_path / "y.csv").read_text().splitlines()[1:] == BBO_OF_9[1:2]


def test_gap_of_a_capture_makes_its_rows_invalid(tmp_path: Path) -> None:
    frames = [udp_frame(mold(1, FEED[46:47])), udp_frame(mold(9, FEED[47:48]))]
    path = tmp_path / "x.pcap"
    path.write_bytes(oracle_pcap.build([(0, 0, frame) for frame in frames]))
    assert main(["convert", str(path), str(tmp_path / "x.csv")]) == 0
    rows = (tmp_path / "x.csv").read_text().splitlines()[1:]
    assert rows == ["0,9,1000000,100,0,0,1", "1,9,1000000,100,1010000,200,0"]


def test_json_tells_what_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.pcap"
    frames = [mold(1, FEED[:4]), mold(9, [FEED[0], b"Z" * 20]), mold(9, FEED[:1])]
    path.write_bytes(oracle_pcap.build([(0, 0, udp_frame(frame)) for frame in frames]))
    out = str(tmp_path / "y.pcap")
    assert main(["convert", str(path), out, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {
        "input": str(path), "output": out, "to": "pcap", "from": "pcap", "messages": 6, "packets": 2, "left_out": 0,
        "unknown": {"Z": 1}, "drops": {"duplicate": 1, "unknown_type": 1}, "gaps": 1, "missing": 4,
    }  # fmt: skip


def test_text_tells_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.itch"
    path.write_bytes(sample_feed.binaryfile([*FEED[:4], b"Zz", b"Z" * 20]))
    assert main(["convert", str(path), str(tmp_path / "y.pcap")]) == 0
    told = capsys.readouterr()
    assert "y.pcap: 6 messages, 2 packets from" in told.out
    assert "unknown types: Z 2" in told.err
    assert "1 records shorter than 12 bytes left out" in told.err
    frames = [mold(1, FEED[:4]), mold(9, FEED[:1])]
    (tmp_path / "x.pcap").write_bytes(oracle_pcap.build([(0, 0, udp_frame(frame)) for frame in frames]))
    assert main(["convert", str(tmp_path / "x.pcap"), str(tmp_path / "y.itch")]) == 0
    assert "1 gaps, 4 messages missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["none.itch", "x.pcap"], "no such file: none.itch"),
        (["feed.itch", "x.txt"], "x.txt: the ending does not tell the kind"),
        (["feed.itch", "x.pcapng"], "pcapng is read, not written"),
        (["feed.itch", "x.parquet.gz"], "Parquet is compressed inside"),
        (["feed.itch", "x.itch", "--pack", "1"], "--pack is for a packet capture"),
        (["feed.itch", "x.pcap", "--pack", "0"], "a packet takes at least 1 message"),
        (["feed.itch", "x.itch", "--start", "-1"], "--start counts from 0, not -1"),
        (["feed.itch", "x.itch", "--limit", "-1"], "--limit must not be negative, not -1"),
        (["feed.itch", "x.pcap", "--date", "30.1.2020"], "--date takes a day like 2020-01-30"),
        (["feed.itch", "x.pcap", "--date", "1969-12-31"], "--date must not be before 1970-01-01"),
        (["rows.csv", "x.itch"], "the messages it came from cannot be had back"),
        (["feed.itch", "none/x.itch"], "no such folder"),
        (["feed.itch", "."], "ending does not tell"),
        (["cut.itch", "x.itch"], "the message at byte 38 is cut"),
        (["cut.itch", "x.parquet"], "the message at byte 38 is cut"),
        (["wrong.itch", "x.itch"], "has type 'D' and 20 bytes; that type has 19"),
        (["empty", "x.itch"], "the file is empty"),
        (["feed.itch", "x", "--to", "odd"], "invalid choice"),
    ],
)
def test_mistakes_are_told_in_two_lines_and_leave_nothing(
    feed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], error: str
) -> None:
    folder = feed.parent
    monkeypatch.chdir(folder)
    (folder / "rows.csv").write_text("index,locate,bid_px,bid_qty,ask_px,ask_qty,valid\n")
    (folder / "cut.itch").write_bytes(sample_feed.binaryfile([sample_feed.add(1), sample_feed.add(2)])[:-1])
    wrong = [sample_feed.add(1), sample_feed.delete(1), sample_feed.delete(1) + b"!"]
    (folder / "wrong.itch").write_bytes(sample_feed.binaryfile(wrong))
    (folder / "empty").touch()
    before = sorted(os.listdir(folder))
    assert main(["convert", *arguments]) == 2
    told = capsys.readouterr().err
    assert error in told
    assert "Traceback" not in told
    if "usage" not in told:
        assert told.startswith("tickgate: error: ")
        assert len(told.splitlines()) <= 2
    assert sorted(os.listdir(folder)) == before


def launch(*arguments: str, file_size_limit: int | None = None) -> subprocess.Popen[str]:
    def limit() -> None:
        if file_size_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size_limit, file_size_limit))

    command = [sys.executable, "-m", "tickgate.sw.cli.main", "convert", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit)


@pytest.mark.parametrize("name", ["x.itch", "x.pcap", "x.csv", "x.parquet", "x.itch.gz"])
def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    feed = tmp_path / "feed.itch"
    orders = [sample_feed.add(number * 0x9E3779B97F4A7C15 % 2**64, price_e4=number + 1) for number in range(20_000)]
    feed.write_bytes(sample_feed.binaryfile(orders))
    process = launch(str(feed), str(tmp_path / name), file_size_limit=10_000)
    _out, told = process.communicate(timeout=60)
    assert process.returncode == 2, told
    assert told == f"tickgate: error: no space left on the disk while writing {tmp_path / name}\n"
    assert os.listdir(tmp_path) == ["feed.itch"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_exits_130_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    # The input is a pipe that stays open, so the conversion waits in mid-run until it is interrupted.
    os.mkfifo(tmp_path / "in.itch")
    process = launch(str(tmp_path / "in.itch"), str(tmp_path / "x.itch"))
    with open(tmp_path / "in.itch", "wb") as pipe:
        pipe.write(sample_feed.binaryfile(FEED * 100))
        pipe.flush()
        deadline = time.monotonic() + 30
        while not any(name.endswith(".part") for name in os.listdir(tmp_path)) and time.monotonic() < deadline:
            pipe.write(sample_feed.binaryfile(FEED * 100))
            pipe.flush()
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(number)
        _out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert told == "tickgate: interrupted\n"
    assert os.listdir(tmp_path) == ["in.itch"]
