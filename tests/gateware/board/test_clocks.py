"""Clocks: dividers within the limits of the data sheets, and the order in which resets end."""

import dataclasses

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from tickgate.gateware.board.clocks import Clocks, ResetSequence, add_domains, add_part_domains
from tickgate.gateware.board.description import GIGABIT_HZ
from tickgate.gateware.board.pll import EHXPLLL, PLLE2, broken_limits, plan_pll
from tickgate.hw.boards import BOARDS

GENERATORS = {"ecp5": (EHXPLLL, True), "xc7": (PLLE2, False)}
DRIVEN = [b for b in BOARDS.values() if b.part.family in GENERATORS]


@pytest.mark.parametrize("board", DRIVEN, ids=lambda b: b.name)
def test_dividers_of_every_board_keep_the_limits_and_make_its_clocks(board):
    limits, separate = GENERATORS[board.part.family]
    wanted = [board.core_hz, *([GIGABIT_HZ] if any(p.mode == "rgmii" for p in board.ports) else [])]
    plan = plan_pll(board.oscillator_hz, wanted, limits, separate_loop=separate)
    assert broken_limits(plan, limits, separate) == []
    # In figures of the data sheet, independent of how they are written down in the code.
    low, high = (400e6, 800e6) if board.part.family == "ecp5" else (800e6, 1600e6)
    vco = board.oscillator_hz / plan.input_divider * plan.feedback_divider * plan.loop_divider
    assert low <= vco <= high
    assert board.oscillator_hz / plan.input_divider >= 10e6
    for hz, divider in zip(wanted, plan.output_dividers, strict=True):
        assert abs(vco / divider - hz) < 1


@pytest.mark.parametrize("oscillator_hz", (25_000_000, 100_000_000))
def test_the_core_rate_of_ten_gigabit_is_made_beside_125_mhz(oscillator_hz):
    plan = plan_pll(oscillator_hz, (156_250_000, GIGABIT_HZ))
    assert (plan.vco_hz, plan.output_dividers) == (625_000_000, (4, 5))


@pytest.mark.parametrize(
    ("change", "told"),
    (
        ({"input_divider": 10}, "phase detector is 2.500 MHz"),
        ({"loop_divider": 1}, "oscillator is 125.000 MHz"),
        ({"loop_divider": 40}, "oscillator is 5000.000 MHz"),
        ({"output_dividers": (1, 5)}, "output 0 is 625.000 MHz"),
        ({"output_dividers": (200, 5)}, "output divider 0 is 200, not 1 to 128"),
        ({"feedback_divider": 25, "loop_divider": 1}, "feedback output is 625.000 MHz"),
        ({"feedback_divider": 0}, "feedback divider is 0, not 1 to 80"),
    ),
)
def test_a_broken_limit_is_told(change, told):
    plan = plan_pll(25_000_000, (156_250_000, GIGABIT_HZ))
    assert broken_limits(plan, EHXPLLL) == []
    found = broken_limits(dataclasses.replace(plan, **change), EHXPLLL)
    assert any(text.startswith(told) for text in found), found


def test_clocks_that_cannot_be_made_are_refused():
    with pytest.raises(ValueError, match="no dividers of EHXPLLL make 156.25, 125 MHz from 30 MHz"):
        plan_pll(30_000_000, (156_250_000, GIGABIT_HZ))
    with pytest.raises(ValueError, match="family must be"):
        Clocks(family="other", oscillator="clk", oscillator_hz=1, core_hz=1, gigabit=False)
    with pytest.raises(ValueError, match="ice40 runs on its oscillator"):
        Clocks(family="ice40", oscillator="clk", oscillator_hz=12_000_000, core_hz=24_000_000, gigabit=False)


LOCK, RESET, SETTLE = 20, 30, 15


def run_sequence(locked, cycles=200, faults=frozenset()):
    dut = ResetSequence(lock_cycles=LOCK, reset_cycles=RESET, settle_cycles=SETTLE, faults=faults)
    seen = []

    async def testbench(ctx):
        for cycle in range(cycles):
            ctx.set(dut.locked, locked(cycle))
            seen.append(tuple(ctx.get(s) for s in (dut.core_ready, dut.phy_reset, dut.phy_ready)))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def rises(seen, column):
    return [n for n in range(1, len(seen)) if seen[n][column] > seen[n - 1][column]]


def test_core_leaves_reset_when_the_lock_has_lasted():
    seen = run_sequence(lambda cycle: cycle >= 10)
    (up,) = rises(seen, 0)
    assert LOCK <= up - 10 <= LOCK + 3


def test_a_break_of_the_lock_stops_the_core_and_starts_the_wait_again():
    def locked(cycle):
        return cycle >= 10 and cycle not in (15, 100)

    def check(seen):
        first, second = rises(seen, 0)
        down = next(n for n in range(first, len(seen)) if not seen[n][0])
        return first - 16 >= LOCK and down - 100 <= 3 and second - 101 >= LOCK

    assert check(run_sequence(locked))
    assert not check(run_sequence(locked, faults=frozenset({"break_ignored"})))


def test_phys_are_held_in_reset_and_then_left_alone_for_as_long_as_they_want():
    def check(seen):
        lasts = sum(s[1] for s in seen)
        (ready,) = rises(seen, 2)
        return seen[0][1] == 1 and lasts >= RESET and ready - lasts >= SETTLE

    assert check(run_sequence(lambda cycle: 0))
    assert not check(run_sequence(lambda cycle: 0, faults=frozenset({"phy_not_awaited"})))


def test_parts_are_reset_together_and_leave_it_together():
    m, parts = Module(), ("first", "middle", "last")
    sync = add_domains(m, ("sync",))["sync"]
    domains = add_part_domains(m, sync, parts)
    counts = {part: Signal(8, name=f"count_{part}") for part in parts}
    for part, count in counts.items():
        m.d[f"sync_{part}"] += count.eq(count + 1)
    assert all(domain.clk is sync.clk for domain in domains.values())
    seen, counted = [], []

    async def testbench(ctx):
        for cycle in range(16):
            ctx.set(sync.rst, 8 <= cycle < 10)
            await ctx.tick()
            seen.append("".join(str(ctx.get(domain.rst)) for domain in domains.values()))
        counted.extend(ctx.get(counts[part]) for part in parts)

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert list(domains) == list(parts)
    assert seen == [*["000"] * 8, "111", "111", *["000"] * 6]
    assert counted == [5, 5, 5]  # cycles since the reset
