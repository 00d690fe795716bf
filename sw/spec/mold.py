"""MoldUDP64 (Nasdaq specification version 1.00): header of a downstream packet, and the re-request.

A packet is the 20-byte header and `count` blocks, each a 2-byte length and that many bytes.
"""

from collections.abc import Iterable
from typing import Final

from tickgate.sw.spec.fields import Field, Kind, Message

HEADER: Final = Message(
    "mold_header", None, 20,
    (
        Field("session", 0, 10, Kind.ALPHA, "Session, padded on the right with spaces"),
        Field("sequence", 10, 8, Kind.UINT, "Sequence number of the first message (in a heartbeat: the next one)"),
        Field("count", 18, 2, Kind.UINT, "Messages that follow; 0 is a heartbeat, 0xFFFF the end of the session"),
    ),
    "Downstream packet header",
    tail="blocks",
)  # fmt: skip

REQUEST: Final = Message(
    "mold_request", None, 20,
    (
        Field("session", 0, 10, Kind.ALPHA, "Session that the messages belong to"),
        Field("sequence", 10, 8, Kind.UINT, "First message wanted"),
        Field("count", 18, 2, Kind.UINT, "Messages wanted"),
    ),
    "Request packet, towards the re-request server",
)  # fmt: skip

BLOCK: Final = Message(
    "mold_block", None, 2,
    (Field("length", 0, 2, Kind.UINT, "Bytes of the message; does not count itself"),),
    "Message block",
    tail="data",
)  # fmt: skip

HEADER_SIZE: Final = HEADER.size
BLOCK_LENGTH_SIZE: Final = BLOCK.size
HEARTBEAT: Final = 0
END_OF_SESSION: Final = 0xFFFF
COUNT_MAX: Final = 0xFFFE
SESSION_SIZE: Final = HEADER.field("session").size


def packet(session: bytes | str, sequence: int, messages: Iterable[bytes]) -> bytes:
    """One downstream packet of these messages (none: a heartbeat).

    Raises
    ------
    ValueError
        More than 65,534 messages, or a value that does not fit.
    """
    blocks = list(messages)
    if len(blocks) > COUNT_MAX:
        raise ValueError(f"a packet holds at most {COUNT_MAX} messages, not {len(blocks)}")
    body = b"".join(BLOCK.pack(length=len(block), data=block) for block in blocks)
    return HEADER.pack(session=session, sequence=sequence, count=len(blocks), blocks=body)


def end_of_session(session: bytes | str, sequence: int) -> bytes:
    """The packet that ends a session; `sequence` is the next number that would have been used."""
    return HEADER.pack(session=session, sequence=sequence, count=END_OF_SESSION)
