"""Fixed records: one declaration from which tuples, numpy dtypes and hardware layouts are derived.

A `Record` lists named unsigned fields of a stated width. Trace records and configuration rows are declared with it
(`tickgate.sw.spec.events`, `tickgate.sw.spec.rows`); `tickgate.gateware.lib.layouts` makes Amaranth layouts of them and
`tickgate.sw.files.dtypes` numpy dtypes. Bit 0 of the first field is bit 0 of the record; a record whose fields are all
whole bytes is therefore also a little-endian C structure without padding.
"""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RecordField:
    """One unsigned field of a record.

    Parameters
    ----------
    name: snake_case, carrying its unit (`price_e4`, `qty_shares`).
    bits: width, 1 or more.
    doc: one line.
    """

    name: str
    bits: int
    doc: str = ""

    def __post_init__(self) -> None:
        if self.bits < 1:
            raise ValueError(f"field {self.name!r} must be at least 1 bit wide, not {self.bits}")


@dataclass(frozen=True)
class Record:
    """A named sequence of unsigned fields, packed without gaps, first field in the lowest bits.

    Raises
    ------
    ValueError: a field name occurs twice, or `aligned` is asked for and a field is not 1, 2, 4 or 8 bytes.
    """

    name: str
    fields: tuple[RecordField, ...]
    doc: str = ""
    aligned: bool = False
    tuple_type: type = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [f.name for f in self.fields]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"record {self.name!r} names {', '.join(twice)} more than once")
        if self.aligned:
            for f in self.fields:
                if f.bits not in (8, 16, 32, 64):
                    raise ValueError(f"{self.name}.{f.name} must be 8, 16, 32 or 64 bits, not {f.bits}")
        object.__setattr__(self, "tuple_type", namedtuple(self.name, names))

    @property
    def bits(self) -> int:
        """Width of the whole record in bits."""
        return sum(f.bits for f in self.fields)

    @property
    def size_bytes(self) -> int:
        """Size of the whole record in bytes, rounded up."""
        return (self.bits + 7) // 8

    def offset_bits(self, name: str) -> int:
        """Bit offset of the field called `name`.

        Raises
        ------
        KeyError: the record has no such field.
        """
        at = 0
        for f in self.fields:
            if f.name == name:
                return at
            at += f.bits
        raise KeyError(f"record {self.name!r} has no field {name!r}")

    def pack(self, values: dict[str, int]) -> int:
        """The record as one integer; a field that `values` does not name is 0.

        Raises
        ------
        ValueError: an unknown name, or a value that does not fit its field.
        """
        known = {f.name for f in self.fields}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"record {self.name!r} has no field {', '.join(unknown)}")
        word, at = 0, 0
        for f in self.fields:
            value = int(values.get(f.name, 0))
            if not 0 <= value < 1 << f.bits:
                raise ValueError(f"{self.name}.{f.name} takes 0 to {(1 << f.bits) - 1}, not {value}")
            word |= value << at
            at += f.bits
        return word

    def unpack(self, word: int) -> dict[str, int]:
        """The fields of a record given as one integer."""
        values, at = {}, 0
        for f in self.fields:
            values[f.name] = word >> at & (1 << f.bits) - 1
            at += f.bits
        return values


def record(name: str, doc: str, *fields: tuple[str, int, str], aligned: bool = False) -> Record:
    """Short form of a `Record` declaration: fields as (name, bits, doc)."""
    return Record(name, tuple(RecordField(*f) for f in fields), doc, aligned)
