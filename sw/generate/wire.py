"""Packing ITCH messages fast: each packer is one `struct.Struct` made from the table of `sw.spec.itch`.

A packed record is the message behind its 2-byte length, as in a BinaryFILE. The tracking number (always 0) and the
6-byte timestamp behind it are packed as one 8-byte integer, because `struct` has none of 6 bytes.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from tickgate.sw.spec import itch
from tickgate.sw.spec.fields import Message

PackRecord = Callable[..., bytes]


def record_struct(message: Message) -> struct.Struct:
    """The layout of a record: length, type byte, locate, timestamp, then the fields of the body.

    Raises
    ------
    ValueError
        The header is not type, locate, tracking number and timestamp of 1, 2, 2 and 6 bytes.
    """
    header = [(row.name, row.size) for row in message.fields[:4]]
    if header != [("type", 1), ("stock_locate", 2), ("tracking_number", 2), ("timestamp_ns", 6)]:
        raise ValueError(f"{message.name} has no ITCH header: {header}")
    return struct.Struct(">HBHQ" + "".join(row.struct_code for row in message.fields[4:]))


def packer(message: Message) -> tuple[PackRecord, int, int]:
    """`pack` of the record's layout, and its first two arguments: the length and the type byte."""
    return record_struct(message).pack, message.size, message.type_byte


def administrative(message: Message, locate: int, timestamp_ns: int, **values: Any) -> bytes:
    """A record packed from the table field by field, for the messages that are rare.

    Raises
    ------
    ValueError
        As `Message.pack`.
    """
    body = message.pack(stock_locate=locate, tracking_number=0, timestamp_ns=timestamp_ns, **values)
    return len(body).to_bytes(2, "big") + body


ADD, ADD_SIZE, ADD_TYPE = packer(itch.ADD_ORDER)
ADD_MPID, ADD_MPID_SIZE, ADD_MPID_TYPE = packer(itch.ADD_ORDER_MPID)
EXECUTE, EXECUTE_SIZE, EXECUTE_TYPE = packer(itch.ORDER_EXECUTED)
EXECUTE_PRICE, EXECUTE_PRICE_SIZE, EXECUTE_PRICE_TYPE = packer(itch.ORDER_EXECUTED_WITH_PRICE)
CANCEL, CANCEL_SIZE, CANCEL_TYPE = packer(itch.ORDER_CANCEL)
DELETE, DELETE_SIZE, DELETE_TYPE = packer(itch.ORDER_DELETE)
REPLACE, REPLACE_SIZE, REPLACE_TYPE = packer(itch.ORDER_REPLACE)
NOII, NOII_SIZE, NOII_TYPE = packer(itch.NOII)
TRADE, TRADE_SIZE, TRADE_TYPE = packer(itch.TRADE)

RECORD_SIZE_MAX: Final = 2 + itch.MESSAGE_SIZE_MAX
