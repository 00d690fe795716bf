"""Bench of stage `itch`: marked words of messages in every lane against the reference model, with back-pressure."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib, itch_scenarios
from tickgate.sim.cocotb_lib import StreamMonitor
from tickgate.sim.itch_scenarios import Item, untimed
from tickgate.sw.spec.events import EVENT, FEED_WORD, ITCH_TRACE, ItchStatus, Notice
from tickgate.sw.spec.records import Record, RecordField
from tickgate.sw.spec.rows import SYMBOL_ROW
from tickgate.sw.spec.sizes import Sizes

STAGE = "itch"
EXPECTED_TESTS = 4
#: Faults that want many messages or back-pressure, and two that any traffic shows; tests/gateware has the others too.
FAULTS = {
    "wrong_lane": "random_traffic_equals_the_model",
    "notice_first": "random_traffic_equals_the_model",
    "sequence_cut": "a_long_session_keeps_its_numbers",
    "buffer_overwrites": "a_stalled_book_loses_no_event_in_silence",
}
SIZES = Sizes(slots=8, orders=256, levels=64)

_LOCATES = [7, 0x0107, 0x8000, 515, 1, 0xFFFF, 0x0203, 40]
_TAIL_CYCLES = 200


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.itch import Itch

    return Itch(sizes, faults=faults)


def _counters() -> Record:
    """The packed counters of the stage, in the order of its port."""
    from tickgate.gateware.itch import Itch

    return Record("counters", tuple(RecordField(name, 32) for name in Itch.COUNTERS))


class Run:
    """Drives words into the stage after a reset and keeps what left."""

    def __init__(self, dut: Any):
        self.trace: list[tuple[int, dict[str, int]]] = []
        self.events: list[tuple[int, dict[str, int]]] = []
        self.lost = 0
        self.counters: dict[str, int] = {}
        self._dut = dut

    async def words(self, words: list[dict[str, int] | None]) -> None:
        """One cycle each; None is an idle one."""
        dut = self._dut
        for slot, locate in enumerate(_LOCATES):
            await cocotb_lib.write_row(dut, "cfg_symbol", SYMBOL_ROW, {"valid": 1, "locate": locate}, slot)
        valid = False
        for now, values in enumerate([*words, *[None] * _TAIL_CYCLES]):
            dut.now.value = now
            if valid != (values is not None):
                valid = values is not None
                dut.i__valid.value = int(valid)
            if values is not None:
                dut.i__payload.value = FEED_WORD.pack({"stamp": now, **values})
            await RisingEdge(dut.clk)
            if int(dut.trace__valid.value):
                self.trace.append((now, ITCH_TRACE.unpack(int(dut.trace__payload.value))))
            if int(dut.o__valid.value) and int(dut.o__ready.value):
                self.events.append((now, EVENT.unpack(int(dut.o__payload.value))))
            self.lost += int(dut.event_overflow.value)
        self.counters = _counters().unpack(int(dut.counters.value))


async def check(dut: Any, words: list[dict[str, int] | None], items: list[Item], monitor: StreamMonitor) -> None:
    """Trace, events and counters equal the model's; a stamp is the cycle of the deciding byte."""
    await cocotb_lib.reset(dut)
    monitor.items.clear()
    run = Run(dut)
    await run.words(words)
    model, records, events = itch_scenarios.expectation(words, items, _LOCATES)
    for number, ((cycle, got), want) in enumerate(zip(run.trace, records, strict=False)):
        assert got["cycle"] == cycle, f"record {number} says cycle {got['cycle']}, it left in {cycle}"
        assert untimed(got) == want, f"record {number} is {untimed(got)}, the model says {want}"
    assert len(run.trace) == len(records), f"{len(run.trace)} records, the model says {len(records)}"
    assert run.lost == 0, f"{run.lost} events lost"
    assert [untimed(event) for event in monitor.items] == events, "the events differ from the model's"
    for name, value in run.counters.items():
        assert value == model.counters[name], f"counter {name} is {value}, the model says {model.counters[name]}"
    stamps = itch_scenarios.deciding_stamps(words, items)
    for _, got in run.trace:
        if got["status"] in (ItchStatus.EVENT, ItchStatus.UNSUBSCRIBED):
            assert got["stamp"] == stamps[got["seq"]], f"message {got['seq']} has the stamp of another word"


