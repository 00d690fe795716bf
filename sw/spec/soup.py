"""SoupBinTCP (Nasdaq specification version 3.00, section 2): logical packets of a session.

A packet is a 2-byte length (which does not count itself), a type byte and a payload. The same letter means another
packet in each direction, hence the two dictionaries `SERVER` and `CLIENT`.
"""

from typing import Final

from tickgate.sw.spec.fields import Field, Kind, Message, Row, at

HEADER_SIZE: Final = 3
HEARTBEAT_INTERVAL_S: Final = 1
"""Each side sends a heartbeat when it has sent nothing else for this long."""
TIMEOUT_S: Final = 15
"""A side that has received nothing for this long may drop the connection."""


def _packet(name: str, code: bytes, size: int, doc: str, *rows: Row, tail: str = "") -> Message:
    head = (
        Field("length", 0, 2, Kind.UINT, "Bytes behind this field"),
        Field("type", 2, 1, Kind.ALPHA, "Packet type"),
    )
    return Message(name, code, size, head + at(3, *rows), doc, tail)


DEBUG: Final = _packet("debug", b"+", 3, "Debug text, either direction", tail="text")

LOGIN_ACCEPTED: Final = _packet(
    "login_accepted", b"A", 33, "Server: login accepted",
    ("session", 10, Kind.ALPHA, "Session, padded on the right with spaces"),
    ("sequence", 20, Kind.NUMERIC, "Next sequence number, ASCII, padded on the left"),
)  # fmt: skip
LOGIN_REJECTED: Final = _packet(
    "login_rejected", b"J", 4, "Server: login rejected",
    ("reason", 1, Kind.ALPHA, "Reason", (("A", "not authorized"), ("S", "session not available"))),
)  # fmt: skip
SEQUENCED_DATA: Final = _packet("sequenced_data", b"S", 3, "Server: sequenced data", tail="payload")
SERVER_HEARTBEAT: Final = _packet("server_heartbeat", b"H", 3, "Server: heartbeat")
END_OF_SESSION: Final = _packet("end_of_session", b"Z", 3, "Server: end of session")

LOGIN_REQUEST: Final = _packet(
    "login_request", b"L", 49, "Client: login request",
    ("user", 6, Kind.ALPHA, "User name"),
    ("password", 10, Kind.ALPHA, "Password"),
    ("session", 10, Kind.ALPHA, "Requested session; blank: the current one"),
    ("sequence", 20, Kind.NUMERIC, "Next sequence number wanted; 0: only new messages"),
)  # fmt: skip
UNSEQUENCED_DATA: Final = _packet("unsequenced_data", b"U", 3, "Client: unsequenced data", tail="payload")
SERVER_UNSEQUENCED_DATA: Final = _packet("server_unsequenced_data", b"U", 3, "Server: unsequenced data", tail="payload")
CLIENT_HEARTBEAT: Final = _packet("client_heartbeat", b"R", 3, "Client: heartbeat")
LOGOUT_REQUEST: Final = _packet("logout_request", b"O", 3, "Client: logout request")

SERVER: Final[dict[int, Message]] = {
    packet.type_byte: packet
    for packet in (
        DEBUG, LOGIN_ACCEPTED, LOGIN_REJECTED, SEQUENCED_DATA, SERVER_HEARTBEAT, END_OF_SESSION,
        SERVER_UNSEQUENCED_DATA,
    )
}  # fmt: skip
"""Packets that a server sends, by type byte."""

CLIENT: Final[dict[int, Message]] = {
    packet.type_byte: packet
    for packet in (DEBUG, LOGIN_REQUEST, UNSEQUENCED_DATA, CLIENT_HEARTBEAT, LOGOUT_REQUEST)
}  # fmt: skip
"""Packets that a client sends, by type byte."""


def build(packet: Message, **values: object) -> bytes:
    """Encode a packet with its length filled in.

    Raises
    ------
    ValueError
        A field is missing, unknown, or does not fit; more than 65,535 bytes.
    TypeError
        A value has the wrong type.
    """
    tail = values.get(packet.tail, b"") if packet.tail else b""
    if not isinstance(tail, (bytes, bytearray, memoryview)):
        raise TypeError(f"{packet.name}: {packet.tail} takes bytes, not {tail!r}")
    return packet.pack(length=packet.size - 2 + len(tail), **values)


def split(stream: bytes) -> tuple[list[bytes], bytes]:
    """Whole packets (length field included) at the start of a byte stream, and the rest that waits for more."""
    packets: list[bytes] = []
    position = 0
    while position + 2 <= len(stream):
        end = position + 2 + int.from_bytes(stream[position : position + 2], "big")
        if end > len(stream):
            break
        packets.append(bytes(stream[position:end]))
        position = end
    return packets, bytes(stream[position:])
