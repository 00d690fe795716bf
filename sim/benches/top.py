"""Bench of the whole device: every stage against the reference model, and against a twin without traces."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib, feed_scenarios
from tickgate.sim.benches import top_recording
from tickgate.sim.benches.top_recording import Recording, begin, compare, session
from tickgate.sim.order_scenarios import check_with_scapy
from tickgate.sw.spec import mold, net, soup, telemetry
from tickgate.sw.spec.events import FRAME_WORD, TRACES, OrderItem, TriggerFlag, TriggerStatus
from tickgate.sw.spec.registers import ARM_KEY, BY_NAME
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import WORD_BYTES

STAGE = "top"
EXPECTED_TESTS = 5
SIZES = top_recording.SIZES
FAULTS = {
    "wiring.done_without_rejects": "every_stage_matches_the_model_and_the_twin",
    "wiring.kill_skips_orders": "kill_lets_no_first_word_out",
    "wiring.verdict_skips_orders": "orders_of_bad_frames_leave_no_trace",
}
#: Feed lines have 24 byte times between frames at least.
GAP_CYCLES = 3


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """Two devices, one with every trace, one without."""
    from tickgate.sim.benches.twins import Twins

    return Twins(sizes, faults)


def fault_number(fault: str) -> int:
    """What chooses one of `FAULTS` in a bench that has them all."""
    from tickgate.gateware.top import Top

    return Top.faults_chosen(frozenset(FAULTS)).index(fault)


@cocotb.test()
async def every_stage_matches_the_model_and_the_twin(dut: Any) -> None:
    """A generated session, with idle gaps, back-pressure on the order port, and host messages between the orders."""
    messages = 20_000 if cocotb_lib.full() else 600
    orders = 0
    for number, (gap, pressure) in enumerate(((GAP_CYCLES, "none"), (40, "quarter"), (GAP_CYCLES, "most"))):
        rng = random.Random(f"{cocotb_lib.seed()} {gap} {pressure}")
        frames, config = session(cocotb_lib.seed() * 16 + number, messages)
        recorded = await begin(dut, rng, cocotb_lib.PATTERNS[pressure], config)
        loaded = recorded.traces()
        recorded.forget()
        injected = [soup.build(soup.CLIENT_HEARTBEAT), soup.build(soup.DEBUG, text=rng.randbytes(rng.randrange(70)))]

        async def host(recorded: Recording = recorded, injected: list[bytes] = injected) -> None:
            for payload in injected:
                for word in cocotb_lib.frame_words(payload):
                    dut.i_inject__payload.value = FRAME_WORD.pack(word)
                    dut.i_inject__valid.value = 1
                    while True:
                        await RisingEdge(dut.clk)
                        if int(dut.i_inject__ready.value):
                            break
                dut.i_inject__valid.value = 0
                await cocotb_lib.idle(dut, 500)

        cocotb.start_soon(host())
        await recorded.frames_in(frames, gap)
        await recorded.rest(1200)
        await recorded.read_counters()
        result = compare(recorded, config, frames, injected, loaded)
        orders += result.orders
        check_latency(recorded, pressure)
        check_done(recorded)
        check_with_scapy([frame for _, frame in recorded.frames()])
        check_telemetry(recorded)
    assert orders >= 10, f"only {orders} orders left"


def check_done(recorded: Recording) -> None:
    """The trigger is told of the end of every intent; when it is, the comparison takes from the trigger's records."""
    found = recorded.traces()
    told = int((found["trigger"]["flags"] & TriggerFlag.DONE > 0).sum())
    assert told == len(found["risk"]), f"{len(found['risk'])} intents were judged, the trigger was told of {told}"


#: From the word with the deciding byte at the input to an order's first word, where nothing is in its way.
ORDER_CYCLES = 29


def check_latency(recorded: Recording, pressure: str) -> None:
    """The shortest way of an order is what the stages' tables add up to."""
    orders = recorded.traces()["orders"]
    sent = orders[orders["item"] == OrderItem.ORDER]
    if len(sent):
        least = int((sent["cycle"] - sent["stamp"]).min())
        assert least >= ORDER_CYCLES and (pressure != "none" or least == ORDER_CYCLES), f"an order took {least} cycles"