def with_gaps(
    rng: random.Random, words: list[dict[str, int] | None], pattern: cocotb_lib.Pattern
) -> list[dict[str, int] | None]:
    """The words with idle cycles between them."""
    gaps = pattern(rng)
    out: list[dict[str, int] | None] = []
    for values in words:
        while next(gaps):
            out.append(None)
        out.append(values)
    return out


@cocotb.test()
async def random_traffic_equals_the_model(dut: Any) -> None:
    """All types, lanes and lengths for each pattern of pauses; the book is ready two cycles in three."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    monitor = StreamMonitor(dut, "o", EVENT, cocotb_lib.sometimes(0.33))
    for pattern in cocotb_lib.PATTERNS.values():
        items = list(itch_scenarios.traffic(rng, 6000 if cocotb_lib.full() else 600, _LOCATES))
        words = list(itch_scenarios.feed_words(rng, items, packet=6))
        await check(dut, with_gaps(rng, words, pattern), items, monitor)


@cocotb.test()
async def a_long_session_keeps_its_numbers(dut: Any) -> None:
    """Shortest order messages, beyond the 16,384th."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    monitor = StreamMonitor(dut, "o", EVENT)
    data = [itch_scenarios.message(rng, _LOCATES, ord("D")) for _ in range(64)]
    items = [Item(data[seq % 64], seq) for seq in range(1, 16_600)]
    await check(dut, list(itch_scenarios.feed_words(rng, items, packet=60)), items, monitor)


@cocotb.test()
async def a_stalled_book_loses_no_event_in_silence(dut: Any) -> None:
    """A book that stands still for long: each event arrives in order, or its loss is told."""
    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    monitor = StreamMonitor(dut, "o", EVENT, cocotb_lib.bursts(8, 60))
    await cocotb_lib.reset(dut)
    items = list(itch_scenarios.traffic(rng, 1500, _LOCATES))
    words = list(itch_scenarios.feed_words(rng, items, packet=10))
    run = Run(dut)
    await run.words(words)
    _, _, events = itch_scenarios.expectation(words, items, _LOCATES)
    assert len(monitor.items) + run.lost == len(events), (
        f"{len(events)} events, {len(monitor.items)} arrived and {run.lost} were told lost"
    )
    assert run.lost, "the buffer was never full"
    wanted = iter(events)
    for event in monitor.items:
        assert untimed(event) in wanted, f"event {event['seq']} is out of order or wrong"


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """From the word that ends a message to its record and to its event, with and without notices in the way."""
    from tickgate.gateware.itch import Itch

    await cocotb_lib.start(dut)
    rng = random.Random(cocotb_lib.seed())
    await cocotb_lib.reset(dut)
    dut.o__ready.value = 1
    items = list(itch_scenarios.traffic(rng, 600, _LOCATES))
    for seq in range(601, 1_200):  # as dense as can be
        notice = rng.choice((Notice.MARK, Notice.SYNC, Notice.NONE, Notice.NONE))
        items.append(Item(itch_scenarios.message(rng, _LOCATES, rng.choice(b"SW")), seq, notice))
    words = list(itch_scenarios.feed_words(rng, items, packet=12))
    run = Run(dut)
    await run.words(words)
    ended, seq = {}, 0
    for now, values in enumerate(words):
        if values and values.get("end"):
            ended[seq] = now
        if values and values.get("start"):
            seq = values["seq"]
    found = cocotb_lib.Latencies()
    for now, record in run.trace:
        if record["status"] != ItchStatus.NOTICE:
            found.add("i", "trace", "message", now - ended[record["seq"]])
    for now, event in run.events:
        if event["itch_type"]:
            found.add("i", "o", "event", now - ended[event["seq"]])
    found.hold(Itch.latency_cycles)
