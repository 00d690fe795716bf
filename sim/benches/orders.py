"""Bench of stage `orders`: orders, host messages, rows and kills in any order against the reference model and scapy."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib
from tickgate.sim.order_scenarios import Cycle, Stimulus, check, check_with_scapy, peer_row, session_row
from tickgate.sw.model import orders as model
from tickgate.sw.spec import events
from tickgate.sw.spec.events import FRAME_WORD, ORDER
from tickgate.sw.spec.rows import PEER_ROW, SESSION_ROW
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import WORD_BYTES

STAGE = "orders"
EXPECTED_TESTS = 5
FAULTS = {
    "checksum_carry_lost": "orders_and_host_messages_match_the_model",
    "ip_carry_lost": "orders_and_host_messages_match_the_model",
    "appendage_not_numbered": "orders_and_host_messages_match_the_model",
    "kill_late": "kill_lets_no_first_word_out",
    "user_ref_again": "orders_and_host_messages_match_the_model",
    "count_needs_ready": "orders_and_host_messages_match_the_model",
    "payload_slips": "orders_and_host_messages_match_the_model",
    "inject_sum_misses_last": "orders_and_host_messages_match_the_model",
    "verdict_ignored": "void_orders_leave_no_trace",
    "void_begins": "void_orders_leave_no_trace",
    "number_consumed": "void_orders_leave_no_trace",
    "user_ref_consumed": "void_orders_leave_no_trace",
    "sums_unsettled": "void_orders_leave_no_trace",
    "poison_counts": "void_orders_leave_no_trace",
    "refund_silent": "void_orders_leave_no_trace",
}


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """The stage under test."""
    from tickgate.gateware.orders import Orders

    return Orders(faults=faults)


async def run(dut: Any, stimulus: Stimulus) -> list[Cycle]:
    """Plays a stimulus from reset on and logs every cycle."""
    await cocotb_lib.start(dut)
    log: list[Cycle] = []
    steps = stimulus.run()
    inputs = next(steps)

    def value(valid: Any, payload: Any) -> int | None:
        return int(payload.value) if int(valid.value) else None

    while True:
        dut.now.value = len(log)
        dut.kill.value = inputs["kill"]
        dut.is_void.value = inputs["void"]
        for name, port in (("session", "cfg_session"), ("peer", "cfg_peer")):
            given = inputs[name]
            getattr(dut, f"{port}__commit").value = int(given is not None)
            if given is not None:
                getattr(dut, f"{port}__row").value = given
        for name in ("i", "i_inject"):
            given = inputs[name]
            getattr(dut, f"{name}__valid").value = int(given is not None)
            if given is not None:
                getattr(dut, f"{name}__payload").value = given
        dut.o__ready.value = inputs["o_ready"]
        await RisingEdge(dut.clk)
        seen = Cycle(
            kill=inputs["kill"], void=inputs["void"], session=inputs["session"], peer=inputs["peer"], i=inputs["i"],
            i_ready=int(dut.i__ready.value), i_inject=inputs["i_inject"],
            i_inject_ready=int(dut.i_inject__ready.value), o=value(dut.o__valid, dut.o__payload),
            o_ready=inputs["o_ready"], o_copy=value(dut.o_copy__valid, dut.o_copy__payload),
            trace=value(dut.trace__valid, dut.trace__payload), done=int(dut.done.value),
            refund=int(dut.refund.value),
            session_ok=int(dut.session_ok.value), session_open=int(dut.session_open.value),
        )  # fmt: skip
        log.append(seen)
        try:
            inputs = steps.send(seen)
        except StopIteration:
            return log


def counters_of(dut: Any) -> dict[str, int]:
    """The counters at the end of a run."""
    packed = int(dut.counters.value)
    return {name: packed >> 32 * n & 0xFFFFFFFF for n, name in enumerate(model.COUNTERS)}


@cocotb.test()
async def orders_and_host_messages_match_the_model(dut: Any) -> None:
    """Every frame and record, for each idle pattern and each pattern of back-pressure."""
    count = 400 if cocotb_lib.full() else 25
    for idle in cocotb_lib.PATTERNS:
        for pressure in cocotb_lib.PATTERNS:
            rng = random.Random(f"{cocotb_lib.seed()} {idle} {pressure}")
            gaps, stalls = cocotb_lib.PATTERNS[idle], cocotb_lib.PATTERNS[pressure]
            apart = 0.94 if idle in ("quarter", "bursts") else 0
            firm = rng.random() < 0.5
            stimulus = Stimulus(rng, gaps, stalls, count, count // 2, firm=firm, apart=apart)
            outcome = check(await run(dut, stimulus), counters_of(dut))
            assert len(outcome.frames) == count + count // 2
            check_with_scapy(outcome.frames)


@cocotb.test()
async def rows_take_effect_between_frames(dut: Any) -> None:
    """Sessions, windows and acknowledgements that change at any time."""
    for pressure in cocotb_lib.PATTERNS:
        rng = random.Random(f"{cocotb_lib.seed()} rows {pressure}")
        stimulus = Stimulus(
            rng, cocotb_lib.PATTERNS["quarter"], cocotb_lib.PATTERNS[pressure], 60, 30, firm=True, rows=0.03, apart=0.8
        )
        check_with_scapy(check(await run(dut, stimulus), counters_of(dut)).frames)


@cocotb.test()
async def kill_lets_no_first_word_out(dut: Any) -> None:
    """The kill switch struck in every phase of an order, under back-pressure."""
    killed = completed = 0
    for pressure in cocotb_lib.PATTERNS:
        rng = random.Random(f"{cocotb_lib.seed()} kill {pressure}")
        stimulus = Stimulus(rng, cocotb_lib.PATTERNS["quarter"], cocotb_lib.PATTERNS[pressure], 150, 10, kills=0.05)
        outcome = check(await run(dut, stimulus), counters_of(dut))
        killed += outcome.items[events.OrderItem.KILLED]
        completed += outcome.completed_after_kill
    assert killed > 20 and completed > 20, f"{killed} orders were killed, {completed} completed"


@cocotb.test()
async def void_orders_leave_no_trace(dut: Any) -> None:
    """Orders that turn void in every phase, with kills and host messages between, for each pattern of back-pressure."""
    count = 400 if cocotb_lib.full() else 60
    dropped = poisoned = 0
    for pressure in cocotb_lib.PATTERNS:
        for kills, apart in ((0.0, 0.3), (0.03, 0.0)):
            rng = random.Random(f"{cocotb_lib.seed()} void {pressure} {kills}")
            stimulus = Stimulus(
                rng, cocotb_lib.PATTERNS["none"], cocotb_lib.PATTERNS[pressure], count, count // 4, firm=True,
                kills=kills, apart=apart, voids=0.05,
            )  # fmt: skip
            outcome = check(await run(dut, stimulus), counters_of(dut))
            check_with_scapy(outcome.frames)
            dropped += outcome.items[events.OrderItem.VOID]
            poisoned += len(outcome.poisoned)
    assert dropped > 20 and poisoned > 20, f"{dropped} orders were dropped, {poisoned} poisoned"


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """An order alone, and one in each phase of the longest host message; what follows from words on the way out."""
    from tickgate.gateware.lib.segments import HEADERS_SIZE
    from tickgate.gateware.orders import INJECT_SIZE_MAX, Orders

    rng = random.Random(cocotb_lib.seed())
    found = cocotb_lib.Latencies()
    message = cocotb_lib.frame_words(bytes(INJECT_SIZE_MAX))
    await cocotb_lib.start(dut)
    session = session_row(rng, False)
    await cocotb_lib.write_row(dut, "cfg_session", SESSION_ROW, session)
    await cocotb_lib.write_row(dut, "cfg_peer", PEER_ROW, peer_row(rng, session["next_seq"], 1 << 24))
    await cocotb_lib.idle(dut, 20)
    dut.o__ready.value = 1
    dut.i__payload.value = ORDER.pack(dict.fromkeys((f.name for f in ORDER.fields), 1))

    async def first_words(order_at: int | None, host: bool) -> list[int]:
        """Cycles of the first words of the frames that leave, the order valid from cycle `order_at` on."""
        waiting = list(message) if host else []
        first: list[int] = []
        moved: int | None = None
        ended: int | None = None
        inside = False
        for now in range(100):
            dut.i_inject__valid.value = int(bool(waiting))
            if waiting:
                dut.i_inject__payload.value = FRAME_WORD.pack(waiting[0])
            if now == order_at:
                dut.i__valid.value = 1
            await RisingEdge(dut.clk)
            if waiting and int(dut.i_inject__ready.value):
                waiting.pop(0)
            if int(dut.i__ready.value):
                dut.i__valid.value = 0
            for port, since in (("o_copy", moved), ("done", ended)):
                there = int((dut.o_copy__valid if port == "o_copy" else dut.done).value)
                assert there == (since is not None), f"cycle {now}: {port} is {there}"
                if since is not None:
                    found.add("o", port, "any", now - since)
            moved = ended = None
            if int(dut.o__valid.value):
                moved = now
                if not inside:
                    first.append(now)
                inside = not FRAME_WORD.unpack(int(dut.o__payload.value))["last"]
                if not inside and len(first) == 1 + host:  # the order's last word
                    ended = now
        return first

    (order,) = await first_words(20, False)
    found.add("i", "o", "idle", order - 20)
    (begun,) = await first_words(None, True)
    for phase in range((HEADERS_SIZE + INJECT_SIZE_MAX) // WORD_BYTES):  # of each word of the host's frame
        _, order = await first_words(begun + phase, True)
        found.add("i", "o", "behind_inject", order - begun - phase)
    for since in range(16):  # in each cycle of an order's frame
        await struck(dut, found, since)
    found.hold(Orders.latency_cycles)


async def struck(dut: Any, found: cocotb_lib.Latencies, since: int) -> None:
    """Gives an order, and `is_void` for one cycle, `since` its transfer: what comes of it."""
    last: tuple[int, int] | None = None
    dut.i__valid.value = 1
    for now in range(40):
        dut.is_void.value = int(now == since)
        await RisingEdge(dut.clk)
        dut.i__valid.value = 0
        if int(dut.o__valid.value):
            word = FRAME_WORD.unpack(int(dut.o__payload.value))
            if word["last"]:
                last = now, word["error"]
        if int(dut.trace__valid.value):
            item = events.ORDERS_TRACE.unpack(int(dut.trace__payload.value))["item"]
            if item == events.OrderItem.VOID:
                found.add("is_void", "o", "dropped", now - since)
    if last is not None and last[1]:
        found.add("is_void", "o", "poisoned", last[0] - since)
