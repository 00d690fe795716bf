"""Stage risk against the reference model, at the boundary of every limit, and through resets and row commits."""

import gc
import random

import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from tickgate.gateware.risk import Risk
from tickgate.sim import cocotb_lib
from tickgate.sim.benches import risk as bench
from tickgate.sim.benches.risk import UNCONFIGURED, Expected, Inputs
from tickgate.sw.spec import events
from tickgate.sw.spec.risk import ACTIVE_REASONS, Reason
from tickgate.sw.spec.rows import GATE_ROW, LIMITS_ROW, SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import SymbolState, Validity
from tickgate.sw.spec.units import RECIPROCALS, TICKS_E4

SIZES = Sizes(slots=2, orders=256, levels=64)
LATENCY = bench.LATENCY_CYCLES


def play(dut: Risk, scenario: list[Inputs], reset_at: int | None = None) -> Expected:
    """Simulates a scenario, with a reset in one of its cycles; cycles and records as the bench has them."""
    seen = Expected()
    streams = ((dut.i_book, events.BOOK_UPDATE, "update"), (dut.i_intents, events.INTENT, "intent"))
    rows = ((dut.cfg_symbol, SYMBOL_ROW, "symbol"), (dut.cfg_limits, LIMITS_ROW, "limits"))
    reset = Signal()

    async def testbench(ctx):
        held = None
        for cycle, now in enumerate(scenario):
            ctx.set(reset, cycle == reset_at)
            ctx.set(dut.now, cycle)
            for port, record, name in streams:
                values = getattr(now, name)
                ctx.set(port.valid, values is not None)
                if values is not None:
                    ctx.set(port.payload.as_value(), record.pack(values))
            for port, record, name in rows:
                row = getattr(now, name)
                ctx.set(port.commit, row is not None)
                if row is not None:
                    ctx.set(port.select, row[0])
                    ctx.set(port.row.as_value(), record.pack(row[1]))
            ctx.set(dut.cfg_gate.commit, now.gate is not None)
            if now.gate is not None:
                ctx.set(dut.cfg_gate.row.as_value(), GATE_ROW.pack(now.gate))
            ctx.set(dut.kill, now.kill)
            ctx.set(dut.session_ok, now.session_ok)
            ctx.set(dut.frame_begins, now.frame is not None)
            if now.frame is not None:
                ctx.set(dut.frame_stamp, now.frame)
            ctx.set(dut.frame_bad, now.bad)
            ctx.set(dut.refund, now.refund)
            ctx.set(dut.o.ready, now.ready)
            if ctx.get(dut.trace.valid):
                seen.traces.append((cycle, events.RISK_TRACE.unpack(ctx.get(dut.trace.payload.as_value()))))
            if ctx.get(dut.rejected):
                seen.rejected.append(cycle)
            if ctx.get(dut.is_void):
                seen.void.append(cycle)
            if reset_at is not None and cycle == reset_at + 1:
                held = None
            valid, payload = bool(ctx.get(dut.o.valid)), ctx.get(dut.o.payload.as_value())
            held = bench.note_order(seen, held, cycle, now.ready, valid, payload)
            await ctx.tick()
        seen.counters = {name: ctx.get(dut.counters[name]) for name in dut.COUNTERS}

    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return seen


PRICE, QUANTITY, BID, ASK = 100_000, 500, 99_900, 100_300  # the reference is 100,100
SYMBOL = {"valid": 1, "symbol": 0x4141504C20202020, "tick": 2, "tick_e4": TICKS_E4[2], "reciprocal": RECIPROCALS[2]}
RATE = {"rate_valid": 1, "rate_burst": 9, "rate_period_cycles": 1000}
LIMITS = {
    "max_quantity_valid": 1, "max_quantity": 1000, "max_notional_valid": 1, "max_notional_e4": 1 << 40,
    "collar_valid": 1, "collar_abs_e4": 5000, "collar_bps": 500, **RATE,
}  # fmt: skip
BOOK = {
    **dict.fromkeys((f.name for f in events.BOOK_UPDATE.fields), 0),
    "bid_px_e4": BID, "ask_px_e4": ASK, "bid_qty": 1, "ask_qty": 1, "bbo_changed": 1, "itch_type": ord("A"),
}  # fmt: skip
INTENT = {
    "slot": 0, "side": 1, "price_e4": PRICE, "quantity": QUANTITY, "tif": 3, "display": 4, "capacity": 5, "seq": 6,
    "stamp": 7,
}  # fmt: skip


