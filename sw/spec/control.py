"""The control protocol: Ethernet frames in which one host reads and writes the registers of a device.

A frame is Ethernet II with the local experimental EtherType 0x88B5 (IEEE 802 clause 9.2.4), a header and entries of an
address and a value each; everything is big-endian. The first byte behind the EtherType tells control frames from
telemetry frames. A device serves one session: its host says HELLO with a nonce of its own, and from then on requests
count only from that Ethernet address, with that nonce, in sequence. The answer to a request is a frame of the same
operation with the bit `ANSWER`; one that fails has a status and changed nothing.

A request that comes again, with the sequence number of the last one, gets the same answer once more and is not executed
again. Any other number than the next one is dropped. What follows the entries of a request is ignored (padding).

INJECT hands one message of the host to the order session, whole SoupBinTCP packets of one TCP segment: its bytes stand
where the entries would, and `count` is how many. The store in front of the session holds one message until it has left;
while it does, INJECT is refused with BUSY and has done nothing. What is answered with OK enters the session's stream
once, and what has no answer yet is asked again under the same number.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from tickgate.sw.spec import net
from tickgate.sw.spec.fields import Field, Kind, Message
from tickgate.sw.spec.registers import ADDRESS_BITS, BY_NAME, IDENTITY
from tickgate.sw.spec.telemetry import ETHERTYPE

VERSION: Final = 0xC1
"""First byte of every control frame: control, version 1. Telemetry frames begin with another."""
DEVICE_MAC: Final = net.mac("02:00:00:00:00:11")
"""Source of the answers, and destination of requests; devices take requests to any destination."""
HOST_MAC: Final = net.mac("02:00:00:00:00:12")
"""Source of requests on transports that have no address of their own."""
ANSWER: Final = 0x80
"""Bit of the operation that is set in answers."""
FRAME_SIZE_MAX: Final = 128
"""A frame may hold an order frame up for no longer than this."""


class Operation(IntEnum):
    """What a request asks for."""

    HELLO = 1  # open a session; no entries; answered with the identity registers
    READ = 2  # read the registers of the entries, in order; the values are ignored
    WRITE = 3  # write the entries, in order, in consecutive cycles; answered without entries
    INJECT = 4  # hand the message that stands in place of the entries to the order session; answered without entries


class Status(IntEnum):
    """How a request went. Anything but OK: nothing was read, written or taken."""

    OK = 0
    OPERATION = 1  # unknown operation
    COUNT = 2  # more entries than `ENTRIES_MAX` or bytes than `INJECT_SIZE_MAX`, or more than the frame has
    ADDRESS = 3  # not a multiple of 4 inside the map; `detail` is the first such entry
    BUSY = 4  # the store in front of the order session still holds a message: ask again, under the next number


HEADER: Final = Message(
    "control", None, 18,
    (
        Field("version", 0, 1, Kind.UINT, "0xC1"),
        Field("operation", 1, 1, Kind.UINT, "Operation, with the bit 0x80 in an answer"),
        Field("nonce", 2, 8, Kind.UINT, "Number of the session, chosen by the host"),
        Field("sequence", 10, 4, Kind.UINT, "Number of the request; that of a HELLO is the session's first"),
        Field("count", 14, 1, Kind.UINT, "Entries; of an INJECT the bytes of its message"),
        Field("status", 15, 1, Kind.UINT, "Status of an answer, 0 in a request"),
        Field("detail", 16, 2, Kind.UINT, "Entry that the status is about, else 0"),
    ),
    "What stands in front of the entries",
    tail="entries",
)  # fmt: skip
ENTRY: Final = Message(
    "entry", None, 8,
    (
        Field("address", 0, 4, Kind.UINT, "Byte offset of a register word, a multiple of 4"),
        Field("value", 4, 4, Kind.UINT, "Its value"),
    ),
    "One register word",
)  # fmt: skip
ENTRIES_OFFSET: Final = net.ETHERNET_SIZE + HEADER.size
"""Where the first entry starts: a multiple of 8."""
ENTRIES_MAX: Final = (FRAME_SIZE_MAX - ENTRIES_OFFSET) // ENTRY.size
"""Entries of a frame."""
INJECT_SIZE_MAX: Final = FRAME_SIZE_MAX - net.TCP_PAYLOAD_OFFSET
"""Bytes of an injected message: behind the headers of its TCP segment it fills a frame of `FRAME_SIZE_MAX`."""
IDENTITY_ADDRESSES: Final = tuple(
    BY_NAME[name].offset + 4 * word for name in IDENTITY for word in range(BY_NAME[name].words)
)
"""What the answer to a HELLO holds, in this order."""

if ENTRIES_OFFSET % ENTRY.size or IDENTITY_ADDRESSES != tuple(range(0, 4 * len(IDENTITY_ADDRESSES), 4)):
    raise ValueError("entries are not whole words of the stream, or the identity is not at the start of the map")
if len(IDENTITY_ADDRESSES) > ENTRIES_MAX:
    raise ValueError(f"the identity has {len(IDENTITY_ADDRESSES)} words, a frame {ENTRIES_MAX}")
if INJECT_SIZE_MAX > ENTRIES_MAX * ENTRY.size:
    raise ValueError(f"a message of {INJECT_SIZE_MAX} bytes does not fit a control frame")

Entries = tuple[tuple[int, int], ...]


class ControlFrame(NamedTuple):
    """One control frame, decoded.

    Members
    -------
    destination_mac, source_mac: Ethernet addresses.
    operation: `Operation`, without the bit `ANSWER`; other numbers are legal on the wire.
    is_answer: whether that bit is set.
    nonce, sequence, status, detail: fields of the header.
    entries: (address, value) each.
    message: of an INJECT.
    """

    destination_mac: int
    source_mac: int
    operation: int
    is_answer: bool
    nonce: int
    sequence: int
    status: int
    detail: int
    entries: Entries
    message: bytes = b""


def is_address(address: int) -> bool:
    """Whether an entry may have this address."""
    return address % 4 == 0 and address < 1 << ADDRESS_BITS


def is_control(frame: bytes) -> bool:
    """Whether a frame is one of this protocol and version, whatever its length."""
    head = net.ETHERNET_SIZE
    return len(frame) > head and int.from_bytes(frame[head - 2 : head], "big") == ETHERTYPE and frame[head] == VERSION


def encode(
    operation: int,
    nonce: int,
    sequence: int,
    entries: Entries = (),
    *,
    source_mac: int = HOST_MAC,
    destination_mac: int = DEVICE_MAC,
    is_answer: bool = False,
    status: int = 0,
    detail: int = 0,
    message: bytes = b"",
) -> bytes:
    """The frame of a request or an answer, not padded.

    Parameters
    ----------
    message: of an INJECT, in place of entries.

    Raises
    ------
    ValueError
        More than `ENTRIES_MAX` entries, a message of more than `INJECT_SIZE_MAX` bytes or beside entries, or a value
        that does not fit its field.
    """
    if len(entries) > ENTRIES_MAX:
        raise ValueError(f"a control frame has up to {ENTRIES_MAX} entries, not {len(entries)}")
    if len(message) > INJECT_SIZE_MAX:
        raise ValueError(f"a message has up to {INJECT_SIZE_MAX} bytes, not {len(message)}")
    if entries and message:
        raise ValueError("a control frame has entries or a message, not both")
    header = HEADER.pack(
        version=VERSION,
        operation=operation | (ANSWER if is_answer else 0),
        nonce=nonce,
        sequence=sequence,
        count=len(entries) or len(message),
        status=status,
        detail=detail,
        entries=b"".join(ENTRY.pack(address=address, value=value) for address, value in entries) + message,
    )
    return net.ETHERNET.pack(
        destination_mac=destination_mac, source_mac=source_mac, ethertype=ETHERTYPE, payload=header
    )


def decode(frame: bytes) -> ControlFrame:
    """A control frame; what follows its entries or its message is ignored.

    Raises
    ------
    ValueError
        Not a control frame of this version, or shorter than its header and entries or message.
    """
    if not is_control(frame):
        raise ValueError("not a control frame of this version")
    if len(frame) < ENTRIES_OFFSET:
        raise ValueError(f"a control frame has at least {ENTRIES_OFFSET} bytes, not {len(frame)}")
    ethernet = net.ETHERNET.unpack(frame)
    header = HEADER.unpack(ethernet["payload"])
    has_message = header["operation"] == Operation.INJECT  # its answer has not
    size = header["count"] if has_message else 0
    need = 0 if has_message else header["count"] * ENTRY.size
    if len(header["entries"]) < size:
        raise ValueError(f"a message of {size} bytes takes as many, not {len(header['entries'])}")
    if len(header["entries"]) < need:
        raise ValueError(f"{header['count']} entries take {need} bytes, not {len(header['entries'])}")
    return ControlFrame(
        ethernet["destination_mac"],
        ethernet["source_mac"],
        header["operation"] & ~ANSWER,
        bool(header["operation"] & ANSWER),
        header["nonce"],
        header["sequence"],
        header["status"],
        header["detail"],
        tuple(tuple(ENTRY.unpack_tuple(header["entries"], at)) for at in range(0, need, ENTRY.size)),  # type: ignore
        header["entries"][:size],
    )
