import functools
import gc
import random

import pytest
from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator

from tickgate.gateware.book import Book, decode_dump, dump_signals
from tickgate.gateware.book.hashing import table_shape
from tickgate.sim.benches.book_flow import Flow, Mix, symbol_rows
from tickgate.sw.model.book import BookView
from tickgate.sw.spec.events import BOOK_TRACE, BOOK_UPDATE, EVENT, NO_SLOT, EventKind, Notice
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import Anomaly, OrderClass, SymbolState, Validity

TINY = Sizes(slots=4, orders=256, levels=64, stash=4)
SHAPE = table_shape(TINY)
ENTRIES = SHAPE.entries
ROWS = symbol_rows(TINY)
BASE, TICK = ROWS[0]["base_e4"], ROWS[0]["tick_e4"]
Event = EVENT.tuple_type


def event(kind, slot=0, itch_type="A", **fields):
    values = dict.fromkeys(Event._fields, 0) | {"kind": int(kind), "slot": slot, "itch_type": ord(itch_type)}
    return Event(**(values | fields))


def add(reference, level, side=0, quantity=100, slot=0, **fields):
    price_e4 = ROWS[slot]["base_e4"] + level * ROWS[slot]["tick_e4"]
    return event(EventKind.ADD, slot, side=side, reference=reference, quantity=quantity,
                 **({"price_e4": price_e4} | fields))  # fmt: skip


def delete(reference, slot=0):
    return event(EventKind.DELETE, slot, "D", reference=reference)


def execute(reference, quantity, slot=0):
    return event(EventKind.EXECUTE, slot, "E", reference=reference, quantity=quantity)


def replace(old, new, level, quantity=100, slot=0):
    price_e4 = ROWS[slot]["base_e4"] + level * ROWS[slot]["tick_e4"]
    return event(EventKind.REPLACE, slot, "U", reference=old, new_reference=new, quantity=quantity, price_e4=price_e4)


def notice(kind):
    return event(EventKind.NOTICE, every_slot=1, notice=int(kind), itch_type="\0")


class Run:
    """A book in Amaranth's simulator.

    `script` is what happens: events, ("idle", n), ("settle",), ("clear",), ("event_overflow",), ("row", slot, row).
    """

    def __init__(self, script, sizes=TINY, rows=None, seed=1, gap=0.0, faults=frozenset(), settle=True):
        self.dut = Book(sizes, faults=faults)
        self.traces, self.updates, self.taken_at, self.update_at = [], [], [], []
        self.cycle = 0
        self.counters = {}
        self.memories = {}
        self._sizes = sizes
        self._rows = symbol_rows(sizes) if rows is None else rows
        self._script, self._gap, self._settle = list(script), gap, settle
        self._random = random.Random(seed)
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(self._watch, background=True)
        sim.add_testbench(self._drive)
        sim.run()

    @property
    def answers(self):
        """Updates of events and of news, without those that repeat a slot."""
        return [u for u in self.updates if u.itch_type or u.every_slot]

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
                await ctx.tick().repeat(2)
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
        dumped = dut._table.dumped | dut._levels.dumped
        for _, name, _, depth in dump_signals(self._sizes):
            kept = dumped[name]
            if hasattr(kept, "data"):
                self.memories[name] = [int(self._flat(ctx.get(kept.data[n]))) for n in range(depth)]
            else:
                self.memories[name] = [ctx.get(kept)]

    @staticmethod
    def _flat(value):
        return value.as_bits() if hasattr(value, "as_bits") else value

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


