"""Control frames as declared; bytes typed by hand, and the oracle's decoder."""

import importlib

import oracle_control
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import control, net, registers, soup, telemetry
from tickgate.sw.spec.control import ENTRIES_MAX, Operation, Status

WRITE = bytes.fromhex(
    "02 00 00 00 00 11  02 00 00 00 00 12  88 b5"  # to the device, from the host, local experimental
    "c1 03"  # control version 1, write
    "01 23 45 67 89 ab cd ef"  # nonce
    "00 00 00 2a"  # sequence
    "02 00 00 00"  # two entries, status 0, detail 0
    "00 00 00 34  41 52 4d 21"  # arm
    "00 00 00 4c  00 00 00 01"  # heartbeat
)
ANSWER = bytes.fromhex(
    "02 00 00 00 00 12  02 00 00 00 00 11  88 b5"
    "c1 82"  # answer to a read
    "01 23 45 67 89 ab cd ef"
    "ff ff ff ff"
    "00 03 00 07"  # refused: the eighth entry's address
)
INJECT = bytes.fromhex(
    "02 00 00 00 00 11  02 00 00 00 00 12  88 b5"
    "c1 04"  # inject
    "00 00 00 00 00 00 00 07  00 00 00 01"
    "03 00 00 00"  # three bytes
    "00 01 52"  # SoupBinTCP: client heartbeat
)


def test_control_inject_typed_by_hand_is_what_is_encoded():
    message = soup.build(soup.CLIENT_HEARTBEAT)
    assert control.encode(Operation.INJECT, 7, 1, message=message) == INJECT
    assert control.decode(INJECT + bytes(25)).message == message


def test_control_request_typed_by_hand_is_what_is_encoded():
    names = ("arm", "heartbeat")
    entries = tuple(zip((registers.BY_NAME[n].offset for n in names), (registers.ARM_KEY, 1), strict=True))
    assert control.encode(Operation.WRITE, 0x0123456789ABCDEF, 42, entries) == WRITE
    found = control.decode(WRITE)
    assert found.entries == entries and found.operation == Operation.WRITE and not found.is_answer
    assert (found.nonce, found.sequence, found.status) == (0x0123456789ABCDEF, 42, Status.OK)


def test_control_answer_typed_by_hand_decodes():
    found = control.decode(ANSWER + bytes(28))  # padded to 60 bytes
    head = (control.HOST_MAC, control.DEVICE_MAC, Operation.READ, True)
    assert found == control.ControlFrame(*head, 0x0123456789ABCDEF, 0xFFFFFFFF, Status.ADDRESS, 7, ())
    made = control.encode(
        Operation.READ, found.nonce, found.sequence, source_mac=control.DEVICE_MAC, destination_mac=control.HOST_MAC,
        is_answer=True, status=Status.ADDRESS, detail=7,
    )  # fmt: skip
    assert made == ANSWER


WORDS = st.integers(0, (1 << 32) - 1)


@given(
    st.sampled_from((Operation.HELLO, Operation.READ, Operation.WRITE)), st.integers(0, (1 << 64) - 1), WORDS,
    st.lists(st.tuples(WORDS, WORDS), max_size=12), st.booleans(), st.sampled_from(Status), st.binary(max_size=8),
)  # fmt: skip
def test_control_frame_reads_the_same_for_the_oracle(operation, nonce, sequence, entries, is_answer, status, padding):
    frame = control.encode(operation, nonce, sequence, tuple(entries), is_answer=is_answer, status=status, detail=3)
    assert len(frame) <= control.FRAME_SIZE_MAX
    found = oracle_control.decode(frame + padding)
    assert found == {
        "to": "02:00:00:00:00:11", "from": "02:00:00:00:00:12", "answer": is_answer,
        "operation": operation.name.lower(), "nonce": nonce, "sequence": sequence, "status": status.name.lower(),
        "detail": 3, "entries": entries, "message": b"",
    }  # fmt: skip
    assert control.decode(frame + padding).entries == tuple(entries)


@given(st.binary(max_size=control.INJECT_SIZE_MAX), st.integers(0, (1 << 64) - 1), WORDS, st.binary(max_size=8))
def test_control_message_reads_the_same_for_the_oracle(message, nonce, sequence, padding):
    frame = control.encode(Operation.INJECT, nonce, sequence, message=message)
    assert len(frame) == 32 + len(message) <= control.FRAME_SIZE_MAX
    found = oracle_control.decode(frame + padding)
    assert (found["operation"], found["answer"], found["entries"], found["message"]) == ("inject", False, [], message)
    decoded = control.decode(frame + padding)
    assert (decoded.operation, decoded.entries, decoded.message) == (Operation.INJECT, (), message)


@pytest.mark.parametrize(
    ("frame", "message"),
    (
        (b"", "not a control frame of this version"),
        (WRITE[:14], "not a control frame of this version"),
        (WRITE[:14] + b"\xc2" + WRITE[15:], "not a control frame of this version"),
        (WRITE[:13] + b"\xb6" + WRITE[14:], "not a control frame of this version"),
        (WRITE[:31], "at least 32 bytes, not 31"),
        (WRITE[:-1], "2 entries take 16 bytes, not 15"),
        (INJECT[:-1], "a message of 3 bytes takes as many, not 2"),
    ),
)
def test_control_frame_that_is_none_is_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        control.decode(frame)
    with pytest.raises(ValueError):
        oracle_control.decode(frame)


def test_control_frame_with_too_many_entries_is_not_encoded():
    with pytest.raises(ValueError, match="up to 12 entries, not 13"):
        control.encode(Operation.READ, 0, 0, ((0, 0),) * 13)


def test_control_message_that_is_too_long_or_beside_entries_is_not_encoded():
    with pytest.raises(ValueError, match="a message has up to 74 bytes, not 75"):
        control.encode(Operation.INJECT, 0, 0, message=bytes(75))
    with pytest.raises(ValueError, match="entries or a message, not both"):
        control.encode(Operation.INJECT, 0, 0, ((0, 0),), message=b"1")


def test_control_holds_the_longest_limits_row_and_the_identity():
    from tickgate.sw.spec.rows import LIMITS_ROW

    assert ENTRIES_MAX == 12 and len(registers.row_writes(LIMITS_ROW, {})) <= ENTRIES_MAX
    assert control.IDENTITY_ADDRESSES == tuple(range(0, 40, 4))


def test_control_frames_are_no_telemetry_frames():
    assert control.VERSION != telemetry.VERSION and control.ETHERTYPE == telemetry.ETHERTYPE
    with pytest.raises(ValueError, match="telemetry version 193"):
        telemetry.decode(WRITE)


def test_control_tables_that_do_not_fit_cannot_be_built(monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(registers, "IDENTITY", ("scratch",))
        with pytest.raises(ValueError, match="not at the start of the map"):
            importlib.reload(control)
    with monkeypatch.context() as changed:
        words = registers.Register("map_hash", 0, registers.Access.RO, "", 32 * 13)
        changed.setattr(registers, "IDENTITY", ("map_hash",))
        changed.setitem(registers.BY_NAME, "map_hash", words)
        with pytest.raises(ValueError, match="the identity has 13 words, a frame 12"):
            importlib.reload(control)
    with monkeypatch.context() as changed:
        changed.setattr(net, "TCP_PAYLOAD_OFFSET", 20)
        with pytest.raises(ValueError, match="a message of 108 bytes does not fit a control frame"):
            importlib.reload(control)
    importlib.reload(control)
