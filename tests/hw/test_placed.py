"""What is read out of nextpnr's report and log: clocks by the board's names, crossings, the limiting path in words."""

import json

import pytest

from tickgate.hw import placed, reset_nets
from tickgate.sw.spec.errors import UserError

CORE, RX = "$glbnet$clocks.clk_sync", "$glbnet$rx_0_clk"
LOG = """
Info: Max delay <async>                          -> posedge $glbnet$clocks.clk_sync: 40.65 ns
Info: Max delay posedge $glbnet$clocks.clk_sync -> posedge $glbnet$rx_0_clk       : 9.97 ns
Info: routing

Info: Max frequency for clock '$glbnet$rx_0_clk': 532.20 MHz (PASS at 125.00 MHz)

Info: Max delay <async>                          -> posedge $glbnet$clocks.clk_sync: 0.65 ns
Info: Max delay posedge $glbnet$clocks.clk_sync -> <async>                         : 1.56 ns
Info: Max delay posedge $glbnet$clocks.clk_sync -> posedge $glbnet$rx_0_clk        : 7.97 ns
Info: Max delay posedge $glbnet$rx_0_clk        -> posedge $glbnet$clocks.clk_sync : 10.30 ns
Info: Max delay negedge $glbnet$rx_0_clk        -> posedge $glbnet$rx_0_clk        : 3.00 ns
"""
KNOWN = {"sync": 100_000_000, "rx_0": 125_000_000}


def hop(kind, source, sink, delay, **fields):
    return {"type": kind, "from": {"cell": source}, "to": {"cell": sink}, "delay": delay, **fields}


def reset_net(name, *arrivals):
    """A net of the detailed report, with the latest arrival at a flip-flop of each clock."""
    ends = [{"delay": [ns - 0.1, ns], "event": f"posedge {clock}", "port": "LSR"} for ns, clock in arrivals]
    return {"net": name + reset_nets.SUFFIX, "endpoints": ends}


@pytest.fixture
def folder(tmp_path):
    path = [
        hop("clk-to-q", "device.a_TRELLIS_FF_Q", "device.a_TRELLIS_FF_Q", 0.31),
        hop("routing", "device.a_TRELLIS_FF_Q", "device.a_CCU2C_S0$CCU2_COMB0", 1.5, net="device.a[3]",
            sources=["/share/cells.v:1", "gateware/a.py:9"]),
        hop("logic", "device.a_CCU2C_S0$CCU2_COMB0", "device.a_CCU2C_S0$CCU2_COMB0", 0.3),
        hop("routing", "device.a_CCU2C_S0$CCU2_COMB0", "device.a_CCU2C_S0$CCU2_COMB1", 0.0, net="chain"),
        hop("logic", "device.a_CCU2C_S0$CCU2_COMB1", "device.a_CCU2C_S0$CCU2_COMB1", 0.1),
        hop("routing", "device.a_CCU2C_S0$CCU2_COMB1", "device.b_TRELLIS_FF_Q_DI_LUT4_Z", 0.4, net="sum"),
        hop("logic", "device.b_TRELLIS_FF_Q_DI_LUT4_Z", "device.b_TRELLIS_FF_Q_DI_LUT4_Z", 0.14),
        hop("routing", "device.b_TRELLIS_FF_Q_DI_LUT4_Z", "device.b_TRELLIS_FF_Q", 0.1, net="next"),
        hop("setup", "device.b_TRELLIS_FF_Q", "device.b_TRELLIS_FF_Q", 0.0),
    ]  # fmt: skip
    report = {
        "fmax": {CORE: {"achieved": 110.0, "constraint": 100.0}, RX: {"achieved": 120.0, "constraint": 12.0}},
        "critical_paths": [
            {"from": "<async>", "to": f"posedge {CORE}", "path": [hop("routing", "pin", "c", 9.0, net="p")]},
            {"from": f"posedge {CORE}", "to": f"posedge {CORE}", "path": path},
        ],
        "detailed_net_timings": [
            reset_net("sync_feed_rst_TRELLIS_FF_Q", (3.1, CORE), (7.0, CORE)),
            reset_net("mac.x_TRELLIS_FF_Q", (4.9, CORE), (5.1, RX), (9.9, placed.ASYNC)),
            reset_net("strange_TRELLIS_FF_Q", (9.9, "no_clock")),
            {"net": "device.a[3]", "endpoints": [{"delay": [9.0, 9.5], "event": f"posedge {CORE}"}]},
        ],
        "utilization": {"DP16KD": {"used": 2, "available": 56}, "DCUA": {"used": 0, "available": 2}},
    }
    (tmp_path / "report.json").write_text(json.dumps(report))
    (tmp_path / "top.tim").write_text(LOG)
    return tmp_path


