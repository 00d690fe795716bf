"""MoldUDP64: bytes typed by hand, the independent decoder, and real captures."""

import oracle_mold
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import mold

# Session TICKGATE01, sequence 258, two messages: "AB" and "XYZ".
GOLDEN = bytes.fromhex("5449434b474154453031 0000000000000102 0002 0002 4142 0003 58595a")


def test_packet_gives_the_bytes_typed_by_hand() -> None:
    assert mold.packet("TICKGATE01", 258, [b"AB", b"XYZ"]) == GOLDEN
    assert oracle_mold.decode(GOLDEN) == ("TICKGATE01", 258, 2, [b"AB", b"XYZ"])
    values = mold.HEADER.unpack(GOLDEN)
    assert values == {"session": b"TICKGATE01", "sequence": 258, "count": 2, "blocks": GOLDEN[20:]}


def test_heartbeat_and_end_of_session_hold_no_blocks() -> None:
    assert mold.packet("S", 7, []) == b"S         " + bytes.fromhex("0000000000000007 0000")
    assert mold.end_of_session("S", 7) == b"S         " + bytes.fromhex("0000000000000007 ffff")


def test_request_is_twenty_bytes() -> None:
    data = mold.REQUEST.pack(session="S", sequence=7, count=3)
    assert data == b"S         " + bytes.fromhex("0000000000000007 0003")


def test_packet_with_too_many_messages_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 65534 messages, not 65535"):
        mold.packet("S", 1, [b""] * 65535)


@given(st.integers(0, 2**64 - 1), st.lists(st.binary(max_size=60), max_size=20))
def test_independent_decoder_reads_every_packet(sequence: int, messages: list[bytes]) -> None:
    packet = mold.packet("ANY", sequence, messages)
    assert oracle_mold.decode(packet) == ("ANY", sequence, len(messages), messages)
