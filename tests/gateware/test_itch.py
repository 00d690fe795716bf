"""The itch stage against the model of the stage, message by message, in Amaranth's simulator."""

import gc
import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.itch import LATENCY_CYCLES, TRACE_CYCLES, Itch
from tickgate.sim import itch_scenarios as scenarios
from tickgate.sim.benches import itch as bench
from tickgate.sim.itch_scenarios import Item, untimed
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import EVENT, FEED_WORD, ITCH_TRACE, NO_SLOT, EventKind, ItchStatus, Notice, StateOp
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import SymbolState

SIZES = Sizes(slots=4, orders=256, levels=64)
LOCATES = [7, 0x0107, 0x8000, 515]
IDLE_END = 60


def run(words, *, ready=lambda now: True, locates=LOCATES, faults=frozenset(), depth=16):
    """Words (None: none) in; returns trace and events, each as (cycle, values), overflow cycles, counters."""
    dut = Itch(SIZES, depth=depth, faults=faults)
    sim = Simulator(dut)
    sim.add_clock(1e-8)
    trace, events, lost, counters = [], [], [], {}

    async def bench(ctx):
        for slot, locate in enumerate(locates):
            ctx.set(dut.cfg_symbol.row.as_value(), SYMBOL_ROW.pack({"valid": 1, "locate": locate}))
            ctx.set(dut.cfg_symbol.select, slot)
            ctx.set(dut.cfg_symbol.commit, 1)
            await ctx.tick()
        ctx.set(dut.cfg_symbol.commit, 0)
        for now, values in enumerate([*words, *[None] * IDLE_END]):
            ctx.set(dut.now, now)
            ctx.set(dut.i.valid, values is not None)
            if values is not None:
                ctx.set(dut.i.payload.as_value(), FEED_WORD.pack({"stamp": now, **values}))
            on = ready(now)
            ctx.set(dut.o.ready, on)
            if ctx.get(dut.trace.valid):
                trace.append((now, ITCH_TRACE.unpack(ctx.get(dut.trace.payload.as_value()))))
            if on and ctx.get(dut.o.valid):
                events.append((now, EVENT.unpack(ctx.get(dut.o.payload.as_value()))))
            if ctx.get(dut.event_overflow):
                lost.append(now)
            await ctx.tick()
        counters.update({name: ctx.get(getattr(dut.counters, name)) for name in Itch.COUNTERS})

    sim.add_testbench(bench)
    sim.run()
    return trace, events, lost, counters


def check(words, items, **kwargs):
    """The stage on these words equals the model; returns its trace and its events, with their cycles."""
    words = list(words)
    model, records, wanted = scenarios.expectation(words, items, LOCATES)
    trace, events, lost, counters = run(words, **kwargs)
    for number, ((cycle, got), want) in enumerate(zip(trace, records, strict=False)):
        assert got["cycle"] == cycle
        assert untimed(got) == want, f"record {number}"
    assert len(trace) == len(records)
    assert [untimed(values) for _, values in events] == wanted
    assert lost == []
    assert counters == {name: model.counters[name] for name in counters}
    stamps = scenarios.deciding_stamps(words, items)
    for _, got in trace:
        if got["status"] in (ItchStatus.EVENT, ItchStatus.UNSUBSCRIBED):
            assert got["stamp"] == stamps[got["seq"]], chr(got["itch_type"])
    return trace, events


@pytest.mark.parametrize("seed", range(4))
def test_itch_on_random_traffic_equals_the_model(seed):
    rng = random.Random(seed)
    items = list(scenarios.traffic(rng, 250, LOCATES))
    busy = random.Random(seed)
    ready = (lambda now: True) if seed % 2 else (lambda now: busy.random() < 0.7)
    check(scenarios.feed_words(rng, items), items, ready=ready)


