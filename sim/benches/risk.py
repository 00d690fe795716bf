"""Bench of stage `risk`: intents at the edges of random limits against the reference model, cycle by cycle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib
from tickgate.sw.model import risk as model
from tickgate.sw.spec import events
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import GATE_ROW, LIMITS_ROW, SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import RECIPROCALS, TICKS_E4

STAGE = "risk"
EXPECTED_TESTS = 3
FAULTS = {
    "quantity_less": "random_intents_match_the_model",
    "notional_truncated": "random_intents_match_the_model",
    "collar_one_band": "random_intents_match_the_model",
    "validity_ignored": "random_intents_match_the_model",
    "kill_leaks": "random_intents_match_the_model",
    "never_refilled": "random_intents_match_the_model",
    "rejected_takes": "random_intents_match_the_model",
    "limits_survive_reset": "reset_in_mid_run_rejects_everything",
    "row_mixed": "random_intents_match_the_model",
    "book_late": "random_intents_match_the_model",
    "other_slot_kept": "random_intents_match_the_model",
    "not_refunded": "random_intents_match_the_model",
    "refund_overflows": "random_intents_match_the_model",
    "verdict_late": "random_intents_match_the_model",
    "verdict_of_others": "random_intents_match_the_model",
}

#: Cycles from an intent's entry to its verdict.
LATENCY_CYCLES = 4

#: What an unconfigured slot rejects with, whatever its book says.
UNCONFIGURED = (
    Reason.ORDER_FORMAT | Reason.MAX_QUANTITY | Reason.MAX_NOTIONAL | Reason.COLLAR | Reason.RATE_SYMBOL
    | Reason.RATE_SESSION
)  # fmt: skip


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.risk import Risk

    return Risk(sizes, faults=faults)


@dataclass
class Inputs:
    """What one cycle brings."""

    update: dict[str, int] | None = None
    intent: dict[str, int] | None = None
    symbol: tuple[int, dict[str, int]] | None = None
    limits: tuple[int, dict[str, int]] | None = None
    gate: dict[str, int] | None = None
    kill: bool = False
    session_ok: bool = True
    ready: bool = True
    frame: int | None = None  # `frame_stamp` from here on
    bad: bool = False
    refund: bool = False


@dataclass
class Expected:
    """What leaves, each with the cycle in which it is valid (orders: presented, and taken; all in which it is void)."""

    traces: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    orders: list[tuple[int, int, dict[str, int]]] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    void: list[int] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)


def expected(scenario: list[Inputs], slots: int) -> Expected:
    """What the reference model makes of a scenario that starts right after reset, with `now` 0 in its first cycle.

    Updates count before the intent of their cycle, rows after it. A refund is taken out of the scenario where no order
    waits for one.
    """
    reference, result = model.Risk(slots), Expected()
    frame_stamp, stamp, void, accepted = 0, -1, False, False
    for cycle, now in enumerate(scenario):
        if void:
            result.void.append(cycle)
        if now.frame is not None:
            frame_stamp = now.frame
        if now.refund and accepted:
            reference.refund()
        now.refund, accepted = now.refund and accepted, accepted and not now.refund
        if now.update is not None:
            reference.update(events.BOOK_UPDATE.tuple_type(**now.update), cycle)
        if now.intent is not None:
            intent = events.INTENT.tuple_type(**now.intent)
            # The model knows frames by their messages, the stage by their stamps.
            record, order = reference.check(intent._replace(seq=intent.stamp), cycle, now.kill, now.session_ok)
            out = cycle + LATENCY_CYCLES
            own = {"stamp": intent.stamp, "seq": intent.seq}
            result.traces.append((out, {**record._asdict(), **own, "cycle": out}))
            stamp, void, accepted = intent.stamp, False, order is not None
            if order is None:
                result.rejected.append(out)
            else:
                taken = next(c for c in range(out, len(scenario)) if scenario[c].ready)
                result.orders.append((out, taken, {**order._asdict(), **own}))
        if now.bad:
            void = void or stamp >= frame_stamp
            reference.frame_bad(cycle - 1, cycle)
        if now.symbol is not None and now.symbol[0] < slots:
            reference.commit_symbol(*now.symbol)
        if now.limits is not None and now.limits[0] < slots:
            reference.commit_limits(*now.limits)
        if now.gate is not None:
            reference.commit_gate(now.gate)
    result.counters = dict(reference.counters)
    return result


def near(rng: random.Random, value: int, bits: int) -> int:
    """`value`, one less or one more, inside `bits`."""
    return max(0, min((1 << bits) - 1, value + rng.choice((-1, 0, 0, 1))))


class Slot:
    """A price, a quantity and a reference of one slot around which rows, updates and intents are made."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.tick = rng.randrange(len(TICKS_E4))
        self.tick_e4 = TICKS_E4[self.tick]
        top = rng.choice((5_000, 2_000_000, (1 << 32) - 1)) // self.tick_e4
        self.price_e4 = rng.randint(min(3, top), top) * self.tick_e4
        self.quantity = rng.choice((1, 2, 100, 70_000, 999_998))
        away = rng.choice((0, 1, 2, self.price_e4 // 100, self.price_e4 // 7))
        self.reference_e4 = max(1, min((1 << 32) - 2, self.price_e4 + rng.choice((-1, 1)) * away))
        self.away_e4 = abs(self.price_e4 - self.reference_e4)

    def symbol(self) -> dict[str, int]:
        """Its symbol row, seldom not valid."""
        return {
            "valid": int(self.rng.random() < 0.93),
            "locate": self.rng.getrandbits(16),
            "symbol": self.rng.getrandbits(64),
            "tick": self.tick,
            "tick_e4": self.tick_e4,
            "reciprocal": RECIPROCALS[self.tick],
        }

    def limits(self) -> dict[str, int]:
        """A limits row at the edge of what the slot's intents need."""
        rng, valid = self.rng, lambda: int(self.rng.random() < 0.96)
        bps = -(-self.away_e4 * 10_000 // self.reference_e4)
        wide = rng.random() < 0.5
        return {
            "max_quantity_valid": valid(),
            "max_quantity": near(rng, self.quantity + rng.choice((0, 1, 1000)), 32),
            "max_notional_valid": valid(),
            "max_notional_e4": near(rng, (self.price_e4 + 1) * (self.quantity + rng.choice((0, 1))), 64)
            if wide
            else near(rng, self.price_e4 * self.quantity, 64),
            "collar_valid": valid(),
            "collar_abs_e4": 0xFFFFFFFF if wide else near(rng, self.away_e4, 32),
            "collar_bps": 0xFFFF if rng.random() < 0.5 else near(rng, bps, 16),
            **self.rate(),
        }

    def rate(self) -> dict[str, int]:
        """A bucket of few tokens."""
        rng = self.rng
        return {
            "rate_valid": int(rng.random() < 0.96),
            "rate_burst": rng.choice((0, 1, 2, 3, 9, 9, 9, 0xFFFF)),
            "rate_period_cycles": rng.choice((1, 2, 3, 5, 6, 11, 30, 200)),
        }

    def update(self, slot: int, slots: int, number: int) -> dict[str, int]:
        """A book update: mostly of this slot, valid, trading and around the reference."""
        rng = self.rng
        half = rng.choice((1, 1, 2, self.reference_e4 // 50)) if rng.random() < 0.95 else rng.choice((0, -1))
        half = min(half, self.reference_e4 - 1, (1 << 32) - 2 - self.reference_e4)
        bid, ask = self.reference_e4 - half, self.reference_e4 + half + rng.randrange(2)
        if rng.random() < 0.03:
            bid, ask = rng.choice(((0, ask), (bid, 0), (0, 0)))
        every = rng.random() < 0.08
        return {
            "slot": slot,
            "every_slot": int(every),
            "every_set": rng.choice((0, 0, 2, 4, 0x40, 0x41)),
            "every_clear": rng.choice((0, 0x1E, 0x7F)),
            "state_set": rng.choice((0, 0, 0, 8)),
            "state_clear": rng.choice((0, 8, 0x1F)),
            "other": int(rng.random() < 0.05),
            "other_slot": rng.randrange(slots),
            "bid_px_e4": bid,
            "bid_qty": rng.getrandbits(48),
            "ask_px_e4": ask,
            "ask_qty": rng.getrandbits(48),
            "bbo_changed": 1,
            "validity": 0 if rng.random() < 0.95 else rng.getrandbits(7),
            "state": 0 if rng.random() < 0.95 else rng.getrandbits(5),
            "itch_type": 0 if every else ord("A"),
            "seq": number,
            "stamp": rng.getrandbits(64),
        }

    def intent(self, slot: int, entry: int) -> dict[str, int]:
        """An intent at the slot's price and quantity, or one beside; decided as long before its entry as it takes."""
        rng = self.rng
        price, quantity = self.price_e4, self.quantity
        if rng.random() < 0.1:
            price += rng.choice((-1, 1, self.tick_e4, -self.tick_e4))
        if rng.random() < 0.1:
            quantity = rng.choice((0, quantity + 1, 999_999, 1_000_000, 0xFFFFFFFF))
        return {
            "slot": slot,
            "side": rng.randrange(2),
            "price_e4": max(0, min(0xFFFFFFFF, price)),
            "quantity": quantity,
            "tif": rng.getrandbits(8),
            "display": rng.getrandbits(8),
            "capacity": rng.getrandbits(8),
            "seq": rng.getrandbits(64),
            "stamp": max(0, entry - rng.randint(25, 70)),
        }


def add_frames(rng: random.Random, scenario: list[Inputs]) -> None:
    """Frames of the feed, some of which turn out bad, close behind each other at times."""
    begins = 0
    while begins < len(scenario) - 1000:
        ends = begins + rng.choice((9, 20, 40, 80, 160))
        scenario[begins + 6].frame = begins
        scenario[ends + 5].bad = rng.random() < 0.15
        begins = ends + rng.choice((1, 1, 4, 30))


def random_scenario(
    rng: random.Random, slots: int, cycles: int, idle: cocotb_lib.Pattern, backpressure: cocotb_lib.Pattern
) -> list[Inputs]:
    """Intents one after the other, each as soon as the one before is done with and the gaps of `idle` allow.

    Rows, updates and levels change in the cycles around an intent's entry.
    """
    gaps, stalls = idle(rng), backpressure(rng)
    scenario = [Inputs(ready=not next(stalls)) for _ in range(cycles + 1600)]
    scenario[-1].ready = True
    add_frames(rng, scenario)
    around = [Slot(rng) for _ in range(slots)]
    entry = 8
    for slot in range(slots):
        scenario[slot].symbol = (slot, {**around[slot].symbol(), "valid": 1})
        scenario[slot].limits = (slot, around[slot].limits())
        scenario[slot].update = around[slot].update(slot, slots, slot)
    scenario[0].gate = around[0].rate()
    while entry < cycles:
        slot = rng.randrange(slots) if rng.random() < 0.4 else 0
        fresh = rng.random() < 0.08
        if fresh:
            around[slot] = Slot(rng)
        here, window = around[slot], scenario[entry - 3 : entry + 3]
        if fresh or rng.random() < 0.06:
            select = slot if fresh or rng.random() < 0.9 else slots + rng.randrange(4)
            rng.choice(window).symbol = (select, here.symbol())
        if fresh or rng.random() < 0.35:
            select = slot if fresh or rng.random() < 0.9 else slots + rng.randrange(4)
            rng.choice(window).limits = (select, here.limits())
        if rng.random() < 0.1:
            rng.choice(window).gate = here.rate()
        for _ in range(rng.choice((0, 1, 1, 2))):
            rng.choice(window).update = here.update(slot, slots, rng.getrandbits(64))
        for _ in range(3):
            if rng.random() < 0.05:
                rng.choice(window).kill = True
            if rng.random() < 0.05:
                rng.choice(window).session_ok = False
        if rng.random() < 0.04:
            scenario[entry].kill = True
        if rng.random() < 0.04:
            scenario[entry].session_ok = False
        scenario[entry].intent = here.intent(slot, entry)
        entry += LATENCY_CYCLES
        while not scenario[entry].ready:
            entry += 1
        entry += 1
        if rng.random() < 0.3:
            scenario[entry].refund = True
            entry += rng.choice((1, 2, 9))
        while next(gaps):
            entry += 1
    scenario = scenario[: entry + 12] + [Inputs() for _ in range(8)]
    expected(scenario, slots)  # which takes out refunds that nothing waits for
    return scenario


async def drive(dut: Any, scenario: list[Inputs]) -> Expected:
    """Drives a scenario, its first cycle being this one, and collects what leaves."""
    seen = Expected()
    held: tuple[int, int] | None = None
    rows = (("cfg_symbol", SYMBOL_ROW, "symbol"), ("cfg_limits", LIMITS_ROW, "limits"))
    streams = (("i_book", events.BOOK_UPDATE, "update"), ("i_intents", events.INTENT, "intent"))
    for cycle, now in enumerate(scenario):
        dut.now.value = cycle
        for port, record, name in streams:
            values = getattr(now, name)
            getattr(dut, f"{port}__valid").value = int(values is not None)
            if values is not None:
                getattr(dut, f"{port}__payload").value = record.pack(values)
        for port, record, name in rows:
            row = getattr(now, name)
            getattr(dut, f"{port}__commit").value = int(row is not None)
            if row is not None:
                getattr(dut, f"{port}__select").value = row[0]
                getattr(dut, f"{port}__row").value = record.pack(row[1])
        dut.cfg_gate__commit.value = int(now.gate is not None)
        if now.gate is not None:
            dut.cfg_gate__row.value = GATE_ROW.pack(now.gate)
        dut.kill.value = int(now.kill)
        dut.session_ok.value = int(now.session_ok)
        dut.frame_begins.value = int(now.frame is not None)
        if now.frame is not None:
            dut.frame_stamp.value = now.frame
        dut.frame_bad.value = int(now.bad)
        dut.refund.value = int(now.refund)
        dut.o__ready.value = int(now.ready)
        await RisingEdge(dut.clk)
        if int(dut.trace__valid.value):
            seen.traces.append((cycle, events.RISK_TRACE.unpack(int(dut.trace__payload.value))))
        if int(dut.rejected.value):
            seen.rejected.append(cycle)
        if int(dut.is_void.value):
            seen.void.append(cycle)
        held = note_order(seen, held, cycle, now.ready, bool(int(dut.o__valid.value)), int(dut.o__payload.value))
    return seen


def note_order(
    seen: Expected, held: tuple[int, int] | None, cycle: int, ready: bool, valid: bool, payload: int
) -> tuple[int, int] | None:
    """Keeps the order stream's books for one cycle: since when an order is presented, and that it does not change.

    Raises
    ------
    AssertionError: an order was withdrawn or changed before it was taken.
    """
    if held is not None:
        assert valid and payload == held[1], f"cycle {cycle}: the order changed before it was taken"
    elif valid:
        held = (cycle, payload)
    if held is not None and ready:
        seen.orders.append((held[0], cycle, events.ORDER.unpack(payload)))
        return None
    return held


def check(seen: Expected, wanted: Expected) -> None:
    """Compares what left with what the model says, the earliest difference first.

    Raises
    ------
    AssertionError: they differ.
    """
    for what in ("traces", "orders", "rejected", "void"):
        got, want = getattr(seen, what), getattr(wanted, what)
        for n, (g, w) in enumerate(zip(got, want, strict=False)):
            assert g == w, f"{what} {n}: got {g}, expected {w}"
        assert len(got) == len(want), f"{len(got)} {what}, expected {len(want)}"


@cocotb.test()
async def random_intents_match_the_model(dut: Any) -> None:
    """Every verdict with its reasons, tokens and cycle, for every pair of gap patterns."""
    from tickgate.sim.cocotb_run import bench_sizes

    slots = bench_sizes(STAGE).slots
    cycles = 8000 if cocotb_lib.full() else 1200
    await cocotb_lib.start(dut)
    alone = Reason(0)
    for a, gaps in enumerate(cocotb_lib.PATTERNS.values()):
        for b, stalls in enumerate(cocotb_lib.PATTERNS.values()):
            rng = random.Random(cocotb_lib.seed() * 100 + 10 * a + b)
            scenario = random_scenario(rng, slots, cycles, gaps, stalls)
            await cocotb_lib.reset(dut)
            seen = await drive(dut, scenario)
            wanted = expected(scenario, slots)
            check(seen, wanted)
            for _, record in wanted.traces:
                if record["reasons"].bit_count() == 1:
                    alone |= record["reasons"]
    missing = ACTIVE_REASONS & ~alone
    assert not missing, f"no order was rejected by {missing!r} alone"


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """A verdict comes the same number of cycles after its intent, accepted or not."""
    from tickgate.gateware.risk import Risk
    from tickgate.sim.cocotb_run import bench_sizes

    rng = random.Random(cocotb_lib.seed())
    scenario = random_scenario(rng, bench_sizes(STAGE).slots, 5000, cocotb_lib.never, cocotb_lib.never)
    await cocotb_lib.start(dut)
    seen = await drive(dut, scenario)
    entries = [cycle for cycle, inputs in enumerate(scenario) if inputs.intent is not None]
    accepted = {order[0] for order in seen.orders}
    verdicts = sorted([*accepted, *seen.rejected])
    found = cocotb_lib.Latencies()
    for verdict, entry in zip(verdicts, entries, strict=True):
        row = ("o", "accepted") if verdict in accepted else ("rejected", "rejected")
        found.add("i_intents", *row, verdict - entry)
    bad = [cycle for cycle, inputs in enumerate(scenario) if inputs.bad]
    for cycle in seen.void:
        if cycle - 1 not in seen.void:
            found.add("frame_bad", "is_void", "any", cycle - max(b for b in bad if b < cycle))
    found.hold(Risk.latency_cycles)


@cocotb.test()
async def reset_in_mid_run_rejects_everything(dut: Any) -> None:
    """After a reset no limit is valid, whatever the memories hold."""
    from tickgate.sim.cocotb_run import bench_sizes

    slots = bench_sizes(STAGE).slots
    rng = random.Random(cocotb_lib.seed() + 7)
    await cocotb_lib.start(dut)
    await drive(dut, random_scenario(rng, slots, 300, cocotb_lib.never, cocotb_lib.never))
    await cocotb_lib.reset(dut)
    scenario = random_scenario(rng, slots, 300, cocotb_lib.never, cocotb_lib.never)
    for inputs in scenario:
        inputs.symbol = inputs.limits = inputs.gate = None
    seen = await drive(dut, scenario)
    assert not seen.orders
    assert seen.traces and all(record["reasons"] & UNCONFIGURED == UNCONFIGURED for _, record in seen.traces)
    check(seen, expected(scenario, slots))
