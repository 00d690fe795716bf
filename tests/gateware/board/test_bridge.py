"""Between the order port and the host's: which frames pass, whole and good, and what happens where there is no room."""

import random

import pytest
from amaranth.sim import Simulator

from tickgate.gateware.board.bridge import Bridge, FrameQueue
from tickgate.sw.spec.control import ETHERTYPE

ARP, IPV4 = 0x0806, 0x0800
UNICAST, MULTICAST, BROADCAST = bytes.fromhex("020000000011"), bytes.fromhex("01005e360c6f"), bytes(6 * [0xFF])


def words_of(frame, error=0):
    """Words (data, count, last, error) of a frame."""
    found = []
    for at in range(0, len(frame), 8):
        part, last = frame[at : at + 8], at + 8 >= len(frame)
        found.append((int.from_bytes(part, "little"), len(part), int(last), error * last))
    return found


def frames_of(words):
    """Frames whole and in part that words of (data, count, last, error) make: bytes, whole, error of the last word."""
    found, frame = [], b""
    for data, count, last, error in words:
        frame += data.to_bytes(8, "little")[:count]
        if last:
            found.append((frame, error))
            frame = b""
    return found + ([(frame, "cut")] if frame else [])


def play(dut, frames, ready, gap=1, tail=1200):
    """Frames (bytes, error) one behind the other: what left, pulses of `lost`, cycles from a last word to a first.

    `ready` tells by the cycle's number whether `o` is taken.
    """
    out, lost, waits = [], 0, []
    script = [word for frame, error in frames for word in [*words_of(frame, error), *[None] * gap]]

    async def testbench(ctx):
        nonlocal lost
        ended, fresh, held = 0, True, None
        for cycle, word in enumerate([*script, *[None] * tail]):
            ctx.set(dut.i.valid, word is not None)
            if word is not None:
                ctx.set(dut.i.payload, dict(zip(("data", "count", "last", "error"), word, strict=True)))
            ctx.set(dut.o.ready, ready(cycle))
            if ctx.get(dut.o.valid):
                seen = tuple(ctx.get(dut.o.payload[name]) for name in ("data", "count", "last", "error"))
                assert held in (None, seen), "a word changed while it was held up"
                held = None if ready(cycle) else seen
                if ready(cycle):
                    if fresh:
                        waits.append(cycle - ended)
                    fresh = bool(seen[2])
                    out.append(seen)
            else:
                assert held is None, "a word that was held up went away"
            if word is not None and word[2]:
                ended = cycle
            lost += ctx.get(dut.lost)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(testbench)
    simulator.run()
    return out, lost, waits


def frame(destination, ethertype, size, fill=0):
    return (destination + bytes([2, 0, 0, 0, 0, fill]) + ethertype.to_bytes(2, "big")).ljust(size, bytes([fill]))


def mixed(seed, count):
    rng = random.Random(seed)
    return [
        (
            frame(
                rng.choice((UNICAST, UNICAST, BROADCAST, MULTICAST)),
                rng.choice((ARP, IPV4, IPV4, ETHERTYPE, 0x88CC)),
                rng.choice((14, 60, 60, 64, 110, 128, 136, 300, 1514)),
                number + 1,
            ),
            int(rng.random() < 0.2),
        )
        for number in range(count)
    ]


def passes(frame, error, size_max=1518):
    """Whether the bridge is to pass a frame."""
    node = not frame[0] & 1 or frame[:6] == BROADCAST
    return not error and node and frame[12:14] != ETHERTYPE.to_bytes(2, "big") and len(frame) <= size_max


@pytest.mark.parametrize("size_max", (1518, 128))
@pytest.mark.parametrize("pressure", (1, 2))
def test_bridge_passes_whole_good_frames_for_nodes_and_no_others(size_max, pressure):
    dut = Bridge(words_max=None if size_max == 1518 else size_max // 8)
    frames = mixed(pressure, 50)
    wanted = [(f, 0) for f, error in frames if passes(f, error, size_max)]
    # The reader is as quick as the writer, or so slow that the writer has to make room.
    rng = random.Random(pressure)
    pattern = [rng.random() < 1 / pressure for _ in range(100_000)]
    out, lost, _ = play(dut, frames, pattern.__getitem__, gap=3 if pressure == 1 else 400)
    assert len(wanted) > 10 and frames_of(out) == wanted
    assert lost == sum(passes(f, error) for f, error in frames) - len(wanted)


def test_bridge_takes_as_long_as_it_says():
    for size in (60, 61, 64, 128):
        _, _, waits = play(Bridge(), [(frame(UNICAST, IPV4, size), 0)], lambda _: True, tail=20)
        assert waits == [Bridge.latency_cycles["i", "o", "idle"][0]]
        _, _, waits = play(FrameQueue(depth=32), [(frame(UNICAST, IPV4, size), 0)], lambda _: True, tail=20)
        assert waits == [FrameQueue.latency_cycles["i", "o", "idle"][0]]


def run_full(faults=frozenset()):
    """A queue of 32 words that is too slow by far: frames that left, `lost`, frames that came."""
    rng = random.Random(5)
    frames = [(frame(UNICAST, IPV4, rng.randint(14, 120), n % 251), int(rng.random() < 0.15)) for n in range(300)]
    out, lost, _ = play(
        FrameQueue(depth=32, faults=faults), frames, lambda cycle: cycle % 3 == 0 or cycle > 3500, tail=200
    )
    return frames_of(out), lost, frames


def test_full_queue_drops_frames_whole_and_tells_each():
    found, lost, frames = run_full()
    good = [f for f, error in frames if not error]
    assert [error for _, error in found] == [0] * len(found)
    # In order, none twice, none torn.
    rest = iter(good)
    assert all(any(f == other for other in rest) for f, _ in found)
    assert lost > 50 and len(found) > 50 and lost + len(found) == len(good)


def test_queue_holds_all_its_words_but_one():
    exact, longer = frame(UNICAST, IPV4, 31 * 8), frame(UNICAST, IPV4, 31 * 8 + 1)
    for number, (sent, is_kept) in enumerate(((exact, True), (longer, False))):
        out, lost, _ = play(FrameQueue(depth=32), [(sent, 0), (exact, 0)], lambda _: True, gap=60, tail=60)
        assert frames_of(out) == [(exact, 0)] * (1 + is_kept) and lost == number


def test_a_frame_that_is_too_long_leaves_room_for_the_next():
    frames = [(frame(UNICAST, IPV4, size, n), 0) for n, size in enumerate((128, 129, 1514, 60, 136, 128))]
    out, lost, _ = play(FrameQueue(words_max=16), frames, lambda _: True)
    assert frames_of(out) == [f for f in frames if len(f[0]) <= 128] and lost == 3


@pytest.mark.parametrize("fault", Bridge.FAULTS)
def test_bridge_with_a_planted_fault_is_caught(fault):
    if fault == "torn":
        found, lost, frames = run_full(frozenset({fault}))
        assert not all((f, 0) in frames for f, _ in found)
        return
    frames = mixed(1, 50)
    out, _, _ = play(Bridge(words_max=16, faults=frozenset({fault})), frames, lambda _: True, gap=3)
    assert frames_of(out) != [(f, 0) for f, error in frames if passes(f, error, 128)]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="depth must be a power of two, not 100"):
        FrameQueue(depth=100)
    with pytest.raises(ValueError, match="nonsense"):
        Bridge(faults=frozenset({"nonsense"}))
