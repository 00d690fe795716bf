"""Declarative tables of fixed-layout, big-endian messages: the one place where a layout becomes bytes and back.

A table is a `Message` of `Field` rows. It cannot be built with a gap, an overlap, or a sum other than its stated
size, so a typing slip in a protocol module fails at import. Everything derived (numpy dtypes, gateware layouts, C
header, scapy layers, documentation) reads `offset`, `size` and `kind` from here.

Values on the Python side: `UINT`, `PRICE`, `PRICE8` and `TIMESTAMP` are unsigned integers in the unit of the wire,
`SIGNED_PRICE` is a signed one, and `ALPHA`, `NUMERIC` and `RAW` are `bytes` exactly as on the wire (padding included),
so `pack(**unpack(data)) == data` always.
"""

import enum
import operator
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


class Kind(enum.Enum):
    """How the bytes of a field are read. Integers are unsigned and big-endian."""

    UINT = "uint"
    """Unsigned integer of 1 to 8 bytes."""
    ALPHA = "alpha"
    """ASCII, left-justified, padded on the right with spaces."""
    NUMERIC = "numeric"
    """ASCII decimal digits, right-justified, padded on the left with spaces (SoupBinTCP)."""
    RAW = "raw"
    """Bytes without interpretation (addresses, reserved)."""
    PRICE = "price"
    """Unsigned price in 1/10,000 (4 implied decimals), 4 or 8 bytes."""
    SIGNED_PRICE = "signed_price"
    """Price difference in 1/10,000, two's complement, 4 bytes (OUCH peg offsets)."""
    PRICE8 = "price8"
    """Unsigned price in 1/100,000,000 (8 implied decimals), 8 bytes."""
    TIMESTAMP = "timestamp"
    """Nanoseconds since midnight, 6 or 8 bytes."""


INTEGER_KINDS: Final = frozenset({Kind.UINT, Kind.PRICE, Kind.SIGNED_PRICE, Kind.PRICE8, Kind.TIMESTAMP})
"""Kinds whose Python value is an `int`; the others are `bytes`."""

