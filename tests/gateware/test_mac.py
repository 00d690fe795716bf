"""Stage mac: every byte and verdict against the model, in one clock and in three that know nothing of each other."""

import gc
import random

import pytest
from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.sim import DomainReset, Simulator

from tickgate.gateware.mac.crc import CRC_INIT, crc32_step
from tickgate.gateware.mac.crossing import Spill
from tickgate.gateware.mac.gray import DEPTH
from tickgate.gateware.mac.mac import GmiiMac
from tickgate.gateware.mac.receive import RECEIVE_EVENTS, Receive
from tickgate.gateware.mac.store import Store
from tickgate.gateware.mac.transmit import TRANSMIT_EVENTS, Transmit
from tickgate.sim import mac_scenarios as scenarios
from tickgate.sim.cocotb_lib import frame_words
from tickgate.sw.model import mac as model
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.registers import counter_names

BYTE_S = 8e-9


@pytest.fixture(autouse=True)
def collected():
    """Components that no design uses are told when they go: they go within the test."""
    yield
    gc.collect()


def simulate(dut, *testbenches, clocks=None, processes=()):
    """Runs until the first testbench ends."""
    sim = Simulator(dut)
    for domain, period in (clocks or {"sync": BYTE_S}).items():
        sim.add_clock(period, domain=domain)
    for testbench in testbenches:
        sim.add_testbench(testbench)
    for process in processes:
        sim.add_testbench(process, background=True)
    sim.run()


async def waits(ctx, cycles, domain="sync"):
    """Lets cycles pass, resets or not."""
    for _ in range(cycles):
        await ctx.tick(domain)


def drives(port, symbols, domain="sync"):
    """A testbench that plays symbols into a GMII port."""

    async def testbench(ctx):
        shown = None
        for symbol in symbols:
            if symbol != shown:
                ctx.set(port.data, symbol & 0xFF)
                ctx.set(port.valid, symbol >> 8 & 1)
                ctx.set(port.error, symbol >> 9 & 1)
                shown = symbol
            await ctx.tick(domain)

    return testbench


def listens(port, into, domain="sync"):
    """A process that takes down the symbols of a GMII port."""

    async def process(ctx):
        async for _, _, data, valid, error in ctx.tick(domain).sample(port.data, port.valid, port.error):
            into.append(data | valid << 8 | error << 9)

    return process


def takes(port, into, domain="sync"):
    """A process that takes down the words of an output that cannot wait; a reset forgets a frame in progress."""

    async def process(ctx):
        cycle = 0
        async for _, reset, valid, word in ctx.tick(domain).sample(port.valid, port.payload.as_value()):
            while reset and into and not into[-1][1]["last"]:
                into.pop()
            if valid and not reset:
                into.append((cycle, FRAME_WORD.unpack(word)))
            cycle += 1

    return process


def gives(port, words, domain="sync", pauses=None):
    """A testbench that sends words (None is a cycle without one)."""

    async def testbench(ctx):
        for word in words:
            if word is None:
                ctx.set(port.valid, 0)
                await ctx.tick(domain)
                continue
            ctx.set(port.payload.as_value(), FRAME_WORD.pack(word))
            ctx.set(port.valid, 1)
            await ctx.tick(domain).until(port.ready)
        ctx.set(port.valid, 0)

    return testbench


def counted(events, names, into, domain="sync"):
    """A process that counts pulses by name."""

    async def process(ctx):
        async for _, _, value in ctx.tick(domain).sample(events.as_value()):
            for bit, name in enumerate(names):
                into[name] = into.get(name, 0) + (value >> bit & 1)

    return process


def nonzero(counters):
    return {name: value for name, value in counters.items() if value}


def receive(symbols, **options):
    """What `Receive` makes of symbols: (frame, error) and counters."""
    dut, words, events = Receive(**options), [], {}
    simulate(
        dut,
        drives(dut.gmii, [*symbols, *[0] * 20]),
        processes=[takes(dut.o, words), counted(dut.events, RECEIVE_EVENTS, events)],
    )
    return scenarios.frames_of([word for _, word in words]), {f"mac_rx_{n}": v for n, v in events.items() if v}


