"""Values of a pipeline, in every stage in which they are asked for: moving on, resting, and carried in a memory."""

import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from tickgate.gateware.lib.pipe import Pipe

LAST = 7
WIDTH = 24


def play(apart, build, *, ahead_too_often=False, cycles=400):
    """Random transactions at least `apart` cycles apart; `build` makes the pipeline of a value and tells which stages
    to look at. Returns how often a stage of a transaction was looked at."""
    m = Module()
    valid, ahead, value = Signal(), Signal(), Signal(WIDTH)
    pipe = Pipe(m, valid="valid")
    pipe.put("valid", valid, 0, reset=True)
    pipe.put("ahead", ahead, 0, reset=True)
    stages = {stage: pipe.get("value", stage) for stage in build(pipe, value)}
    rng, given, seen = random.Random(f"{apart} {ahead_too_often}"), [], 0

    async def bench(ctx):
        nonlocal seen
        wait = 0
        for cycle in range(cycles):
            enters = wait == 0 and rng.random() < 0.7
            wait = apart - 1 if enters else max(wait - 1, 0)
            given.append(rng.getrandbits(WIDTH) if enters else None)
            ctx.set(valid, enters)
            ctx.set(ahead, enters or ahead_too_often)
            ctx.set(value, given[-1] if enters else rng.getrandbits(WIDTH))
            for stage, signal in stages.items():
                if cycle >= stage and given[cycle - stage] is not None:
                    assert ctx.get(signal) == given[cycle - stage], f"stage {stage} in cycle {cycle}"
                    seen += 1
            await ctx.tick()

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    registers = {signal.name for signal in stages.values()}
    return seen, registers


def rested(rests, **more):
    def build(pipe, value):
        pipe.put("value", value, 0, rests=rests, **more)
        return range(LAST + 1)

    return build


def carried(pipe, value):
    pipe.put("value", value, 0)
    pipe.carry(["value"], 1, 5)
    return (0, 1, 5, 6)


@pytest.mark.parametrize(("rests", "registers"), [(1, 7), (2, 4), (3, 3), (4, 2)])
def test_pipe_value_that_rests_has_a_register_in_every_nth_stage(rests, registers):
    seen, names = play(rests, rested(rests))
    assert seen > 500
    assert len(names) == 1 + registers


def test_pipe_value_of_transactions_that_come_too_soon_is_wrong():
    with pytest.raises(AssertionError, match="stage 2"):
        play(1, rested(2))


def test_pipe_first_register_may_load_ahead_of_the_transaction():
    seen, names = play(2, rested(2, ahead="ahead"), ahead_too_often=True)
    assert seen > 500
    assert len(names) == 1 + 1 + 3  # one of its own, then one in stages 2, 4 and 6


@pytest.mark.parametrize("apart", [1, 2, 5])
def test_pipe_carried_value_arrives_with_its_transaction(apart):
    seen, names = play(apart, carried)
    assert seen > 200
    assert names == {"value_0", "value_1", "value_5", "value_6"}


def test_pipe_carried_value_may_be_asked_for_on_its_way():
    def build(pipe, value):
        pipe.put("value", value, 0)
        pipe.carry(["value"], 0, 4)
        return range(LAST + 1)

    assert play(1, build)[0] > 500


def test_pipe_way_that_no_value_can_be_carried_is_refused():
    def build(names, since, to, **how):
        pipe = Pipe(Module(), valid="valid")
        pipe.put("valid", Signal(), 0, reset=True)
        pipe.put("value", Signal(8), 0, **how)
        pipe.carry(names, since, to)

    with pytest.raises(ValueError, match="over 2 to 16 stages, not 1"):
        build(["value"], 3, 4)
    with pytest.raises(ValueError, match="over 2 to 16 stages, not 17"):
        build(["value"], 0, 17)
    with pytest.raises(ValueError, match="'value' does not move with its transaction"):
        build(["value"], 0, 4, always=True)
    with pytest.raises(ValueError, match="a pipeline without a valid carries nothing"):
        Pipe(Module()).carry([], 0, 4)
