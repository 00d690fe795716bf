"""The host's half of an order session, against a peer of a few lines: losses, windows, and every way to end."""

import dataclasses

import pytest

from tickgate.sw.host.handover import TcpNumbers
from tickgate.sw.host.order_session import DUPLICATES, RTO_FIRST_S, OrderSession, before, parse
from tickgate.sw.spec import net, soup

HOST, VENUE = net.ipv4("198.51.100.1"), net.ipv4("198.51.100.2")
NUMBERS = TcpNumbers("eth0", 0x020000000010, 0x020000000020, HOST, VENUE, 40000, 8001, 1000, 5000, 500, 60_000, 3)


class Engine:
    def __init__(self):
        self.session, self.peer = {}, {}

    def commit_session(self, row):
        self.session = row

    def commit_peer(self, row):
        self.peer = row


class Bench:
    """A session, its engine, what it sent, and a clock that stands still."""

    def __init__(self, **changed):
        self.numbers = dataclasses.replace(NUMBERS, **changed)
        self.engine, self.wire, self.now = Engine(), [], 100.0
        self.session = OrderSession(self.numbers, self.engine, self.wire.append, user_ref=7, clock=lambda: self.now)
        self.next = self.numbers.next_seq

    def order(self, payload=b"x" * 50):
        n = self.numbers
        frame = net.tcp_frame(
            payload, destination_mac=n.dst_mac, source_mac=n.src_mac, source_ip=n.src_ip, destination_ip=n.dst_ip,
            source_port=n.src_port, destination_port=n.dst_port, sequence=self.next, acknowledgment=0, window=0,
        )  # fmt: skip
        self.session.sent(frame)
        self.next = (self.next + len(payload)) % (1 << 32)

    def venue(self, payload=b"", *, sequence=None, ack=None, window=7500, flags=net.TCP_ACK, **changed):
        n = self.numbers
        values = {
            "destination_mac": n.src_mac, "source_mac": n.dst_mac, "source_ip": n.dst_ip, "destination_ip": n.src_ip,
            "source_port": n.dst_port, "destination_port": n.src_port,
            "acknowledgment": self.next if ack is None else ack,
            "sequence": n.ack_out if sequence is None else sequence, "window": window, "flags": flags,
        }  # fmt: skip
        self.session.received(net.tcp_frame(payload, **{**values, **changed}))

    def sent(self):
        """Sequence number and payload of each frame that the session sent since the last call."""
        found = [parse(frame) for frame in self.wire]
        self.wire.clear()
        return [(header["sequence"], payload) for header, payload in found]


def test_session_begins_with_its_rows():
    bench = Bench()
    assert bench.engine.peer == {"ack_out": 5000, "window_out": 500, "ack_in": 1000, "window_in": 60_000}
    row = bench.engine.session
    assert (row["open"], row["next_seq"], row["user_ref"], row["src_port"]) == (1, 1000, 7, 40000)


def test_session_acknowledgement_reaches_the_device_scaled():
    bench = Bench()
    bench.order()
    bench.order()
    assert bench.session.unacknowledged_bytes == 100
    bench.venue(ack=1050, window=200)
    assert bench.engine.peer["ack_in"] == 1050 and bench.engine.peer["window_in"] == 1600
    assert bench.session.unacknowledged_bytes == 50
    bench.venue(ack=1020)  # old
    bench.venue(ack=2000)  # of what was not sent
    assert bench.engine.peer["ack_in"] == 1050


def test_session_segment_is_sent_again_when_its_time_is_over():
    bench = Bench()
    bench.order(b"a" * 50)
    bench.order(b"b" * 50)
    bench.session.poll()
    assert bench.sent() == []
    bench.now += RTO_FIRST_S
    bench.session.poll()
    bench.session.poll()
    assert bench.sent() == [(1000, b"a" * 50)]
    bench.now += RTO_FIRST_S
    bench.session.poll()
    assert bench.sent() == [], "the time-out did not double"
    bench.now += RTO_FIRST_S
    bench.session.poll()
    assert bench.sent() == [(1000, b"a" * 50)]
    bench.venue(ack=1050)  # what stood before the time-out and is still missing follows at once
    assert bench.sent() == [(1050, b"b" * 50)] and bench.session.statistics.retransmits == 3


def test_session_segment_is_sent_again_after_equal_acknowledgements():
    bench = Bench()
    for letter in b"abcde":
        bench.order(bytes([letter]) * 50)
    for _ in range(DUPLICATES + 2):
        bench.venue(ack=1000)
    assert bench.sent() == [(1000, b"a" * 50)] and bench.session.statistics.fast_retransmits == 1
    bench.venue(ack=1150)
    assert bench.sent() == [(1150, b"d" * 50)]
    bench.venue(ack=1250)
    assert bench.session.unacknowledged_bytes == 0


def test_session_time_out_follows_the_round_trip():
    bench = Bench()
    for _ in range(50):
        bench.order()
        bench.now += 0.01
        bench.venue()
    bench.order()
    bench.now += 0.05
    bench.session.poll()
    assert len(bench.sent()) == 1


def test_session_numbers_wrap():
    bench = Bench(next_seq=(1 << 32) - 60, ack_out=(1 << 32) - 2)
    bench.order()
    bench.order()
    bench.venue(ack=40)
    assert bench.session.unacknowledged_bytes == 0 and bench.engine.peer["ack_in"] == 40
    bench.venue(soup.build(soup.SERVER_HEARTBEAT))
    assert bench.engine.peer["ack_out"] == 1 and bench.session.packets() == [b"\x00\x01H"]
    assert before(0xFFFFFFFF, 5) and not before(5, 0xFFFFFFFF) and not before(5, 5)


