"""SoupBinTCP: bytes typed by hand, the independent decoder."""

import oracle_soup
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec import soup
from tickgate.sw.spec.fields import Message, text

TWENTY_135 = b"                 135"

# packet, values, bytes typed by hand, from the server
GOLDEN = [
    (soup.DEBUG, {"text": b"hi"}, b"\x00\x03+hi", True),
    (soup.LOGIN_ACCEPTED, {"session": "1689192121", "sequence": 135}, b"\x00\x1fA1689192121" + TWENTY_135, True),
    (soup.LOGIN_REJECTED, {"reason": "S"}, b"\x00\x02JS", True),
    (soup.SEQUENCED_DATA, {"payload": b"abc"}, b"\x00\x04Sabc", True),
    (soup.SERVER_HEARTBEAT, {}, b"\x00\x01H", True),
    (soup.END_OF_SESSION, {}, b"\x00\x01Z", True),
    (soup.SERVER_UNSEQUENCED_DATA, {"payload": b"abc"}, b"\x00\x04Uabc", True),
    (
        soup.LOGIN_REQUEST,
        {"user": "user", "password": "password", "session": "", "sequence": 135},
        b"\x00\x2fLuser  password            " + TWENTY_135,
        False,
    ),
    (soup.UNSEQUENCED_DATA, {"payload": b"abc"}, b"\x00\x04Uabc", False),
    (soup.CLIENT_HEARTBEAT, {}, b"\x00\x01R", False),
    (soup.LOGOUT_REQUEST, {}, b"\x00\x01O", False),
]


@pytest.mark.parametrize(("packet", "values", "data", "from_server"), GOLDEN, ids=lambda x: getattr(x, "name", ""))
def test_golden_bytes_encode_and_decode(packet: Message, values: dict, data: bytes, from_server: bool) -> None:
    assert soup.build(packet, **values) == data
    assert (soup.SERVER if from_server else soup.CLIENT)[data[2]] is packet
    decoded = packet.unpack(data)
    assert decoded.pop("length") == len(data) - 2
    theirs = oracle_soup.decode(data, from_server)
    assert theirs.pop("name") == packet.name
    for name, value in theirs.items():
        ours = decoded[packet.tail] if name == "payload" and packet.tail else decoded.get(name, b"")
        assert (int(text(ours)) if isinstance(value, int) else text(ours)) == (
            value.decode() if isinstance(value, bytes) else value
        )


def test_both_directions_are_complete() -> None:
    assert bytes(sorted(soup.SERVER)) == b"+AHJSUZ"
    assert bytes(sorted(soup.CLIENT)) == b"+LORU"


def test_build_refuses_a_payload_that_is_no_bytes() -> None:
    with pytest.raises(TypeError, match="payload takes bytes"):
        soup.build(soup.SEQUENCED_DATA, payload="text")


def test_build_refuses_more_than_the_length_field_tells() -> None:
    with pytest.raises(ValueError, match="length: 65536 does not fit"):
        soup.build(soup.SEQUENCED_DATA, payload=bytes(65535))


def test_split_leaves_a_cut_packet_waiting() -> None:
    stream = b"\x00\x01H\x00\x04Sabc\x00\x04Sab"
    assert soup.split(stream) == ([b"\x00\x01H", b"\x00\x04Sabc"], b"\x00\x04Sab")
    assert soup.split(b"\x00") == ([], b"\x00")


@given(st.lists(st.binary(max_size=40)))
def test_split_agrees_with_the_independent_decoder(payloads: list[bytes]) -> None:
    stream = b"".join(soup.build(soup.SEQUENCED_DATA, payload=payload) for payload in payloads)
    assert soup.split(stream) == (oracle_soup.split(stream), b"")
