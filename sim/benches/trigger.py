"""Bench of stage `trigger`: random updates, rows, kills and completions against the reference model, cycle by cycle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib
from tickgate.sw.model import trigger as model
from tickgate.sw.spec import events
from tickgate.sw.spec.rows import GATE_ROW, TRIGGER_ROW, PriceSource, Rearm, TriggerKind
from tickgate.sw.spec.sizes import Sizes

STAGE = "trigger"
EXPECTED_TESTS = 3
FAULTS = {
    "edge_lost": "random_updates_match_the_model",
    "one_shot_again": "random_updates_match_the_model",
    "cooldown_early": "random_updates_match_the_model",
    "product_truncated": "random_updates_match_the_model",
    "sell_wins": "random_updates_match_the_model",
    "busy_overwrites": "random_updates_match_the_model",
    "expire_late": "random_updates_match_the_model",
    "kill_spares": "random_updates_match_the_model",
    "commit_keeps_condition": "random_updates_match_the_model",
}

#: Cycles from an update's entry to the decision on it, and to what leaves.
DECISION_CYCLES, LATENCY_CYCLES = 4, 5


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.trigger import Trigger

    return Trigger(sizes, faults=faults)


@dataclass
class Inputs:
    """What one cycle brings: an update, pulses, levels, row commits."""

    update: dict[str, int] | None = None
    done: bool = False
    kill: bool = False
    row: tuple[int, dict[str, int]] | None = None
    gate: dict[str, int] | None = None


@dataclass
class Expected:
    """What leaves, each with the cycle in which it is valid."""

    traces: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    intents: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    updates: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)


def expected(scenario: list[Inputs], slots: int) -> Expected:
    """What the reference model makes of a scenario that starts right after reset, with `now` 0 in its first cycle.

    Rows count after the updates of their cycle; an update is decided `DECISION_CYCLES` later.
    """
    reference, result = model.Trigger(slots), Expected()
    for cycle, now in enumerate(scenario):
        past = scenario[cycle - DECISION_CYCLES] if cycle >= DECISION_CYCLES else Inputs()
        update = None
        stamp = 0
        if past.update is not None:
            result.updates.append((cycle + 1, past.update))
            update = events.BOOK_UPDATE.tuple_type(**past.update)
            if reference.note(update):
                stamp = update.stamp
            else:
                update = None
        reference.kill = now.kill
        for record in reference.step(cycle, update, now.done):
            result.traces.append((cycle + 1, {**record._asdict(), "cycle": cycle + 1, "stamp": stamp}))
        for intent in reference.sent:
            result.intents.append((cycle + 1, intent._asdict()))
        reference.sent.clear()
        if past.row is not None and past.row[0] < 2 * slots:
            reference.commit_trigger(past.row[0] >> 1, past.row[0] & 1, past.row[1])
        if now.gate is not None:
            reference.commit_gate(now.gate)
    result.counters = dict(reference.counters)
    return result


def random_row(rng: random.Random) -> dict[str, int]:
    """A trigger row near the prices and quantities of `random_update`."""
    return {
        "kind": rng.choice((*TriggerKind, *TriggerKind)),
        "threshold_e4": 1000 + rng.randrange(6),
        "num": rng.choice((0, 1, 2, 3, 0xFFFF, rng.randrange(1 << 16))),
        "den": rng.choice((1, 1, 2, 3, 0xFFFF, rng.randrange(1 << 16))),
        "min_spread_e4": rng.randrange(5),
        "price_source": rng.choice(list(PriceSource)),
        "price_e4": rng.getrandbits(32),
        "quantity": rng.getrandbits(32),
        "tif": rng.getrandbits(8),
        "display": rng.getrandbits(8),
        "capacity": rng.getrandbits(8),
        "rearm": rng.choice((Rearm.ONE_SHOT, Rearm.COOLDOWN, Rearm.COOLDOWN, Rearm.COOLDOWN)),
        "cooldown_cycles": rng.choice((0, 1, 2, 3, 5, 8, 13)),
    }


def random_update(rng: random.Random, slots: int, number: int) -> dict[str, int]:
    """An update whose prices and quantities are often equal, absent, or far too large for 32 bits."""
    base = rng.choice((1, 2, 3, 6, 1 << 32, (1 << 47) + 1, rng.getrandbits(48)))
    other = rng.choice((base, base * 2, base * 3, base + 1, rng.getrandbits(48))) & (1 << 48) - 1
    quantities = rng.sample((base, other), 2)
    bid, ask = (rng.choice((0, *range(1000, 1006), *range(1000, 1006))) for _ in "ba")
    every = rng.random() < 0.05
    return {
        "slot": rng.randrange(slots) if rng.random() < 0.3 else 0,
        "every_slot": int(every),
        "every_set": rng.getrandbits(2),
        "every_clear": rng.getrandbits(2),
        "state_set": 0,
        "state_clear": 0,
        "other": int(rng.random() < 0.05),
        "other_slot": rng.randrange(slots),
        "bid_px_e4": bid,
        "bid_qty": quantities[0],
        "ask_px_e4": ask,
        "ask_qty": quantities[1],
        "bbo_changed": int(rng.random() < 0.7),
        "validity": rng.choice((0, 0, 1, 8)),
        "state": rng.getrandbits(5),
        "itch_type": 0 if every or rng.random() < 0.03 else ord("A"),
        "seq": 1000 + number,
        "stamp": rng.getrandbits(64),
    }


def random_scenario(rng: random.Random, slots: int, cycles: int, idle: cocotb_lib.Pattern) -> list[Inputs]:
    """Cycles of random inputs: updates with the gaps of `idle`, sometimes runs without a completion or with a kill."""
    gaps, scenario, kill = idle(rng), [], False
    done_share = 0.3
    for cycle in range(cycles):
        inputs = Inputs()
        if not next(gaps):
            inputs.update = random_update(rng, slots, cycle)
        if cycle % 100 == 0:
            done_share = rng.choice((0.03, 0.1, 0.3))
        inputs.done = rng.random() < done_share
        if rng.random() < (0.3 if kill else 0.02):
            kill = not kill
        inputs.kill = kill
        if rng.random() < 0.15 or cycle < 8:
            select = rng.randrange(2 * slots + 2) if rng.random() < 0.4 else rng.randrange(2)
            inputs.row = (select, random_row(rng))
        if rng.random() < 0.02 or cycle == 0:
            inputs.gate = {"intent_limit_valid": int(rng.random() < 0.8), "intent_limit_cycles": rng.randrange(30)}
        scenario.append(inputs)
    return scenario + [Inputs() for _ in range(8)]  # so that everything has left


async def play(dut: Any, scenario: list[Inputs]) -> Expected:
    """Drives a scenario from reset and collects what leaves."""
    await cocotb_lib.start(dut)
    return await drive(dut, scenario)


async def drive(dut: Any, scenario: list[Inputs]) -> Expected:
    """Drives a scenario, its first cycle being this one, and collects what leaves."""
    seen = Expected()
    flows = (
        ("trace", events.TRIGGER_TRACE, seen.traces),
        ("o_intents", events.INTENT, seen.intents),
        ("o_book", events.BOOK_UPDATE, seen.updates),
    )
    for cycle, now in enumerate([*scenario, Inputs()]):
        dut.now.value = cycle
        dut.i__valid.value = int(now.update is not None)
        if now.update is not None:
            dut.i__payload.value = events.BOOK_UPDATE.pack(now.update)
        dut.done.value = int(now.done)
        dut.kill.value = int(now.kill)
        dut.cfg_trigger__commit.value = int(now.row is not None)
        if now.row is not None:
            dut.cfg_trigger__select.value = now.row[0]
            dut.cfg_trigger__row.value = TRIGGER_ROW.pack(now.row[1])
        dut.cfg_gate__commit.value = int(now.gate is not None)
        if now.gate is not None:
            dut.cfg_gate__row.value = GATE_ROW.pack(now.gate)
        await RisingEdge(dut.clk)
        for port, record, items in flows:
            if int(getattr(dut, f"{port}__valid").value):
                items.append((cycle, record.unpack(int(getattr(dut, f"{port}__payload").value))))
    return seen


def check(seen: Expected, wanted: Expected) -> None:
    """Compares what left with what the model says, the earliest difference first.

    Raises
    ------
    AssertionError: they differ.
    """
    for what in ("updates", "traces", "intents"):
        got, want = getattr(seen, what), getattr(wanted, what)
        if what == "intents":  # the model leaves the stamp out
            got = [(cycle, {**values, "stamp": 0}) for cycle, values in got]
        for n, (g, w) in enumerate(zip(got, want, strict=False)):
            assert g == w, f"{what} {n}: got cycle {g[0]} {g[1]}, expected cycle {w[0]} {w[1]}"
        assert len(got) == len(want), f"{len(got)} {what}, expected {len(want)}"


@cocotb.test()
async def random_updates_match_the_model(dut: Any) -> None:
    """Every record in its cycle, for every gap pattern."""
    from tickgate.sim.cocotb_run import bench_sizes

    slots = bench_sizes(STAGE).slots
    cycles = 20000 if cocotb_lib.full() else 3000
    for number, (name, pattern) in enumerate(cocotb_lib.PATTERNS.items()):
        rng = random.Random(cocotb_lib.seed() * 100 + number)
        scenario = random_scenario(rng, slots, cycles, pattern)
        if number:
            await cocotb_lib.reset(dut)
            seen = await drive(dut, scenario)
        else:
            seen = await play(dut, scenario)
        wanted = expected(scenario, slots)
        check(seen, wanted)
        dut._log.info("%s: %d evaluations, %d intents", name, len(wanted.traces), len(wanted.intents))


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """An update and the intent that it fires leave together, always after the same number of cycles."""
    from tickgate.gateware.trigger import Trigger

    row = {"kind": TriggerKind.TAKE, "threshold_e4": 1000, "rearm": Rearm.COOLDOWN}
    gate = {"intent_limit_valid": 1, "intent_limit_cycles": 1000}
    blank = dict.fromkeys((f.name for f in events.BOOK_UPDATE.fields), 0)
    scenario = [Inputs(row=(0, row), gate=gate)]
    updates, fires, ends = [], [], []

    def fire() -> int:
        for price in (2000, 1000):
            updates.append(len(scenario))
            update = {**blank, "ask_px_e4": price, "bbo_changed": 1, "itch_type": ord("A"), "seq": len(scenario)}
            scenario.append(Inputs(update=update))
        return updates[-1]

    for gap in range(12):
        fires.append(fire())
        if gap % 2:  # a second intent, which waits until the first one has ended
            fire()
        scenario += [Inputs() for _ in range(gap + 8)]
        if gap % 2:
            ends.append(len(scenario))
            scenario += [Inputs(done=True), *(Inputs() for _ in range(gap))]
        scenario.append(Inputs(done=True))
    scenario += [Inputs() for _ in range(8)]
    seen = await play(dut, scenario)
    intents = [cycle for cycle, _ in seen.intents]
    found = cocotb_lib.Latencies()
    for (cycle, _), update in zip(seen.updates, updates, strict=True):
        found.add("i", "o_book", "any", cycle - update)
    for cycle, fired in zip([c for c in intents if c - 1 not in ends], fires, strict=True):
        found.add("i", "o_intents", "sent", cycle - fired)
    for end in ends:
        found.add("done", "o_intents", "emit", next(c for c in intents if c > end) - end)
    found.hold(Trigger.latency_cycles)


@cocotb.test()
async def reset_in_mid_run_turns_every_row_off(dut: Any) -> None:
    """After a reset nothing fires and nothing waits, whatever the memories hold."""
    from tickgate.sim.cocotb_run import bench_sizes

    slots = bench_sizes(STAGE).slots
    rng = random.Random(cocotb_lib.seed() + 7)
    await play(dut, random_scenario(rng, slots, 200, cocotb_lib.never))
    await cocotb_lib.reset(dut)
    scenario = random_scenario(rng, slots, 200, cocotb_lib.never)
    for inputs in scenario:
        inputs.row = None
    seen = await drive(dut, scenario)
    assert not seen.intents
    assert all(record["condition"] == 0 for _, record in seen.traces)
    check(seen, expected(scenario, slots))
