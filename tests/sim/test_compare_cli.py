"""What `tickgate compare` and `tickgate bbo --engine gateware` answer to mistakes, through the real launcher."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from model_flow import add, binaryfile, directory, flow, trading_action
from sample_feed import tcp_frame, udp_frame

from tickgate.sim.cli.compare import selection
from tickgate.sw.cli.main import main
from tickgate.sw.files import pcap
from tickgate.sw.files.binaryfile import open_writer
from tickgate.sw.generate import SessionOptions, blocks

MESSAGES = flow(1, 300)
COMMANDS = {"compare": ["compare"], "bbo": ["bbo", "--engine", "gateware"]}


@pytest.fixture(params=sorted(COMMANDS))
def command(request):
    return COMMANDS[request.param]


@pytest.fixture
def session(tmp_path):
    path = tmp_path / "flow.itch"
    path.write_bytes(binaryfile(MESSAGES))
    return path


def told(words, capsys):
    """The error of a command line that is the user's mistake: one or two lines, and nothing else."""
    status = main([str(word) for word in words])
    output = capsys.readouterr()
    assert status == 2, output.err
    assert output.err.startswith("tickgate: error: "), output.err
    assert 1 <= len(output.err.splitlines()) <= 2, output.err
    assert "Traceback" not in output.err
    return output.err


def capture(path, *frames):
    with pcap.open_writer(path) as writer:
        for number, data in enumerate(frames):
            writer.write(number, data)
    return path


def test_file_that_is_not_there_is_named(command, tmp_path, capsys):
    assert told([*command, tmp_path / "x.itch"], capsys) == f"tickgate: error: no such file: {tmp_path / 'x.itch'}\n"


def test_folder_is_named(command, tmp_path, capsys):
    assert "is a folder, not a file" in told([*command, tmp_path], capsys)


@pytest.mark.parametrize("content, text", [
    (b"", "the file is empty"),
    (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "not Nasdaq ITCH 5.0: it looks like a PNG image"),
    (b"some words of text\n" * 50, "not Nasdaq ITCH 5.0: it looks like text"),
    (random.Random(3).randbytes(5_000), "not Nasdaq ITCH 5.0: it looks like unknown binary data"),
])  # fmt: skip
def test_file_that_is_no_market_data_is_named(command, tmp_path, capsys, content, text):
    path = tmp_path / "other"
    path.write_bytes(content)
    assert text in told([*command, path], capsys)


def test_message_cut_at_the_end_is_told_with_its_offset(command, session, capsys):
    whole = session.read_bytes()
    session.write_bytes(whole[:-5])
    at = len(whole) - len(MESSAGES[-1]) - 2
    assert f"the message at byte {at} is cut" in told([*command, session], capsys)


def test_known_type_with_a_wrong_length_is_told_with_its_offset(command, session, capsys):
    messages = [*MESSAGES[:200], add(1 << 40, "B", 1, 100) + b"x", *MESSAGES[200:]]
    session.write_bytes(binaryfile(messages))
    at = len(binaryfile(MESSAGES[:200]))
    assert f"the message at byte {at} (number 200) has type 'A' and 37 bytes" in told([*command, session], capsys)


def test_capture_without_a_feed_is_refused(command, tmp_path, capsys):
    path = capture(tmp_path / "dns.pcap", udp_frame(b"no feed", port=53))
    assert "no MoldUDP64 in this capture" in told([*command, path], capsys)


def test_capture_of_an_order_session_is_named(command, tmp_path, capsys):
    path = capture(tmp_path / "orders.pcap", tcp_frame(b"\x00\x01H"), tcp_frame(b"\x00\x01R"))
    assert "it is an OUCH capture" in told([*command, path], capsys)


@pytest.mark.parametrize("name, text", [
    ("nsm-ouch50-EnterOrderMessage.pcap", "it is an OUCH capture"),
    ("jnx-Ouch.v1.11-EnterOrderMessage.O.pcap", "it is an OUCH capture"),
    ("jnx-Itch.v1.6-OrderExecutedMessage.E.pcap", "is Japannext ITCH 1.6"),
    ("jnx-Itch.v1.6-TimestampSecondsMessage.T.pcap", "is Japannext ITCH 1.6"),
])  # fmt: skip
def test_real_capture_of_another_protocol_is_named(command, data_dir, capsys, name, text):
    assert text in told([*command, data_dir / "pcap" / name], capsys)


