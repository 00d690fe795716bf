"""Stage trigger against the reference model and at the edges of its rules."""

import gc
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.trigger import LATENCY_CYCLES, Trigger
from tickgate.sim import cocotb_lib
from tickgate.sim.benches import trigger as bench
from tickgate.sim.benches.trigger import Expected, Inputs
from tickgate.sw.spec import events
from tickgate.sw.spec.events import TriggerFlag, TriggerStatus
from tickgate.sw.spec.rows import GATE_ROW, TRIGGER_ROW, PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes

SIZES = Sizes(slots=2, orders=256, levels=64)
BLANK = dict.fromkeys((f.name for f in events.BOOK_UPDATE.fields), 0)


def play(dut: Trigger, scenario: list[Inputs]) -> Expected:
    """Simulates a scenario; cycles and records as the bench has them."""
    seen = Expected()
    flows = (
        (dut.trace, events.TRIGGER_TRACE, seen.traces),
        (dut.o_intents, events.INTENT, seen.intents),
        (dut.o_book, events.BOOK_UPDATE, seen.updates),
    )

    async def testbench(ctx):
        for cycle, now in enumerate([*scenario, Inputs()]):
            ctx.set(dut.now, cycle)
            ctx.set(dut.i.valid, now.update is not None)
            if now.update is not None:
                ctx.set(dut.i.payload.as_value(), events.BOOK_UPDATE.pack(now.update))
            ctx.set(dut.done, now.done)
            ctx.set(dut.kill, now.kill)
            ctx.set(dut.cfg_trigger.commit, now.row is not None)
            if now.row is not None:
                ctx.set(dut.cfg_trigger.select, now.row[0])
                ctx.set(dut.cfg_trigger.row.as_value(), TRIGGER_ROW.pack(now.row[1]))
            ctx.set(dut.cfg_gate.commit, now.gate is not None)
            if now.gate is not None:
                ctx.set(dut.cfg_gate.row.as_value(), GATE_ROW.pack(now.gate))
            for port, record, items in flows:
                if ctx.get(port.valid):
                    items.append((cycle, record.unpack(ctx.get(port.payload.as_value()))))
            await ctx.tick()
        seen.counters = {name: ctx.get(dut.counters[name]) for name in dut.COUNTERS}

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


def update(**values: int) -> Inputs:
    return Inputs(update={**BLANK, "bbo_changed": 1, "itch_type": ord("A"), **values})


def row(**values: int) -> dict[str, int]:
    return {"kind": TriggerKind.TAKE, "threshold_e4": 1000, "quantity": 5, "rearm": Rearm.COOLDOWN, **values}


def idle(cycles: int) -> list[Inputs]:
    return [Inputs() for _ in range(cycles)]


INTENT = {
    "slot": 0, "side": 0, "quantity": 5, "tif": 1, "display": 2, "capacity": 3, "seq": 9, "stamp": 8, "price_e4": 0,
}  # fmt: skip
QUIET, TRUE = update(ask_px_e4=2000), update(ask_px_e4=1000)


@pytest.mark.parametrize("pattern", cocotb_lib.PATTERNS)
def test_trigger_random_updates_match_the_model(pattern):
    rng = random.Random(f"trigger {pattern}")
    scenario = bench.random_scenario(rng, SIZES.slots, 1500, cocotb_lib.PATTERNS[pattern])
    wanted = bench.expected(scenario, SIZES.slots)
    seen = play(Trigger(SIZES), scenario)
    bench.check(seen, wanted)
    assert seen.counters == wanted.counters
    if pattern == "none":
        flags = {flag for _, r in wanted.traces for flag in TriggerFlag if r["flags"] & flag}
        assert flags == set(TriggerFlag)
        assert {r["status"] for _, r in wanted.traces} == set(TriggerStatus)
        assert {r["fired"] for _, r in wanted.traces} == {0, 1, 2, 3}


@pytest.mark.parametrize("fault", Trigger.FAULTS)
def test_trigger_with_a_planted_fault_differs_from_the_model(fault):
    scenario = bench.random_scenario(random.Random(1), SIZES.slots, 1500, cocotb_lib.never)
    seen = play(Trigger(SIZES, faults=frozenset({fault})), scenario)
    with pytest.raises(AssertionError):
        bench.check(seen, bench.expected(scenario, SIZES.slots))


