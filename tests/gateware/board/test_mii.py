"""MII: bytes survive whatever the PHY does with the number of nibbles in front of and behind them."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.mii import MiiReceive, MiiTransmit


def nibbles(frame):
    return [half for byte in frame for half in (byte & 15, byte >> 4)]


def receive(frames, faults=frozenset()):
    """Frames behind the delimiter; each of (preamble nibbles, bytes, odd nibbles behind, idle cycles, error at)."""
    dut, out = MiiReceive(faults=faults), []

    async def testbench(ctx):
        current, wrong = [], False

        def look():
            nonlocal current, wrong
            if not ctx.get(dut.enable):
                return
            if ctx.get(dut.o.valid):
                current.append(ctx.get(dut.o.data))
                wrong = wrong or bool(ctx.get(dut.o.error))
            elif current:
                at = current.index(0xD5) if 0xD5 in current else len(current)
                out.append((bytes(current[at + 1 :]), wrong))
                current, wrong = [], False

        async def put(data, valid, error=0):
            ctx.set(dut.i, {"data": data, "valid": valid, "error": error})
            await ctx.tick()
            look()

        for preamble, body, dribble, idle, error_at in frames:
            line = [5] * preamble + [0xD] + nibbles(body) + [7] * dribble
            for at, nibble in enumerate(line):
                await put(nibble, 1, int(at == error_at))
            for _ in range(idle):
                await put(0, 0)

    simulator = Simulator(dut)
    simulator.add_clock(4e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return out


def cases(seed=1):
    rng = random.Random(seed)
    for _ in range(60):
        body = bytes(rng.choice((0x55, 0xD5, 0x5D, 0xDD, rng.getrandbits(8))) for _ in range(rng.randint(1, 40)))
        preamble, error = rng.randint(1, 16), rng.random() < 0.2
        error_at = preamble + 1 + rng.randrange(2 * len(body)) if error else None
        yield preamble, body, rng.randint(0, 1), rng.randint(8, 30), error_at


def test_mii_receives_frames_after_preambles_of_any_number_of_nibbles():
    frames = list(cases())
    assert {preamble % 2 for preamble, *_ in frames} == {dribble for _, _, dribble, _, _ in frames} == {0, 1}
    assert receive(frames) == [(body, error_at is not None) for _, body, _, _, error_at in frames]


@pytest.mark.parametrize("fault", MiiReceive.FAULTS)
def test_mii_with_a_planted_fault_is_caught(fault):
    frames = list(cases())
    assert receive(frames, frozenset({fault})) != [(body, at is not None) for _, body, _, _, at in frames]


def test_mii_sends_the_low_half_first():
    dut, rng = MiiTransmit(), random.Random(3)
    sent = [(rng.getrandbits(8), rng.getrandbits(1), rng.getrandbits(1)) for _ in range(50)]
    out = []

    async def testbench(ctx):
        while not ctx.get(dut.enable):
            await ctx.tick()
        await ctx.tick()  # a byte begins behind a cycle of `enable`
        for data, valid, error in sent:
            ctx.set(dut.i.data, data)
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.error, error)
            for half in range(2):
                assert ctx.get(dut.enable) == half
                await ctx.tick()
                out.append((ctx.get(dut.o.data), ctx.get(dut.o.valid), ctx.get(dut.o.error)))

    simulator = Simulator(dut)
    simulator.add_clock(4e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    assert out == [(half, valid, error) for data, valid, error in sent for half in (data & 15, data >> 4)]