def test_itch_of_every_type_in_every_lane_equals_the_model():
    rng = random.Random(5)
    words, items, lanes = [], [], set()
    for seq, (code, lead) in enumerate(((code, lead) for code in itch.MESSAGES for lead in range(8)), start=1):
        item = Item(scenarios.message(rng, LOCATES, code), seq)
        part = list(scenarios.feed_words(rng, [item], lead=lead))
        lanes |= {(code, w["start_lane"]) for w in part if w and w.get("start")}
        items.append(item)
        words += part
    assert len(lanes) == 8 * len(itch.MESSAGES)
    check(words, items)


@pytest.mark.parametrize("code", sorted(itch.MESSAGES))
def test_itch_of_shortest_messages_around_a_type_equals_the_model(code):
    rng = random.Random(code)
    codes = [rng.choice((code, ord("S"), ord("W"))) for _ in range(40)]
    items = [Item(scenarios.message(rng, LOCATES, c), seq) for seq, c in enumerate(codes, start=1)]
    for item in rng.sample(items, 8):
        item.notice = Notice.MARK
    check(scenarios.feed_words(rng, items, packet=40), items)


def test_itch_of_every_market_and_action_of_an_operational_halt_equals_the_model():
    rng = random.Random(6)
    codes = [(market, action) for market in b"QBX?" for action in b"HT?"]
    items = []
    for seq, (market, action) in enumerate(codes, start=1):
        data = itch.OPERATIONAL_HALT.pack(stock_locate=LOCATES[0], tracking_number=0, timestamp_ns=seq, stock=b"A" * 8,
                       market_code=bytes([market]), action=bytes([action]))  # fmt: skip
        items.append(Item(data, seq))
    _, events = check(scenarios.feed_words(rng, items), items)
    told = {codes[e["seq"] - 1]: (e["state_op"], e["state_bits"]) for _, e in events if e["kind"] == EventKind.STATE}
    halt = int(SymbolState.OPERATIONAL_HALT)
    assert {(chr(m), chr(a)): change for (m, a), change in told.items() if change[1]} == {
        ("Q", "H"): (StateOp.SET, halt),
        ("Q", "?"): (StateOp.SET, halt),
        ("Q", "T"): (StateOp.CLEAR, halt),
        ("?", "H"): (StateOp.SET, halt),
        ("?", "?"): (StateOp.SET, halt),
    }


def test_itch_event_leaves_four_cycles_after_the_last_byte_and_its_trace_after_three():
    rng = random.Random(1)
    items = [Item(scenarios.message(rng, LOCATES, code), seq) for seq, code in enumerate(b"AFECXDU", start=1)]
    words = list(scenarios.feed_words(rng, items, packet=1))
    trace, events = check(words, items)
    ends = [now for now, w in enumerate(words) if w and w.get("end")]
    for _, values in (row for row in trace if row[1]["status"] == ItchStatus.EVENT):
        assert values["cycle"] == ends[values["seq"] - 1] + TRACE_CYCLES
    for now, values in (row for row in events if row[1]["kind"] != EventKind.NOTICE):
        assert now == ends[values["seq"] - 1] + LATENCY_CYCLES


def test_itch_when_the_book_stalls_keeps_the_order_and_tells_each_event_that_is_lost():
    rng = random.Random(2)
    items = [Item(scenarios.message(rng, [LOCATES[0]], ord("D")), seq) for seq in range(1, 41)]
    for item in items:
        item.data = item.data[:1] + LOCATES[0].to_bytes(2, "big") + item.data[3:]
    words = [w for w in scenarios.feed_words(rng, items, packet=40) if w is None or not w.get("notice")]
    trace, events, lost, _ = run(words, ready=lambda now: now > len(words) + 10)
    assert len(trace) == 40
    assert [values["seq"] for _, values in events] == list(range(1, 18))  # one at the output and 16 behind it
    assert len(lost) == 40 - 17