_ALLOWED_SIZES: Final[Mapping[Kind, frozenset[int]]] = {
    Kind.UINT: frozenset(range(1, 9)),
    Kind.PRICE: frozenset({4, 8}),
    Kind.SIGNED_PRICE: frozenset({4}),
    Kind.PRICE8: frozenset({8}),
    Kind.TIMESTAMP: frozenset({6, 8}),
}
_STRUCT_CODE: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table.

    Parameters
    ----------
    name : str
        Python identifier; carries its unit where it has one (`price_e4`, `timestamp_ns`).
    offset, size : int
        Bytes, from the start of the message.
    kind : Kind
        How the bytes are read.
    doc : str
        One line for people.
    values : tuple of (str, str)
        Known values and their meaning, for documentation and displays. Other values are legal on the wire.

    Members
    -------
    is_integer : bool
        Whether the Python value is an `int` (else `bytes`).
    is_signed : bool
        Whether the integer is a two's complement.

    Raises
    ------
    ValueError
        Name is no identifier, offset negative, or a size that the kind does not have.
    """

    name: str
    offset: int
    size: int
    kind: Kind
    doc: str = ""
    values: tuple[tuple[str, str], ...] = ()
    is_integer: bool = field(init=False, repr=False, compare=False)
    is_signed: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_integer", self.kind in INTEGER_KINDS)
        object.__setattr__(self, "is_signed", self.kind is Kind.SIGNED_PRICE)
        if not self.name.isidentifier():
            raise ValueError(f"a field name must be an identifier, not {self.name!r}")
        if self.offset < 0:
            raise ValueError(f"field {self.name}: offset must not be negative, not {self.offset}")
        allowed = _ALLOWED_SIZES.get(self.kind)
        if allowed is None:
            if self.size < 1:
                raise ValueError(f"field {self.name}: size must be at least 1 byte, not {self.size}")
        elif self.size not in allowed:
            sizes = ", ".join(str(size) for size in sorted(allowed))
            raise ValueError(f"field {self.name}: a {self.kind.value} has {sizes} bytes, not {self.size}")

    @property
    def end(self) -> int:
        """Offset of the first byte behind the field."""
        return self.offset + self.size

    @property
    def struct_code(self) -> str:
        """Code of the `struct` module; integers of odd sizes are taken as bytes."""
        code = _STRUCT_CODE.get(self.size) if self.is_integer else None
        if code is None:
            return f"{self.size}s"
        return code.lower() if self.is_signed else code

    def to_bytes(self, value: Any) -> bytes:
        """Encode one value; text is padded as the kind says.

        Raises
        ------
        ValueError
            The value does not fit the field.
        TypeError
            The value has the wrong type.
        """
        if self.is_integer:
            try:
                number = operator.index(value)  # numpy's integers too
            except TypeError:
                raise TypeError(f"field {self.name} takes an integer, not {value!r}") from None
            try:
                return number.to_bytes(self.size, "big", signed=self.is_signed)
            except OverflowError:
                sign = "signed" if self.is_signed else "unsigned"
                raise ValueError(f"field {self.name}: {value} does not fit {self.size} bytes {sign}") from None
        if self.kind is Kind.NUMERIC and isinstance(value, int):
            value = str(value)
        if isinstance(value, str):
            if not value.isascii():
                raise ValueError(f"field {self.name} takes ASCII, not {value!r}")
            value = value.encode("ascii")
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"field {self.name} takes text or bytes, not {value!r}")
        data = bytes(value)
        if len(data) > self.size or (self.kind is Kind.RAW and len(data) != self.size):
            raise ValueError(f"field {self.name}: {data!r} does not fit {self.size} bytes")
        return data.rjust(self.size) if self.kind is Kind.NUMERIC else data.ljust(self.size)

    def from_bytes(self, buffer: bytes, base: int = 0) -> int | bytes:
        """Decode this field of a message that starts at `base` of `buffer`."""
        data = bytes(buffer[base + self.offset : base + self.end])
        return int.from_bytes(data, "big", signed=self.is_signed) if self.is_integer else data


@dataclass(frozen=True, eq=False)
class Message:
    """A gapless table of fields, and the codec made from it.

    Parameters
    ----------
    name : str
        Snake-case name of the message.
    code : bytes or None
        The one byte of the field `type` that selects this message, where there is one.
    size : int
        Bytes of the fixed part.
    fields : tuple of Field
        In order of offset.
    doc : str
        One line for people, and the section of the specification.
    tail : str
        Name of the variable part behind the fixed part ("" when there is none: the length must then be exact).

    Raises
    ------
    ValueError
        A gap, an overlap, a repeated name, a sum other than `size`, or a code without a `type` field at its place.
    """

    name: str
    code: bytes | None
    size: int
    fields: tuple[Field, ...] = field(repr=False)
    doc: str = ""
    tail: str = ""
    _struct: struct.Struct = field(init=False, repr=False)
    _wide: tuple[int, ...] = field(init=False, repr=False)
    _names: tuple[str, ...] = field(init=False, repr=False)
    _by_name: Mapping[str, Field] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))
        position = 0
        by_name: dict[str, Field] = {}
        for row in self.fields:
            if row.offset > position:
                raise ValueError(f"{self.name}: gap of bytes {position}..{row.offset - 1} before field {row.name}")
            if row.offset < position:
                raise ValueError(f"{self.name}: field {row.name} at {row.offset} overlaps bytes up to {position - 1}")
            if row.name in by_name:
                raise ValueError(f"{self.name}: two fields are called {row.name}")
            by_name[row.name] = row
            position = row.end
        if position != self.size:
            raise ValueError(f"{self.name}: fields sum to {position} bytes, the stated size is {self.size}")
        if self.code is not None:
            if len(self.code) != 1:
                raise ValueError(f"{self.name}: a code is one byte, not {self.code!r}")
            if "type" not in by_name or by_name["type"].size != 1:
                raise ValueError(f"{self.name}: a message with a code needs a field 'type' of one byte")
        if self.tail in by_name:
            raise ValueError(f"{self.name}: the tail {self.tail} has the name of a field")
        # struct has no 3-, 5-, 6- and 7-byte integers: these are taken as bytes and converted.
        wide = tuple(i for i, row in enumerate(self.fields) if row.is_integer and row.size not in _STRUCT_CODE)
        codes = "".join(row.struct_code for row in self.fields)
        object.__setattr__(self, "_struct", struct.Struct(">" + codes))
        object.__setattr__(self, "_wide", wide)
        object.__setattr__(self, "_names", tuple(by_name))
        object.__setattr__(self, "_by_name", by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in order of offset."""
        return self._names

    @property
    def type_byte(self) -> int:
        """The value of the `type` byte.

        Raises
        ------
        ValueError
            The message has no code.
        """
        if self.code is None:
            raise ValueError(f"{self.name} has no type byte")
        return self.code[0]

    def field(self, name: str) -> Field:
        """The field of that name.

        Raises
        ------
        KeyError
            No such field.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"{self.name} has no field {name}") from None

    def pack(self, **values: Any) -> bytes:
        """Encode; `type` defaults to the code, text is padded, the tail (if any) defaults to nothing.

        Raises
        ------
        ValueError
            A field is missing, unknown, or its value does not fit.
        """
        if self.code is not None:
            values.setdefault("type", self.code)
        tail = values.pop(self.tail, b"") if self.tail else b""
        try:
            parts = [row.to_bytes(values.pop(row.name)) for row in self.fields]
        except KeyError as error:
            raise ValueError(f"{self.name}: field {error.args[0]} is missing") from None
        if values:
            raise ValueError(f"{self.name} has no field {', '.join(values)}")
        return b"".join(parts) + bytes(tail)

    def pack_tuple(self, values: Iterable[Any]) -> bytes:
        """Encode the fixed part from values in field order, already of the wire's width (the fast way of `pack`).

        Raises
        ------
        struct.error, OverflowError
            Too few, too many, or out of range.
        """
        row = list(values)
        for index in self._wide:
            row[index] = row[index].to_bytes(self.fields[index].size, "big")
        return self._struct.pack(*row)

    def unpack_tuple(self, buffer: bytes | bytearray | memoryview, offset: int = 0) -> tuple[Any, ...]:
        """Decode the fixed part at `offset` into values in field order; what lies behind it is not looked at.

        Raises
        ------
        struct.error
            The buffer is too short.
        """
        values = self._struct.unpack_from(buffer, offset)
        if not self._wide:
            return values
        row = list(values)
        for index in self._wide:
            row[index] = int.from_bytes(row[index], "big")
        return tuple(row)

    def unpack(self, buffer: bytes | bytearray | memoryview) -> dict[str, Any]:
        """Decode one whole message into a dictionary (the tail under its name).

        Raises
        ------
        ValueError
            The length is wrong, or the type byte is another message's.
        """
        length = len(buffer)
        if length < self.size or (length > self.size and not self.tail):
            least = "at least " if self.tail else ""
            raise ValueError(f"{self.name} has {least}{self.size} bytes, not {length}")
        values = dict(zip(self._names, self.unpack_tuple(buffer), strict=True))
        if self.code is not None and values["type"] not in (self.code, self.code[0]):
            raise ValueError(f"{self.name} has the type {self.code!r}, not {values['type']!r}")
        if self.tail:
            values[self.tail] = bytes(buffer[self.size :])
        return values


def text(value: bytes) -> str:
    """The readable form of an ALPHA or NUMERIC value: without padding, undecodable bytes as \\xNN."""
    return value.decode("ascii", "backslashreplace").strip(" ")


Row = tuple[str, int, Kind, str] | tuple[str, int, Kind, str, tuple[tuple[str, str], ...]]


def at(offset: int, *rows: Row) -> tuple[Field, ...]:
    """Fields laid one behind the other from `offset` on: rows of (name, size, kind, doc[, values])."""
    out: list[Field] = []
    for name, size, kind, doc, *values in rows:
        out.append(Field(name, offset, size, kind, doc, values[0] if values else ()))
        offset += size
    return tuple(out)
