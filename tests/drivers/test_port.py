"""What holds for a port of every backend."""

import gc
import sys
import threading
import time

import numpy as np
import pytest
from port_flow import frame, own_name, receive, until

from tickgate.drivers import errors
from tickgate.drivers.port import Port, open_via

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")


def test_frames_arrive_whole_in_order_and_once(joined):
    sent = [frame(i, 64 + i * 20) for i in range(40)]
    for data in sent:
        assert joined.a.send(data)
    assert receive(joined.b, 40) == sent
    assert joined.b.recv_burst() == []
    assert joined.a.stats().tx_frames == joined.b.stats().rx_frames == 40
    assert joined.a.stats().tx_bytes == joined.b.stats().rx_bytes == sum(map(len, sent))


def test_a_received_frame_is_sent_back_changed(joined):
    joined.a.send(frame(7))
    (got,) = until(joined.b.recv_burst)
    with memoryview(got) as view:
        view[14:18] = b"back"
    assert joined.b.send_burst([got]) == 1
    (back,) = receive(joined.a, 1)
    assert back == frame(7)[:14] + b"back" + frame(7)[18:]


def test_a_burst_is_received_and_sent_in_one_call(joined):
    sent = [frame(i) for i in range(32)]
    frames = joined.a.alloc(32, 64)
    for view, data in zip(frames, sent, strict=True):
        view.write(data)
    assert joined.a.send_burst(frames) == 32
    assert not any(view.alive for view in frames)
    assert receive(joined.b, 32) == sent


@pytest.mark.parametrize("size", [14, 60, 1514])
def test_the_shortest_and_the_longest_frame_pass(joined, size):
    joined.a.send(frame(1, size))
    assert receive(joined.b, 1) == [frame(1, size)]


def test_arrays_are_filled_and_sent(joined):
    sent = np.array([list(frame(i)) for i in range(8)], np.uint8)
    lengths = np.full(8, 64, np.uint32)
    assert joined.a.send_from(sent, lengths) == 8
    got, sizes = np.zeros((16, 64), np.uint8), np.zeros(16, np.uint32)
    count = 0
    while count < 8:
        count += joined.b.recv_into(got[count:], sizes[count:])
    assert (got[:8] == sent).all() and sizes[:8].tolist() == [64] * 8
    assert joined.b.recv_into(got, sizes) == 0


def test_a_frame_longer_than_a_row_tells_its_length(joined):
    joined.a.send(frame(3, 200))
    got, sizes = np.zeros((1, 50), np.uint8), np.zeros(1, np.uint32)
    until(lambda: joined.b.recv_into(got, sizes))
    assert sizes[0] == 200 and bytes(got[0]) == frame(3, 200)[:50]


def test_rows_of_a_wrong_shape_are_refused(joined):
    with pytest.raises(ValueError, match="array must be two-dimensional"):
        joined.a.recv_into(np.zeros(64, np.uint8), np.zeros(1, np.uint32))
    with pytest.raises(ValueError, match="lengths must be one-dimensional and of 32 bits"):
        joined.a.recv_into(np.zeros((1, 64), np.uint8), np.zeros(1, np.uint16))
    with pytest.raises(errors.FrameSizeError, match="more than a row"):
        joined.a.send_from(np.zeros((1, 64), np.uint8), np.array([65], np.uint32))


# One owner at any time.


def test_every_slot_has_one_owner_through_its_life(joined):
    a, b = joined.a, joined.b

    def owned(port):
        owners = port.owners()
        assert sum(owners.values()) == port.slots
        return owners

    free = owned(a)["completion"]
    lent = owned(b)["fill"]
    frames = a.alloc(4, 64)
    assert owned(a)["user"] == 4 and owned(a)["completion"] == free - 4
    for view in frames:
        view.write(frame(1))
    a.send_burst(frames)
    assert owned(a)["user"] == 0
    got = []
    until(lambda: got.extend(b.recv_burst()) or len(got) == 4)
    assert owned(b)["user"] == 4
    for view in got:
        view.release()
    assert owned(b)["user"] == 0
    until(lambda: b.recv_burst() or owned(b)["fill"] == lent)
    until(lambda: a.send_burst([]) or a.recv_burst() or owned(a)["tx"] in (0, 4))


