"""Every light does what the meaning in the table says."""

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.description import LedMeaning
from tickgate.gateware.board.lights import DARK_MS, FLASH_MS, Lights

HZ = 1000  # a cycle is a millisecond
ALL = tuple(LedMeaning)


def run(drive, cycles, faults=frozenset(), meanings=ALL):
    """Each light over the cycles, by meaning; `drive` gives status fields, and `link`, for a cycle."""
    dut, seen = Lights(meanings, clock_hz=HZ, faults=faults), {meaning: [] for meaning in meanings}

    async def testbench(ctx):
        for cycle in range(cycles):
            values = drive(cycle)
            ctx.set(dut.link, values.pop("link", 0))
            ctx.set(dut.status, values)
            for number, meaning in enumerate(meanings):
                seen[meaning].append(ctx.get(dut.o[number]))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-3)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


LEVELS = {
    LedMeaning.LINK: ({"link": 1}, {"link": 2}),
    LedMeaning.LINK_1: ({"link": 2}, {"link": 1}),
    LedMeaning.BOOK_VALID: ({"book_valid": 1}, {"armed": 1, "session_open": 1}),
    LedMeaning.ARMED: ({"armed": 1}, {"book_valid": 1}),
    LedMeaning.KILLED: ({"armed": 0}, {"armed": 1}),
    LedMeaning.SESSION: ({"session_open": 1}, {"armed": 1}),
}
FLASHES = {LedMeaning.ACTIVITY: "message", LedMeaning.ORDER: "order"}


@pytest.mark.parametrize("meaning", LEVELS)
def test_light_of_a_level_follows_it(meaning):
    on, off = LEVELS[meaning]
    assert set(run(lambda cycle: dict(on), 10)[meaning][3:]) == {1}
    assert set(run(lambda cycle: dict(off), 10)[meaning][3:]) == {0}


@pytest.mark.parametrize("meaning", FLASHES)
def test_light_of_an_event_flashes_once_for_each_that_one_can_see(meaning):
    name = FLASHES[meaning]
    one = run(lambda cycle: {name: int(cycle == 5)}, 300)[meaning]
    assert sum(one) == FLASH_MS
    # Events without a pause: the light still goes off between flashes.
    many = run(lambda cycle: {name: 1}, 1000)[meaning]
    edges = sum(a < b for a, b in zip(many, many[1:], strict=False))
    assert edges in range(1000 // (FLASH_MS + DARK_MS + 2), 1000 // (FLASH_MS + DARK_MS) + 1)
    other = next(n for n in FLASHES.values() if n != name)
    assert not any(run(lambda cycle: {other: 1}, 300)[meaning])


def test_light_of_life_blinks_once_a_second():
    seen = run(lambda cycle: {}, 4 * HZ)[LedMeaning.ALIVE]
    assert sum(a != b for a, b in zip(seen, seen[1:], strict=False)) in (7, 8)
    assert abs(sum(seen) - 2 * HZ) < HZ // 100


def test_every_meaning_is_tested_here():
    assert {*LEVELS, *FLASHES, LedMeaning.ALIVE} == set(LedMeaning)


def test_a_planted_fault_is_caught():
    faults = frozenset({"kill_and_armed_swapped"})
    assert set(run(lambda cycle: {"armed": 1}, 10, faults)[LedMeaning.ARMED][3:]) == {0}
    many = run(lambda cycle: {"message": 1}, 1000, frozenset({"no_dark"}))[LedMeaning.ACTIVITY]
    assert sum(a < b for a, b in zip(many, many[1:], strict=False)) > 1000 // (FLASH_MS + DARK_MS)


def test_a_board_without_lights_is_possible():
    Lights((), clock_hz=HZ)
