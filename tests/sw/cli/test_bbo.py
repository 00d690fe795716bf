"""The command bbo."""

import json
import sys
import types

import pytest
from model_flow import add, binaryfile, directory, feed_frame, flow

from tickgate.sw.cli import bbo, main
from tickgate.sw.files import bbo_io, pcap
from tickgate.sw.model.bbo import bbo_rows

MESSAGES = flow(1, 600)


@pytest.fixture
def session(tmp_path):
    path = tmp_path / "flow.itch"
    path.write_bytes(binaryfile(MESSAGES))
    return path


def run(*words):
    return main.main(["bbo", *map(str, words)])


def table(text):
    head, *lines = text.splitlines()
    assert head == "index,locate,bid_px,bid_qty,ask_px,ask_qty,valid"
    return [tuple(map(int, line.split(","))) for line in lines]


def test_bbo_prints_the_rows_of_every_locate(session, capsys):
    assert run(session) == 0
    assert table(capsys.readouterr().out) == list(bbo_rows(MESSAGES))


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
def test_bbo_writes_a_table(session, tmp_path, capsys, name):
    assert run(session, "-o", tmp_path / name) == 0
    assert list(bbo_io.read_bbo(tmp_path / name)) == list(bbo_rows(MESSAGES))
    assert "rows from" in capsys.readouterr().out


@pytest.mark.parametrize("words, locates", [
    (["--symbols", "SYM2"], {2}), (["--symbols", "SYM2, SYM3"], {2, 3}), (["--locates", "1,3"], {1, 3}),
])  # fmt: skip
def test_bbo_chooses_symbols(session, capsys, words, locates):
    assert run(session, *words) == 0
    assert table(capsys.readouterr().out) == [row for row in bbo_rows(MESSAGES) if row[1] in locates]


def test_bbo_top_is_the_busiest(session, capsys):
    assert run(session, "--top", 1) == 0
    assert len({row[1] for row in table(capsys.readouterr().out)}) == 1


def test_bbo_start_and_limit_choose_among_the_rows(session, capsys):
    assert run(session, "--start", 100, "--limit", 50) == 0
    assert table(capsys.readouterr().out) == [row for row in bbo_rows(MESSAGES) if 100 <= row[0] < 150]


def test_bbo_of_a_capture_marks_gaps(tmp_path, capsys):
    path = tmp_path / "gap.pcap"
    with pcap.open_writer(path) as writer:
        writer.write(0, feed_frame(1, [directory(), add(1, "B", 10, 100)]))
        writer.write(1, feed_frame(5, [add(2, "B", 10, 90)]))
    assert run(path) == 0
    assert table(capsys.readouterr().out) == [(1, 1, 100, 10, 0, 0, 1), (2, 1, 100, 10, 0, 0, 0)]


def test_bbo_tells_what_it_did_as_json(session, tmp_path, capsys):
    assert run(session, "-o", tmp_path / "x.csv", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["messages"], told["rows"], told["engine"]) == (600, len(list(bbo_rows(MESSAGES))), "model")


def test_bbo_gateware_engine_is_found_by_name(session, tmp_path, monkeypatch, capsys):
    engine = types.ModuleType("tickgate.sim.bbo_engine")
    engine.rows = lambda path, args: iter([(0, 1, 2, 3, 4, 5, 1)])
    monkeypatch.setitem(sys.modules, "tickgate.sim.bbo_engine", engine)
    assert run(session, "--engine", "gateware") == 0
    assert table(capsys.readouterr().out) == [(0, 1, 2, 3, 4, 5, 1)]


def test_bbo_gateware_engine_that_is_not_installed_is_named(session, monkeypatch, capsys):
    monkeypatch.setattr(bbo, "GATEWARE_ENGINE", "tickgate.sim.no_such_engine")
    assert run(session, "--engine", "gateware") == 2
    assert "pip install 'tickgate[sim]'" in capsys.readouterr().err


def test_bbo_package_that_the_engine_misses_is_its_own_error(session, monkeypatch):
    def miss(name):
        raise ModuleNotFoundError("no package", name="amaranth")

    monkeypatch.setattr(bbo.importlib, "import_module", miss)
    with pytest.raises(ModuleNotFoundError):
        next(bbo._gateware_rows(types.SimpleNamespace(file=session)))


@pytest.mark.parametrize("words, message", [
    (["--symbols", "SYMX"], "symbol SYMX does not occur in these messages; did you mean SYM"),
    (["--symbols", " , "], "--symbols takes names like AAPL,MSFT"),
    (["--locates", "77"], "locate 77 does not occur"),
    (["--locates", "a"], "--locates takes numbers from 0 to 65,535 like 13,14, not 'a'"),
    (["--locates", "65536"], "--locates takes numbers from 0 to 65,535"),
    (["--top", "0"], "--top must be 1 or more, not 0"),
    (["--start", "-1"], "--start counts from 0, not -1"),
    (["--json"], "--json tells of a written file"),
])  # fmt: skip
def test_bbo_mistake_is_named(session, capsys, words, message):
    assert run(session, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tickgate: error: {message}")
    assert len(error.splitlines()) <= 2


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(99), b"some words of text\n" * 20])
def test_bbo_of_another_file_is_refused(tmp_path, capsys, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    assert run(path) == 2
    assert capsys.readouterr().err.startswith("tickgate: error: ")
