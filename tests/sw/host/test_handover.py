"""Orders of a device over the kernel's TCP: handed over, sent over a wire that loses, retransmitted, received whole."""

import time

import pytest
import tcp_venue
from port_flow import need_rights
from tcp_venue import HOST, PORT, VENUE, Venue

from tickgate.drivers.port import Port
from tickgate.sw.host import handover
from tickgate.sw.host.handover import HandoverError
from tickgate.sw.host.order_session import OrderSession
from tickgate.sw.model.orders import Orders
from tickgate.sw.spec import soup
from tickgate.sw.spec.config import ascii_field
from tickgate.sw.spec.events import ORDER


@pytest.fixture
def wire():
    need_rights("sys_admin", "net_admin", "net_raw")
    with tcp_venue.joined() as made:
        yield made


def logged_in(host):
    with host.entered():
        sock = handover.connect(HOST, (VENUE, PORT))
        answer = handover.login(sock, "user", "secret")
    return sock, answer


def order(number):
    values = {
        "seq": number, "slot": 0, "side": number % 2, "quantity": 1 + number, "price_e4": 1_000_000 + 100 * number,
        "symbol": ascii_field("AAPL", 8), "tif": ord("3"), "display": ord("Y"), "capacity": ord("P"),
    }  # fmt: skip
    return ORDER.tuple_type(**{**dict.fromkeys(ORDER.tuple_type._fields, 0), **values})


def play(host, venue, count, heartbeat_every=50):
    """Hand a session over and send orders through the model: bytes sent, the session, its packets."""
    sock, answer = logged_in(host)
    with host.entered():
        numbers = handover.take_over(sock)
        port = Port.open(numbers.interface, backend="packet")
    sent = venue.stream
    packets = 0
    with port:
        engine = Orders()
        engine.kill = False
        session = OrderSession(numbers, engine, port.send, begun=answer["rest"])
        deadline = time.monotonic() + 60
        number = 0
        while (number < count or session.unacknowledged_bytes) and time.monotonic() < deadline:
            assert not session.closed, session.closed
            if number < count and engine.session_ok:
                frames = [engine.order(order(number))[1]]
                if number % heartbeat_every == 0:
                    frames.append(engine.inject(soup.build(soup.CLIENT_HEARTBEAT))[1])
                for frame in frames:
                    port.send(frame)
                    session.sent(frame)
                    sent += frame[54:]
                number += 1
            for frame in port.recv_burst(32):
                session.received(bytes(frame))
                frame.release()
            session.poll()
            packets += len(session.packets())
        assert number == count and not session.unacknowledged_bytes, f"{number} of {count} orders in 60 s"
    return sent, session, packets


@pytest.mark.parametrize("percent", (0, 1))
def test_thousand_orders_of_a_session_arrive_as_they_were_sent(wire, percent):
    host, space = wire.host, wire.venue
    venue = Venue(space)
    if percent:
        wire.lose(percent)
    sent, session, packets = play(host, venue, 1000)
    deadline = time.monotonic() + 5
    while len(venue.stream) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.01)
    venue.ends.set()
    venue.join()
    assert venue.stream == sent
    assert session.statistics.segments == 1020 and session.statistics.bytes == len(sent) - soup.LOGIN_REQUEST.size
    assert packets and session.packets() == []
    if percent:
        assert session.statistics.retransmits > 0
    if wire.program is not None:
        assert wire.program.dropped > 0
    assert session.statistics.malformed == 0
    # The stream is whole SoupBinTCP packets, in the order of their user references.
    whole, rest = soup.split(venue.stream)
    assert len(whole) == 1021 and rest == b""
    references = [int.from_bytes(p[4:8], "big") for p in whole if p[2:4] == b"UO"]
    assert references == list(range(1, 1001))


def test_numbers_are_those_of_the_connection_and_the_kernel_is_silent_afterwards(wire):
    host, space = wire.host, wire.venue
    venue = Venue(space)
    sock, answer = logged_in(host)
    assert (answer["session"], answer["sequence"]) == ("DAY1", 1)
    port_number = sock.getsockname()[1]
    with host.entered():
        numbers = handover.take_over(sock)
    assert numbers.src_port == port_number and numbers.dst_port == PORT and numbers.interface == "h0"
    assert numbers.window_in > 10_000 and numbers.window_out > 0
    assert HOST not in host.ip("addr", "show", "dev", "h0")
    with host.entered(), Port.open("h0", backend="packet", wait_ms=20) as port:
        session = OrderSession(numbers, Orders(), port.send, begun=answer["rest"])
        seen = []
        for _ in range(20):
            for frame in port.recv_burst(8):
                seen.append(bytes(frame))
                session.received(seen[-1])
                frame.release()
        assert seen, "the venue's heartbeats did not arrive"
        assert not [f for f in seen if f[12:14] == b"\x08\x00" and f[47] & 0x04], "somebody sent a reset"
        assert session.packets() and not session.closed
    venue.ends.set()
    venue.join()


def test_login_that_is_rejected_says_why(wire):
    host, space = wire.host, wire.venue
    venue = Venue(space, reject=b"A")
    with host.entered():
        sock = handover.connect(HOST, (VENUE, PORT))
        with pytest.raises(HandoverError, match="the server rejects the login: not authorized"):
            handover.login(sock, "user", "wrong")
    sock.close()
    venue.join()


def test_login_without_an_answer_ends(wire):
    host, space = wire.host, wire.venue
    venue = Venue(space, silent=True)
    with host.entered():
        sock = handover.connect(HOST, (VENUE, PORT), timeout_s=0.2)
        with pytest.raises(HandoverError, match="does not answer the login"):
            handover.login(sock, "user", "secret")
    venue.ends.set()
    sock.close()
    venue.join()


def test_connection_with_timestamps_is_refused(wire):
    host, space = wire.host, wire.venue
    host.run("sysctl", "-q", "net.ipv4.tcp_timestamps=1")
    venue = Venue(space)
    with host.entered(), pytest.raises(HandoverError, match="timestamps were negotiated.*\nswitch them off"):
        handover.connect(HOST, (VENUE, PORT))
    venue.join()


def test_connection_that_cannot_be_made_is_told(wire):
    host = wire.host
    with host.entered(), pytest.raises(HandoverError, match=f"no connection from {HOST} to {VENUE}:{PORT}"):
        handover.connect(HOST, (VENUE, PORT))
    with host.entered(), pytest.raises(HandoverError, match="no connection from 192.0.2.77"):
        handover.connect("192.0.2.77", (VENUE, PORT))
