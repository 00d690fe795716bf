"""The control protocol's reference: sessions, repeats, refusals, and what is counted."""

import pytest

from tickgate.sw.model.control import Control
from tickgate.sw.spec import control
from tickgate.sw.spec.control import Operation, Status

OTHER_MAC = 0x020000000099


def device():
    written = []
    return Control(lambda address: address * 16 + 1, lambda address, value: written.append((address, value))), written


def opened(nonce=7, sequence=100):
    served, written = device()
    served.frame(control.encode(Operation.HELLO, nonce, sequence))
    return served, written


def request(sequence, entries=(), operation=Operation.READ, nonce=7, **rest):
    return control.encode(operation, nonce, sequence, entries, **rest)


def test_control_hello_answers_with_the_identity():
    served, _ = device()
    result = served.frame(control.encode(Operation.HELLO, 7, 100, source_mac=OTHER_MAC))
    answer = control.decode(result.frame)
    assert answer.is_answer and answer.operation == Operation.HELLO and answer.destination_mac == OTHER_MAC
    assert answer.entries == tuple((address, address * 16 + 1) for address in control.IDENTITY_ADDRESSES)
    assert result.reads == control.IDENTITY_ADDRESSES and served.owner == (OTHER_MAC, 7) and served.sequence == 100


def test_control_reads_and_writes_in_order():
    served, written = opened()
    answer = control.decode(served.frame(request(101, ((8, 0), (4, 99)))).frame)
    assert answer.entries == ((8, 129), (4, 65)) and answer.status == Status.OK
    result = served.frame(request(102, ((4, 1), (0, 2)), Operation.WRITE))
    assert written == [(4, 1), (0, 2)] == list(result.writes)
    assert control.decode(result.frame).entries == ()
    silent = Control(lambda address: 0)
    silent.frame(control.encode(Operation.HELLO, 7, 100))
    assert silent.frame(request(101, ((4, 1),), Operation.WRITE)).writes == ((4, 1),)


def test_control_repeat_gets_the_same_answer_and_does_nothing():
    served, written = opened()
    first = served.frame(request(101, ((4, 1),), Operation.WRITE))
    again = served.frame(request(101, ((8, 5),), Operation.READ))
    assert again == ((), (), first.frame, b"") and written == [(4, 1)]
    assert served.counters["control_repeats"] == 1 and served.counters["control_requests"] == 2


@pytest.mark.parametrize("sequence", (99, 102, 0))
def test_control_request_out_of_sequence_is_dropped(sequence):
    served, _ = opened()
    assert served.frame(request(sequence, ((4, 1),))) == ((), (), b"", b"")
    assert served.counters["control_stale"] == 1


def test_control_sequence_wraps():
    served, _ = opened(sequence=0xFFFFFFFF)
    assert control.decode(served.frame(request(0)).frame).sequence == 0


@pytest.mark.parametrize(
    ("entries", "change", "status", "detail"),
    (
        (((0, 0), (4, 0), (2, 0), (1, 0)), {}, Status.ADDRESS, 2),
        (((0x1000, 0),), {}, Status.ADDRESS, 0),
        (((4, 0),), {28: 2}, Status.COUNT, 0),
        (((4, 0),) * 12, {28: 13}, Status.COUNT, 0),
        (((4, 0),), {15: 9}, Status.OPERATION, 0),
        (((4, 0),), {15: 0x83}, Status.OPERATION, 0),
        (((4, 0),), {15: Operation.HELLO}, Status.COUNT, 0),
    ),
)
def test_control_request_that_is_refused_did_nothing(entries, change, status, detail):
    served, written = opened()
    frame = bytearray(request(101, entries, Operation.WRITE))
    for at, value in change.items():
        frame[at] = value
    result = served.frame(bytes(frame))
    answer = control.decode(result.frame)
    assert (answer.status, answer.detail, answer.entries, written) == (status, detail, (), [])
    assert served.frame(bytes(frame)).frame == result.frame


def test_control_foreign_and_malformed_frames_are_counted_and_get_no_answer():
    served, written = opened()
    good = request(101, ((4, 1),), Operation.WRITE)
    for frame in (
        b"", good[:14], good[:12] + b"\x08\x00" + good[14:],  # another protocol
        request(101, nonce=8), request(101, source_mac=OTHER_MAC),  # another session
    ):  # fmt: skip
        assert served.frame(frame) == ((), (), b"", b"")
    assert served.counters["control_foreign"] == 5
    assert served.frame(good, error=True) == ((), (), b"", b"")
    assert served.frame(good[:31]).frame == b"" == served.frame(good + bytes(100)).frame
    assert served.frame(request(5, ((4, 0),), Operation.HELLO, nonce=9)).frame == b""
    assert served.counters["control_malformed"] == 4 and not written
    served.busy()
    assert served.counters["control_busy"] == 1


def test_control_session_of_an_armed_device_is_not_taken_over_by_another_address():
    served, _ = opened()
    hello = control.encode(Operation.HELLO, 9, 5, source_mac=OTHER_MAC)
    assert served.frame(hello, armed=True).frame == b"" and served.counters["control_foreign"] == 1
    assert served.frame(control.encode(Operation.HELLO, 8, 5), armed=True).frame
    assert served.owner == (control.HOST_MAC, 8)
    assert served.frame(hello, armed=False).frame and served.owner == (OTHER_MAC, 9)


def test_control_first_session_may_be_opened_on_an_armed_device():
    served, _ = device()
    assert served.frame(control.encode(Operation.HELLO, 9, 5), armed=True).frame


def test_control_message_is_handed_over_once_or_refused_while_the_one_before_waits():
    taken, room = [], True

    def inject(message):
        if room:
            taken.append(message)
        return room

    served = Control(lambda address: 0, inject=inject)
    served.frame(control.encode(Operation.HELLO, 7, 100))
    first = served.frame(request(101, operation=Operation.INJECT, message=b"one") + bytes(20))
    assert first.message == b"one" and control.decode(first.frame).status == Status.OK
    assert served.frame(request(101, operation=Operation.INJECT, message=b"one")) == ((), (), first.frame, b"")
    room = False
    refused = served.frame(request(102, operation=Operation.INJECT, message=b"two"))
    assert refused.message == b"" and control.decode(refused.frame).status == Status.BUSY
    room = True
    assert served.frame(request(102, operation=Operation.INJECT, message=b"two")).frame == refused.frame
    assert served.frame(request(103, operation=Operation.INJECT, message=b"two")).message == b"two"
    assert taken == [b"one", b"two"]
    # Nothing to hand over is nothing to refuse; without an order session messages go nowhere.
    assert control.decode(served.frame(request(104, operation=Operation.INJECT)).frame).status == Status.OK
    silent = Control(lambda address: 0)
    silent.frame(control.encode(Operation.HELLO, 7, 100))
    assert silent.frame(request(101, operation=Operation.INJECT, message=bytes(74))).message == bytes(74)


@pytest.mark.parametrize(("count", "size"), ((75, 96), (255, 96), (3, 2), (74, 73), (1, 0)))
def test_control_message_that_is_too_long_or_cut_is_refused(count, size):
    taken = []
    served = Control(lambda address: 0, inject=lambda message: taken.append(message) or True)
    served.frame(control.encode(Operation.HELLO, 7, 100))
    frame = bytearray(request(101, operation=Operation.INJECT)) + bytes(size)
    frame[28] = count
    assert control.decode(served.frame(bytes(frame)).frame).status == Status.COUNT and not taken
