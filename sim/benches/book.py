"""Bench of the stage `book`: seeded flows of every event kind against the reference model, record by record."""

import random
from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotb.utils import get_sim_time

from tickgate.gateware.book.hashing import table_shape
from tickgate.sim import cocotb_lib as lib
from tickgate.sim.benches.book_flow import Flow, symbol_rows
from tickgate.sim.cocotb_run import BENCH_SIZES
from tickgate.sw.model.book import COUNTERS, BookView
from tickgate.sw.spec.events import BOOK_TRACE, BOOK_UPDATE, EVENT, NO_SLOT, EventKind, Notice
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.state import Validity

STAGE = "book"
SIZES = BENCH_SIZES
EXPECTED_TESTS = 6
FAULTS = {
    "order_forward_lost": "book_random_flow_equals_model",
    "way_taken_twice": "book_table_fills_up_and_says_when_there_is_no_room",
    "stash_entry_lost": "book_table_fills_up_and_says_when_there_is_no_room",
    "level_off_by_one": "book_random_flow_equals_model",
    "level_forward_lost": "book_random_flow_equals_model",
    "word_forward_lost": "book_random_flow_equals_model",
    "summary_late": "book_random_flow_equals_model",
    "no_rescan": "book_random_flow_equals_model",
    "replace_side_lost": "book_random_flow_equals_model",
    "far_not_uncounted": "book_random_flow_equals_model",
    "excess_wraps": "book_random_flow_equals_model",
    "other_slot_spared": "book_random_flow_equals_model",
}

