"""Stage orders: every byte of every frame, the numbering, the kill switch, and its cycles."""

import gc
import itertools
import random
import sys
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.orders import INJECT_SIZE_MAX, Orders
from tickgate.sim import cocotb_lib
from tickgate.sim import order_scenarios as scenarios
from tickgate.sim.order_scenarios import Cycle, Outcome, Stimulus
from tickgate.sw.model import orders as model
from tickgate.sw.spec import events
from tickgate.sw.spec.rows import PEER_ROW, SESSION_ROW

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
import oracle_net
import oracle_ouch
import oracle_soup


def play(dut: Orders, stimulus) -> tuple[list[Cycle], dict[str, int]]:
    """Every cycle of a stimulus from reset on, and the counters at its end."""
    log: list[Cycle] = []
    found: dict[str, int] = {}

    async def testbench(ctx):
        def value(port):
            return ctx.get(port.payload.as_value()) if ctx.get(port.valid) else None

        steps = stimulus.run()
        inputs = next(steps)
        while True:
            ctx.set(dut.now, len(log))
            ctx.set(dut.kill, inputs["kill"])
            ctx.set(dut.is_void, inputs.setdefault("void", 0))
            for name, port in (("session", dut.cfg_session), ("peer", dut.cfg_peer)):
                ctx.set(port.commit, inputs[name] is not None)
                if inputs[name] is not None:
                    ctx.set(port.row.as_value(), inputs[name])
            for name, port in (("i", dut.i), ("i_inject", dut.i_inject)):
                ctx.set(port.valid, inputs[name] is not None)
                if inputs[name] is not None:
                    ctx.set(port.payload.as_value(), inputs[name])
            ctx.set(dut.o.ready, inputs["o_ready"])
            log.append(
                Cycle(
                    **inputs,
                    i_ready=ctx.get(dut.i.ready),
                    i_inject_ready=ctx.get(dut.i_inject.ready),
                    o=value(dut.o),
                    o_copy=value(dut.o_copy),
                    trace=value(dut.trace),
                    done=ctx.get(dut.done),
                    refund=ctx.get(dut.refund),
                    session_ok=ctx.get(dut.session_ok),
                    session_open=ctx.get(dut.session_open),
                )
            )
            await ctx.tick()
            try:
                inputs = steps.send(log[-1])
            except StopIteration:
                break
        found.update({name: ctx.get(dut.counters[name]) for name in dut.COUNTERS})

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return log, found


def outcome_of(stimulus: Stimulus, faults: frozenset[str] = frozenset()) -> Outcome:
    log, counters = play(Orders(faults=faults), stimulus)
    return scenarios.check(log, counters)


def stimulus(name: str, idle: str = "quarter", pressure: str = "quarter", orders: int = 20, injects: int = 8, **rest):
    patterns = cocotb_lib.PATTERNS
    return Stimulus(random.Random(f"orders {name}"), patterns[idle], patterns[pressure], orders, injects, **rest)


def decode_with_oracles(frame: bytes) -> dict[str, object]:
    network = oracle_net.decode(frame)
    packets = oracle_soup.split(network["payload"])
    assert len(packets) == 1
    return network | {"ouch": oracle_ouch.decode(oracle_soup.decode(packets[0], False)["payload"], True)}


@pytest.mark.parametrize("firm", (False, True))
@pytest.mark.parametrize("pressure", cocotb_lib.PATTERNS)
def test_orders_under_back_pressure_match_the_model(pressure, firm):
    outcome = outcome_of(stimulus(f"{pressure} {firm}", pressure=pressure, firm=firm))
    assert len(outcome.frames) == 28
    scenarios.check_with_scapy(outcome.frames)


def test_orders_thousand_random_orders_are_right_to_the_last_byte():
    outcome = outcome_of(stimulus("thousand", "none", "none", orders=1000, injects=0, firm=True))
    assert outcome.items[events.OrderItem.ORDER] == 1000
    scenarios.check_with_scapy(outcome.frames[::10])