def configured(**changes: int) -> list[Inputs]:
    """Rows and a book with which `INTENT` passes, each field of any of them changed as told; the intent is not in."""
    values: dict[str, dict[str, int]] = {}
    for name, base in (("symbol", SYMBOL), ("limits", LIMITS), ("gate", RATE), ("book", BOOK)):
        own = {
            key.removeprefix("gate_"): value for key, value in changes.items() if (name == "gate") == ("gate_" in key)
        }
        values[name] = {**base, **{key: value for key, value in own.items() if key in base}}
    first = Inputs(symbol=(0, values["symbol"]), limits=(0, values["limits"]), gate=values["gate"])
    first.update = values["book"]
    return [first]


def with_intent(**values: int) -> Inputs:
    """A cycle with an intent, `INTENT` changed as told; `kill` and `session_ok` are the levels of that cycle."""
    levels = {name: bool(values.pop(name)) for name in ("kill", "session_ok") if name in values}
    return Inputs(intent={**INTENT, **values}, **levels)


def idle(cycles: int) -> list[Inputs]:
    return [Inputs() for _ in range(cycles)]


def verdict(scenario: list[Inputs]) -> dict[str, int]:
    """Trace record of `INTENT` at the end of a scenario."""
    seen = play(Risk(SIZES), [*scenario, with_intent(), *idle(LATENCY + 3)])
    assert len(seen.traces) == 1
    return seen.traces[0][1]


@pytest.mark.parametrize("gaps", ["none", "bursts"])
@pytest.mark.parametrize("stalls", ["none", "most"])
def test_risk_random_intents_match_the_model(gaps, stalls):
    rng = random.Random(f"risk {gaps} {stalls}")
    patterns = cocotb_lib.PATTERNS[gaps], cocotb_lib.PATTERNS[stalls]
    scenario = bench.random_scenario(rng, SIZES.slots, 1500, *patterns)
    wanted = bench.expected(scenario, SIZES.slots)
    seen = play(Risk(SIZES), scenario)
    bench.check(seen, wanted)
    assert seen.counters == {name: wanted.counters[name] for name in seen.counters}
    assert wanted.orders and wanted.rejected
    if gaps == "bursts":
        assert wanted.void and any(inputs.refund for inputs in scenario)


@pytest.mark.parametrize("fault", [f for f in Risk.FAULTS if f != "limits_survive_reset"])
def test_risk_with_a_planted_fault_differs_from_the_model(fault):
    wild = cocotb_lib.PATTERNS["none"]
    scenario = bench.random_scenario(random.Random(4), SIZES.slots, 1500, wild, wild)
    seen = play(Risk(SIZES, faults=frozenset({fault})), scenario)
    with pytest.raises(AssertionError):
        bench.check(seen, bench.expected(scenario, SIZES.slots))


def test_risk_faults_of_the_bench_are_those_of_the_stage():
    assert set(bench.FAULTS) == set(Risk.FAULTS)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_risk_unknown_fault_is_refused():
    def make() -> None:
        with pytest.raises(ValueError, match="fault must be one of quantity_less, .*, not 'no_such'"):
            Risk(SIZES, faults=frozenset({"no_such"}))

    make()
    gc.collect()  # while the half-made component may still complain


def test_risk_counts_every_active_reason():
    names = {f"reject_{(r.name or '').lower()}" for r in Reason if r in ACTIVE_REASONS}
    assert names | {"accepted", "rejected"} == set(Risk.COUNTERS)


