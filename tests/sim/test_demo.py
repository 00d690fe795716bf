"""The demo: what it shows, what it leaves, and that it says so when a session falls short."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import oracle_itch
import oracle_mold
import oracle_net
import oracle_ouch
import oracle_pcap
import oracle_soup
import pytest

from tickgate.sim import demo as demo_module
from tickgate.sim.compare.result import CompareResult
from tickgate.sim.compare.run import CompareOptions, compare
from tickgate.sim.demo import FIRED_MIN, MESSAGES, ORDERS_MIN, DemoOptions, run_demo, shortfalls
from tickgate.sim.demo_watch import BUDGET_STAGES, Watch
from tickgate.sim.waves import SHOWN, signal_paths
from tickgate.sw.cli.main import main
from tickgate.sw.files.opening import open_source
from tickgate.sw.model.demo_config import demo_config
from tickgate.sw.model.derive import derive_config
from tickgate.sw.model.survey import Selection
from tickgate.sw.report import html
from tickgate.sw.spec.events import BUY, SELL
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.sizes import LADDER
from tickgate.sw.spec.units import CORE_CLOCK_HZ

pytestmark = pytest.mark.long

REASONS = sorted((reason.name or "").lower() for reason in Reason if reason & ACTIVE_REASONS)
SHORT = 3_000


def launch(*words, size_limit=None, **more):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))

    return subprocess.Popen(
        [sys.executable, "-m", "tickgate.sw.cli.main", "demo", *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=None if size_limit is None else limit, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """(folder, object told, standard error) of the demo itself, with everything that it can leave."""
    out = tmp_path_factory.mktemp("demo")
    process = launch("--out", out, "--json", "--picture", out / "picture.png")
    told, error = process.communicate(timeout=1_200)
    assert process.returncode == 0, error
    return out, json.loads(told), error


def test_demo_is_equal_and_reaches_everything(shown):
    _out, told, _error = shown
    found = told["compare"]
    assert (found["messages"], found["mismatches"], told["short"]) == (MESSAGES, 0, [])
    assert found["orders"] >= ORDERS_MIN
    assert all(found["coverage"]["triggers_fired"][kind] >= FIRED_MIN for kind in ("take", "imbalance", "spread"))
    assert sorted(found["rejects"]) == REASONS
    assert all(found["rejects"].values())
    assert found["coverage"]["valid"] > 0.9
    assert found["coverage"]["full_dumps"] >= 10


def test_demo_tells_each_step_on_standard_error(shown):
    lines = shown[2].splitlines()
    assert lines[0] == "generating the session"
    assert "comparing" in lines
    assert "writing the waveform" in lines


def test_demo_leaves_what_it_lists(shown):
    out, told, _error = shown
    assert set(os.listdir(out)) == {
        "session.pcap", "orders.pcap", "report.html", "journey.vcd", "journey.gtkw", "summary.json", "picture.png",
    }  # fmt: skip
    assert {Path(path).name for path in told["files"].values()} == set(os.listdir(out))
    assert json.loads((out / "summary.json").read_text()) == told


def test_session_holds_one_message_a_frame(shown):
    out, told, _error = shown
    _magic, packets = oracle_pcap.read((out / "session.pcap").read_bytes())
    types = Counter()
    for number, (_seconds, _fraction, frame) in enumerate(packets, 1):
        session, sequence, count, messages = oracle_mold.decode(oracle_net.decode(frame)["payload"])
        assert (session, sequence, count) == ("TICKGATE01", number, 1)
        types[messages[0][:1].decode()] += 1
        if number % 50 == 0:
            oracle_itch.decode(messages[0])
    assert types == told["compare"]["types"]


def test_orders_are_whole_and_in_the_order_of_their_cycles(shown):
    out, told, _error = shown
    _magic, packets = oracle_pcap.read((out / "orders.pcap").read_bytes())
    assert len(packets) == told["compare"]["orders"]
    references, times = [], []
    for seconds, nanoseconds, frame in packets:
        payload = oracle_net.decode(frame)["payload"]
        (packet,) = oracle_soup.split(payload)
        order = oracle_ouch.decode(oracle_soup.decode(packet, from_server=False)["payload"], inbound=True)
        references.append(order["user_ref"])
        times.append(seconds * 1_000_000_000 + nanoseconds)
    assert references == list(range(references[0], references[0] + len(packets)))
    assert times == sorted(times)
    assert all(-time_ns * CORE_CLOCK_HZ % 1_000_000_000 < CORE_CLOCK_HZ for time_ns in times)  # whole cycles


def test_report_is_one_small_page_of_its_own(shown):
    out, told, _error = shown
    text = (out / "report.html").read_text()
    assert len(text.encode()) < 5_000_000
    assert all(target.startswith("#") for target in re.findall(r"""(?:src|href)\s*=\s*["']?([^"' >]*)""", text))
    assert "@import" not in text and "url(http" not in text
    for heading in ("Spread and depth", "From the deciding byte", "Where each cycle goes", "Rejects by reason"):
        assert f"<h2>{heading}" in text
    assert text.count("<svg") == 4
    assert "0 mismatches" in text
    assert f"{told['compare']['orders']:,} orders left" in text


def test_picture_is_a_small_png(shown):
    data = (shown[0] / "picture.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 300_000


def test_budgets_add_up_to_the_way_of_the_orders(shown):
    _out, told, _error = shown
    row = told["compare"]["latency_cycles"][html.ORDER_ROW]
    budgets = told["order_budgets_cycles"]
    assert all(tuple(budget) == BUDGET_STAGES for budget in budgets.values())
    assert {name: sum(budget.values()) for name, budget in budgets.items()} == {
        name: row[name] for name in ("min", "median", "p99", "max")
    }


def test_waveform_shows_each_stage_of_the_first_order(shown):
    out, _told, _error = shown
    paths = signal_paths(out / "journey.vcd")
    save = (out / "journey.gtkw").read_text()
    assert '[dumpfile] "journey.vcd"' in save
    for _title, names in SHOWN:
        for name in names:
            assert paths[name][0] in save
    text = (out / "journey.vcd").read_text(errors="replace")
    codes = {}
    for width, code, name in re.findall(r"\$var \w+\s+(\d+) (\S+) (\S+)", text):
        codes.setdefault(name, (int(width), code))
    for _title, names in SHOWN:
        valid = names[0]
        assert f"\n1{codes[valid][1]}\n" in text, f"{valid} never rose"


def test_short_session_is_compared_without_goals(tmp_path):
    (tmp_path / "journey.vcd").write_text("of an earlier session")
    result = run_demo(DemoOptions(tmp_path, seed=9, messages=SHORT, waves=False))
    assert result.good
    assert result.compared.messages == SHORT
    assert not (tmp_path / "journey.vcd").exists()


def test_depth_and_budgets_are_those_of_the_comparison(tmp_path):
    run_demo(DemoOptions(tmp_path, seed=9, messages=SHORT, waves=False))
    sizes = LADDER["medium"]
    path = tmp_path / "session.pcap"
    with open_source(path) as source:
        messages = list(source)
    config = demo_config(derive_config(lambda: messages, sizes, Selection(top=8)))
    watch = Watch(config)
    options = CompareOptions(path=path, sizes=sizes, selection=Selection(), work=tmp_path, keep_orders=True)
    result, comparison = compare(options, observers=(watch,), config=config)
    book = comparison.model.book
    series = watch.series()
    assert [s.symbol for s in series] == [
        f"{s.symbol['symbol'].to_bytes(8, 'big').decode().strip()}" for s in config.slots
    ]
    for slot, one in enumerate(series):
        assert one.bid_qty[-1] == sum(book.levels(slot, BUY))
        assert one.ask_qty[-1] == sum(book.levels(slot, SELL))
        assert (one.time_s[1:] >= one.time_s[:-1]).all()
        assert one.time_s[0] > 0
    assert sum(len(one.time_s) for one in series) == result.on_slots
    assert len(watch.budgets) == result.orders == len(comparison.order_frames)


def full():
    """A result that has reached everything."""
    result = CompareResult("", {})
    result.messages, result.orders = MESSAGES, ORDERS_MIN
    result.fired.update({kind: FIRED_MIN for kind in ("take", "imbalance", "spread")})
    result.rejects.update(dict.fromkeys(REASONS, 1))
    return result


def test_shortfalls_of_a_session_that_reached_everything_are_none():
    assert shortfalls(full()) == []


def test_shortfalls_name_each_goal_that_was_missed():
    result = full()
    result.orders = ORDERS_MIN - 1
    assert shortfalls(result) == ["199 orders left, at least 200 should"]
    for kind in ("take", "imbalance", "spread"):
        result = full()
        result.fired[kind] = FIRED_MIN - 1
        assert shortfalls(result) == [f"the trigger {kind} fired 19 times, at least 20 expected"]
    for reason in REASONS:
        result = full()
        del result.rejects[reason]
        assert shortfalls(result) == [f"no order was rejected for {reason}"]
    result.messages = MESSAGES - 1
    assert shortfalls(result) == []


def test_session_that_falls_short_exits_1(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo_module, "shortfalls", lambda result: ["no order was rejected for kill"])
    assert main(["demo", "--messages", str(SHORT), "--no-waves", "--out", str(tmp_path)]) == 1
    assert "tickgate demo: no order was rejected for kill\n" in capsys.readouterr().err


def test_difference_is_told_and_exits_1(tmp_path, monkeypatch, capsys):
    real = demo_module.compare

    def differing(*words):
        result, comparison = real(*words)
        result.note_mismatch(7, "book", {"bid_px_e4": 1}, {"bid_px_e4": 2})
        return result, comparison

    monkeypatch.setattr(demo_module, "compare", differing)
    monkeypatch.setattr(demo_module, "KINDS", ("plain",))  # no waveform comes of this: none is compiled
    assert main(["demo", "--messages", str(SHORT), "--out", str(tmp_path)]) == 1
    assert "first difference: message 7, book: expected {'bid_px_e4': 1}" in capsys.readouterr().out
    assert "1 mismatches" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "journey.vcd").exists()


@pytest.mark.parametrize("words, text", [
    (["--messages", "10"], "a session of 8 symbols needs more than 10 messages"),
    (["--seed", "-1"], "seed must be from 0 to"),
])  # fmt: skip
def test_option_out_of_range_is_named(tmp_path, capsys, words, text):
    assert main(["demo", "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tickgate: error: {text}")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_folder_that_is_a_file_is_named(tmp_path, capsys):
    path = tmp_path / "file"
    path.write_text("x")
    assert main(["demo", "--out", str(path)]) == 2
    assert capsys.readouterr().err == f"tickgate: error: is a file, not a folder: {path}\n"


@pytest.mark.parametrize("words", [["--nonsense"], ["--messages", "many"], ["file.itch"]])
def test_wrong_command_line_is_explained(words, capsys):
    assert main(["demo", *words]) == 2
    assert capsys.readouterr().err.startswith("usage: tickgate ")


def test_full_disk_is_told_and_leaves_nothing(tmp_path):
    process = launch("--messages", SHORT, "--no-waves", "--out", tmp_path, size_limit=50_000)
    _out, error = process.communicate(timeout=300)
    assert process.returncode == 2, error
    assert (
        error.splitlines()[-1]
        == f"tickgate: error: no space left on the disk while writing {tmp_path / 'session.pcap'}"
    )
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_exits_130_and_leaves_no_half_file(tmp_path, number):
    process = launch("--no-waves", "--out", tmp_path)
    until = time.monotonic() + 120
    while not os.listdir(tmp_path) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(number)
    _out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.splitlines()[-1] == "tickgate: interrupted"
    assert "Traceback" not in error
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