def test_orders_rows_written_at_any_time_take_effect_between_frames():
    outcome_of(stimulus("rows", orders=60, injects=25, firm=True, rows=0.04, apart=0.8))


@pytest.mark.parametrize("pressure", cocotb_lib.PATTERNS)
def test_orders_void_at_any_time_are_dropped_or_poisoned_and_their_numbers_used_again(pressure):
    outcome = outcome_of(
        stimulus(f"void {pressure}", "none", pressure, orders=80, injects=20, firm=True, voids=0.05, apart=0.3)
    )
    assert outcome.items[events.OrderItem.VOID] > 3 and len(outcome.poisoned) > 3
    assert outcome.items[events.OrderItem.POISONED] == len(outcome.poisoned)
    scenarios.check_with_scapy(outcome.frames)  # poisoned ones too: only their FCS is wrong
    # Those that count follow each other without a hole.
    good = [oracle_net.decode(f) for n, f in enumerate(outcome.frames) if n not in outcome.poisoned]
    for before, after in itertools.pairwise(good):
        assert after["sequence"] == (before["sequence"] + len(before["payload"])) % (1 << 32)


def test_orders_void_and_killed_at_once_count_as_void():
    outcome = outcome_of(stimulus("both", pressure="bursts", orders=150, injects=5, kills=0.06, voids=0.05))
    assert min(outcome.items[item] for item in events.OrderItem) > 3


def test_orders_begin_as_soon_as_the_numbers_of_a_poisoned_one_are_restored():
    log, _ = play(Orders(), stimulus("restored", "none", "none", orders=200, injects=0, voids=0.05))
    waits = []
    for c, now in enumerate(log):
        record = None if now.trace is None else events.ORDERS_TRACE.unpack(now.trace)
        if record is not None and record["item"] == events.OrderItem.POISONED:
            waits.append(next(k for k in range(c, len(log)) if log[k].i_ready) - (c - 1))
    assert len(waits) > 5 and set(waits) == {Orders.RESTORE_CYCLES}


def test_orders_kill_at_any_time_lets_no_first_word_out():
    outcome = outcome_of(stimulus("kill", pressure="bursts", orders=150, injects=5, kills=0.06))
    assert outcome.items[events.OrderItem.KILLED] > 5
    assert outcome.completed_after_kill > 5


def test_orders_without_firm_have_thirteen_words_and_oracles_read_them():
    given = scenarios.random_order(random.Random(5)) | {
        "symbol": int.from_bytes(b"AAPL    ", "big"), "side": 1, "price_e4": 3_211_500, "quantity": 100,
        "tif": ord("3"), "display": ord("Y"), "capacity": ord("P"),
    }  # fmt: skip
    outcome = outcome_of(stimulus("oracle", orders=1, injects=0, items=[given]))
    (frame,) = outcome.frames
    assert len(frame) == 104
    found = decode_with_oracles(frame)
    order = found["ouch"]
    assert (order["side"], order["quantity"], order["price_e4"]) == ("S", 100, 3_211_500), order


def test_orders_with_firm_carry_the_appendage_and_oracles_read_it():
    text = {"symbol": int.from_bytes(b"ZXZZT   ", "big"), "tif": ord("0"), "display": ord("N"), "capacity": ord("A")}
    items = [scenarios.random_order(random.Random(n)) | text for n in range(3)]
    outcome = outcome_of(stimulus("firm", orders=3, injects=0, firm=True, items=items))
    for frame in outcome.frames:
        assert len(frame) == 110
        assert frame[-8:] == b"\x00\x06\x05\x02FIRM"
        decode_with_oracles(frame)