def expect_model(run, script, sizes=TINY):
    """Every trace record, every update of an event, every counter and the dump are what the model says."""
    model = BookView(sizes, symbol_rows(sizes))
    events = [step for step in script if isinstance(step, Event)]
    answers = [u for u in run.answers if u.itch_type or not u.every_set & Validity.OVERFLOW]
    assert len(run.traces) == len(events) == len(answers)
    for event_, trace, update in zip(events, run.traces, answers, strict=True):
        clearing = bool(trace.validity & Validity.CLEARING)
        if trace.slot != NO_SLOT and not clearing:
            model.clearing = False
        expected, told = model.event(event_, overflow=bool(trace.overflow), clearing=clearing)
        assert trace._replace(cycle=0, stamp=0)._asdict() == expected._asdict(), event_
        assert trace.stamp == update.stamp == event_.stamp
        assert update._replace(stamp=0)._asdict() == told._asdict(), event_
    for name, count in run.counters.items():
        assert count == model.counters[name], name
    orders, levels = decode_dump(sizes, run.memories)
    assert orders == {reference: order[:5] for reference, order in model.orders().items()}
    for slot in range(sizes.slots):
        for side in (0, 1):
            assert levels[slot, side] == model.levels(slot, side)
    return model


@pytest.mark.parametrize(("seed", "gap"), [(1, 0.0), (2, 0.0), (3, 0.5), (4, 0.8)])
def test_book_random_flow_equals_model(seed, gap):
    flow = iter(Flow(seed, TINY, ROWS, Mix(wrong=0.2)))
    events = [next(flow) for _ in range(350)]
    run = Run(events, seed=seed, gap=gap)
    expect_model(run, events)
    assert {t.anomaly for t in run.traces} == set(Anomaly)
    assert {t.kind for t in run.traces} == set(EventKind)


class UncheckedMemory(Memory):
    """A memory that, where it may, answers wrongly if a row is read in the cycle in which it is written."""

    spoiled = 0

    def elaborate(self, platform):
        if not self.attrs.get("no_rw_check"):
            return super().elaborate(platform)
        m = Module()
        m.submodules.memory = memory = Memory(self.data)
        collisions = []
        for outer in self.write_ports:
            inner = memory.write_port()
            m.d.comb += [inner.addr.eq(outer.addr), inner.data.eq(outer.data), inner.en.eq(outer.en)]
        for outer in self.read_ports:
            inner, collides = memory.read_port(), Signal()
            m.d.sync += collides.eq(sum((port.en & (port.addr == outer.addr)) for port in self.write_ports) != 0)
            raw = Value.cast(inner.data)
            m.d.comb += [inner.addr.eq(outer.addr), Value.cast(outer.data).eq(Mux(collides, ~raw, raw))]
            collisions.append(collides)
        UncheckedMemory.spoiled += len(collisions)
        return m


@pytest.mark.parametrize("gap", (0.0, 0.4))
def test_book_does_not_depend_on_a_row_read_while_it_is_written(monkeypatch, gap):
    for part in ("table", "levels"):
        monkeypatch.setattr(f"tickgate.gateware.book.{part}.Memory", UncheckedMemory)
    flow = iter(Flow(8, TINY, ROWS, Mix(wrong=0.1, live=20)))
    events = [next(flow) for _ in range(350)]
    expect_model(Run(events, seed=8, gap=gap), events)
    assert UncheckedMemory.spoiled >= SHAPE.banks * SHAPE.ways + 3


class PlainBook:
    """Best prices from nothing but a dictionary of orders; only for flows without anomalies."""

    def __init__(self):
        self.orders = {}

    def event(self, e):
        if e.kind == EventKind.ADD:
            self.orders[e.reference] = [e.slot, e.side, e.price_e4, e.quantity]
        elif e.kind == EventKind.DELETE:
            del self.orders[e.reference]
        elif e.kind in (EventKind.EXECUTE, EventKind.CANCEL):
            self.orders[e.reference][3] -= e.quantity
            if not self.orders[e.reference][3]:
                del self.orders[e.reference]
        elif e.kind == EventKind.REPLACE:
            slot, side, _, _ = self.orders.pop(e.reference)
            self.orders[e.new_reference] = [slot, side, e.price_e4, e.quantity]

    def side(self, slot, side):
        prices = [price for at, s, price, _ in self.orders.values() if (at, s) == (slot, side)]
        if not prices:
            return 0, 0
        best = min(prices) if side else max(prices)
        shares = sum(q for at, s, p, q in self.orders.values() if (at, s, p) == (slot, side, best))
        return best, shares