def test_a_view_that_outlives_its_frame_is_an_error(joined):
    joined.a.send(frame(1))
    (got,) = until(joined.b.recv_burst)
    got.release()
    for use in (bytes, memoryview, len, lambda view: view.release(), lambda view: joined.b.send_burst([view])):
        with pytest.raises(errors.OwnershipError, match="released or sent"):
            use(got)
    # The same slot comes back with another frame: the old view does not show it.
    for i in range(200):
        joined.a.send(frame(i))
        until(joined.b.recv_burst)
    assert not got.alive
    with pytest.raises(errors.OwnershipError):
        bytes(got)


def test_a_sent_frame_is_gone(joined):
    (view,) = joined.a.alloc(1, 64)
    view.write(frame(1))
    joined.a.send_burst([view])
    with pytest.raises(errors.OwnershipError):
        joined.a.send_burst([view])
    with pytest.raises(errors.OwnershipError):
        view.length = 60


def test_a_frame_in_a_burst_twice_is_sent_once(joined):
    (view,) = joined.a.alloc(1, 64)
    view.write(frame(9))
    assert joined.a.send_burst([view, view]) == 1
    assert receive(joined.b, 1) == [frame(9)]


def test_a_buffer_in_use_keeps_the_frame_and_the_port(joined):
    joined.a.send(frame(1))
    (got,) = until(joined.b.recv_burst)
    view = memoryview(got)
    for use in (got.release, lambda: joined.b.send_burst([got]), joined.b.close):
        with pytest.raises(BufferError, match="in use"):
            use()
    with pytest.raises(BufferError, match="in use"):
        got.length = 10
    assert bytes(view) == frame(1)
    view.release()
    got.release()
    joined.b.close()


def test_a_frame_of_another_port_is_refused(joined):
    (view,) = joined.a.alloc(1, 64)
    with pytest.raises(errors.OwnershipError, match="another port"):
        joined.b.send_burst([view])


def test_a_forgotten_frame_goes_back_by_itself(joined):
    for i in range(joined.b.slots * 3):
        joined.a.send(frame(i))
        until(joined.b.recv_burst)
    assert joined.b.owners()["user"] == 0
    held = joined.a.alloc(8)
    assert joined.a.owners()["user"] == 8
    del held
    gc.collect()
    assert joined.a.owners()["user"] == 0


def test_a_closed_port_says_so(joined):
    joined.a.send(frame(1))
    (got,) = until(joined.b.recv_burst)
    joined.b.close()
    joined.b.close()
    assert joined.b.closed and not got.alive
    with pytest.raises(errors.OwnershipError):
        bytes(got)
    with pytest.raises(errors.ClosedError, match="this port is closed"):
        joined.b.recv_burst()


def test_a_port_is_a_context_manager(join):
    joined = join()
    with joined.a as port:
        assert not port.closed
    assert joined.a.closed


# Limits.


def test_a_frame_that_is_too_long_is_refused_and_stays(joined):
    (view,) = joined.a.alloc(1, joined.a.max_frame)
    if joined.a.max_frame < joined.a.room:
        view.length = joined.a.max_frame + 1
        with pytest.raises(
            errors.FrameSizeError, match=rf"{joined.a.max_frame + 1} bytes; from \d+ to {joined.a.max_frame}"
        ):
            joined.a.send_burst([view])
        assert view.alive and joined.a.stats().tx_invalid == 1
    with pytest.raises(errors.FrameSizeError, match=f"room for {joined.a.room} bytes"):
        view.length = joined.a.room + 1
    with pytest.raises(errors.FrameSizeError, match=f"room for {joined.a.room} bytes"):
        view.write(bytes(joined.a.room + 1))


def test_full_rings_lose_no_accepted_frame_silently(joined):
    # Nobody receives: what the sender got rid of either arrives or is counted as lost on one of the two sides.
    a, b = joined.a, joined.b
    accepted = sum(a.send(frame(i)) for i in range(1000))
    assert accepted >= 64
    got = 0
    end = time.monotonic() + 1
    while time.monotonic() < end:
        got += len(b.recv_burst())
        a.recv_burst(0)
    lost = a.stats().tx_dropped + b.stats().rx_dropped
    assert got >= 64
    assert got + lost == accepted
    # And afterwards all is as before.
    for i in range(100):
        assert until(lambda i=i: a.send(frame(i)))
        assert receive(b, 1) == [frame(i)]