def test_session_bytes_of_the_venue_arrive_once_and_in_order():
    bench = Bench(received=b"\x00")
    stream = soup.build(soup.SEQUENCED_DATA, payload=b"accepted")
    bench.venue(stream[9:], sequence=5008)
    assert bench.session.statistics.out_of_order == 1 and bench.engine.peer["ack_out"] == 5000
    bench.venue(stream[1:8], sequence=5000)
    bench.venue(stream[1:8], sequence=5000)
    assert bench.session.statistics.duplicates == 1 and bench.session.packets() == []
    bench.venue(stream[5:], sequence=5004)  # some of it is known
    assert bench.session.packets() == [stream] and bench.engine.peer["ack_out"] == 5010
    acks = [parse(frame)[0]["acknowledgment"] for frame in bench.wire]
    assert acks == [5000, 5007, 5007, 5010] and bench.session.statistics.acks == 4


@pytest.mark.parametrize(
    ("frame", "why"),
    (
        ({"flags": net.TCP_RST | net.TCP_ACK}, "the venue reset the connection"),
        ({"flags": net.TCP_FIN | net.TCP_ACK}, "the venue closed the connection"),
        ({"flags": net.TCP_FIN | net.TCP_ACK, "payload": b"\x00\x01Z"}, "the venue closed the connection"),
    ),
)
def test_session_that_the_venue_ends_closes_in_the_device(frame, why):
    bench = Bench()
    bench.order()
    bench.venue(**frame)
    assert bench.session.closed == why and bench.engine.session["open"] == 0
    assert bench.engine.session["next_seq"] == 1050
    bench.venue(b"more")
    bench.session.poll()
    assert bench.engine.session["open"] == 0


def test_session_reset_of_another_number_is_left_alone():
    bench = Bench()
    bench.venue(flags=net.TCP_RST, sequence=4999)
    bench.venue(flags=net.TCP_FIN | net.TCP_ACK, sequence=5001)
    assert not bench.session.closed


def test_session_of_a_silent_venue_closes():
    bench = Bench()
    bench.now += soup.TIMEOUT_S
    bench.venue()
    bench.now += soup.TIMEOUT_S
    bench.session.poll()
    assert not bench.session.closed
    bench.now += 0.1
    bench.session.poll()
    assert bench.session.closed == "nothing came from the venue for 15 s" and bench.engine.session["open"] == 0
    bench.session.close("again")
    assert bench.session.closed.startswith("nothing")


def test_session_sends_a_heartbeat_when_nothing_else_was_sent():
    bench = Bench()
    injected = []
    bench.session._inject = injected.append
    for seconds in (0.5, 0.4, 0.2, 0.5):
        bench.now += seconds
        bench.session.poll()
    assert injected == [b"\x00\x01R"]
    bench.order()
    bench.now += 0.9
    bench.session.poll()
    assert len(injected) == 1


def test_session_stream_goes_on_where_the_login_ended():
    bench = Bench()
    bench.session = OrderSession(NUMBERS, bench.engine, bench.wire.append, begun=b"\x00\x01H\x00")
    assert bench.session.packets() == [b"\x00\x01H"]
    bench.venue(b"\x01H")
    assert bench.session.packets() == [b"\x00\x01H"]


def test_session_frames_of_others_are_counted_and_left_alone():
    bench = Bench()
    bench.venue(b"x", source_port=9)
    bench.venue(b"x", destination_ip=1)
    bench.session.received(b"\xff" * 60)
    assert bench.session.statistics.foreign == 3
    whole = net.tcp_frame(
        b"abcd", destination_mac=1, source_mac=2, source_ip=VENUE, destination_ip=HOST, source_port=8001,
        destination_port=40000, sequence=5000, acknowledgment=0, window=0,
    )  # fmt: skip
    for wrong in (
        whole[:-1] + b"!", whole[:20] + b"!" + whole[21:], whole[:-2], whole[:46] + b"\xf0" + whole[47:],
    ):  # fmt: skip
        bench.session.received(wrong)
    assert bench.session.statistics.malformed == 4 and bench.engine.peer["ack_out"] == 5000


def test_session_answers_who_asks_for_its_address():
    bench = Bench()
    request = (
        bytes.fromhex("ffffffffffff 020000000020 0806 0001 0800 06 04 0001 020000000020")
        + VENUE.to_bytes(4, "big") + bytes(6) + HOST.to_bytes(4, "big") + bytes(18)
    )  # fmt: skip
    bench.session.received(request)
    (reply,) = bench.wire
    assert reply[:42] == (
        bytes.fromhex("020000000020 020000000010 0806 0001 0800 06 04 0002 020000000010")
        + HOST.to_bytes(4, "big") + bytes.fromhex("020000000020") + VENUE.to_bytes(4, "big")
    )  # fmt: skip
    bench.wire.clear()
    bench.session.received(request[:38] + bytes(4) + request[42:])
    assert bench.wire == [] and bench.session.statistics.foreign == 0


def test_session_copy_that_is_not_the_next_segment_is_refused():
    bench = Bench()
    bench.next += 1
    with pytest.raises(ValueError, match="the copy begins at 1001, due is 1000"):
        bench.order()
    with pytest.raises(ValueError, match="the copy is no TCP segment"):
        bench.session.sent(b"\xff" * 60)
