"""Tables cannot be built wrong, and their codec is lossless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.spec.fields import Field, Kind, Message, at, text

A = Field("a", 0, 1, Kind.UINT)
B = Field("b", 1, 2, Kind.UINT)

SAMPLE = Message(
    "sample",
    b"Z",
    31,
    at(
        0,
        ("type", 1, Kind.ALPHA, "type"),
        ("time", 6, Kind.TIMESTAMP, "time"),
        ("name", 4, Kind.ALPHA, "name"),
        ("number", 6, Kind.NUMERIC, "number", (("1", "one"),)),
        ("price", 4, Kind.PRICE, "price"),
        ("shift", 4, Kind.SIGNED_PRICE, "shift"),
        ("odd", 3, Kind.UINT, "odd"),
        ("raw", 3, Kind.RAW, "raw"),
    ),
)
TAILED = Message("tailed", None, 3, (A, B), tail="rest")
VALUES = {
    "time": 1,
    "name": "AB",
    "number": 42,
    "price": 2,
    "shift": -3,
    "odd": 0x010203,
    "raw": b"xyz",
}


def test_table_with_a_gap_cannot_be_built() -> None:
    with pytest.raises(ValueError, match=r"m: gap of bytes 1\.\.1 before field b"):
        Message("m", None, 4, (A, Field("b", 2, 2, Kind.UINT)))


def test_table_with_an_overlap_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="m: field b at 1 overlaps bytes up to 1"):
        Message("m", None, 4, (Field("a", 0, 2, Kind.UINT), B))


@pytest.mark.parametrize("size", [2, 4])
def test_table_with_another_sum_cannot_be_built(size: int) -> None:
    with pytest.raises(ValueError, match=f"m: fields sum to 3 bytes, the stated size is {size}"):
        Message("m", None, size, (A, B))


def test_table_with_a_repeated_name_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="m: two fields are called a"):
        Message("m", None, 2, (A, Field("a", 1, 1, Kind.UINT)))


def test_tail_with_the_name_of_a_field_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="m: the tail a has the name of a field"):
        Message("m", None, 1, (A,), tail="a")


@pytest.mark.parametrize(
    ("code", "fields", "error"),
    [
        (b"AB", (A,), "a code is one byte"),
        (b"A", (A,), "needs a field 'type' of one byte"),
        (b"A", (Field("type", 0, 2, Kind.ALPHA),), "needs a field 'type' of one byte"),
    ],
)
def test_table_with_a_code_that_no_field_holds_cannot_be_built(code: bytes, fields: tuple, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Message("m", code, sum(field.size for field in fields), fields)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("not ok", 0, 1, Kind.UINT), "must be an identifier"),
        (("x", -1, 1, Kind.UINT), "offset must not be negative"),
        (("x", 0, 9, Kind.UINT), "a uint has 1, 2, 3, 4, 5, 6, 7, 8 bytes, not 9"),
        (("x", 0, 6, Kind.PRICE), "a price has 4, 8 bytes, not 6"),
        (("x", 0, 4, Kind.PRICE8), "a price8 has 8 bytes, not 4"),
        (("x", 0, 4, Kind.TIMESTAMP), "a timestamp has 6, 8 bytes, not 4"),
        (("x", 0, 8, Kind.SIGNED_PRICE), "a signed_price has 4 bytes, not 8"),
        (("x", 0, 0, Kind.ALPHA), "size must be at least 1 byte"),
    ],
)
def test_field_with_a_wrong_size_cannot_be_built(arguments: tuple, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Field(*arguments)


def test_pack_gives_the_bytes_typed_by_hand() -> None:
    expected = b"Z" + bytes.fromhex("000000000001") + b"AB  " + b"    42" + bytes.fromhex("00000002 fffffffd 010203")
    assert SAMPLE.pack(**VALUES) == expected + b"xyz"
    assert SAMPLE.unpack(expected + b"xyz") == {
        "type": b"Z",
        "time": 1,
        "name": b"AB  ",
        "number": b"    42",
        "price": 2,
        "shift": -3,
        "odd": 0x010203,
        "raw": b"xyz",
    }


@pytest.mark.parametrize(
    ("change", "kind", "error"),
    [
        ({"price": 1 << 32}, ValueError, "price: 4294967296 does not fit 4 bytes unsigned"),
        ({"price": -1}, ValueError, "price: -1 does not fit 4 bytes unsigned"),
        ({"shift": 1 << 31}, ValueError, "shift: 2147483648 does not fit 4 bytes signed"),
        ({"price": "2"}, TypeError, "price takes an integer"),
        ({"name": "ABCDE"}, ValueError, "does not fit 4 bytes"),
        ({"name": "\u00e9"}, ValueError, "takes ASCII"),
        ({"name": 5}, TypeError, "takes text or bytes"),
        ({"number": 1_000_000_0}, ValueError, "does not fit 6 bytes"),
        ({"raw": b"xy"}, ValueError, "does not fit 3 bytes"),
        ({"other": 1}, ValueError, "sample has no field other"),
    ],
)
def test_pack_refuses_what_does_not_fit(change: dict, kind: type[Exception], error: str) -> None:
    with pytest.raises(kind, match=error):
        SAMPLE.pack(**{**VALUES, **change})


def test_pack_names_a_missing_field() -> None:
    with pytest.raises(ValueError, match="sample: field time is missing"):
        SAMPLE.pack(name="AB")


def test_unpack_refuses_another_length_or_type() -> None:
    data = SAMPLE.pack(**VALUES)
    with pytest.raises(ValueError, match="sample has 31 bytes, not 30"):
        SAMPLE.unpack(data[:-1])
    with pytest.raises(ValueError, match="sample has 31 bytes, not 32"):
        SAMPLE.unpack(data + b"!")
    with pytest.raises(ValueError, match="sample has the type b'Z', not b'Y'"):
        SAMPLE.unpack(b"Y" + data[1:])


def test_message_with_a_tail_takes_what_follows() -> None:
    data = TAILED.pack(a=1, b=2, rest=b"more")
    assert data == b"\x01\x00\x02more"
    assert TAILED.unpack(data) == {"a": 1, "b": 2, "rest": b"more"}
    assert TAILED.unpack(data[:3])["rest"] == b""
    assert TAILED.pack(a=1, b=2) == data[:3]
    with pytest.raises(ValueError, match="tailed has at least 3 bytes, not 2"):
        TAILED.unpack(data[:2])


def test_fields_are_found_by_name() -> None:
    assert SAMPLE.field("price").end == 21
    assert SAMPLE.names[0] == "type"
    assert SAMPLE.type_byte == ord("Z")
    with pytest.raises(KeyError, match="sample has no field cost"):
        SAMPLE.field("cost")
    with pytest.raises(ValueError, match="tailed has no type byte"):
        _ = TAILED.type_byte


def test_field_reads_itself_out_of_a_message() -> None:
    data = b"??" + SAMPLE.pack(**VALUES)
    assert SAMPLE.field("shift").from_bytes(data, 2) == -3
    assert SAMPLE.field("name").from_bytes(data, 2) == b"AB  "


def test_text_drops_padding_and_shows_odd_bytes() -> None:
    assert text(b"AB  ") == "AB"
    assert text(b"\xff ") == "\\xff"


@given(st.binary(min_size=30, max_size=30))
def test_any_bytes_survive_decoding_and_encoding(body: bytes) -> None:
    data = b"Z" + body
    assert SAMPLE.pack(**SAMPLE.unpack(data)) == data
    assert SAMPLE.pack_tuple(SAMPLE.unpack_tuple(b"?" + data, 1)) == data
    assert dict(zip(SAMPLE.names, SAMPLE.unpack_tuple(data), strict=True)) == SAMPLE.unpack(data)
