"""Sites of the book's block RAMs: side by side, each once, and where the part has them."""

import random
import re

import pytest

from tickgate.gateware.build import STAGES, to_verilog
from tickgate.hw import floorplan
from tickgate.hw.parts import PARTS, part_named
from tickgate.sw.spec.sizes import Sizes

PART = part_named("LFE5UM5G-85F-8BG554")
WAYS = [f"device.book.table.way{way}.0.{number}" for way in range(10) for number in range(4)]
SHARES = [f"device.book.levels.shares.0.{number}" for number in range(24)]
OTHERS = ["device.telemetry.fifo.storage.0.0", "device.book.levels.words.0.0", "device.book.table.waiting.0.0"]


def column(site: str) -> int:
    return PART.block_ram_columns.index(int(site.split("/")[0][1:]))


def row(site: str) -> int:
    return int(site.split("/")[1][1:])


def test_floorplan_book_stands_in_one_block():
    rams = [*WAYS, *SHARES, *OTHERS]
    random.Random(1).shuffle(rams)
    found = floorplan.sites(PART, rams)
    assert found.keys() == {*WAYS, *SHARES} and len(set(found.values())) == 64
    assert {row(site) for site in found.values()} == {70, 82}
    taken = {column(site) for site in found.values()}
    assert taken == set(range(min(taken), min(taken) + 32))
    assert all(site.endswith(f"EBR{column(site) % 4}") for site in found.values())


def test_floorplan_keeps_a_memory_together():
    found = floorplan.sites(PART, [*WAYS, *SHARES])
    for way in range(10):
        mine = [found[name] for name in WAYS[4 * way : 4 * way + 4]]
        assert [column(site) for site in mine] == list(range(column(mine[0]), column(mine[0]) + 4))
        assert {row(site) for site in mine} == {PART.block_ram_rows[way % 2]}
    assert max(map(column, (found[name] for name in WAYS))) < min(map(column, (found[name] for name in SHARES)))


def test_floorplan_order_of_the_netlist_does_not_matter():
    turned = floorplan.sites(PART, [*reversed(SHARES), *reversed(WAYS)])
    assert turned == floorplan.sites(PART, [*WAYS, *SHARES])


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_floorplan_only_where_there_are_sites(part):
    assert bool(floorplan.sites(part, WAYS)) == bool(part.block_ram_rows)
    assert len(part.block_ram_columns) % 4 == 0 and len(set(part.block_ram_columns)) == len(part.block_ram_columns)


def test_floorplan_more_than_there_is_room_for_is_left_to_the_placer():
    assert floorplan.sites(PART, [f"device.book.levels.shares.0.{number}" for number in range(105)]) == {}


def test_floorplan_netlist_gets_the_sites_and_keeps_the_rest():
    def ram(kind):
        return {"type": kind, "attributes": {"src": "x"}, "connections": {"CLKA": [2]}}

    names = {WAYS[0]: "DP16KD", WAYS[1]: "TRELLIS_DPR16X4", OTHERS[0]: "DP16KD"}
    module = {"cells": {name: ram(kind) for name, kind in names.items()}}
    assert floorplan.place(PART, module) == 1
    site = module["cells"][WAYS[0]]["attributes"].pop("BEL")
    assert site == floorplan.sites(PART, [WAYS[0]])[WAYS[0]]
    assert module["cells"] == {name: ram(kind) for name, kind in names.items()}


def test_floorplan_memories_are_those_of_the_book():
    book = STAGES["book"](Sizes(slots=2, orders=256, levels=64, stash=8), frozenset())
    modules = dict(
        re.findall(r"^module \\?(\S+) ?\((.*?)^endmodule", to_verilog(book, name="book"), re.MULTILINE | re.DOTALL)
    )
    for begins in floorplan.MEMORIES:
        module, memory = begins.removeprefix("device.").rsplit(".", 1)
        assert re.search(rf"^  reg \[\d+:0\] {memory}\d* \[", modules[module], re.MULTILINE), begins