BIG_PRICE, BIG_QUANTITY = 4_294_967_200, 999_999
BIG = {"price_e4": BIG_PRICE, "quantity": BIG_QUANTITY}
BIG_CONFIG = {
    "max_quantity": BIG_QUANTITY, "bid_px_e4": BIG_PRICE, "ask_px_e4": BIG_PRICE + 2, "max_notional_e4": (1 << 64) - 1,
}  # fmt: skip
NEAR = {"collar_abs_e4": 100, "collar_bps": 10}  # 10 basis points of 100,100 are 100.1
BOUNDARIES = [
    # what, configuration, intent, reasons
    ("passes", {}, {}, Reason(0)),
    ("quantity at its limit less 1", {"max_quantity": QUANTITY + 1}, {}, Reason(0)),
    ("quantity at its limit", {"max_quantity": QUANTITY}, {}, Reason(0)),
    ("quantity above its limit", {"max_quantity": QUANTITY - 1}, {}, Reason.MAX_QUANTITY),
    ("quantity limit not configured", {"max_quantity_valid": 0}, {}, Reason.MAX_QUANTITY),
    ("notional at its limit less 1", {"max_notional_e4": PRICE * QUANTITY + 1}, {}, Reason(0)),
    ("notional at its limit", {"max_notional_e4": PRICE * QUANTITY}, {}, Reason(0)),
    ("notional above its limit", {"max_notional_e4": PRICE * QUANTITY - 1}, {}, Reason.MAX_NOTIONAL),
    ("notional limit not configured", {"max_notional_valid": 0}, {}, Reason.MAX_NOTIONAL),
    ("full notional at its limit", {**BIG_CONFIG, "max_notional_e4": BIG_PRICE * BIG_QUANTITY}, BIG, Reason(0)),
    ("full notional above it", {**BIG_CONFIG, "max_notional_e4": BIG_PRICE * BIG_QUANTITY - 1}, BIG,
     Reason.MAX_NOTIONAL),
    ("quantity 0", {}, {"quantity": 0}, Reason.ORDER_FORMAT),
    ("quantity 1", {}, {"quantity": 1}, Reason(0)),
    ("quantity 999,999", BIG_CONFIG, BIG, Reason(0)),
    ("quantity 1,000,000", {**BIG_CONFIG, "max_quantity": 1 << 31}, {**BIG, "quantity": 1_000_000},
     Reason.ORDER_FORMAT),
    ("price 1 tick less 1", NEAR, {"price_e4": PRICE - 1}, Reason.ORDER_FORMAT | Reason.COLLAR),
    ("price off the tick", {}, {"price_e4": PRICE + 1}, Reason.ORDER_FORMAT),
    ("price 0", {"collar_abs_e4": 1 << 31, "collar_bps": 0xFFFF}, {"price_e4": 0}, Reason.ORDER_FORMAT),
    ("no symbol", {"valid": 0}, {}, Reason.ORDER_FORMAT),
    ("price a band below", NEAR, {"price_e4": 100_000}, Reason(0)),
    ("price a band above", NEAR, {"price_e4": 100_200}, Reason(0)),
    ("price beyond the absolute band", {**NEAR, "collar_abs_e4": 99}, {}, Reason.COLLAR),
    ("price beyond the basis points", {**NEAR, "collar_bps": 9}, {}, Reason.COLLAR),
    ("price above the basis points", {**NEAR, "collar_bps": 9}, {"price_e4": 100_200}, Reason.COLLAR),
    ("basis points exact", {"bid_px_e4": 100_999, "ask_px_e4": 101_001, "collar_bps": 100}, {"price_e4": 102_000},
     Reason(0)),
    ("basis points less one", {"bid_px_e4": 100_999, "ask_px_e4": 101_001, "collar_bps": 99}, {"price_e4": 102_000},
     Reason.COLLAR),
    ("basis points above 100 %", {"collar_bps": 0xFFFF, "collar_abs_e4": 1 << 31}, {"price_e4": 100}, Reason(0)),
    ("collar not configured", {"collar_valid": 0}, {}, Reason.COLLAR),
    ("no bid", {"bid_px_e4": 0}, {}, Reason.COLLAR),
    ("no ask", {"ask_px_e4": 0}, {}, Reason.COLLAR),
    ("reference rounds down", {**NEAR, "ask_px_e4": 100_301}, {"price_e4": 100_200}, Reason(0)),
    ("locked", {"bid_px_e4": 100_100, "ask_px_e4": 100_100}, {}, Reason.CROSSED),
    ("crossed", {"bid_px_e4": 100_101, "ask_px_e4": 100_100}, {}, Reason.CROSSED),
    ("one apart", {"bid_px_e4": 100_099, "ask_px_e4": 100_100}, {}, Reason(0)),
    ("kill", {}, {"kill": 1}, Reason.KILL),
    ("session", {}, {"session_ok": 0}, Reason.SESSION),
    *((f"validity {bit.name}", {"validity": int(bit)}, {}, Reason.STALE) for bit in Validity),
    *((f"state {bit.name}", {"state": int(bit)}, {}, Reason.MARKET_STATE) for bit in SymbolState),
    ("no rate of the symbol", {"rate_valid": 0}, {}, Reason.RATE_SYMBOL),
    ("symbol's burst 0", {"rate_burst": 0}, {}, Reason.RATE_SYMBOL),
    ("no rate of the session", {"gate_rate_valid": 0}, {}, Reason.RATE_SESSION),
    ("session's burst 0", {"gate_rate_burst": 0}, {}, Reason.RATE_SESSION),
]  # fmt: skip