class Corner:
    """A session, then orders whose checksum is to come out as asked."""

    def __init__(self, session: dict[str, int], orders: list[dict[str, int]]):
        self.session, self.orders = session, orders

    def run(self):
        waiting = [events.ORDER.pack(order) for order in self.orders]
        for cycle in range(40 + 20 * len(waiting)):
            begin = cycle >= 30 and bool(waiting)
            seen = yield {
                "kill": 0,
                "session": SESSION_ROW.pack(self.session) if cycle == 2 else None,
                "peer": PEER_ROW.pack(PEER) if cycle == 2 else None,
                "i": waiting[0] if begin else None,
                "i_inject": None,
                "o_ready": 1,
            }
            if begin and seen.i_ready:
                waiting.pop(0)


PEER = {"ack_out": 0x01020304, "window_out": 1000, "ack_in": 0, "window_in": 0xFFFFFFFF}
TCP_CHECKSUM, IP_CHECKSUM = slice(50, 52), slice(24, 26)


def reference_frames(session: dict[str, int], orders: list[dict[str, int]]) -> list[bytes]:
    reference = model.Orders(session, PEER)
    reference.kill = False
    return [reference.order(events.ORDER.tuple_type(**order))[1] for order in orders]


def test_orders_checksums_at_every_corner_of_the_carry():
    session = scenarios.session_row(random.Random(2), firm=False)
    base = dict.fromkeys((f.name for f in events.ORDER.fields), 0)
    # Bits 23:8 of the price are one 16-bit word of the sum: each order gets the value that brings its sum to a corner.
    orders: list[dict[str, int]] = []
    for offset in (*range(-3, 8), 0x8000):
        plain = reference_frames(session, [*orders, base])[-1]
        aim = int.from_bytes(plain[TCP_CHECKSUM], "big") + offset & 0xFFFF
        orders.append(base | {"price_e4": aim << 8})
    orders += [dict(zip(base, ((1 << f.bits) - 1 for f in events.ORDER.fields), strict=True)), base]
    frames = reference_frames(session, orders)
    corners = {int.from_bytes(frame[TCP_CHECKSUM], "big") for frame in frames}
    assert {0, 1, 0xFFFE} <= corners, corners
    log, counters = play(Orders(), Corner(session, orders))
    assert scenarios.check(log, counters).frames == frames
    scenarios.check_with_scapy(frames)


def test_orders_ip_checksum_at_the_carry():
    session = scenarios.session_row(random.Random(3), firm=True)
    for offset in range(-2, 3):
        plain = reference_frames(session | {"src_ip": 0x0A000000}, [scenarios.random_order(random.Random(1))])[0]
        aim = int.from_bytes(plain[IP_CHECKSUM], "big") + offset & 0xFFFF
        row = session | {"src_ip": 0x0A000000 | aim}
        log, counters = play(Orders(), Corner(row, [scenarios.random_order(random.Random(1))]))
        scenarios.check_with_scapy(scenarios.check(log, counters).frames)


class Injects:
    """Opens a session and gives host messages one behind the other, the first word in cycle 30."""

    def __init__(self, *payloads: bytes):
        self.payloads = payloads

    def run(self):
        words = [events.FRAME_WORD.pack(w) for payload in self.payloads for w in cocotb_lib.frame_words(payload)]
        session = scenarios.session_row(random.Random(4), firm=False)
        for cycle in range(60 + 40 * len(self.payloads)):
            seen = yield {
                "kill": 1,
                "session": SESSION_ROW.pack(session) if cycle == 2 else None,
                "peer": PEER_ROW.pack(PEER | {"ack_in": session["next_seq"]}) if cycle == 2 else None,
                "i": None,
                "i_inject": words[0] if words and cycle >= 30 else None,
                "o_ready": 1,
            }
            if cycle >= 30 and words and seen.i_inject_ready:
                words.pop(0)


