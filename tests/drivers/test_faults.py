"""What may go wrong under a running port, each with what the port makes of it."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest
from port_flow import environment, frame, interpreter, need_rights, own_name, receive, until

from tickgate.drivers import errors, netns
from tickgate.drivers.port import Port

pytest.importorskip("tickgate.drivers._port", reason="the compiled drivers are not installed (make setup)")

PEER = own_name("peer")
SEGMENT = f"/dev/shm/tickgate-{PEER}"
ON_AN_INTERFACE = ("packet", "xdp-skb", "xdp-drv")
interfaces = pytest.mark.parametrize("backend", ON_AN_INTERFACE)


def python(space, program, *words, before=()):
    """A Python process inside a namespace, started by ``before`` (setpriv ...)."""
    return space.popen(
        [*before, *interpreter(), "-c", program, *words],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def flows(joined, number=1):
    """Whether a frame passes both ways."""
    for source, sink in ((joined.a, joined.b), (joined.b, joined.a)):
        until(lambda source=source: source.send(frame(number)))
        until(lambda sink=sink: frame(number) in [bytes(view) for view in sink.recv_burst()])
    return True


# The interface.


@interfaces
def test_a_link_that_goes_down_is_told_and_the_port_works_again_when_it_is_up(joined):
    assert flows(joined)
    joined.spaces[0].ip("link", "set", "va", "down")
    with pytest.raises(errors.LinkDownError, match=r"va: the link is down\nbring it up: ip link set va up"):
        joined.a.check()
    with pytest.raises(errors.LinkDownError):
        for i in range(3):  # the first may still be accepted; it then waits for the link
            joined.a.send(frame(i))
    with pytest.raises(errors.LinkDownError):  # a spinning receiver looks after its link now and then
        for _ in range(200_000):
            joined.a.recv_burst()
    assert joined.a.stats().link_downs >= 2
    joined.spaces[0].ip("link", "set", "va", "up")
    joined.a.check()
    assert flows(joined, 77)


@interfaces
def test_a_port_may_be_opened_before_its_link_is_up(veth, backend):
    need_rights("net_raw", "bpf")
    veth[0].ip("link", "set", "va", "down")
    with veth[0].entered(), Port.open("va", backend=backend, ring=64) as port:
        with pytest.raises(errors.LinkDownError):
            port.check()
        veth[0].ip("link", "set", "va", "up")
        with veth[1].entered(), Port.open("vb", backend=backend, ring=64) as other:
            until(lambda: other.send(frame(1)))
            assert receive(port, 1) == [frame(1)]


@interfaces
def test_a_renamed_interface_keeps_its_port(joined):
    joined.spaces[0].ip("link", "set", "va", "down")
    joined.spaces[0].ip("link", "set", "va", "name", "renamed0")
    joined.spaces[0].ip("link", "set", "renamed0", "up")
    joined.a.check()
    assert joined.a.name == "renamed0"
    assert flows(joined)


@interfaces
@pytest.mark.parametrize("wait_ms", [0, 200])
def test_a_deleted_interface_ends_the_port(join, wait_ms):
    joined = join(wait_ms=wait_ms)
    joined.spaces[0].ip("link", "delete", "va")
    for port in (joined.a, joined.b):
        with pytest.raises(errors.InterfaceGoneError, match="deleted or moved away\nclose this port"):
            port.check()
        with pytest.raises(errors.InterfaceGoneError):
            for _ in range(200_000):
                port.recv_burst()
        with pytest.raises((errors.InterfaceGoneError, errors.LinkDownError)):
            for i in range(3):
                port.send(frame(i))
        port.close()


@interfaces
def test_a_new_mtu_is_followed(joined):
    for space, name in zip(joined.spaces, joined.names, strict=True):
        space.ip("link", "set", name, "mtu", "600")
    joined.a.check()
    assert joined.a.max_frame == 614
    with pytest.raises(errors.FrameSizeError, match=r"700 bytes; from 14 to 614.*\n.*ip link set va mtu N"):
        joined.a.send(frame(1, 700))
    assert flows(joined)


@interfaces
def test_an_interface_that_is_not_there_is_named(spaces, backend):
    need_rights("net_raw", "bpf")
    with spaces[0].entered(), pytest.raises(errors.InterfaceMissingError, match="no interface 'nope0'") as caught:
        Port.open("nope0", backend=backend)
    assert caught.value.errno != 0 and caught.value.step == "interface"


# The peer.


def test_udp_tells_that_nobody_listens():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        nobody = other.getsockname()[1]
    with Port.open(backend="udp", local=("127.0.0.1", 0), remote=("127.0.0.1", nobody)) as port:
        with pytest.raises(errors.PeerGoneError, match="the other side is gone"):
            for _ in range(100):
                port.send(b"x")
                port.recv_burst()
                time.sleep(0.001)


SHM_B = """
import sys, time
from tickgate.drivers.port import Port
port = Port.open(sys.argv[1], backend="shm", side=sys.argv[2])
print("open", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    port.send_burst(port.recv_burst())
"""


def shm_process(side, name=PEER):
    process = subprocess.Popen(
        [*interpreter(), "-c", SHM_B, name, side], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "open\n"
    return process


@pytest.mark.parametrize("wait_ms", [0, 100])
def test_shm_tells_that_the_peer_was_killed_and_both_open_again(wait_ms):
    for _ in range(2):
        with Port.open(PEER, backend="shm", wait_ms=wait_ms, ring=64) as port:
            process = shm_process("b")
            port.send(b"there")
            assert receive(port, 1) == [b"there"]
            process.kill()
            process.wait()
            process.stdout.close()
            with pytest.raises(errors.PeerGoneError, match="open it again when the peer is back"):
                for _ in range(1_000_000):
                    port.recv_burst()
    assert not os.path.exists(SEGMENT)


def test_shm_replaces_what_a_killed_side_a_has_left():
    process = shm_process("a")
    port = Port.open(PEER, backend="shm", side="b")
    process.kill()
    process.wait()
    process.stdout.close()
    with pytest.raises(errors.PeerGoneError):
        port.check()
    with Port.open(PEER, backend="shm", side="a") as fresh:  # while side b still has the old one
        port.close()
        with Port.open(PEER, backend="shm", side="b") as b:
            fresh.send(b"new")
            assert receive(b, 1) == [b"new"]
    assert not os.path.exists(SEGMENT)


def test_a_child_that_ends_takes_nothing_away():
    with Port.open(PEER, backend="shm", side="a") as a:
        child = os.fork()
        if child == 0:
            a.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with Port.open(PEER, backend="shm", side="b") as b:
            a.send(b"still there")
            assert receive(b, 1) == [b"still there"]


def test_side_b_clears_away_what_a_dead_side_a_has_left():
    process = shm_process("a")
    with Port.open(PEER, backend="shm", side="b"):
        process.kill()
        process.wait()
        process.stdout.close()
        assert os.path.exists(SEGMENT)
    assert not os.path.exists(SEGMENT)


def test_a_second_side_and_a_missing_one_are_told():
    with pytest.raises(errors.PeerMissingError, match="open side 'a' first"):
        Port.open(own_name("none"), backend="shm", side="b")
    with Port.open(own_name("two"), backend="shm", side="a") as a:
        with pytest.raises(errors.BusyError, match="another process is side a"):
            Port.open(own_name("two"), backend="shm", side="a")
        b = Port.open(own_name("two"), backend="shm", side="b")
        with pytest.raises(errors.BusyError, match="another process is side b"):
            Port.open(own_name("two"), backend="shm", side="b")
        b.close()
        with pytest.raises(errors.PeerMissingError, match="fresh segment"):  # half a session is not taken over
            Port.open(own_name("two"), backend="shm", side="b")
        with pytest.raises(errors.PeerGoneError):
            a.check()


def test_a_descriptor_that_makes_no_sense_is_refused():
    # The peer writes a slot number out of range into the work ring: page 1 of the segment is side a's ring.
    fd = os.memfd_create("test")
    try:
        a = Port.open(backend="shm", fd=fd, side="a", ring=8)
        b = Port.open(backend="shm", fd=fd, side="b")
        os.pwrite(fd, (9).to_bytes(4, "little") + (64).to_bytes(4, "little"), 4096 + 4)
        os.pwrite(fd, (1).to_bytes(4, "little"), 4096)
        with pytest.raises(errors.PortError, match="descriptor failed"):
            b.recv_burst()
        assert b.stats().rx_invalid == 1
        a.close()
        b.close()
    finally:
        os.close(fd)


# Our own death.


OPEN_AND_STAY = """
import sys, time
from tickgate.drivers.port import Port
port = Port.open(sys.argv[1], backend=sys.argv[2], ring=64)
print("open", flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    port.send_burst(port.recv_burst())
"""


@interfaces
def test_a_killed_process_frees_its_queue_within_a_second(veth, backend):
    need_rights("net_raw", "bpf")
    with veth[1].entered():
        other = Port.open("vb", backend=backend, ring=64)
    for _ in range(3):
        process = python(veth[0], OPEN_AND_STAY, "va", backend)
        assert process.stdout.readline() == "open\n"
        for i in range(20):
            other.send(frame(i))
        process.kill()
        process.communicate()
        before = time.monotonic()
        with veth[0].entered():
            port = Port.open("va", backend=backend, ring=64)
        assert time.monotonic() - before < 1
        other.recv_burst(256)
        other.send(frame(99))
        assert until(lambda port=port: frame(99) in [bytes(view) for view in port.recv_burst()])
        port.close()
    other.close()


@interfaces
def test_a_port_opens_again_right_after_it_was_closed(joined):
    for i in range(5):
        joined.ports[0].close()
        joined.ports[0] = joined.open(0)
        joined.ports.pop()
        joined.a.send(frame(i))
        assert until(lambda i=i: frame(i) in [bytes(view) for view in joined.b.recv_burst()])


# Two openers.


@pytest.mark.parametrize("backend", ["xdp-skb", "xdp-drv"])
def test_a_second_opener_of_a_queue_is_told_who_has_it(joined, backend):
    before = time.monotonic()
    with pytest.raises(errors.BusyError, match="queue 0 is in use by another socket"):
        joined.open(0)
    assert 0.9 < time.monotonic() - before < 5  # it was retried for a second
    process = python(joined.spaces[0], OPEN_AND_STAY, "va", backend)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert re.search("BusyError: .*another program has attached XDP to va", said)
    assert flows(joined)


@pytest.mark.parametrize("backend", ["xdp-skb"])
def test_one_interface_has_one_xdp_mode(joined):
    with joined.spaces[0].entered(), pytest.raises(errors.BusyError, match="in another mode"):
        Port.open("va", backend="xdp-drv")


def test_two_queues_of_one_interface_share_their_program(spaces):
    need_rights("net_raw", "bpf")
    netns.veth_pair((spaces[0], "va"), (spaces[1], "vb"), queues=2)
    with spaces[0].entered():
        ports = [Port.open("va", queue, "xdp-drv", ring=64) for queue in (0, 1)]
        ports[0].close()
        with Port.open("va", 0, "xdp-drv", ring=64):
            ports[1].check()
        ports[1].close()
        with Port.open("va", 0, "xdp-skb", ring=64):  # the program is gone with its last port
            pass


# Queues and modes.


def test_a_wrong_queue_is_told(veth):
    need_rights("net_raw", "bpf")
    with veth[0].entered():
        with pytest.raises(errors.QueueError, match=r"no queue 5 to have\nits numrxqueues.*show va"):
            Port.open("va", 5, "xdp-drv")
        with pytest.raises(errors.QueueError, match="no queue 64"):
            Port.open("va", 64, "xdp-drv")
        with pytest.raises(errors.QueueError, match="generic mode delivers to queue 0 only, not to 1"):
            Port.open("va", 1, "xdp-skb")
        with pytest.raises(errors.QueueError, match="queue must be 0, not 1"):
            Port.open("va", 1, "packet")


def test_more_queues_of_the_peer_than_ours_are_told(spaces):
    need_rights("net_raw", "bpf")
    spaces[0].ip("link", "add", "va", "numtxqueues", "4", "type", "veth", "peer", "name", "vb", "netns", spaces[1].path)
    spaces[0].link_up("va")
    spaces[1].link_up("vb")
    with spaces[1].entered(), pytest.raises(errors.QueueError, match=r"more transmit queues.*\nmake the pair"):
        Port.open("vb", 0, "xdp-drv")


def test_an_mtu_above_what_native_mode_takes_is_told(spaces):
    need_rights("net_raw", "bpf")
    netns.veth_pair((spaces[0], "va"), (spaces[1], "vb"), mtu=9000)
    with spaces[0].entered(), pytest.raises(errors.MtuError, match=r"at most 3506\)\nlower it: ip link set va mtu"):
        Port.open("va", 0, "xdp-drv")


def test_zero_copy_that_an_interface_lacks_is_told(veth):
    need_rights("net_raw", "bpf")
    with veth[0].entered(), pytest.raises(errors.UnsupportedError, match="va has no zero-copy\nleave zero_copy out"):
        Port.open("va", 0, "xdp-drv", zero_copy=True)


# Frames that are no ordinary ones.


@interfaces
def test_a_runt_is_refused_and_nothing_else_suffers(joined):
    with pytest.raises(errors.FrameSizeError, match="13 bytes; from 14 to 1514"):
        joined.a.send(bytes(13))
    assert joined.a.stats().tx_invalid == 1
    assert flows(joined)


@interfaces
def test_a_frame_longer_than_a_slot_is_counted_and_dropped(spaces, backend):
    need_rights("net_raw", "bpf")
    netns.veth_pair((spaces[0], "va"), (spaces[1], "vb"), mtu=3500)
    with spaces[1].entered():
        port = Port.open("vb", backend=backend, ring=64)
    with spaces[0].entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("va", 0))
        raw.send(frame(1, 3000))
        raw.send(frame(2, 64))
    assert receive(port, 1) == [frame(2, 64)]
    stats = port.stats()
    assert stats.rx_oversize + stats.rx_dropped == 1 and stats.rx_frames == 1
    port.close()


@interfaces
@pytest.mark.parametrize("kind", [b"\x81\x00", b"\x88\xa8"], ids=["802.1Q", "802.1ad"])
def test_vlan_tags_stay_in_the_frame(joined, kind):
    # The kernel takes the tag out of what AF_PACKET receives: it must be put back.
    plain = frame(3, 1514)
    tagged = plain[:12] + kind + b"\x20\x07" + plain[12:]
    assert len(tagged) == 1518
    for data in (plain[:12] + kind + b"\x20\x07" + plain[12:200], tagged[: 1518 if kind == b"\x81\x00" else 1514]):
        assert joined.a.send(data)
        assert receive(joined.b, 1) == [data]
    with pytest.raises(errors.FrameSizeError):  # no room of four bytes for others
        joined.a.send(frame(3, 1518))


# Signals.


def test_signals_during_calls_lose_nothing(join):
    joined = join(wait_ms=20)
    caught = []
    before = signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for i in range(300):
            until(lambda i=i: joined.a.send(frame(i)))
            assert receive(joined.b, 1) == [frame(i)]
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            assert joined.b.recv_burst() == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(caught) > 5


def test_an_exception_of_a_signal_handler_ends_a_wait(join):
    joined = join(wait_ms=10_000)

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            joined.b.recv_burst()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start < 5
    assert flows(joined)


# Full rings, both ways at once.


def test_rings_full_in_both_directions_recover(joined):
    for i in range(500):
        joined.a.send(frame(i))
        joined.b.send(frame(i))
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        joined.a.recv_burst()
        joined.b.recv_burst()
    for i in range(20):
        assert flows(joined, i)
    for port in joined.ports:
        assert sum(port.owners().values()) == port.slots


def test_a_frame_in_hand_survives_the_port_of_another_thread(join):
    joined = join()
    stop = threading.Event()

    def pump():
        number = 0
        while not stop.is_set():
            joined.a.send(frame(number))
            number += 1

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        for _ in range(200):
            views = until(joined.b.recv_burst)
            held = [bytes(view) for view in views]
            assert [bytes(view) for view in views] == held
            assert all(data[14:] == bytes((data[14] + i) & 255 for i in range(len(data) - 14)) for data in held)
    finally:
        stop.set()
        thread.join()