def test_clocks_have_the_names_of_the_board_and_meet_the_higher_of_both_targets(folder):
    core, rx = placed.read(1, folder, KNOWN).clocks
    assert (core.name, core.fmax_hz, core.target_hz, core.met) == ("sync", 110e6, 100e6, True)
    # nextpnr was told of no constraint for it: the board's own counts.
    assert (rx.name, rx.target_hz, rx.met) == ("rx_0", 125e6, False)


def test_clock_that_was_timed_again_counts_as_it_is_and_nextpnrs_figure_is_kept(folder):
    report = json.loads((folder / "report.json").read_text())
    report["fmax"][CORE] |= {"achieved": 130.0, placed.TOLD: 90.0}
    (folder / "report.json").write_text(json.dumps(report))
    result = placed.read(1, folder, KNOWN)
    core, rx = result.clocks
    assert (core.fmax_hz, core.told_hz, core.met, rx.told_hz) == (130e6, 90e6, True, None)
    assert result.margin == pytest.approx(0.96)


def test_margin_is_that_of_the_worst_clock(folder):
    result = placed.read(1, folder, KNOWN)
    assert result.margin == pytest.approx(0.96) and not result.met


@pytest.mark.parametrize(
    "net, name",
    [
        ("$glbnet$clocks.clk_sync", "sync"),
        ("slow_$glb_clk", "slow"),
        ("$glbnet$clk$TRELLIS_IO_IN", "clk"),
        ("port_0.rgmii.rx_0_clk", "rx_0"),
        ("cd_sync.clk", "sync"),
        ("async_clk", "async_clk"),
    ],
)
def test_clock_is_named_by_the_boards_name_in_its_net(net, name):
    assert placed.clock_name(net, {"sync": 1, "rx_0": 1}) == name


def test_only_clock_that_is_left_names_the_only_net_that_fits_none():
    assert placed.clock_names(["clocks.boot_clk"], {"sync": 1}) == {"clocks.boot_clk": "sync"}
    assert placed.clock_names(["x", "y"], {"sync": 1}) == {"x": "x", "y": "y"}


def test_crossings_are_those_of_the_last_analysis_and_judged_against_the_receiving_period(folder):
    found = {(c.source, c.sink): c for c in placed.read(1, folder, KNOWN).crossings}
    assert len(found) == 4
    fast, slow = found["sync", "rx_0"], found["rx_0", "sync"]
    assert (fast.delay_ns, fast.period_ns, fast.met) == (7.97, 8.0, True)
    assert (slow.delay_ns, slow.period_ns, slow.met) == (10.3, 10.0, False)


def test_crossing_from_or_to_no_clock_is_told_but_not_judged(folder):
    (begun,) = [c for c in placed.read(1, folder, KNOWN).crossings if c.source == placed.ASYNC]
    assert begun.delay_ns == 0.65 and not begun.judged and begun.met


def test_limiting_path_is_told_in_words(folder):
    path = placed.read(1, folder, KNOWN).paths["sync"]
    assert path.words == (
        "From device.a (gateware/a.py:9) through 1 carry cell and 1 LUT to device.b: 2.85 ns, 0.85 in cells and 2.00 "
        "in wires; the slowest wire is device.a (gateware/a.py:9) with 1.50 ns."
    )
    assert len(path.steps) == 9


def test_resets_have_to_leave_the_global_network_its_time(folder):
    late, early = placed.read(1, folder, KNOWN).resets
    assert reset_nets.NETWORK_NS == 3.0
    assert late == placed.Reset("sync_feed_rst", 7.0, 10.0) and late.met
    # The shorter one of both periods counts, and the later one of both arrivals.
    assert early == placed.Reset("mac.x", 5.1, 8.0) and not early.met
    assert placed.read(1, folder, KNOWN).slow_resets == (early,)


def test_utilization_leaves_out_what_is_not_used(folder):
    assert placed.read(1, folder, KNOWN).utilization == {"DP16KD": (2, 56)}


def test_what_does_not_fit_is_named_with_by_how_much():
    log = "Info:       TRELLIS_COMB:   24300/ 24288   100%\nInfo:    DP16KD:      56/    56   100%\n"
    with pytest.raises(UserError, match="x does not fit P: it needs 24,300 LUTs, of which the part has 24,288: 12 too"):
        placed.refuse_too_large("x", "P", log)
    placed.refuse_too_large("x", "P", "Info:    DP16KD:      56/    56   100%\n")