def test_book_valid_slots_have_the_best_prices_of_a_plain_book():
    flow = iter(Flow(5, TINY, ROWS, Mix(wrong=0.0, news=0.0, live=30)))
    events = [notice(Notice.MARK), *(next(flow) for _ in range(350))]
    run = Run(events, seed=5)
    plain = PlainBook()
    valid = 0
    for e, trace in zip(events, run.traces, strict=True):
        plain.event(e)
        if trace.slot < TINY.slots and trace.validity == 0:
            valid += 1
            assert (trace.bid_px_e4, trace.bid_qty) == plain.side(trace.slot, 0)
            assert (trace.ask_px_e4, trace.ask_qty) == plain.side(trace.slot, 1)
    assert valid > 40


def test_book_takes_an_event_every_second_cycle_and_answers_after_the_stated_latency():
    flow = iter(Flow(6, TINY, ROWS))
    events = [next(flow) for _ in range(150)]
    run = Run(events)
    told_at = [at for at, u in zip(run.update_at, run.updates, strict=True) if u.itch_type or u.every_slot]
    assert [t.cycle for t in run.traces] == told_at
    for n, (e, taken, told) in enumerate(zip(events, run.taken_at, told_at, strict=True)):
        name = "replace" if e.kind == EventKind.REPLACE else "any"
        assert (told - taken,) * 2 == run.dut.latency_cycles["i", "o", name]
        if n:
            assert taken - run.taken_at[n - 1] == pace(events[n - 1], e)


def pace(before, event_):
    """Cycles between two events that the book may take at its best speed."""
    if before.every_slot and event_.every_slot:
        return 1
    return 4 if before.kind == EventKind.REPLACE else 2


def test_book_events_of_every_slot_in_every_cycle_among_others_equal_the_model():
    rng = random.Random(9)
    flow = iter(Flow(9, TINY, ROWS, Mix(wrong=0.1)))
    notices = (Notice.NONE, Notice.GAP, Notice.FCS, Notice.MARK, Notice.SYNC)
    bits = (SymbolState.CLOSED, SymbolState.BREAKER, SymbolState.CLOSED | SymbolState.BREAKER)
    events = []
    for _ in range(60):
        for _ in range(rng.choice((1, 2, 3, 20))):
            if rng.random() < 0.5:
                events.append(notice(rng.choice(notices)))
            else:
                change = {"state_op": rng.randrange(2), "state_bits": int(rng.choice(bits))}
                events.append(event(EventKind.STATE, 0, rng.choice("SW"), every_slot=1, **change))
        events += [next(flow) for _ in range(rng.choice((1, 1, 2, 5)))]
    events = [e._replace(seq=n, stamp=3 * n) for n, e in enumerate(events, 1)]
    run = Run(events)
    expect_model(run, events)
    gaps = [later - taken for taken, later in zip(run.taken_at, run.taken_at[1:], strict=False)]
    assert gaps == [pace(*pair) for pair in zip(events, events[1:], strict=False)]
    assert gaps.count(1) > 100


def test_book_hazards_on_one_order_level_and_row_follow_each_other_at_the_closest():
    script = []
    for turn in range(6):
        base = 1000 * turn
        script += [
            add(base + 4, 30), execute(base + 4, 40), execute(base + 4, 60), add(base + 4, 30), delete(base + 4),
            add(base + 8, 31), add(base + 12, 31), delete(base + 8), add(base + 8, 2), delete(base + 12),
            replace(base + 8, base + 8, 31), replace(base + 8, base + 12, 31), replace(base + 12, base + 8, 60),
            add(base + 16, 61), delete(base + 16), delete(base + 8), add(base + 20, 61, side=1),
            add(base + 24, 5, side=1), delete(base + 24), delete(base + 20),
        ]  # fmt: skip
        script += [("idle", turn + 1)]
    run = Run(script)
    model = expect_model(run, script)
    assert not model.orders()
    assert any(t.bbo_changed == 0 and t.kind == EventKind.REPLACE for t in run.traces)