def test_trigger_faults_of_the_bench_are_those_of_the_stage():
    assert set(bench.FAULTS) == set(Trigger.FAULTS)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_trigger_unknown_fault_is_refused():
    def make() -> None:
        with pytest.raises(ValueError, match="fault must be one of edge_lost, .*, not 'no_such'"):
            Trigger(SIZES, faults=frozenset({"no_such"}))

    make()
    gc.collect()  # while the half-made component may still complain


BIG = (1 << 48) - 1
BOUNDARIES = [
    # side, row, update: fires or not
    (0, row(), {"ask_px_e4": 1000}, True),
    (0, row(), {"ask_px_e4": 1001}, False),
    (0, row(), {"ask_px_e4": 0}, False),
    (1, row(), {"bid_px_e4": 1000}, True),
    (1, row(), {"bid_px_e4": 999}, False),
    (1, row(threshold_e4=0), {"bid_px_e4": 0}, False),
    (0, row(kind=TriggerKind.SPREAD, min_spread_e4=5), {"bid_px_e4": 10, "ask_px_e4": 15}, True),
    (0, row(kind=TriggerKind.SPREAD, min_spread_e4=5), {"bid_px_e4": 10, "ask_px_e4": 14}, False),
    (0, row(kind=TriggerKind.SPREAD, min_spread_e4=0), {"bid_px_e4": 15, "ask_px_e4": 14}, False),
    (0, row(kind=TriggerKind.SPREAD, min_spread_e4=0), {"bid_px_e4": 15, "ask_px_e4": 15}, True),
    (1, row(kind=TriggerKind.SPREAD, min_spread_e4=0), {"bid_px_e4": 0, "ask_px_e4": 15}, False),
    (0, row(kind=TriggerKind.IMBALANCE, num=2, den=1), {"bid_qty": 21, "ask_qty": 10}, True),
    (0, row(kind=TriggerKind.IMBALANCE, num=2, den=1), {"bid_qty": 20, "ask_qty": 10}, False),
    (1, row(kind=TriggerKind.IMBALANCE, num=2, den=1), {"bid_qty": 10, "ask_qty": 21}, True),
    (1, row(kind=TriggerKind.IMBALANCE, num=2, den=1), {"bid_qty": 10, "ask_qty": 20}, False),
    (0, row(kind=TriggerKind.IMBALANCE, num=0xFFFF, den=0xFFFF), {"bid_qty": BIG, "ask_qty": BIG - 1}, True),
    (0, row(kind=TriggerKind.IMBALANCE, num=0xFFFF, den=0xFFFF), {"bid_qty": BIG, "ask_qty": BIG}, False),
    (0, row(kind=TriggerKind.OFF), {"ask_px_e4": 1}, False),
]


def test_trigger_condition_at_its_boundary_fires_or_not():
    scenario, entries = [], []
    for side, values, top, fires in BOUNDARIES:
        prices = {"bid_px_e4": 1, "ask_px_e4": 1} if values["kind"] == TriggerKind.IMBALANCE else {}
        scenario += [Inputs(row=(2 + side, values)), Inputs(row=(3 - side, row(kind=TriggerKind.OFF)))]
        if fires:
            entries.append(len(scenario))
        scenario += [update(slot=1, **prices, **top), *idle(8), Inputs(done=True)]
    seen = play(Trigger(SIZES), scenario)
    assert [cycle - LATENCY_CYCLES for cycle, _ in seen.intents] == entries


@pytest.mark.parametrize(
    ("source", "price"), [(PriceSource.TEMPLATE, 7), (PriceSource.BEST_BID, 990), (PriceSource.BEST_ASK, 1000)]
)
def test_trigger_price_source_selects_the_limit_price(source, price):
    values = row(price_source=source, price_e4=7, tif=1, display=2, capacity=3)
    scenario = [Inputs(row=(0, values)), update(bid_px_e4=990, ask_px_e4=1000, seq=9, stamp=8), *idle(8)]
    seen = play(Trigger(SIZES), scenario)
    assert seen.intents == [
        (6, {**INTENT, "price_e4": price}),
    ]