def test_itch_when_a_row_moves_a_locate_the_new_slot_has_it():
    rng = random.Random(4)
    items = [Item(scenarios.message(rng, LOCATES, ord("A")), 1)]
    items[0].data = b"A" + (7).to_bytes(2, "big") + items[0].data[3:]
    words = list(scenarios.feed_words(rng, items, packet=1))
    trace, *_ = run(words, locates=[7, 8, 7])
    assert [(v["status"], v["slot"]) for _, v in trace if v["itch_type"]] == [(ItchStatus.EVENT, 2)]


def test_itch_without_any_row_subscribes_nothing_but_the_market():
    rng = random.Random(6)
    items = [Item(scenarios.message(rng, [0], code), seq) for seq, code in enumerate(b"ASWPR", start=1)]
    trace, *_ = run(list(scenarios.feed_words(rng, items)), locates=[])
    told = [(chr(v["itch_type"]), v["status"], v["slot"]) for _, v in trace if v["itch_type"]]
    unsubscribed, event = ItchStatus.UNSUBSCRIBED, ItchStatus.EVENT
    assert told == [
        ("A", unsubscribed, NO_SLOT),
        ("S", event, NO_SLOT),
        ("W", event, NO_SLOT),
        ("P", unsubscribed, NO_SLOT),
        ("R", unsubscribed, NO_SLOT),
    ]


def _traffic(count=80, seed=3, packet=4, **kwargs):
    rng = random.Random(seed)
    items = list(scenarios.traffic(rng, count, LOCATES, **kwargs))
    return {"words": list(scenarios.feed_words(rng, items, packet=packet)), "items": items}


def _near_locates():
    """Locates that differ in their high byte only."""
    rng = random.Random(8)
    items = [Item(scenarios.message(rng, [7 + 256 * n], ord("D")), n) for n in range(1, 30)]
    return {"words": list(scenarios.feed_words(rng, items)), "items": items}


def _stalling():
    """More events than the buffer holds while the book is not ready; none may be lost in silence."""
    traffic = _traffic(count=60, packet=8)
    return {**traffic, "ready": lambda now: now > 150}


#: Traffic that must show each planted fault.
FAULT_TRAFFIC = {
    "wrong_lane": _traffic,
    "type_early": _traffic,
    "length_unchecked": _traffic,
    "locate_low_byte": _near_locates,
    "replace_price_of_add": _traffic,
    "notice_first": _traffic,
    "sequence_cut": lambda: _traffic(first_seq=(1 << 14) - 5),
}


def test_itch_every_fault_has_its_traffic():
    assert set(FAULT_TRAFFIC) | {"buffer_overwrites"} == set(Itch.FAULTS)
    assert set(bench.FAULTS) <= set(Itch.FAULTS)


@pytest.mark.parametrize("fault", FAULT_TRAFFIC)
def test_itch_with_a_planted_fault_differs_from_the_model(fault):
    traffic = FAULT_TRAFFIC[fault]()
    check(**traffic)
    with pytest.raises(AssertionError):
        check(**traffic, faults=frozenset({fault}))


def test_itch_with_a_buffer_that_overwrites_loses_events_without_telling():
    traffic = _stalling()
    _, _, wanted = scenarios.expectation(traffic["words"], traffic["items"], LOCATES)
    for faults, silent in ((frozenset(), False), (frozenset({"buffer_overwrites"}), True)):
        _, events, lost, _ = run(traffic["words"], ready=traffic["ready"], faults=faults)
        assert len(events) < len(wanted)
        assert (len(events) + len(lost) != len(wanted)) is silent


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_itch_with_an_unknown_fault_is_refused():
    def make():
        with pytest.raises(ValueError, match="fault must be one of wrong_lane, .* not 'nonsense'"):
            Itch(SIZES, faults=frozenset({"nonsense"}))

    make()
    gc.collect()  # while the half-made component may still complain


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_itch_with_a_buffer_depth_that_is_no_power_of_two_is_refused():
    def make():
        with pytest.raises(ValueError, match="depth must be a power of two of 4 or more, not 12"):
            Itch(SIZES, depth=12)

    make()
    gc.collect()  # while the half-made component may still complain