def test_book_replace_at_the_same_level_and_shares_does_not_change_the_best():
    script = [add(1, 30), replace(1, 2, 30), replace(2, 2, 30, quantity=99)]
    assert [t.bbo_changed for t in Run(script).traces] == [1, 0, 1]


def test_book_window_edges_decide_the_class_and_the_soundness():
    top, one = TINY.levels - 1, {"quantity": 1}
    script = [
        notice(Notice.MARK), add(1, 0, **one), add(2, top, **one), add(3, -1, **one), add(4, top + 1, **one), delete(4),
        add(5, 3, price_e4=BASE + 3 * TICK + 1, **one), delete(5), delete(1), delete(2), delete(3),
        add(6, top, side=1, **one), add(7, top + 1, side=1, **one), add(8, -1, side=1, **one), delete(8), delete(6),
        delete(7),
    ]  # fmt: skip
    run = Run(script)
    expect_model(run, script)
    unsound = [bool(t.validity & Validity.WINDOW) for t in run.traces]
    assert unsound == [bit == "1" for bit in "00001010010" + "001010"]
    classes = [OrderClass(t.new_class) for t in run.traces if t.kind == EventKind.ADD]
    placed, far, off = OrderClass.PLACED, OrderClass.FAR, OrderClass.OFF
    assert classes == [placed, placed, far, off, off, placed, far, off]


def test_book_far_orders_alone_make_a_side_unsound():
    script = [notice(Notice.MARK), add(1, -5), add(2, 5), delete(2), delete(1)]
    assert [t.validity for t in Run(script).traces] == [0, Validity.WINDOW, 0, Validity.WINDOW, 0]


def test_book_without_room_says_so_and_marks_the_slot():
    # More orders than the table and its stash have places.
    script = [notice(Notice.MARK), *(add(4 * n, n % 64) for n in range(ENTRIES + TINY.stash + 8))]
    run = Run(script)
    expect_model(run, script)
    lost = sum(t.overflow for t in run.traces)
    assert lost == run.counters["overflows"] >= 8
    first = next(n for n, t in enumerate(run.traces) if t.overflow)
    assert first > 0.8 * ENTRIES
    assert all(bool(t.validity & Validity.OVERFLOW) == (n >= first) for n, t in enumerate(run.traces))


def test_book_drops_order_events_while_it_sweeps():
    script = [add(1, 5), delete(1), event(EventKind.TRADE, itch_type="P"), ("settle",), add(1, 5), add(2, 6)]
    run = Run(script, settle=False)
    expect_model(run, script)
    dropped, trade, fine = run.traces[0], run.traces[2], run.traces[4]
    assert dropped.validity & Validity.CLEARING and dropped.validity & Validity.INCOMPLETE and not dropped.new_qty
    assert trade.validity & Validity.CLEARING
    assert fine.bid_qty == 100 and not fine.validity & Validity.CLEARING
    assert run.counters["drop_clearing"] == 2


def test_book_new_session_sweeps_and_tells_every_slot():
    script = [
        notice(Notice.MARK), add(1, 5), add(2, 6, side=1, slot=1), add(3, -1), notice(Notice.NEW_SESSION),
        execute(1, 10), ("settle",), add(1, 7), notice(Notice.MARK), delete(1),
    ]  # fmt: skip
    run = Run(script)
    expect_model(run, script)
    assert run.traces[4].validity == Validity.UNSYNCED
    assert run.traces[5].anomaly == 0 and run.traces[5].validity & Validity.CLEARING
    told = [u for u in run.updates if not u.itch_type and not u.every_slot][-TINY.slots :]
    assert [u.slot for u in told] == list(range(TINY.slots))
    for update in told:
        assert (update.bid_px_e4, update.ask_px_e4) == (0, 0)
        assert not update.validity & Validity.CLEARING and update.validity & Validity.UNSYNCED
    assert run.traces[-1].validity == 0


