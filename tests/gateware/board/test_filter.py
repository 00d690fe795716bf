"""Which frames of a port pass, by destination and EtherType: whole ones of the wanted kinds and no others."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.filter import Destination, FrameFilter

TYPES = (0x88B5, 0x0800)
ADDRESSES = {
    "unicast": (0x02, 0, 0, 0, 0, 0x11),
    "near broadcast": (0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF),
    "multicast": (0x01, 0, 0x5E, 0x36, 0x0C, 0x6F),
    "all but one bit": (0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F),
    "broadcast": (0xFF,) * 6,
}
GROUPS = {
    Destination.ANY: set(ADDRESSES),
    Destination.MULTICAST: {"multicast", "all but one bit"},
    Destination.NODE: {"unicast", "near broadcast", "broadcast"},
}


def run_filter(others=False, destination=Destination.ANY, faults=frozenset()):
    """The words that were to pass, the words that did, and the cycles from a frame's last word in to out."""
    dut, rng = FrameFilter(*TYPES, others=others, destination=destination, faults=faults), random.Random(2)
    sent, out, waits = [], [], set()

    async def testbench(ctx):
        cycle, ended = 0, 0

        async def step(word):
            nonlocal cycle, ended
            ctx.set(dut.i.valid, word is not None)
            if word is not None:
                ctx.set(dut.i.payload, dict(zip(("data", "count", "last", "error"), word, strict=True)))
            if ctx.get(dut.o.valid):
                out.append(tuple(ctx.get(dut.o.payload[name]) for name in ("data", "count", "last", "error")))
                if out[-1][2]:
                    waits.add(cycle - ended)
            if word is not None and word[2]:
                ended = cycle
            cycle += 1
            await ctx.tick()

        for number in range(450):
            ethertype = rng.choice((0x88B5, 0x88B5, 0x0800, 0x0088, 0x88B6, 0x0806, 0xB588, 0x8800, 0x00B5))
            name = rng.choice(list(ADDRESSES))
            size = rng.choice((1, 5, 8, 12, 13, 14, 15, 24, 70))
            frame = bytearray(rng.randbytes(size))
            head = bytes(ADDRESSES[name]) + number.to_bytes(6, "big") + ethertype.to_bytes(2, "big")
            frame[: min(size, 14)] = head[:size]
            error = rng.randint(0, 1)
            words = []
            for at in range(0, size, 8):
                part = frame[at : at + 8]
                last = at + 8 >= size
                words.append((int.from_bytes(part, "little"), len(part), int(last), error * last))
            if size >= 14 and (ethertype in TYPES) != others and name in GROUPS[destination]:
                sent.extend(words)
            for word in [*words, *[None] * rng.randint(1, 3)]:
                for _ in range(rng.choice((0, 0, 2))):
                    await step(None)
                await step(word)
        await step(None)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return sent, out, waits


@pytest.mark.parametrize("others", (False, True), ids=("these types", "all others"))
@pytest.mark.parametrize("destination", Destination, ids=lambda d: d.name)
def test_filter_passes_whole_frames_of_its_kind_and_no_others(others, destination):
    wanted, out, waits = run_filter(others, destination)
    assert len(wanted) > 100 and out == wanted
    least, most = FrameFilter.latency_cycles["i", "o", "last"]
    assert (min(waits), max(waits)) == (least, most)


@pytest.mark.parametrize(
    ("fault", "destination"),
    (
        ("low_byte_ignored", Destination.ANY),
        ("destination_ignored", Destination.MULTICAST),
        ("destination_ignored", Destination.NODE),
        ("broadcast_is_multicast", Destination.MULTICAST),
        ("broadcast_is_multicast", Destination.NODE),
    ),
)
def test_filter_with_a_planted_fault_is_caught(fault, destination):
    wanted, out, _ = run_filter(destination=destination, faults=frozenset({fault}))
    assert out != wanted


def test_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="nonsense"):
        FrameFilter(0x0800, faults=frozenset({"nonsense"}))
