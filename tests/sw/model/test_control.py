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
    assert again == ((), (), first.frame) and written == [(4, 1)]
    assert served.counters["control_repeats"] == 1 and served.counters["control_requests"] == 2


@pytest.mark.parametrize("sequence", (99, 102, 0))
def test_control_request_out_of_sequence_is_dropped(sequence):
    served, _ = opened()
    assert served.frame(request(sequence, ((4, 1),))) == ((), (), b"")
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
        assert served.frame(frame) == ((), (), b"")
    assert served.counters["control_foreign"] == 5
    assert served.frame(good, error=True) == ((), (), b"")
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
