"""The itch stage against the model of the stage, message by message, in Amaranth's simulator."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.itch import LATENCY_CYCLES, TRACE_CYCLES, Itch
from tickgate.sim import itch_scenarios as scenarios
from tickgate.sim.itch_scenarios import Item
from tickgate.sw.model.itch import Itch as Model
from tickgate.sw.spec import itch
from tickgate.sw.spec.events import EVENT, FEED_WORD, ITCH_TRACE, NO_SLOT, EventKind, ItchStatus, Notice
from tickgate.sw.spec.normalise import RULES
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes

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


def expectation(words, items, locates=LOCATES):
    """What the model makes of the items, in the order in which the words tell them."""
    model = Model({locate: slot for slot, locate in enumerate(locates)})
    by_seq, open_seq, out = {item.seq: item for item in items}, None, []
    for values in words:
        if values is None:
            continue
        if values.get("end"):
            out.append(model.message(open_seq, by_seq[open_seq].data))
        if values.get("notice"):
            out.append(model.notice(values["notice"], values["notice_seq"]))
        if values.get("start"):
            open_seq = values["seq"]
    records = [r._asdict() for r, _ in out]
    for record in records:
        del record["cycle"], record["stamp"]
    events = [e._asdict() for _, e in out if e is not None]
    for event in events:
        del event["stamp"]
    return model, records, events


def strip(rows, *names):
    return [{k: int(v) for k, v in values.items() if k not in names} for _, values in rows]


def check(words, items, **kwargs):
    words = list(words)
    model, records, wanted = expectation(words, items)
    trace, events, lost, counters = run(words, **kwargs)
    for number, (got, want) in enumerate(zip(strip(trace, "cycle", "stamp"), records, strict=False)):
        assert got == want, f"record {number}"
    assert len(trace) == len(records)
    assert lost == []
    assert strip(events, "stamp") == wanted
    assert counters == {name: model.counters[name] for name in counters}
    for now, values in trace:
        assert values["cycle"] == now
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
    items, words, seq = [], [], 1
    for code in itch.MESSAGES:
        for _ in range(8):
            items.append(Item(scenarios.message(rng, LOCATES, code), seq))
            seq += 1
    words = list(scenarios.feed_words(rng, items, packet=3))
    check(words, items)
