"""Bench of stage `mac`: cocotbext-eth's GMII on the wire side, unrelated clocks, every length, both ways at once."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from tickgate.sim import cocotb_lib
from tickgate.sim import mac_scenarios as scenarios
from tickgate.sw.model import mac as model
from tickgate.sw.spec import mac, net
from tickgate.sw.spec.events import FRAME_WORD
from tickgate.sw.spec.sizes import Sizes
from tickgate.sw.spec.units import WORD_BYTES

STAGE = "mac"
EXPECTED_TESTS = 4
#: The others are found in tests/gateware; these want lengths, counters or another's receiver.
FAULTS = {
    "fcs_leaks": "frames_of_every_length_pass_both_ways_at_the_minimum_gap",
    "gap_short": "frames_of_every_length_pass_both_ways_at_the_minimum_gap",
    "counter_mixed": "carrier_errors_of_every_kind_are_told_and_counted",
    "poison_lost": "an_error_or_a_late_word_poisons_the_frame",
}

#: Of the core, of the received bytes and of the sent ones: 156.25 MHz, and 125 MHz with what crystals differ by.
PERIODS_PS = {"clk": 6400, "rx_clk": 8002, "tx_clk": 7998}


def component(sizes: Sizes, faults: frozenset[str]) -> Any:
    """Two MACs: one with three clocks, and `one_*` with a single one, of which the latencies are stated."""
    from amaranth.hdl import Module
    from amaranth.lib import wiring
    from amaranth.lib.wiring import connect, flipped

    from tickgate.gateware.build import STAGES
    from tickgate.gateware.mac.mac import GmiiMac

    apart, one = GmiiMac(faults=faults), STAGES[STAGE](sizes, faults)

    class Ports(wiring.Component):
        """The ports of both."""

        def __init__(self) -> None:
            members = dict(apart.signature.members.items())
            super().__init__(members | {f"one_{name}": member for name, member in members.items()})

        def elaborate(self, platform: Any) -> Module:
            m = Module()
            for prefix, port in (("", apart), ("one_", one)):
                m.submodules[f"{prefix}mac"] = port
                for name in ("gmii_rx", "gmii_tx", "o", "i"):
                    connect(m, getattr(port, name), flipped(getattr(self, f"{prefix}{name}")))
                m.d.comb += getattr(self, f"{prefix}counters").eq(port.counters)
            return m

    return Ports()


def lengths() -> list[int]:
    """Frame lengths without FCS."""
    if cocotb_lib.full():
        return list(range(1531))
    rng = random.Random(f"{cocotb_lib.seed()} lengths")
    return [*range(131), *range(1490, 1531), *(rng.randrange(131, 1490) for _ in range(50))]


class Wire:
    """Both directions of the port with three clocks.

    Members
    -------
    words: FRAME_WORD values that left, in order. sink: what was sent.
    """

    def __init__(self, dut: Any):
        self.dut = dut
        self.words: list[dict[str, int]] = []

    async def start(self) -> None:
        """Starts clocks, resets, and the ends of the wire."""
        from cocotbext.eth import GmiiSink, GmiiSource

        dut = self.dut
        for port in (dut.gmii_rx__data, dut.gmii_rx__valid, dut.gmii_rx__error, dut.i__valid, dut.i__payload,
                     dut.one_gmii_rx__data, dut.one_gmii_rx__valid, dut.one_gmii_rx__error, dut.one_i__valid,
                     dut.one_i__payload):  # fmt: skip
            port.value = 0
        for reset in (dut.rst, dut.rx_rst, dut.tx_rst):
            reset.value = 1
        for name, period in PERIODS_PS.items():
            Clock(getattr(dut, name), period, unit="ps").start()
        await cocotb_lib.idle(dut, 8)
        for reset in (dut.rst, dut.rx_rst, dut.tx_rst):
            reset.value = 0
        await cocotb_lib.idle(dut, 8)
        self.source = GmiiSource(dut.gmii_rx__data, dut.gmii_rx__error, dut.gmii_rx__valid, dut.rx_clk)
        self.sink = GmiiSink(dut.gmii_tx__data, dut.gmii_tx__error, dut.gmii_tx__valid, dut.tx_clk)
        cocotb.start_soon(self._listen())

    async def _listen(self) -> None:
        valid, payload, edge = self.dut.o__valid, self.dut.o__payload, RisingEdge(self.dut.clk)
        while True:
            await edge
            if valid.value:
                self.words.append(FRAME_WORD.unpack(int(payload.value)))

    def arrive(self, symbols: list[int]) -> None:
        """Puts a carrier on the wire, at the smallest gap behind the one before."""
        from cocotbext.eth import GmiiFrame

        self.source.send_nowait(
            GmiiFrame(bytes(s & 0xFF for s in symbols), [int(s & model.ERROR > 0) for s in symbols])
        )

    async def settle(self) -> None:
        """Waits until everything that was put on the wire has left the device."""
        await self.source.wait()
        await cocotb_lib.idle(self.dut, 40)

    async def sent(self, count: int) -> list[Any]:
        """The next `count` frames that were sent."""
        return [await self.sink.recv(compact=False) for _ in range(count)]

    def counters(self) -> dict[str, int]:
        """Counters that are not 0."""
        packed = int(self.dut.counters.value)
        values = {name: packed >> 32 * n & 0xFFFFFFFF for n, name in enumerate(model.COUNTERS)}
        return {name: value for name, value in values.items() if value}


async def begin(dut: Any) -> Wire:
    """The wire of a device that has just been reset."""
    wire = Wire(dut)
    await wire.start()
    return wire


def symbols_of(frame: Any) -> list[int]:
    """A frame of the sink as the model writes it."""
    errors = frame.error or [0] * len(frame.data)
    return [b | model.VALID | (model.ERROR if e else 0) for b, e in zip(frame.data, errors, strict=True)]


def same_frames(found: list[Any], expected: list[list[int]]) -> None:
    """Frames of the sink, which leaves out the byte with which a carrier begins, are those that the model sends.

    Raises
    ------
    AssertionError: they are not; says where first.
    """
    for number, (frame, symbols) in enumerate(zip(found, expected, strict=True)):
        got, want = symbols_of(frame), scenarios.without_gaps([*symbols, 0])[1:]
        if got != want:
            at = next((n for n, (g, w) in enumerate(zip(got, want, strict=False)) if g != w), min(len(got), len(want)))
            raise AssertionError(
                f"frame {number}: {len(got)} bytes, expected {len(want)}; from byte {at} on {got[at : at + 8]}, "
                f"expected {want[at : at + 8]}"
            )


def gaps_of(frames: Iterable[Any]) -> set[int]:
    """Byte times between frames of the sink, of which the end is the first byte time without a carrier."""
    times = [(frame.sim_time_start, frame.sim_time_end) for frame in frames]
    step = PERIODS_PS["tx_clk"]
    return {round((after[0] - before[1]) / step) for before, after in zip(times, times[1:], strict=False)}


@cocotb.test()
async def frames_of_every_length_pass_both_ways_at_the_minimum_gap(dut: Any) -> None:
    """Each length is received with a right and with a wrong FCS, back to back, while each is sent, back to back."""
    wire, port = await begin(dut), model.Mac()
    rng = random.Random(cocotb_lib.seed())
    sizes = lengths()
    expected = []
    for length in sizes:
        frame = rng.randbytes(length)
        for wrong in (0, 1 << rng.randrange(32)):
            symbols = model.carrier(model.on_wire(frame, bad_fcs=wrong))
            wire.arrive(symbols)
            expected += scenarios.received(port, [*symbols, 0])
    driver = cocotb_lib.StreamDriver(dut, "i", FRAME_WORD)
    leaving = [rng.randbytes(length) for length in sizes if length]
    words = [word for frame in leaving for word in cocotb_lib.frame_words(frame)]
    cocotb.start_soon(driver.send_all(words))
    found = await wire.sent(len(leaving))
    await wire.settle()
    assert scenarios.frames_of(wire.words) == expected
    same_frames(found, [port.send(frame) for frame in leaving])
    for frame, sent in zip(found, leaving, strict=True):  # another's word for it
        assert frame.check_fcs() and frame.get_payload() == sent.ljust(net.FRAME_SIZE_MIN, b"\0")
    assert gaps_of(found) == {net.INTERFRAME_GAP_BYTES}
    assert wire.counters() == {name: value for name, value in port.counters.items() if value}


@cocotb.test()
async def carrier_errors_of_every_kind_are_told_and_counted(dut: Any) -> None:
    """RX_ER anywhere, carriers that end anywhere, preambles of any kind, addresses and tags of any kind."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Dot1Q, Ether

    wire, port = await begin(dut), model.Mac()
    rng = random.Random(cocotb_lib.seed())
    expected, good = [], []

    def arrive(symbols: list[int]) -> None:
        wire.arrive(symbols)
        expected.extend(scenarios.received(port, [*symbols, 0]))

    for _ in range(400 if cocotb_lib.full() else 60):
        kind = rng.choice(("bad_fcs", "rx_error", "preamble", "spoilt", "no_sfd"))
        arrive(scenarios.carrier(rng, kind, rng.choice((0, 3, 59, 60, 64, rng.randrange(300)))))
        whole = model.carrier(model.on_wire(rng.randbytes(rng.randrange(60, 200))))
        arrive(whole[: rng.randrange(1, len(whole))])  # the carrier is lost
        link = Ether(dst=rng.choice(("01:00:5e:36:0c:6f", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:02")))
        if rng.random() < 0.5:
            link = link / Dot1Q(vlan=rng.randrange(1, 4095))
        good.append(bytes(link / IP(dst="233.54.12.111") / UDP() / rng.randbytes(rng.randrange(30, 200))))
        arrive(model.carrier(model.on_wire(good[-1])))
    await wire.settle()
    assert scenarios.frames_of(wire.words) == expected
    assert [frame for frame, error in expected if not error and frame in good] == good
    counted = wire.counters()
    assert counted == {name: value for name, value in port.counters.items() if value}
    assert {"mac_rx_error", "mac_rx_runt", "mac_rx_fcs", "mac_rx_no_sfd"} <= counted.keys()


@cocotb.test()
async def an_error_or_a_late_word_poisons_the_frame(dut: Any) -> None:
    """Frames with an error on the last word, and frames of which a word does not come in time, among good ones."""
    wire, port = await begin(dut), model.Mac()
    rng = random.Random(cocotb_lib.seed())
    driver = cocotb_lib.StreamDriver(dut, "i", FRAME_WORD)
    expected = []
    for _ in range(300 if cocotb_lib.full() else 40):
        frame, kind = rng.randbytes(rng.randint(17, 120)), rng.choice(("good", "error", "late"))
        words = cocotb_lib.frame_words(frame, error=kind == "error")
        late = rng.randint(1, len(words) - 1) if kind == "late" else None
        for number, word in enumerate(words):
            if number == late:
                await cocotb_lib.idle(dut, 1500)  # longer than all that waits in front of it takes
            await driver.send(word)
        expected.append(
            port.send_cut(frame[: WORD_BYTES * late]) if late is not None else port.send(frame, kind == "error")
        )
        await cocotb_lib.idle(dut, rng.choice((0, 0, 250)))
    found = await wire.sent(len(expected))
    same_frames(found, expected)
    assert min(gaps_of(found)) == net.INTERFRAME_GAP_BYTES
    await cocotb_lib.idle(dut, 40)
    counted = wire.counters()
    assert counted == {name: value for name, value in port.counters.items() if value}
    assert {"mac_tx_good", "mac_tx_poisoned", "mac_tx_underrun"} == counted.keys()


@cocotb.test()
async def latency_is_what_the_table_says(dut: Any) -> None:
    """With one clock: every byte of frames of many lengths, and the first bytes of frames from an idle port."""
    from tickgate.gateware.build import STAGES
    from tickgate.gateware.mac.receive import received_cycles

    await begin(dut)
    found = cocotb_lib.Latencies()
    edge = RisingEdge(dut.clk)
    shown = received_cycles()["gmii", "o", "byte"][0] - received_cycles()["gmii", "o", "shown"][0]
    for length in (1, 8, 9, 16, 60, 61, 64, 70):
        symbols = model.carrier(model.on_wire(bytes(range(length))))
        left, number = {}, 0
        for now in range(len(symbols) + 20):
            symbol = symbols[now] if now < len(symbols) else 0
            dut.one_gmii_rx__data.value = symbol & 0xFF
            dut.one_gmii_rx__valid.value = symbol >> 8 & 1
            await edge
            if dut.one_o__valid.value:
                left[number] = now
                number += 1
        words = -(-length // WORD_BYTES)
        for word, now in left.items():
            if word == words - 1:
                found.add("gmii_rx", "o", "end", now - len(symbols))
                continue
            first = net.PREAMBLE_BYTES + WORD_BYTES * word
            found.add("gmii_rx", "o", "shown", now - (first + WORD_BYTES - 1 + shown))
            for byte in range(WORD_BYTES):
                found.add("gmii_rx", "o", "byte", now - (first + byte))
    for length in (8, 60, 61):
        waiting = cocotb_lib.frame_words(b"\x77" * length)
        seen: dict[int, int] = {}
        for now in range(200):
            dut.one_i__valid.value = int(bool(waiting))
            if waiting:
                dut.one_i__payload.value = FRAME_WORD.pack(waiting[0])
            await edge
            if waiting and dut.one_i__ready.value:
                waiting.pop(0)
            if dut.one_gmii_tx__valid.value:
                seen.setdefault(int(dut.one_gmii_tx__data.value), now)
        found.add("i", "gmii_tx", "preamble", seen[mac.PREAMBLE_BYTE])
        found.add("i", "gmii_tx", "data", seen[0x77])
    found.hold(STAGES[STAGE](Sizes(2, 256, 64, 4), frozenset()).latency_cycles)