def test_trigger_row_committed_around_an_update_counts_as_the_old_or_the_new_one():
    old, new = row(quantity=1, price_e4=11), row(quantity=2, price_e4=22)
    scenario, wanted = [], []
    for offset in range(-8, 9):
        start = len(scenario)
        scenario += [*idle(30), Inputs(done=True)]
        commit, entry = start + 12, start + 12 + offset
        scenario[start].row = (0, old)
        scenario[commit].row = (0, new)
        scenario[entry].update = TRUE.update
        wanted.append((entry + LATENCY_CYCLES, *((1, 11) if entry <= commit else (2, 22))))
    seen = play(Trigger(SIZES), scenario)
    assert [(cycle, intent["quantity"], intent["price_e4"]) for cycle, intent in seen.intents] == wanted


def test_trigger_cooldown_ends_after_its_cycles():
    scenario, wanted = [], []
    for cooldown in range(8):
        for gap in range(1, 10):
            scenario += [Inputs(row=(0, row(cooldown_cycles=cooldown))), *idle(gap + 8)]
            first = len(scenario) - gap - 4
            scenario[first].update = scenario[first + gap].update = TRUE.update
            if gap > 1:
                scenario[first + gap - 1].update = QUIET.update
            wanted.append(first)
            # Without an update between them the condition stays true: no edge.
            if gap > 1 and gap >= cooldown:
                wanted.append(first + gap)
            scenario += [*idle(6), Inputs(done=True), *idle(2), Inputs(done=True)]
    seen = play(Trigger(SIZES), scenario)
    fired = [cycle - LATENCY_CYCLES for cycle, record in seen.traces if record["fired"]]
    assert fired == wanted


def test_trigger_one_shot_fires_again_only_after_its_row_is_written():
    scenario = [Inputs(row=(0, row(rearm=Rearm.ONE_SHOT)))]
    for _ in range(3):
        scenario += [TRUE, QUIET, *idle(6), Inputs(done=True)]
    scenario += [Inputs(row=(0, row(rearm=Rearm.ONE_SHOT))), TRUE, *idle(8)]
    seen = play(Trigger(SIZES), scenario)
    assert len(seen.intents) == 2


@pytest.mark.parametrize("slot", range(2))
def test_trigger_select_beyond_the_last_slot_writes_nothing(slot):
    scenario = [Inputs(row=(4 + 2 * slot, row())), update(slot=slot, ask_px_e4=1000), *idle(8)]
    assert not play(Trigger(SIZES), scenario).intents


def test_trigger_waiting_intent_is_dropped_when_older_than_its_limit():
    scenario, wanted, dropped = [], [], 0
    for limit in range(5):
        for wait in range(1, 8):
            gate = {"intent_limit_valid": 1, "intent_limit_cycles": limit}
            first = len(scenario) + 1
            scenario += [Inputs(row=(0, row()), gate=gate), TRUE, QUIET, TRUE, *idle(20), Inputs(done=True)]
            held = first + 2 + bench.DECISION_CYCLES
            scenario[held + wait].done = True
            wanted.append(first + LATENCY_CYCLES)
            # One cycle beyond its limit it is dropped, unless the port is free in that cycle.
            if wait <= limit + 1:
                wanted.append(held + wait + 1)
            else:
                dropped += 1
    seen = play(Trigger(SIZES), scenario)
    assert [cycle for cycle, _ in seen.intents] == wanted
    assert seen.counters["intents_too_old"] == dropped


def test_trigger_latency_table_is_measured():
    dut = Trigger(SIZES)
    table = dut.latency_cycles
    scenario = [Inputs(row=(0, row()), gate={"intent_limit_valid": 1, "intent_limit_cycles": 99})]
    scenario += [TRUE, QUIET, TRUE, *idle(20), Inputs(done=True), *idle(3)]
    seen = play(dut, scenario)
    assert {cycle - entry for (cycle, _), entry in zip(seen.updates, (1, 2, 3), strict=True)} == {
        table["i", "o_book", "any"][0]
    }
    assert [cycle for cycle, _ in seen.intents] == [
        1 + table["i", "o_intents", "sent"][0],
        24 + table["done", "o_intents", "emit"][0],
    ]
