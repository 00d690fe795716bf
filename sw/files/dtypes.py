"""numpy record types derived from the message tables, for arrays of many messages of one type."""

import numpy as np
import numpy.typing as npt

from tickgate.sw.files.block import Block
from tickgate.sw.spec.fields import Field, Message
from tickgate.sw.spec.records import Record

_UNSIGNED = {1: "u1", 2: ">u2", 4: ">u4", 8: ">u8"}


def field_format(field: Field) -> str:
    """numpy format of a field; integers of 3, 5, 6 and 7 bytes are bytes (`V`), see `integers`."""
    if field.is_integer:
        code = _UNSIGNED.get(field.size)
        if code is None:
            return f"V{field.size}"
        return code.replace("u", "i") if field.is_signed else code
    return f"S{field.size}"


def message_dtype(message: Message) -> np.dtype[np.void]:
    """The record type of a message: every field at its offset, big-endian, the message's size.

    Text fields lose trailing NUL bytes, as `S` types do; spaces stay.
    """
    return np.dtype(
        {
            "names": list(message.names),
            "formats": [field_format(field) for field in message.fields],
            "offsets": [field.offset for field in message.fields],
            "itemsize": message.size,
        }
    )


def rows(block: Block, message: Message) -> npt.NDArray[np.void]:
    """The block's messages of one type (of the right length) as an array of records, in order."""
    size = message.size
    which = np.flatnonzero((block.types == message.type_byte) & (block.lengths == size))
    if not len(which):
        return np.zeros(0, dtype=message_dtype(message))
    windows = np.lib.stride_tricks.sliding_window_view(block.octets, size)
    return np.ascontiguousarray(windows[block.offsets[which]]).view(message_dtype(message)).reshape(-1)


def integers(records: npt.NDArray[np.void], message: Message, name: str) -> npt.NDArray[np.uint64]:
    """An integer field of every record as uint64, whatever its width (48-bit timestamps too)."""
    field = message.field(name)
    octets = np.ascontiguousarray(records).view(np.uint8).reshape(len(records), message.size)
    value = np.zeros(len(records), dtype=np.uint64)
    for byte in range(field.offset, field.end):
        value = (value << np.uint64(8)) | octets[:, byte].astype(np.uint64)
    return value


def record_dtype(record: Record) -> np.dtype[np.void]:
    """The little-endian dtype of an aligned record (trace records are such).

    Raises
    ------
    ValueError
        The record's fields are not whole bytes.
    """
    if not record.aligned:
        raise ValueError(f"record {record.name!r} is not made of whole bytes")
    return np.dtype([(f.name, f"<u{f.bits // 8}") for f in record.fields])
