"""The loops of the benchmark: both languages count the same, foreign frames are told apart, and every loop ends."""

import errno
import threading

import pytest

from tickgate.drivers._clock import Clock
from tickgate.drivers._histogram import Histogram
from tickgate.drivers.bench._loops import MAX_BYTES, MIN_BYTES, Loop
from tickgate.drivers.errors import ClosedError
from tickgate.drivers.port import Port

HEAD = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5"
SECOND = 1_000_000_000


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture
def ports():
    a, b = Port.pair(ring=64)
    with a, b:
        yield a, b


@pytest.mark.parametrize("cython", [False, True])
def test_round_trips_in_both_languages(clock, ports, cython):
    a, b = ports
    echo, loop, times = Loop(clock, 1), Loop(clock, 1), Histogram()
    thread = threading.Thread(target=echo.echo, args=(b,))
    thread.start()
    try:
        loop.ping(a, times, HEAD, 100, 64, 5 * SECOND, 20 * SECOND, cython)
    finally:
        echo.stop()
        thread.join()
    assert (loop.sent, loop.received, loop.lost, loop.foreign, loop.error) == (100, 100, 0, 0, 0)
    assert times.count == echo.received == echo.sent == 100
    assert a.owners()["user"] == b.owners()["user"] == 0


@pytest.mark.parametrize("cython", [False, True])
def test_a_ping_gives_up_where_nobody_answers(clock, ports, cython):
    loop, times = Loop(clock, 1), Histogram()
    loop.ping(ports[0], times, HEAD, 1000, 64, 10_000, 20 * SECOND, cython)
    assert loop.error == errno.ETIMEDOUT and loop.lost == 20 and times.count == 0


@pytest.mark.parametrize("cython", [False, True])
def test_an_answer_to_something_else_is_foreign(clock, ports, cython):
    a, b = ports
    for _ in range(3):
        assert b.send(HEAD + (9 << 40 | 1).to_bytes(8, "little") + bytes(42))
    loop = Loop(clock, 1)
    loop.ping(a, Histogram(), HEAD, 1, 64, 10_000_000, 20 * SECOND, cython)
    assert (loop.foreign, loop.received, loop.lost) == (3, 0, 1)


def test_echo_swaps_the_addresses_and_keeps_the_rest(clock, ports):
    a, b = ports
    data = HEAD + bytes(range(60))
    echo = Loop(clock, 1)
    thread = threading.Thread(target=echo.echo, args=(b,))
    thread.start()
    got = []
    try:
        a.send(data)
        for _ in range(10_000_000):
            got = [bytes(frame) for frame in a.recv_burst()]
            if got:
                break
    finally:
        echo.stop()
        thread.join()
    assert got == [data[6:12] + data[:6] + data[12:]]


def test_a_sink_counts_only_frames_of_its_flood(clock, ports):
    a, b = ports
    sink, flood = Loop(clock, 7), Loop(clock, 7)
    thread = threading.Thread(target=sink.sink, args=(b,))
    a.send(HEAD + bytes(50))
    a.send(HEAD)
    thread.start()
    try:
        flood.flood(a, HEAD, 128, 3_000_000)
        for _ in range(1_000_000):
            if sink.received == flood.sent:
                break
            thread.join(0.001)
    finally:
        sink.stop()
        thread.join()
    assert sink.received == flood.sent > 0 and sink.foreign == 2
    assert sink.rate_since(flood) > 0 and Loop(clock, 1).rate_since(flood) == 0


def test_what_cannot_be_is_refused(clock, ports):
    a, b = ports
    for tag in (0, 1 << 24):
        with pytest.raises(ValueError, match="tag must be from 1"):
            Loop(clock, tag)
    loop = Loop(clock, 1)
    with pytest.raises(ValueError, match="14 bytes, not 3"):
        loop.flood(a, b"abc", 64, 1)
    for size in (MIN_BYTES - 1, MAX_BYTES + 1):
        with pytest.raises(ValueError, match="size must be from 22"):
            loop.flood(a, HEAD, size, 1)
    b.close()
    with pytest.raises(ClosedError):
        loop.echo(b)