_Event: Any = EVENT.tuple_type
_PERIOD = 10_000  # of the clock, in simulator steps of 1 ps


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The design under test."""
    from tickgate.gateware.book import Book

    return Book(sizes, faults=faults)


class _Bench:
    """A book, a model that is told the same, and a watcher that compares both after every event."""

    def __init__(self, dut: Any, idle: lib.Pattern = lib.never, salt: int = 0):
        self.dut = dut
        self.seed = lib.seed() + 1000 * salt
        self.rows = symbol_rows(SIZES)
        self.flow = Flow(self.seed, SIZES, self.rows)
        self.model = BookView(SIZES, self.rows)
        self.compared = 0
        self.overflows = 0
        self.latencies: set[tuple[str, int]] = set()
        self._gaps = idle(random.Random(self.seed))
        self._sent: list[tuple[Any, float]] = []

    async def start(self) -> None:
        """Reset, symbol rows, and the sweep after them."""
        await lib.start(self.dut)
        lib.count_now(self.dut)
        cocotb.start_soon(self._watch())
        await self.configure()

    async def configure(self) -> None:
        """Symbol rows, and the end of the sweep."""
        for slot, row in enumerate(self.rows):
            await lib.write_row(self.dut, "cfg_symbol", SYMBOL_ROW, row, slot)
        await self.settle()

    async def settle(self) -> None:
        """Waits until nothing is under way and no sweep either."""
        await lib.idle(self.dut, 24)
        while int(self.dut.clearing.value):
            await RisingEdge(self.dut.clk)
        await lib.idle(self.dut, 24)
        assert not self._sent, f"{len(self._sent)} events have no trace record"

    async def play(self, events: Iterable[Any]) -> None:
        """Sends events as fast as the gap pattern and the book let them in."""
        dut = self.dut
        for event in events:
            while next(self._gaps):
                await RisingEdge(dut.clk)
            dut.i__payload.value = EVENT.pack(event._asdict())
            dut.i__valid.value = 1
            while True:
                await RisingEdge(dut.clk)
                if int(dut.i__ready.value):
                    break
            self._sent.append((event, get_sim_time()))
            dut.i__valid.value = 0

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if int(dut.o__valid.value):
                update = BOOK_UPDATE.tuple_type(**BOOK_UPDATE.unpack(int(dut.o__payload.value)))
                traced = int(dut.trace__valid.value)
                if traced:
                    trace = BOOK_TRACE.tuple_type(**BOOK_TRACE.unpack(int(dut.trace__payload.value)))
                    self._compare(update, trace)
                else:
                    self._refreshed(update)

    def _compare(self, update: Any, trace: Any) -> None:
        event, sent = self._sent.pop(0)
        clearing = bool(trace.validity & Validity.CLEARING)
        if trace.slot != NO_SLOT and not clearing:
            self.model.clearing = False
        expected, told = self.model.event(event, overflow=bool(trace.overflow), clearing=clearing)
        found = trace._replace(cycle=0, stamp=0)
        assert found == expected, f"{event}: {_difference(found, expected)}"
        assert trace.stamp == event.stamp
        found = update._replace(stamp=0)
        assert found == told, f"{event}: {_difference(found, told)}"
        name = "replace" if event.kind == EventKind.REPLACE else "any"
        self.latencies.add((name, int(get_sim_time() - sent) // _PERIOD))
        self.compared += 1
        self.overflows += trace.overflow

    def _refreshed(self, update: Any) -> None:
        """An update of no event: of every slot, or of one after a sweep or a commit."""
        if update.every_slot:
            told = self.model.lost_event() if update.every_set == Validity.OVERFLOW else self.model.clear()
            assert update == told, _difference(update, told)
            return
        bbo = (update.bid_px_e4, update.bid_qty, update.ask_px_e4, update.ask_qty)
        assert bbo == self.model.bbo(update.slot)
        assert update.validity == self.model.validity(update.slot) & ~Validity.CLEARING
        assert update.state == self.model.state(update.slot)
        assert update.itch_type == 0

    async def finish(self) -> None:
        """Waits for the last answers; latency and counters must be what is stated."""
        await self.settle()
        word = int(self.dut.counters.value)
        for number, name in enumerate(component(SIZES, frozenset()).COUNTERS):
            count = word >> 32 * number & 0xFFFFFFFF
            assert count == self.model.counters[name], f"{name}: {count}, not {self.model.counters[name]}"
        stated = component(SIZES, frozenset()).latency_cycles
        for name, cycles in self.latencies:
            low, high = stated["i", "o", name]
            assert low <= cycles <= high, f"{name}: {cycles} cycles, not {low} to {high}"
        assert set(COUNTERS) == set(component(SIZES, frozenset()).COUNTERS)


def _difference(found: Any, expected: Any) -> str:
    return ", ".join(
        f"{name} {a}, not {b}" for name, a, b in zip(found._fields, found, expected, strict=True) if a != b
    )


def _some(flow: Flow, count: int) -> list[Any]:
    source = iter(flow)
    return [next(source) for _ in range(count)]


@cocotb.test()
async def book_random_flow_equals_model(dut: Any) -> None:
    """Every gap pattern, every event kind, every anomaly."""
    bench = _Bench(dut)
    await bench.start()
    count = 8000 if lib.full() else 1200
    for name, pattern in lib.PATTERNS.items():
        bench._gaps = pattern(random.Random(bench.seed))
        bench.flow.mix.near = 0.9 if name == "bursts" else 0.7
        await bench.play(_some(bench.flow, count))
    await bench.finish()
    assert bench.compared == count * len(lib.PATTERNS)


@cocotb.test()
async def book_deep_levels_move_the_best_far(dut: Any) -> None:
    """Few orders over the whole window: the best level goes again and again, and the next one is far away."""
    bench = _Bench(dut, salt=1)
    bench.flow.mix.live, bench.flow.mix.near, bench.flow.mix.wrong = 6, 0.0, 0.0
    await bench.start()
    await bench.play(_some(bench.flow, 20000 if lib.full() else 2500))
    await bench.finish()


@cocotb.test()
async def book_table_fills_up_and_says_when_there_is_no_room(dut: Any) -> None:
    """The order table beyond its size, after a day at low load."""
    bench = _Bench(dut, salt=2)
    mix = bench.flow.mix
    mix.live, mix.wrong = 60, 0.01
    await bench.start()
    await bench.play(_some(bench.flow, 10_500))
    assert not bench.overflows
    entries = table_shape(SIZES).entries
    mix.live = entries + SIZES.stash
    await bench.play(_some(bench.flow, 20000 if lib.full() else 5000))
    await bench.settle()
    assert len(bench.model.orders()) > 0.8 * entries
    await bench.play(list(bench.flow.drain()))
    await bench.finish()
    assert bench.overflows


@cocotb.test()
async def book_sweeps_on_a_new_session_and_on_command(dut: Any) -> None:
    """Sweeps in mid-flow, with events arriving all the while."""
    bench = _Bench(dut, salt=3)
    await bench.start()
    for turn in range(8):
        await bench.play(_some(bench.flow, 120))
        if turn % 2:
            blank = dict.fromkeys(_Event._fields, 0)
            news = {"kind": int(EventKind.NOTICE), "notice": int(Notice.NEW_SESSION), "every_slot": 1}
            await bench.play([_Event(**(blank | news))])
        else:
            await lib.idle(dut, 24)
            dut.clear.value = 1
            await RisingEdge(dut.clk)
            dut.clear.value = 0
            await lib.idle(dut, 2)
        bench.flow.forget()
        await bench.play(_some(bench.flow, 30))
        bench.flow.forget()
        if turn == 5:
            dut.event_overflow.value = 1
            await RisingEdge(dut.clk)
            dut.event_overflow.value = 0
        await bench.settle()
    await bench.finish()
    assert bench.model.counters["drop_clearing"] > 50


@cocotb.test()
async def book_reset_in_mid_run_starts_afresh(dut: Any) -> None:
    """A reset among orders: swept, unsynced, nothing left."""
    bench = _Bench(dut, salt=4)
    await bench.start()
    await bench.play(_some(bench.flow, 200))
    await bench.settle()
    await lib.reset(dut)
    bench.model = BookView(SIZES, bench.rows)
    bench.flow.forget()
    await bench.configure()
    await bench.play(_some(bench.flow, 300))
    await bench.finish()


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """From the cycle in which an event is taken to its update, alone and one behind the other."""
    bench = _Bench(dut, salt=5)
    await bench.start()
    for pattern in (lib.never, lib.sometimes(0.8)):
        bench._gaps = pattern(random.Random(bench.seed))
        await bench.play(_some(bench.flow, 400))
    await bench.finish()
    found = lib.Latencies()
    for name, cycles in bench.latencies:
        found.add("i", "o", name, cycles)
    found.hold(component(SIZES, frozenset()).latency_cycles)