def transmit(words, cycles, **options):
    """What `Transmit` makes of words: symbols and counters."""
    dut, symbols, events = Transmit(**options), [], {}

    async def ends(ctx):
        await waits(ctx, cycles)

    simulate(
        dut,
        ends,
        gives(dut.i, words),
        processes=[listens(dut.gmii, symbols), counted(dut.events, TRANSMIT_EVENTS, events)],
    )
    return symbols, {f"mac_tx_{n}": v for n, v in events.items() if v}


def expected(symbols, **options):
    port = model.Mac(**options)
    found = [(frame, bool(verdict)) for frame, verdict in port.receive([*symbols, 0]) if frame]
    return found, nonzero(port.counters)


def test_crc_step_is_the_models():
    rng = random.Random(1)
    cases = [(model.register(data[:-1]), data[-1], model.register(data)) for data in map(rng.randbytes, range(1, 40))]
    m = Module()
    crc, byte, out = Signal(32, init=CRC_INIT), Signal(8), Signal(32)
    m.d.comb += out.eq(crc32_step(crc, byte))

    async def testbench(ctx):
        for before, value, after in cases:
            ctx.set(crc, before)
            ctx.set(byte, value)
            assert ctx.get(out) == after

    sim = Simulator(m)
    sim.add_testbench(testbench)
    sim.run()


def test_receive_frames_of_every_kind_equal_the_model():
    rng = random.Random(2)
    symbols = scenarios.traffic(rng, 60)
    assert receive(symbols) == expected(symbols)


