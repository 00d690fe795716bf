import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.book import Book
from tickgate.sim.benches.book_flow import Flow, Mix, symbol_rows
from tickgate.sw.model.book import BookView
from tickgate.sw.spec.events import BOOK_TRACE, BOOK_UPDATE, EVENT, EventKind, Notice
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import Anomaly, SymbolState, Validity

TINY = Sizes(slots=4, orders=256, levels=64, stash=4)
Event = EVENT.tuple_type


class Run:
    """A book in Amaranth's simulator; `script` is what happens: events, ("idle", n), ("clear",), ("row", slot, row)."""

    def __init__(self, script, sizes=TINY, rows=None, seed=1, gap=0.0, faults=frozenset(), settle=True):
        self.dut = Book(sizes, faults=faults)
        self.traces, self.updates, self.taken_at, self.update_at = [], [], [], []
        self.cycle = 0
        self.counters = {}
        self._rows = symbol_rows(sizes) if rows is None else rows
        self._script, self._gap, self._settle = list(script), gap, settle
        self._random = random.Random(seed)
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(self._drive)
        sim.add_testbench(self._watch, background=True)
        sim.run()

    async def _row(self, ctx, slot, row):
        ctx.set(self.dut.cfg_symbol.row, row)
        ctx.set(self.dut.cfg_symbol.select, slot)
        ctx.set(self.dut.cfg_symbol.commit, 1)
        await ctx.tick()
        ctx.set(self.dut.cfg_symbol.commit, 0)

    async def _drive(self, ctx):
        dut = self.dut
        for slot, row in enumerate(self._rows):
            await self._row(ctx, slot, row)
        while self._settle and ctx.get(dut.clearing):
            await ctx.tick()
        for step in self._script:
            if isinstance(step, Event):
                while self._random.random() < self._gap:
                    await ctx.tick()
                ctx.set(dut.i.payload, step._asdict())
                ctx.set(dut.i.valid, 1)
                while not ctx.get(dut.i.ready):
                    await ctx.tick()
                self.taken_at.append(self.cycle)
                await ctx.tick()
                ctx.set(dut.i.valid, 0)
            elif step[0] == "idle":
                await ctx.tick().repeat(step[1])
            elif step[0] == "settle":
                while ctx.get(dut.clearing):
                    await ctx.tick()
                await ctx.tick().repeat(16)
            elif step[0] == "row":
                await self._row(ctx, *step[1:])
            else:
                ctx.set(getattr(dut, step[0]), 1)
                await ctx.tick()
                ctx.set(getattr(dut, step[0]), 0)
        await ctx.tick().repeat(20)
        self.counters = {name: ctx.get(dut.counters[name]) for name in dut.COUNTERS}

    async def _watch(self, ctx):
        dut = self.dut
        while True:
            ctx.set(dut.now, self.cycle)
            if ctx.get(dut.trace.valid):
                word = ctx.get(dut.trace.payload.as_value())
                self.traces.append(BOOK_TRACE.tuple_type(**BOOK_TRACE.unpack(word)))
            if ctx.get(dut.o.valid):
                word = ctx.get(dut.o.payload.as_value())
                self.updates.append(BOOK_UPDATE.tuple_type(**BOOK_UPDATE.unpack(word)))
                self.update_at.append(self.cycle)
            await ctx.tick()
            self.cycle += 1


def expect_model(run, events, sizes=TINY, rows=None):
    """Every trace record and every update of an event is what the model says."""
    model = BookView(sizes, symbol_rows(sizes) if rows is None else rows)
    updates = [u for u in run.updates if u.itch_type or u.every_slot]
    assert len(run.traces) == len(events) == len(updates)
    for event, trace, update in zip(events, run.traces, updates, strict=True):
        clearing = bool(trace.validity & Validity.CLEARING)
        expected, told = model.event(event, overflow=bool(trace.overflow), clearing=clearing)
        assert trace._replace(cycle=0, stamp=0)._asdict() == expected._asdict(), event
        assert trace.stamp == event.stamp
        assert update._replace(stamp=0)._asdict() == told._asdict(), event
    for name, count in run.counters.items():
        assert count == model.counters[name], name
    return model


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gap", [0.0, 0.5])
def test_book_random_flow_equals_model(seed, gap):
    flow = iter(Flow(seed, TINY, symbol_rows(TINY)))
    events = [next(flow) for _ in range(600)]
    expect_model(Run(events, seed=seed, gap=gap), events)