@pytest.mark.parametrize("lengths", (range(1, 26), range(26, 51), range(51, INJECT_SIZE_MAX + 1)))
def test_orders_host_messages_of_each_length_leave_also_when_killed(lengths):
    payloads = [bytes(range(1, 1 + length)) for length in lengths]
    log, counters = play(Orders(), Injects(*payloads))
    outcome = scenarios.check(log, counters)
    assert [frame[54:] for frame in outcome.frames] == payloads
    scenarios.check_with_scapy(outcome.frames)
    given = 30 + -(-len(payloads[0]) // 8) - 1
    begun = next(c for c, now in enumerate(log) if now.o is not None)
    assert begun - given == Orders.INJECT_CYCLES


@pytest.mark.parametrize("length", (INJECT_SIZE_MAX + 1, 80, 81, 200))
def test_orders_host_message_too_long_is_dropped_and_the_next_one_taken(length):
    log, counters = play(Orders(), Injects(bytes(length), b"\x00\x01R"))
    assert counters["injects"] == 1
    words = [events.FRAME_WORD.unpack(now.o) for now in log if now.o is not None]
    (frame,) = cocotb_lib.word_frames(words)
    assert frame[54:] == b"\x00\x01R"


def test_orders_first_word_leaves_in_the_cycle_after_the_transfer():
    log, _ = play(Orders(), stimulus("latency", "quarter", "none", orders=30, injects=0))
    low, high = Orders.latency_cycles["i", "o", "idle"]
    taken = [c for c, now in enumerate(log) if now.i is not None and now.i_ready]
    assert taken and all(log[c].o is None and log[c + 1].o is not None for c in taken)
    assert (low, high) == (1, 1)


def test_orders_wait_behind_a_host_message_as_long_as_stated():
    seen = []
    for seed in range(6):
        log, _ = play(Orders(), stimulus(f"behind {seed}", "none", "none", orders=50, injects=50, apart=0.94))
        waiting = None
        for c, now in enumerate(log):
            if now.i is not None and waiting is None:
                waiting = c
            if now.i is not None and now.i_ready:
                behind = (
                    events.ORDERS_TRACE.unpack(
                        next((log[k].trace for k in range(c, 0, -1) if log[k].trace is not None), 0)
                    )["item"]
                    == events.OrderItem.INJECT
                )
                if behind and c > waiting:
                    seen.append(c + 1 - waiting)
                waiting = None
    low, high = Orders.latency_cycles["i", "o", "behind_inject"]
    assert seen and low <= min(seen) and max(seen) <= high


def test_orders_reset_closes_the_session_and_kills():
    log, _ = play(Orders(), Corner(scenarios.session_row(random.Random(1), False), []))
    assert not log[0].session_ok and not log[0].session_open
    assert log[-1].session_ok


@pytest.mark.parametrize("fault", Orders.FAULTS)
def test_orders_planted_fault_is_caught(fault):
    with pytest.raises(AssertionError):
        outcome_of(stimulus(fault, pressure="bursts", orders=40, injects=20, firm=True, apart=0.94), frozenset({fault}))
        outcome_of(stimulus(fault, pressure="bursts", orders=60, injects=0, kills=0.08), frozenset({fault}))
        outcome_of(stimulus(fault, "none", "none", orders=60, injects=20, voids=0.05), frozenset({fault}))
        log, counters = play(Orders(faults=frozenset({fault})), Corner(*carry_corner()))
        scenarios.check(log, counters)


def carry_corner() -> tuple[dict[str, int], list[dict[str, int]]]:
    """A session whose IP header sum carries when the length is added."""
    session = scenarios.session_row(random.Random(3), firm=True) | {"src_ip": 0x0A000000}
    plain = reference_frames(session, [scenarios.random_order(random.Random(1))])[0]
    aim = int.from_bytes(plain[IP_CHECKSUM], "big") + 2
    return session | {"src_ip": 0x0A000000 | aim}, [scenarios.random_order(random.Random(1))]


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_orders_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="fault must be one of"):
        Orders(faults=frozenset({"nothing"}))
    gc.collect()  # while the half-made component may still complain