def test_receive_words_leave_when_they_are_shown_to_be_whole():
    """Every length: the cycle of every word, of the last one also where it is the only one."""
    for length in range(28):
        data = model.on_wire(bytes(range(length)))
        dut, words = Receive(), []
        simulate(dut, drives(dut.gmii, [*model.carrier(data), *[0] * 20]), processes=[takes(dut.o, words)])
        rows = dut.latency_cycles
        first = net.PREAMBLE_BYTES
        cycles = [first + 8 * n + 7 + rows["gmii", "o", "byte"][0] for n in range((length - 1) // 8)]
        assert [cycle for cycle, _ in words] == cycles + [len(data) + rows["gmii", "o", "end"][0]] * (length > 0)


def test_receive_good_frame_has_every_byte_and_zeros_behind():
    for length in (60, 61, 67, 1514, 1518):
        frame = random.Random(length).randbytes(length)
        dut, words = Receive(), []
        simulate(
            dut, drives(dut.gmii, [*model.carrier(model.on_wire(frame)), 0, 0, 0]), processes=[takes(dut.o, words)]
        )
        assert [word for _, word in words] == frame_words(frame)


@pytest.mark.parametrize("name", ["vlan", "multicast", "broadcast"])
def test_receive_takes_any_address_and_tag(name):
    frame = scenarios.NAMED[name]
    assert receive(model.carrier(model.on_wire(frame))) == ([(frame, False)], {"mac_rx_good": 1})


def test_receive_store_and_forward_gives_only_good_frames():
    rng = random.Random(3)
    symbols = scenarios.traffic(rng, 40)
    found, counters = receive(symbols, store_and_forward=True)
    assert (found, counters) == expected(symbols, store_and_forward=True)
    assert found and not any(error for _, error in found)


def test_receive_store_and_forward_keeps_its_bounds():
    """A short frame alone, and one close behind the longest."""
    dut, words = Receive(store_and_forward=True), []
    low, high = dut.latency_cycles["gmii", "o", "end"]
    frames = [bytes(60), bytes(mac.FRAME_SIZE_MAX), bytes(60)]
    symbols, ends = [], []
    for frame, preamble, gap in zip(frames, (7, 7, 0), (40, 1, 200), strict=True):
        symbols += model.carrier(model.on_wire(frame, preamble=preamble))
        ends.append(len(symbols))
        symbols += [0] * gap
    simulate(dut, drives(dut.gmii, symbols), processes=[takes(dut.o, words)])
    firsts = [c for at, (c, _) in enumerate(words) if not at or words[at - 1][1]["last"]]
    assert [first - end for first, end in zip(firsts, ends, strict=True)] == [low, low, high]


def test_store_holds_the_longest_frames_back_to_back():
    dut, words = Store(), []
    frames = [(random.Random(n).randbytes(size), bad) for n, (size, bad) in enumerate(
        [(1518, 0), (64, 0), (1518, 1), (1518, 0), (1, 0), (1518, 0)])]  # fmt: skip
    sent = [w for frame, bad in frames for word in frame_words(frame, bool(bad)) for w in (word, None)]

    async def feeds(ctx):
        for word in [*sent, *[None] * 300]:
            ctx.set(dut.i.valid, word is not None)
            if word is not None:
                ctx.set(dut.i.payload.as_value(), FRAME_WORD.pack(word))
            await ctx.tick()

    simulate(dut, feeds, processes=[takes(dut.o, words)])
    assert scenarios.frames_of([w for _, w in words]) == [(frame, False) for frame, bad in frames if not bad]


def test_transmit_frames_equal_the_model_back_to_back():
    rng = random.Random(4)
    frames = [(rng.randbytes(size), rng.random() < 0.3) for size in (1, 8, 9, 59, 60, 61, 64, 65, 127, 300)]
    port = model.Mac()
    wanted = [symbol for frame, error in frames for symbol in port.send(frame, error)]
    words = [word for frame, error in frames for word in frame_words(frame, error)]
    found, counters = transmit(words, len(wanted) + 20)
    start = next(at for at, symbol in enumerate(found) if symbol)
    assert found[start : start + len(wanted)] == wanted
    assert not any(symbol & model.VALID for symbol in found[start + len(wanted) :])
    assert counters == nonzero(port.counters)


def test_transmit_word_at_its_last_moment_is_no_underrun():
    """Word n is taken 8 n + 7 cycles after the first one."""
    frame = bytes(range(1, 41))
    words = [w for word in frame_words(frame) for w in (word, *[None] * 7)]
    words[1:1] = [None] * 7
    port = model.Mac()
    wanted = port.send(frame)
    found, counters = transmit(words, 160)
    start = next(at for at, symbol in enumerate(found) if symbol)
    assert found[start : start + len(wanted)] == wanted
    assert counters == {"mac_tx_good": 1}


@pytest.mark.parametrize("late", [1, 3, 5])
def test_transmit_underrun_poisons_and_drops_the_rest(late):
    frame, after = bytes(range(1, 48)), bytes(range(100, 164))
    words = frame_words(frame)
    words[late:late] = [None] * (8 * late + 9 - late)
    port = model.Mac()
    wanted = port.send_cut(frame[: 8 * late]) + port.send(after)
    found, counters = transmit([*words, *frame_words(after)], 300)
    start = next(at for at, symbol in enumerate(found) if symbol)
    found = scenarios.without_gaps(found[start:])
    assert found == scenarios.without_gaps(wanted)
    assert counters == {"mac_tx_underrun": 1, "mac_tx_good": 1}


def test_transmit_latency_is_what_the_table_says():
    dut, symbols = Transmit(), []
    simulate(
        dut, gives(dut.i, [None] * 5 + frame_words(b"\x77" * 64) + [None] * 30), processes=[listens(dut.gmii, symbols)]
    )
    for what, byte in (("preamble", mac.PREAMBLE_BYTE), ("data", 0x77)):
        low, high = dut.latency_cycles["i", "gmii", what]
        assert low == high == symbols.index(byte | model.VALID) - 5


CLOCKS = {
    "a fast core": {"sync": 6.4e-9, "rx": 8.001e-9, "tx": 7.999e-9},
    "a core of the same rate": {"sync": 8.0e-9, "rx": 7.998e-9, "tx": 8.003e-9},
    "a slow core": {"sync": 27e-9, "rx": 8e-9, "tx": 8.001e-9},
}


@pytest.mark.parametrize("stores", [False, True])
@pytest.mark.parametrize("clocks", CLOCKS)
def test_mac_with_three_clocks_equals_the_model_both_ways(clocks, stores):
    rng = random.Random(clocks)
    dut, symbols, words = GmiiMac(store_and_forward=stores), [], []
    arriving = scenarios.traffic(rng, 12)
    leaving = [(rng.randbytes(rng.randint(1, 100)), rng.random() < 0.2) for _ in range(15)]
    sent = [w for frame, error in leaving for w in [*frame_words(frame, error), *[None] * rng.randint(0, 40)]]
    found = {}

    async def ends(ctx):
        await drives(dut.gmii_rx, [*arriving, *[0] * 60], "rx")(ctx)
        await waits(ctx, len(leaving) * 150, "tx")
        found.update({name: ctx.get(dut.counters[name]) for name in dut.COUNTERS})

    simulate(
        dut, ends, gives(dut.i, sent), clocks=CLOCKS[clocks],
        processes=[takes(dut.o, words), listens(dut.gmii_tx, symbols, "tx")],
    )  # fmt: skip
    port = model.Mac(store_and_forward=stores)
    wanted = [(frame, bool(verdict)) for frame, verdict in port.receive(arriving) if frame]
    assert scenarios.frames_of([word for _, word in words]) == wanted
    wire = [symbol for frame, error in leaving for symbol in port.send(frame, error)]
    assert scenarios.carriers(symbols) == scenarios.carriers(wire)
    assert min(scenarios.gaps(symbols)) >= net.INTERFRAME_GAP_BYTES
    assert found == port.counters


def test_mac_with_a_core_too_slow_cuts_frames_and_counts_them():
    """Frames that lose words end with an error; whole ones behind them are whole."""
    dut, words, found = GmiiMac(), [], {}
    frames = [random.Random(n).randbytes(600) for n in range(3)] + [bytes(range(64))]
    symbols = [s for frame in frames for s in [*model.carrier(model.on_wire(frame)), *[0] * 12]]
    symbols[-100:-100] = [0] * 2000

    async def ends(ctx):
        await drives(dut.gmii_rx, [*symbols, *[0] * 3000], "rx")(ctx)
        found.update({name: ctx.get(dut.counters[name]) for name in dut.COUNTERS})

    simulate(dut, ends, clocks={"sync": 150e-9, "rx": 8e-9, "tx": 8e-9}, processes=[takes(dut.o, words)])
    taken = scenarios.frames_of([word for _, word in words])
    assert taken[-1] == (frames[-1], False)
    assert [error for _, error in taken[:-1]] == [True] * len(taken[:-1])
    assert found["mac_rx_lost"] >= 2 and found["mac_rx_good"] == 4


def test_spill_ends_a_frame_that_lost_a_word_with_an_error():
    dut, log = Spill(), []
    whole = frame_words(bytes(range(24)))
    steps = [  # word, ready
        (whole[0], 1), (whole[1], 0), (whole[2], 0), (None, 0), (None, 1),  # cut: the end follows
        (whole[0], 0), (whole[1], 1), (whole[2], 1),  # gone: not a word of it
        (frame_words(b"ab")[0], 0), (None, 1),  # gone, of one word
        (whole[0], 1), (whole[1], 0), (whole[2], 1),  # cut: the end takes the last word's place
        (whole[0], 1), (whole[1], 1), (whole[2], 0),  # cut, and the next one gone
        (whole[0], 1), (whole[1], 1), (whole[2], 1),
        (whole[0], 1), (whole[1], 1), (whole[2], 1),
    ]  # fmt: skip
    lost = 0

    async def testbench(ctx):
        nonlocal lost
        for word, ready in [*steps, (None, 1)]:
            ctx.set(dut.i.valid, word is not None)
            if word is not None:
                ctx.set(dut.i.payload.as_value(), FRAME_WORD.pack(word))
            ctx.set(dut.o.ready, ready)
            if ctx.get(dut.o.valid) and ready:
                log.append(FRAME_WORD.unpack(ctx.get(dut.o.payload.as_value())))
            await ctx.tick()
            lost += ctx.get(dut.lost)

    simulate(dut, testbench)
    cut = (bytes(range(8)) + b"\0", True)
    assert scenarios.frames_of(log) == [
        cut, cut, (bytes(range(16)) + b"\0", True), (bytes(range(24)), False)
    ]  # fmt: skip
    assert lost == 6


@pytest.mark.parametrize("domain", ["rx", "tx", "sync"])
@pytest.mark.parametrize("at", [40, 71, 90, 133])
def test_mac_reset_of_any_side_leaves_no_half_frame(domain, at):
    """A frame that a reset cuts ends with an error, or is bad on the wire; the next ones are whole."""
    m = Module()
    resets = {name: ClockDomain(name) for name in ("sync", "rx", "tx")}
    for name in resets.values():
        m.domains += name
    m.submodules.dut = dut = GmiiMac()
    words, symbols, found = [], [], {}
    frames = [bytes([n]) * 120 for n in range(1, 6)]
    arriving = [s for frame in frames for s in [*model.carrier(model.on_wire(frame)), *[0] * 40]]

    async def strikes(ctx):
        await waits(ctx, at, "rx")
        ctx.set(resets[domain].rst, 1)
        await waits(ctx, 3, domain)
        ctx.set(resets[domain].rst, 0)

    async def ends(ctx):
        await drives(dut.gmii_rx, [*arriving, *[0] * 60], "rx")(ctx)
        await waits(ctx, 400, "tx")
        found.update({name: ctx.get(dut.counters[name]) for name in dut.COUNTERS})

    async def sends(ctx):
        for frame in frames:
            try:
                for word in frame_words(frame):
                    ctx.set(dut.i.payload.as_value(), FRAME_WORD.pack(word))
                    ctx.set(dut.i.valid, 1)
                    await ctx.tick().until(dut.i.ready)
            except DomainReset:  # what gives the words is reset too
                pass
            ctx.set(dut.i.valid, 0)
            await waits(ctx, 220)

    sim_clocks = {"sync": 6.4e-9, "rx": 8.001e-9, "tx": 7.999e-9}
    simulate(
        m, ends, sends, strikes, clocks=sim_clocks,
        processes=[takes(dut.o, words), listens(dut.gmii_tx, symbols, "tx")],
    )  # fmt: skip
    whole = [(frame, False) for frame in frames]
    taken = scenarios.frames_of([word for _, word in words])
    assert [f for f in taken if not f[1]][-3:] == whole[-3:]
    assert all(frame in whole for frame in taken if not frame[1])
    sent = [(r.frame, bool(r.verdict)) for r in model.Mac().receive(symbols)]
    assert [f for f in sent if not f[1]][-3:] == whole[-3:]
    assert all(frame in whole for frame in sent if not frame[1])
    assert sum(found.values()) <= 2 * len(frames)  # a reset is no event


def test_mac_counters_are_registers():
    assert set(GmiiMac.COUNTERS) <= set(counter_names())
    assert GmiiMac.COUNTERS == model.COUNTERS


def test_mac_takes_a_frame_of_128_bytes_without_a_pause():
    assert DEPTH * 8 >= 128


@pytest.mark.parametrize("fault", Receive.FAULTS)
def test_receive_planted_fault_is_found(fault):
    symbols = scenarios.traffic(random.Random(2), 40, size_max=100)
    assert receive(symbols, size_max=100, faults=frozenset({fault})) != expected(symbols, size_max=100)


def test_receive_frames_of_a_smaller_limit_equal_the_model():
    symbols = scenarios.traffic(random.Random(2), 40, size_max=100)
    assert receive(symbols, size_max=100) == expected(symbols, size_max=100)


@pytest.mark.parametrize("fault", Transmit.FAULTS)
def test_transmit_planted_fault_is_found(fault, monkeypatch):
    made = Transmit.__init__
    monkeypatch.setattr(Transmit, "__init__", lambda self: made(self, faults=frozenset({fault})))
    with pytest.raises((AssertionError, StopIteration)):
        test_transmit_frames_equal_the_model_back_to_back()
        test_transmit_underrun_poisons_and_drops_the_rest(3)


@pytest.mark.parametrize("component", [Receive, Transmit, GmiiMac])
def test_mac_fault_that_is_not_declared_is_refused(component):
    with pytest.raises(ValueError, match="no_such_fault"):
        component(faults=frozenset({"no_such_fault"}))