def test_frames_that_the_user_keeps_are_not_overwritten(joined):
    a, b = joined.a, joined.b
    sent, kept = [], []
    for i in range(16):
        sent.append(frame(i))
        a.send(sent[-1])
        kept.extend(until(b.recv_burst))
    for i in range(500):
        a.send(frame(100 + i))
        b.recv_burst()
    assert [bytes(view) for view in kept] == sent


def test_alloc_gives_what_there_is(joined):
    frames = []
    while more := joined.a.alloc(256):
        frames.extend(more)
    assert 64 <= len(frames) <= joined.a.slots
    assert joined.a.send(frame(1)) is False
    assert joined.a.stats().tx_full >= 1
    del frames, more
    assert joined.a.send(frame(1))


# Waiting.


def test_a_waiting_receive_gets_the_frame_that_comes(join):
    joined = join(wait_ms=5000)
    timer = threading.Timer(0.05, joined.a.send, [frame(5)])
    timer.start()
    before = time.monotonic()
    (got,) = joined.b.recv_burst()
    assert bytes(got) == frame(5) and time.monotonic() - before < 4
    timer.join()


def test_a_waiting_receive_ends_in_time(join):
    joined = join(wait_ms=50)
    before = time.monotonic()
    assert joined.b.recv_burst() == []
    assert 0.03 < time.monotonic() - before < 2


def test_two_threads_in_one_port_are_refused(join):
    joined = join(wait_ms=500)
    thread = threading.Thread(target=joined.b.recv_burst)
    thread.start()
    time.sleep(0.1)
    with pytest.raises(RuntimeError, match="one thread at a time"):
        joined.b.recv_burst()
    with pytest.raises(RuntimeError, match="another thread"):
        joined.b.close()
    thread.join()


def test_a_frame_that_is_dropped_during_a_call_goes_back_after_it(join):
    joined = join(wait_ms=300)
    joined.a.send(frame(1))
    (got,) = joined.b.recv_burst()
    thread = threading.Thread(target=joined.b.recv_burst)
    thread.start()
    time.sleep(0.05)
    del got
    thread.join()
    assert joined.b.owners()["user"] == 0


# Nothing is allocated on the hot path (the C side is counted in test_allocation.py).


def test_python_allocates_nothing_per_frame(join):
    joined = join()
    a, b = joined.a, joined.b
    out, got = np.zeros((16, 64), np.uint8), np.zeros((16, 64), np.uint8)
    out[:] = np.frombuffer(frame(1), np.uint8)
    lengths, sizes = np.full(16, 64, np.uint32), np.zeros(16, np.uint32)

    def rounds(n):
        for _ in range(n):
            sent = a.send_from(out, lengths)
            while sent > 0:
                sent -= b.recv_into(got, sizes)

    rounds(50)
    before = sys.getallocatedblocks()
    rounds(500)
    assert sys.getallocatedblocks() - before < 50


def test_bad_options_are_told():
    for options, text in (
        ({"ring": 100}, "ring must be a power of two from 8 to 32768, not 100"),
        ({"frame_bytes": 100}, "frame_bytes must be a power of two"),
        ({"backend": "smoke"}, "backend must be auto"),
        ({"backend": "xdp", "frame_bytes": 8192}, "frame_bytes must be 2048 or 4096 for xdp"),
        ({"backend": "shm", "side": "c"}, "side must be 'a'"),
        ({"wait_ms": -1}, "wait_ms must be"),
        ({"backend": "udp", "local": ("localhost", 1)}, "local: an IPv4 address in numbers, not 'localhost'"),
        ({"backend": "udp", "local": ("127.0.0.1", 70000)}, "local: a UDP port is from 0 to 65535"),
    ):
        with pytest.raises(ValueError, match=text):
            Port.open("lo", **options)
    with pytest.raises(TypeError, match="Port.open"):
        Port()


def test_a_port_is_opened_by_its_text():
    with open_via(f"shm:{own_name('via')}") as port:
        assert port.backend == "shm" and port.name == own_name("via")
    for text in ("xdp", "xdp:", "xdp:eth0@x"):
        with pytest.raises(ValueError, match="BACKEND:NAME"):
            open_via(text)