def check_telemetry(recorded: Recording) -> None:
    """With the mask 0, telemetry holds every verdict and every order, and nothing else but intents."""
    words = [FRAME_WORD.unpack(word) for word in recorded.telemetry]
    arrived: dict[str, list[int]] = {stage: [] for stage in TRACES}
    for frame in cocotb_lib.word_frames(words):
        for stage, values in telemetry.decode(frame)[1]:
            arrived[stage].append(values["seq"])
    found = recorded.traces()
    for stage in ("risk", "orders"):
        assert arrived[stage] == found[stage]["seq"].tolist(), f"telemetry of {stage} is not what happened"
    assert not any(arrived[stage] for stage in ("feed", "itch", "book"))


#: How many words a frame goes on behind the deciding one, and what becomes of the order if it ends with an error then.
FATES = {(19, 23): OrderItem.VOID, (25, 33): OrderItem.POISONED}


def shortened(frame: bytes, seq: int, decided_cycles: int, words_behind: tuple[int, int]) -> bytes | None:
    """A feed frame cut behind a message, so that it ends so many words behind the one that came `decided_cycles` after
    its first; None where no message of it ends there."""
    messages, at = [], net.UDP_PAYLOAD_OFFSET + mold.HEADER_SIZE
    while at < len(frame):
        size = int.from_bytes(frame[at : at + 2], "big")
        messages.append(frame[at + 2 : at + 2 + size])
        at += 2 + size
        short = feed_scenarios.udp_frame(feed_scenarios.packet_bytes(seq, messages))
        if words_behind[0] <= -(-len(short) // WORD_BYTES) - 1 - decided_cycles <= words_behind[1]:
            return short
    return None


@cocotb.test()
async def orders_of_bad_frames_leave_no_trace(dut: Any) -> None:
    """The frame that decides an order ends with an error while the order is on its way, sooner or later."""
    from tickgate.sim.compare.inputs import frames_of

    rng = random.Random(f"{cocotb_lib.seed()} bad")
    frames, config = session(cocotb_lib.seed() * 16 + 10, 1_200, per_packet=12)
    recorded = await begin(dut, rng, cocotb_lib.never, config)
    recorded.forget()
    starts: list[int] = []
    for number in range(len(frames)):
        starts.append(recorded.cycle)
        await recorded.frames_in(frames.select(number, number + 1), GAP_CYCLES)
    await recorded.rest()
    orders = recorded.traces()["orders"]
    starts = [start - recorded.reset_cycle for start in starts]
    found: list[int] = []
    for words_behind, fate in FATES.items():
        for order in orders[orders["item"] == OrderItem.ORDER]:
            if order["cycle"] - order["stamp"] != ORDER_CYCLES:
                continue  # something was in its way
            number = int((frames.first_sequence <= order["seq"]).sum()) - 1
            frame = list(frames.select(number, number + 1))[0][1]
            seq = int(frames.first_sequence[number])
            short = shortened(bytes(frame), seq, int(order["stamp"]) - starts[number], words_behind)
            if short is None:
                continue
            some = frames_of([*frames.select(0, number), (0, short)])
            recorded = await begin(dut, rng, cocotb_lib.never, config)
            loaded = recorded.traces()
            recorded.forget()
            await recorded.frames_in(some, GAP_CYCLES, bad=number)
            await recorded.rest()
            await recorded.read_counters()
            compare(recorded, config, some, [], loaded, bad=number)
            found.append(int(recorded.traces()["orders"]["item"][-1]))
            assert found[-1] == fate, f"the order became {OrderItem(found[-1]).name}, not {fate.name}"
            break
    assert len(found) == len(FATES), "no order of which the frame can be cut in time"


@cocotb.test()
async def kill_lets_no_first_word_out(dut: Any) -> None:
    """The kill switch struck and cleared at random: from the cycle behind the write on no frame begins."""
    rng = random.Random(f"{cocotb_lib.seed()} kill")
    frames, config = session(cocotb_lib.seed() * 16 + 8, 1_200)
    recorded = await begin(dut, rng, cocotb_lib.PATTERNS["quarter"], config)
    strikes = 0

    def intent_left() -> bool:
        if not int(dut.trace_trigger__valid.value):
            return False
        record = TRACES["trigger"].unpack(int(dut.trace_trigger__payload.value))
        return record["status"] == TriggerStatus.SENT or bool(record["flags"] & TriggerFlag.EMIT)

    async def operator() -> None:
        nonlocal strikes
        while True:
            strikes += 1
            await cocotb_lib.idle(dut, rng.randrange(20, 300))
            if rng.random() < 0.5:  # while an intent is on its way through risk and orders
                while not intent_left():
                    await RisingEdge(dut.clk)
                await cocotb_lib.idle(dut, rng.randrange(7))
            for name, value in (("kill", 1), ("arm", ARM_KEY)):
                for bus in ("bus", "bus_b"):
                    getattr(dut, f"{bus}__addr").value = BY_NAME[name].offset
                    getattr(dut, f"{bus}__w_data").value = value
                    getattr(dut, f"{bus}__w_en").value = 1
                await RisingEdge(dut.clk)
                dut.bus__w_en.value = dut.bus_b__w_en.value = 0
                await cocotb_lib.idle(dut, rng.randrange(1, 60))

    task = cocotb.start_soon(operator())
    await recorded.frames_in(frames, GAP_CYCLES)
    task.cancel()
    await recorded.rest(1200)
    wrong = sorted(set(recorded.presented) & set(recorded.killed))
    assert not wrong, f"frames began in cycles {wrong[:5]} while the kill switch was up"
    items = recorded.traces()["orders"]["item"].tolist()
    assert items.count(OrderItem.ORDER) == len(recorded.frames()) == len(recorded.presented)
    assert strikes > 10 and items, f"{strikes} strikes met {len(items)} orders"


@cocotb.test()
async def reset_in_mid_run_stops_everything_at_once(dut: Any) -> None:
    """Behind a reset nothing leaves until the host has configured the device again; then all is as before."""
    rng = random.Random(f"{cocotb_lib.seed()} reset")
    frames, config = session(cocotb_lib.seed() * 16 + 9, 600)
    recorded = await begin(dut, rng, cocotb_lib.never, config)
    await recorded.frames_in(frames.select(0, 120), GAP_CYCLES)
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    recorded.forget()
    assert await recorded.read("status") & 0b1001 == 0, "armed or open behind a reset"
    await recorded.frames_in(frames.select(120, 180), GAP_CYCLES)
    await recorded.rest()
    assert not recorded.words, "a word left behind a reset"
    assert await recorded.read("accepted") == 0 and await recorded.read("orders") == 0
    again = Recording(dut, rng, cocotb_lib.never)
    await again.write(BY_NAME["clear"].offset, 1)
    await again.configure(config)
    loaded = again.traces()
    again.forget()
    await again.frames_in(frames, GAP_CYCLES)
    await again.rest()
    found = again.frames()
    assert found and not loaded["orders"].size
    check_with_scapy([frame for _, frame in found])


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """A kill in the cycle of an order's first word comes too late for it, one in the cycle before does not."""
    from tickgate.gateware.top import Top

    rng = random.Random(cocotb_lib.seed())
    frames, config = session(cocotb_lib.seed() * 16, 600)

    async def first_word(kill_at: int | None) -> int | None:
        """Cycle, from the first frame on, in which the first order's first word is presented."""
        recorded = await begin(dut, rng, cocotb_lib.never, config)
        began = recorded.cycle

        async def strike(cycles: int) -> None:
            await cocotb_lib.idle(dut, cycles)
            for bus in ("bus", "bus_b"):
                getattr(dut, f"{bus}__addr").value = BY_NAME["kill"].offset
                getattr(dut, f"{bus}__w_en").value = 1
            await RisingEdge(dut.clk)
            dut.bus__w_en.value = dut.bus_b__w_en.value = 0

        if kill_at:
            cocotb.start_soon(strike(kill_at))
        for at in range(len(frames)):
            await recorded.frames_in(frames.select(at, at + 1), GAP_CYCLES)
            if recorded.presented or kill_at and recorded.cycle - began > kill_at + 200:
                break
        await recorded.rest()
        return recorded.presented[0] - began if recorded.presented else None

    alone = await first_word(None)
    assert alone is not None, "no order left"
    stops = [before for before in (0, 1) if await first_word(alone - before) != alone]
    assert stops, "a kill in the cycle before an order's first word does not stop it"
    found = cocotb_lib.Latencies()
    found.add("bus", "o_orders", "kill", min(stops))
    found.hold(Top.latency_cycles)