@pytest.mark.parametrize("words, text", [
    (["--symbols", "QQQQ"], "symbol QQQQ does not occur"),
    (["--symbols", ","], "--symbols takes names like AAPL,MSFT"),
    (["--locates", "77"], "locate 77 does not occur"),
    (["--locates", "x"], "--locates takes numbers from 0 to 65,535"),
    (["--locates", "70000"], "--locates takes numbers from 0 to 65,535"),
    (["--top", "0"], "--top must be 1 or more, not 0"),
    (["--top", "9"], "this size follows 1 to 8 symbols, not 9; choose another --size"),
    (["--start", "-1"], "--start"),
])  # fmt: skip
def test_option_out_of_range_is_named(command, session, capsys, words, text):
    assert text in told([*command, session, *words], capsys)


@pytest.mark.parametrize("words, text", [
    (["--limit", "0"], "--limit takes 1 or more, not 0"),
    (["--pack", "0"], "--pack takes 1 or more, not 0"),
    (["--gap", "2"], "--gap takes 3 or more, not 2"),
    (["--stall", "1"], "--stall takes a share from 0 to below 1, not 1.0"),
    (["--start", "301"], "--start 301 lies behind its last message"),
    (["--config", "no.toml"], "no such file: no.toml"),
])  # fmt: skip
def test_option_of_compare_out_of_range_is_named(session, capsys, words, text):
    assert text in told(["compare", session, *words], capsys)


@pytest.mark.parametrize("words", [
    ["--nonsense"], ["--size", "huge"], ["--top", "1", "--symbols", "A"], ["--limit", "x"], [],
])  # fmt: skip
def test_wrong_command_line_is_explained(command, session, capsys, words):
    assert main([*command, *([str(session)] if words else []), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: tickgate ")
    assert "Traceback" not in error


def test_configuration_with_an_unknown_key_is_told(session, tmp_path, capsys):
    path = tmp_path / "wrong.toml"
    path.write_text("[[slot]]\nlocate = 1\nsymbl = 'A'\n")
    assert "symbl" in told(["compare", session, "--config", path], capsys)


def test_unknown_type_is_counted_and_skipped(tmp_path, capsys):
    path = tmp_path / "odd.itch"
    path.write_bytes(
        binaryfile([directory(1, "A"), trading_action("T", 1, "A"), b"z" * 20, *flow(2, 200, locates=(1,))])
    )
    assert main(["compare", str(path), "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert (found["mismatches"], found["skipped"]["unknown_type"], found["types"]["z"]) == (0, 1, 1)
    assert not output.err


def test_selection_takes_the_busiest_by_default():
    class Nothing:
        symbols = locates = top = None

    assert selection(Nothing, 4).top == 4
    assert selection(Nothing, 64).top == 8


def launch(*words, size_limit=None):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))

    return subprocess.Popen(
        [sys.executable, "-m", "tickgate.sw.cli.main", *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=None if size_limit is None else limit,
    )  # fmt: skip


@pytest.fixture(scope="module")
def long_session(tmp_path_factory):
    """A session, and the device compiled for it."""
    path = tmp_path_factory.mktemp("long") / "session.itch"
    with open_writer(path) as writer:
        for block in blocks(SessionOptions(seed=2, messages=60_000)):
            writer.write_block(block)
    assert main(["bbo", str(path), "--engine", "gateware", "--limit", "10", "-o", os.devnull]) == 0
    return path


def test_full_disk_is_told_and_leaves_nothing(long_session, tmp_path):
    process = launch("bbo", long_session, "--engine", "gateware", "-o", tmp_path / "x.csv", size_limit=10_000)
    _out, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (
        2, f"tickgate: error: no space left on the disk while writing {tmp_path / 'x.csv'}\n",
    )  # fmt: skip
    assert not os.listdir(tmp_path)


def test_full_disk_under_standard_output_is_told(session):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tickgate.sw.cli.main", "compare", session], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=300,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "tickgate: error: no space left on the disk\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_rows_exit_130_and_leave_nothing(long_session, tmp_path, number):
    process = launch("bbo", long_session, "--engine", "gateware", "-o", tmp_path / "x.csv")
    until = time.monotonic() + 120
    while not os.listdir(tmp_path) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(number)
    _out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "tickgate: interrupted\n")
    assert not os.listdir(tmp_path)


def test_interrupted_comparison_exits_130(long_session):
    with launch("compare", long_session, "--pack", "1") as process:
        try:
            until = time.monotonic() + 120
            while not runs_device(process) and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, error) == (130, "", "tickgate: interrupted\n")


def runs_device(process):
    """Whether the process has loaded the compiled device, which a comparison does when it begins."""
    return "/device.so" in Path(f"/proc/{process.pid}/maps").read_text()
