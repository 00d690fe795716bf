"""Record types hold the same values as the independent decoder reads."""

import numpy as np
import oracle_itch
import pytest
import sample_feed

from tickgate.sw.files import dtypes
from tickgate.sw.files.block import block_of
from tickgate.sw.spec import itch, ouch
from tickgate.sw.spec.fields import Field, Kind, Message

FEED = sample_feed.every_type(3)


@pytest.mark.parametrize("message", itch.ALL, ids=lambda message: message.name)
def test_every_type_is_read_as_records(message: Message) -> None:
    block = block_of(FEED)
    records = dtypes.rows(block, message)
    expected = [oracle_itch.decode(raw) for raw in FEED if raw[0] == message.type_byte]
    assert records.dtype.itemsize == message.size
    assert len(records) == len(expected) == 3
    for field in message.fields:
        if field.is_integer:
            values = dtypes.integers(records, message, field.name).tolist()
        else:
            values = [value.decode().strip() for value in records[field.name].tolist()]
        assert values == [row[field.name] for row in expected]
    if records.dtype["stock_locate"].kind == "u":
        assert records["stock_locate"].tolist() == [row["stock_locate"] for row in expected]


def test_type_that_does_not_occur_has_no_records() -> None:
    records = dtypes.rows(block_of([sample_feed.delete(1)]), itch.ADD_ORDER)
    assert len(records) == 0
    assert records.dtype == dtypes.message_dtype(itch.ADD_ORDER)


def test_formats_follow_kind_and_size() -> None:
    assert dtypes.field_format(Field("x", 0, 6, Kind.TIMESTAMP)) == "V6"
    assert dtypes.field_format(Field("x", 0, 4, Kind.SIGNED_PRICE)) == ">i4"
    assert dtypes.field_format(Field("x", 0, 8, Kind.PRICE)) == ">u8"
    assert dtypes.field_format(Field("x", 0, 3, Kind.ALPHA)) == "S3"
    assert dtypes.message_dtype(ouch.ENTER_ORDER).itemsize == 47
    assert isinstance(dtypes.message_dtype(ouch.ENTER_ORDER), np.dtype)
