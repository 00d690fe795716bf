"""`tickgate generate` writes what it says, whole or not at all, and refuses what cannot be."""

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tickgate.sw.cli import generate
from tickgate.sw.cli.main import main
from tickgate.sw.files.binaryfile import BinaryFileReader
from tickgate.sw.files.mold_source import MoldSource
from tickgate.sw.files.pcap import PcapReader
from tickgate.sw.generate import SessionOptions, blocks


def make(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["generate", *arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert isinstance(report, dict)
    return report


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["generate", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tickgate: error: ") and len(error.splitlines()) <= 2
    return error


def content(**options: int) -> bytes:
    return b"".join(block.data for block in blocks(SessionOptions(**options)))  # type: ignore[arg-type]


def test_binaryfile_holds_the_session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "day.itch"
    report = make(capsys, str(path), "--messages", "20000", "--seed", "4", "--symbols", "5")
    assert path.read_bytes() == content(messages=20_000, seed=4, symbols=5)
    assert (report["kind"], report["messages"], report["symbols"], report["seed"]) == ("binaryfile", 20_000, 5, 4)
    assert sum(report["types"].values()) == 20_000 and report["types"]["R"] == 5
    with BinaryFileReader(path) as reader:
        assert sum(1 for _ in reader) == 20_000


def test_gz_holds_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "day.itch.gz"
    make(capsys, str(path), "--messages", "5000")
    assert gzip.decompress(path.read_bytes()) == content(messages=5_000)


@pytest.mark.parametrize(("pack", "packets"), [([], None), (["--pack", "1"], 5_000)])
def test_capture_carries_the_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pack: list[str], packets: int | None
) -> None:
    path = tmp_path / "day.pcap"
    report = make(capsys, str(path), "--messages", "5000", *pack, "--date", "2020-01-30")
    assert report["kind"] == "pcap" and "faults" not in report
    with MoldSource(path) as source:
        delivered = list(source)
        assert not source.gaps
    assert delivered == [message for block in blocks(SessionOptions(messages=5_000)) for message in block]
    frames = list(PcapReader(path).packets())
    assert len(frames) == report["packets"] == (packets or len(frames)) and frames[0][0] // 10**18 == 1


def test_faults_go_into_the_capture_and_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "day.pcap"
    faults = ["loss", "duplicate", "reorder", "corrupt-header", "corrupt-length", "corrupt-type", "corrupt-payload"]
    arguments = [word for name in faults for word in (f"--{name}", "0.02")]
    report = make(capsys, str(path), "--messages", "20000", "--pack", "1", *arguments, "--start", "3000")
    assert all(report["faults"][name.replace("-", "_")] > 100 for name in faults)
    assert report["faults"]["start"] == 3_000 and report["packets"] == report["faults"]["frames_out"]
    with MoldSource(path) as source:
        assert 0 < sum(1 for _ in source) < 17_000 and source.gaps


def test_fault_seed_moves_the_faults_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "day.pcap"
    arguments = [str(path), "--messages", "3000", "--loss", "0.1"]
    make(capsys, *arguments)
    first = path.read_bytes()
    make(capsys, *arguments, "--fault-seed", "1")
    assert path.read_bytes() == first
    make(capsys, *arguments, "--fault-seed", "2")
    assert path.read_bytes() != first


def test_size_sets_symbols_and_live_orders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "day.itch")
    report = make(capsys, path, "--size", "large", "--messages", "20000")
    assert report["symbols"] == 64 and 45_000 < report["live_cap"] <= 65_536 * 0.7
    report = make(capsys, path, "--size", "medium", "--messages", "20000", "--symbols", "16")
    assert report["live_cap"] / 2 <= 4_096 * 0.7
    assert make(capsys, path, "--messages", "5000")["live_cap"] == 2_800


def test_text_report_names_messages_types_and_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(tmp_path / "day.pcap"), "--messages", "5000", "--loss", "0.1"]) == 0
    text = capsys.readouterr().out
    assert "5,000 messages of 8 symbols in " in text and "types: A 2," in text and "loss " in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["day.txt"], "the ending does not tell the kind"),
        (["day.itch", "--loss", "0.1"], "--loss: for a packet capture only"),
        (["day.itch.gz", "--pack", "1", "--start", "5"], "--start, --pack: for a packet capture only"),
        (["day.pcap", "--loss", "2"], "loss is a share of the frames"),
        (["day.pcap", "--pack", "0"], "a packet takes at least 1 message"),
        (["day.pcap", "--start", "100000"], "leaves nothing of 100,000 messages"),
        (["day.pcap", "--date", "soon"], "--date takes a day"),
        (["day.itch", "--symbols", "0"], "symbols must be from 1"),
        (["day.itch", "--symbols", "0", "--size", "small"], "symbols must be from 1"),
        (["day.itch", "--messages", "50"], "needs more than 50 messages"),
        (["day.itch", "--mix", "add"], "a mix is a list like"),
        (["none/day.itch"], "no such folder"),
    ],
)
def test_mistake_gets_one_line_and_no_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert text in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_run_exits_130_and_leaves_no_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tickgate.sw.cli.main", "generate", "day.itch", "--messages", "50000000"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*map(os.path.abspath, sys.path)]))}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in tmp_path.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, b"tickgate: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        assert "no space left" in refused(capsys, str(tmp_path / "day.itch"), "--messages", "20000")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_session(tmp_path: Path) -> None:
    code = (
        "import sys, resource; from tickgate.sw.cli.main import main; status = main(sys.argv[1:]);"
        "print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [*map(os.path.abspath, sys.path)]))}
    used = []
    for messages in ("100000", "800000"):
        arguments = ["generate", str(tmp_path / "day.itch"), "--messages", messages]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        status, kilobytes = done.stdout.splitlines()[-1].split()
        assert status == "0"
        used.append(int(kilobytes))
    assert used[1] - used[0] < 20_000


def test_help_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')} " in text for name in generate.CAPTURE_RATES)