def test_book_clear_sweeps_and_leaves_every_slot_unsynced():
    script = [notice(Notice.MARK), add(1, 5), ("clear",), ("settle",), add(1, 7), notice(Notice.MARK), delete(1)]
    run = Run(script)
    news = [u for u in run.updates if u.every_slot and u.every_set]
    assert [u.every_set for u in news] == [Validity.CLEARING | Validity.UNSYNCED]
    assert run.traces[2].anomaly == 0 and run.traces[2].bid_px_e4 == BASE + 7 * TICK
    assert [t.validity for t in run.traces] == [0, 0, Validity.UNSYNCED, 0, 0]


def test_book_lost_event_turns_every_slot_overflow():
    script = [notice(Notice.MARK), add(1, 5), ("event_overflow",), add(2, 5, slot=1), notice(Notice.MARK), add(3, 5)]
    run = Run(script)
    assert [u.every_set for u in run.updates if u.every_slot and u.every_set] == [Validity.OVERFLOW]
    assert [t.validity for t in run.traces] == [0, 0, Validity.OVERFLOW, 0, 0]
    assert run.counters["drop_event_overflow"] == 1


def test_book_symbol_row_resets_the_trading_state():
    halt = event(EventKind.STATE, 1, "H", state_bits=int(SymbolState.HALTED))
    script = [halt, ("idle", 20), ("row", 1, ROWS[1] | {"assume_trading": 0}), ("idle", 20),
              event(EventKind.OTHER, 1, "I")]  # fmt: skip
    run = Run(script)
    assert [t.state for t in run.traces] == [SymbolState.HALTED, SymbolState.NO_STATE]
    told = [u for u in run.updates if u.slot == 1 and not u.itch_type]
    assert told[-1].state == SymbolState.NO_STATE


@pytest.mark.parametrize("fault", ["no_rescan", "replace_side_lost", "word_forward_lost"])
def test_book_planted_fault_is_noticed(fault):
    flow = iter(Flow(7, TINY, ROWS, Mix(wrong=0.15)))
    events = [next(flow) for _ in range(450)]
    with pytest.raises(AssertionError):
        expect_model(Run(events, faults=frozenset({fault})), events)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_book_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="fault must be one of"):
        Book(TINY, faults=frozenset({"nonsense"}))
    gc.collect()  # the refused book is told of as unused when it goes: here, not in some later test


def stash_reuse(cycles):
    """Fills table and stash, frees a stash entry and takes it again, then names its old reference so much later."""
    filling, overflows, old = stash_filled()
    # What found no place has none in the table: it takes the freed entry. With another operation between, the delete
    # that frees it is not among the two that are remembered.
    between = [event(EventKind.TRADE), ("idle", cycles - 3)] if cycles > 3 else [("idle", cycles - 1)]
    return [*filling, delete(old), ("idle", 20), filling[overflows[0]], *between, delete(old), ("idle", 20)]


@functools.cache
def stash_filled():
    """More adds than there are places, which of them find none, and the reference in the first entry of the stash."""
    filling = [add(4 * n, 5, quantity=1) for n in range(ENTRIES + TINY.stash + 8)]
    run = Run(filling)
    return filling, [n for n, t in enumerate(run.traces) if t.overflow], run.memories["stash_reference0"][0]


@pytest.mark.parametrize("cycles", [2, 4, 5, 6])
def test_book_reference_of_a_stash_entry_that_is_taken_again_is_not_found(cycles):
    script = stash_reuse(cycles)
    expect_model(Run(script), script)


def test_book_stash_entry_that_is_found_early_is_noticed():
    script = stash_reuse(5)
    with pytest.raises(AssertionError):
        expect_model(Run(script, faults=frozenset({"stash_found_early"})), script)
