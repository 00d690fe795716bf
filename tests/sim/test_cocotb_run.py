"""The wrapper around cocotb does not believe a run that proved nothing."""

from types import SimpleNamespace

import pytest

from tickgate.sim import cache, cocotb_run
from tickgate.sim.cocotb_lib import Latencies
from tickgate.sim.cocotb_run import bench_module, read_results
from tickgate.sw.spec.errors import UserError

_PASS = '<testcase name="{}"/>'
_FAIL = '<testcase name="{}"><failure message="assert 1 == 2"/></testcase>'


def _results(path, *cases):
    path.write_text("<testsuites><testsuite>" + "".join(cases) + "</testsuite></testsuites>")
    return path


def test_read_results_names_what_passed_and_what_failed(tmp_path):
    path = _results(tmp_path / "r.xml", _PASS.format("a"), _FAIL.format("b"))
    assert read_results(path, 2) == (("a",), {"b": "assert 1 == 2"})


def test_read_results_without_a_file_fails(tmp_path):
    with pytest.raises(RuntimeError, match="left no results file"):
        read_results(tmp_path / "missing.xml", 1)


def test_read_results_of_zero_tests_fails(tmp_path):
    with pytest.raises(RuntimeError, match="0 tests ran, 0 were expected"):
        read_results(_results(tmp_path / "r.xml"), 0)


@pytest.mark.parametrize("expected", [1, 3])
def test_read_results_of_another_number_of_tests_fails(tmp_path, expected):
    path = _results(tmp_path / "r.xml", _PASS.format("a"), _PASS.format("b"))
    with pytest.raises(RuntimeError, match=f"2 tests ran, {expected} were expected"):
        read_results(path, expected)


def test_read_results_does_not_count_a_skipped_test(tmp_path):
    path = _results(tmp_path / "r.xml", _PASS.format("a"), '<testcase name="b"><skipped/></testcase>')
    with pytest.raises(RuntimeError, match="1 tests ran, 2 were expected"):
        read_results(path, 2)


def test_bench_module_of_an_unknown_stage_names_the_stages():
    with pytest.raises(UserError, match="no stage 'bok'; the stages are mac, feed, itch, book"):
        bench_module("bok")


def test_build_takes_no_bench_whose_text_was_another_one(tmp_path, monkeypatch):
    bench = tmp_path / "book.py"
    (tmp_path / "twins.py").write_text("")
    monkeypatch.setattr(cocotb_run, "bench_module", lambda stage: SimpleNamespace(__file__=str(bench)))
    asked = []
    monkeypatch.setattr(cache, "entry", lambda kind, key, make: asked.append(key) or tmp_path)
    (tmp_path / "inputs").write_text("")
    for text in ("book of 4 slots", "book of 4 slots", "book of 2 slots"):
        bench.write_text(text)
        cocotb_run.build("book")
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize(
    "measured, message",
    [
        ([("any", 4), ("any", 5)], None),
        ([("any", 4)], "4 to 4 cycles, stated are 4 to 5"),
        ([("any", 3), ("any", 5)], "3 to 5 cycles, stated are 4 to 5"),
        ([("any", 4), ("any", 6)], "4 to 6 cycles, stated are 4 to 5"),
        ([("any", 4), ("any", 5), ("other", 4)], "measured .*other"),
        ([], "measured \\[\\], stated .*any"),
    ],
)
def test_latencies_hold_only_the_table_that_was_measured_whole(measured, message):
    found = Latencies()
    for event, cycles in measured:
        found.add("i", "o", event, cycles)
    table = {("i", "o", "any"): (4, 5)}
    if message is None:
        found.hold(table)
    else:
        with pytest.raises(AssertionError, match=message):
            found.hold(table)