@pytest.fixture(scope="module")
def at_boundaries() -> Expected:
    """Every case of `BOUNDARIES`, one after the other in one simulation."""
    scenario = []
    for _, config, intent, _ in BOUNDARIES:
        scenario += [*configured(**config), with_intent(**intent), *idle(LATENCY)]
    return play(Risk(SIZES), scenario + idle(3))


@pytest.mark.parametrize("case", range(len(BOUNDARIES)), ids=[b[0] for b in BOUNDARIES])
def test_risk_limit_at_its_boundary_accepts_or_rejects(at_boundaries, case):
    _, _, intent, reasons = BOUNDARIES[case]
    cycle, record = at_boundaries.traces[case]
    assert Reason(record["reasons"]) == reasons
    assert (cycle in at_boundaries.rejected) == bool(reasons)
    if not reasons & (Reason.RATE_SYMBOL | Reason.RATE_SESSION):
        left = 9 if reasons else 8  # only an accepted order takes its tokens
        assert (record["tokens_symbol"], record["tokens_session"]) == (left, left)
    orders = [order for presented, _, order in at_boundaries.orders if presented == cycle]
    assert orders == ([] if reasons else [{**INTENT, **intent, "symbol": SYMBOL["symbol"]}])


@pytest.mark.parametrize("tick", range(len(TICKS_E4)))
def test_risk_price_is_on_its_tick_exactly_where_it_divides(tick):
    tick_e4, rng = TICKS_E4[tick], random.Random(tick)
    prices = [rng.randrange(1 << 32) // tick_e4 * tick_e4 + rng.choice((0, 0, 1, tick_e4 - 1)) for _ in range(60)]
    prices += [tick_e4, (1 << 32) - 1, ((1 << 32) - 1) // tick_e4 * tick_e4]
    scenario = configured(tick=tick, tick_e4=tick_e4, reciprocal=RECIPROCALS[tick])
    for price in prices:
        scenario += [Inputs(intent={**INTENT, "price_e4": price & 0xFFFFFFFF}), *(Inputs() for _ in range(LATENCY))]
    scenario += [Inputs() for _ in range(LATENCY)]
    seen = play(Risk(SIZES), scenario)
    assert [bool(r["reasons"] & Reason.ORDER_FORMAT) for _, r in seen.traces] == [
        price % tick_e4 != 0 for price in prices
    ]


EVERY = {**dict.fromkeys(BOOK, 0), "every_slot": 1, "slot": 0}


@pytest.mark.parametrize(
    ("update", "reasons"),
    [
        ({**EVERY, "every_set": int(Validity.GAP)}, Reason.STALE),
        ({**EVERY, "state_set": int(SymbolState.BREAKER)}, Reason.MARKET_STATE),
        ({**EVERY, "every_set": int(Validity.CLEARING)}, Reason.STALE | Reason.COLLAR),
        ({**BOOK, "slot": 1, "other": 1, "other_slot": 0}, Reason.STALE),
        ({**BOOK, "validity": 1, "state": 2, "bid_px_e4": 0}, Reason.STALE | Reason.MARKET_STATE | Reason.COLLAR),
    ],
    ids=["every gap", "breaker", "sweep", "other slot", "own"],
)
def test_risk_intent_sees_updates_up_to_its_own_cycle(update, reasons):
    scenario, offsets = [], (-3, -2, -1, 0, 1, 2, 3)
    for n, offset in enumerate(offsets):
        entry = len(scenario) + 6
        scenario += [*configured(), *idle(15)]
        scenario[entry - 6].update = {**BOOK, "seq": 100 + n}
        scenario[entry].intent = INTENT
        scenario[entry + offset].update = {**update, "seq": 200 + n}
    seen = play(Risk(SIZES), scenario)
    for n, (offset, (_, record)) in enumerate(zip(offsets, seen.traces, strict=True)):
        known = offset <= 0
        assert (record["reasons"], record["as_of_seq"]) == (reasons if known else 0, (200 if known else 100) + n)


def test_risk_every_slot_masks_clear_before_they_set():
    clear = {**EVERY, "every_clear": 0x7F, "every_set": 4, "state_clear": 0x1F, "state_set": 8}
    scenario = [*configured(validity=0x7F, state=0x1F), Inputs(update=clear)]
    record = verdict(scenario)
    assert (record["validity"], record["state"]) == (4, 8)


def test_risk_limits_committed_around_an_intent_judge_as_the_old_or_the_new_set():
    old = {**LIMITS, "max_quantity": 1, "rate_burst": 1}
    new = {**LIMITS, "max_notional_e4": 1, "collar_bps": 0, "collar_abs_e4": 0, "rate_valid": 0}
    scenario, offsets = [], range(-7, 8)
    for offset in offsets:
        start = len(scenario)
        scenario += [*configured(), *idle(30)]
        scenario[start + 1].limits = (0, old)
        scenario[start + 12].limits = (0, new)
        scenario[start + 12 + offset].intent = INTENT
    seen = play(Risk(SIZES), scenario)
    for offset, (_, record) in zip(offsets, seen.traces, strict=True):
        if offset <= 0:
            assert (Reason(record["reasons"]), record["tokens_symbol"]) == (Reason.MAX_QUANTITY, 1), offset
        else:
            assert Reason(record["reasons"]) == Reason.MAX_NOTIONAL | Reason.COLLAR | Reason.RATE_SYMBOL, offset
            assert record["tokens_symbol"] == 0


@pytest.mark.parametrize("reset_at", range(8, 16))
def test_risk_reset_in_mid_run_rejects_everything_at_once(reset_at):
    scenario = [*configured(), *(Inputs() for _ in range(30))]
    scenario[2].intent = INTENT  # passes
    scenario[9].intent = INTENT  # the reset comes before, while or after it is judged
    scenario[20].update = BOOK  # the book is good again, no row is
    scenario[21].intent = INTENT
    seen = play(Risk(SIZES), scenario, reset_at)
    verdicts = {cycle: Reason(record["reasons"]) for cycle, record in seen.traces}
    assert verdicts[2 + LATENCY] == Reason(0)
    assert verdicts[21 + LATENCY] == UNCONFIGURED
    expected_orders = [2 + LATENCY] + ([9 + LATENCY] if reset_at >= 9 + LATENCY else [])
    assert [order[0] for order in seen.orders] == expected_orders
    if reset_at == 8:
        assert verdicts[9 + LATENCY] == UNCONFIGURED | Reason.STALE | Reason.MARKET_STATE


def test_risk_limits_that_survive_a_reset_are_caught():
    dut = Risk(SIZES, faults=frozenset({"limits_survive_reset"}))
    scenario = [*configured(), *(Inputs() for _ in range(12))]
    scenario[6].intent = INTENT
    seen = play(dut, scenario, 4)
    assert UNCONFIGURED & ~Reason(seen.traces[0][1]["reasons"])


def test_risk_select_beyond_the_last_slot_writes_nothing():
    scenario = configured()
    scenario[0].limits = (2, LIMITS)
    scenario[0].symbol = (64, SYMBOL)
    assert verdict(scenario)["reasons"] == UNCONFIGURED & ~Reason.RATE_SESSION


def test_risk_latency_table_is_measured():
    dut = Risk(SIZES)
    table = dut.latency_cycles
    scenario = configured()
    for n in range(12):
        scenario += [Inputs(intent={**INTENT, "quantity": n % 2}), *(Inputs() for _ in range(LATENCY))]
    scenario += [Inputs() for _ in range(LATENCY)]
    seen = play(dut, scenario)
    entries = [cycle for cycle, inputs in enumerate(scenario) if inputs.intent]
    assert [order[0] for order in seen.orders] == [e + table["i_intents", "o", "accepted"][0] for e in entries[1::2]]
    assert seen.rejected == [e + table["i_intents", "rejected", "rejected"][1] for e in entries[0::2]]


@pytest.mark.parametrize("offset", range(-3, 4))
def test_risk_verdict_voids_the_intent_that_entered_and_rejects_those_that_enter_later(offset):
    """The verdict comes `offset` cycles after the entry of an intent that the bad frame decided."""
    scenario = [*configured(), *idle(60)]
    scenario[6].frame = 1 << 40
    scenario[20].intent = {**INTENT, "stamp": (1 << 40) + 3 if offset >= 0 else 0}
    scenario[20 + offset].bad = True
    seen = play(Risk(SIZES), scenario)
    ((_, record),) = seen.traces
    if offset < 0:
        assert (Reason(record["reasons"]), record["validity"]) == (Reason.STALE, Validity.FCS)
        assert not seen.void and not seen.orders
    else:
        assert record["reasons"] == 0 and len(seen.orders) == 1
        assert seen.void == list(range(20 + offset + 1, len(scenario)))


@pytest.mark.parametrize(
    ("stamp", "begins_again", "void"),
    [(1 << 40, False, True), ((1 << 40) - 1, False, False), ((1 << 40) + 9, True, False)],
    ids=["first word", "the frame before", "a new frame has begun"],
)
def test_risk_verdict_concerns_orders_of_that_frame_only(stamp, begins_again, void):
    scenario = [*configured(), *idle(60)]
    scenario[6].frame = 1 << 40
    scenario[20].intent = {**INTENT, "stamp": stamp}
    if begins_again:
        scenario[24].frame = (1 << 40) + 10
    scenario[30].bad = True
    scenario[45].intent = {**INTENT, "stamp": 1 << 41}  # of a later frame
    seen = play(Risk(SIZES), scenario)
    assert seen.void == (list(range(31, 46)) if void else [])
    assert [record["reasons"] for _, record in seen.traces] == [0, 0]


@pytest.mark.parametrize("period", [1, 2, 5, 11, 1000])
def test_risk_refunded_order_leaves_both_buckets_as_if_it_had_never_been(period):
    """Two orders pass, a third one comes to nothing: the tokens of a fourth are as without the third."""
    rates = {"rate_period_cycles": period, "rate_burst": 3, "gate_rate_period_cycles": period, "gate_rate_burst": 9}
    scenario = []
    for refunded_after in (None, *range(1, 24)):
        case = [*configured(**rates), *idle(66)]
        case[4].intent = case[14].intent = case[60].intent = INTENT
        if refunded_after:
            case[25].intent = INTENT
            case[25 + LATENCY + refunded_after].refund = True
        scenario += case
    last = [record for cycle, record in play(Risk(SIZES), scenario).traces if cycle % 67 == 60 + LATENCY]
    tokens = [(record["reasons"], record["tokens_symbol"], record["tokens_session"]) for record in last]
    assert len(tokens) == 24 and set(tokens) == {tokens[0]}
