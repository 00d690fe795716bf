"""Best bid and offer rows as CSV or Parquet, in bounded memory.

A row is `index, locate, bid_px, bid_qty, ask_px, ask_qty, valid`: prices in 1/10,000, quantities in shares, 0 where
there is no price; `valid` is 0 or 1 in CSV and a boolean in Parquet.
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

from tickgate.sw.files.atomic import atomic_output, open_output
from tickgate.sw.files.stream import ByteStream
from tickgate.sw.model.bbo import HEADER, BboRow
from tickgate.sw.spec.errors import UserError

COLUMNS = HEADER
BATCH_ROWS = 1 << 16

_PARQUET_TYPES = ("uint64", "uint16", "uint32", "uint64", "uint32", "uint64", "bool_")


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(
            "Parquet needs the package pyarrow, which is not installed\n"
            "install it with: pip install 'tickgate[files]' (or write .csv)"
        ) from None
    return pyarrow


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Whether the name asks for Parquet."""
    return os.fspath(path).endswith(".parquet")


def write_csv(path: str | os.PathLike[str], rows: Iterable[BboRow]) -> int:
    """Write rows under a header line, gzip if the name ends in `.gz`; returns their number.

    Raises
    ------
    UserError
        As `atomic.open_output`.
    """
    count = 0
    with open_output(path) as stream:
        stream.write((",".join(COLUMNS) + "\n").encode("ascii"))
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH_ROWS)):
            lines = [
                f"{index},{locate},{bid_px},{bid_qty},{ask_px},{ask_qty},{1 if valid else 0}\n"
                for index, locate, bid_px, bid_qty, ask_px, ask_qty, valid in batch
            ]
            stream.write("".join(lines).encode("ascii"))
            count += len(batch)
    return count


def write_parquet(path: str | os.PathLike[str], rows: Iterable[BboRow]) -> int:
    """Write rows as a Parquet table (zstd); returns their number.

    Raises
    ------
    UserError
        As `atomic.atomic_output`; pyarrow is not installed.
    """
    arrow = _pyarrow()
    schema = arrow.schema(
        [
            (name, getattr(arrow, "bool_" if kind == "bool" else kind)())
            for name, kind in zip(COLUMNS, _PARQUET_TYPES, strict=True)
        ]
    )
    count = 0
    with atomic_output(path) as stream, arrow.parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH_ROWS)):
            columns = list(zip(*batch, strict=True))
            columns[-1] = tuple(bool(valid) for valid in columns[-1])
            arrays = [arrow.array(column, type=kind.type) for column, kind in zip(columns, schema, strict=True)]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))
            count += len(batch)
    return count


def write_bbo(path: str | os.PathLike[str], rows: Iterable[BboRow]) -> int:
    """Write rows as Parquet if the name ends in `.parquet`, else as CSV; returns their number.

    Raises
    ------
    UserError
        As `write_csv` and `write_parquet`.
    """
    return write_parquet(path, rows) if is_parquet(path) else write_csv(path, rows)


def read_bbo(path: str | os.PathLike[str]) -> Iterator[BboRow]:
    """The rows of a table that `write_bbo` wrote; `valid` is 0 or 1.

    Raises
    ------
    UserError
        No such file, or not such a table (with the line of a CSV).
    """
    with ByteStream(path) as stream:
        if stream.head.startswith(b"PAR1"):
            parquet = True
        else:
            parquet = False
            yield from _read_csv(stream)
    if parquet:
        yield from _read_parquet(path)


def _read_csv(stream: ByteStream) -> Iterator[BboRow]:
    text = io.TextIOWrapper(io.BufferedReader(_Raw(stream)), encoding="ascii", errors="replace", newline="")
    lines = csv.reader(text)
    if tuple(next(lines, ())) != COLUMNS:
        raise UserError(f"{stream.path}: not a BBO table: its first line is not {','.join(COLUMNS)}")
    for line in lines:
        try:
            index, locate, bid_px, bid_qty, ask_px, ask_qty, valid = map(int, line)
        except ValueError:
            raise UserError(
                f"{stream.path}: line {lines.line_num} is not seven integers: {','.join(line)[:80]!r}"
            ) from None
        yield index, locate, bid_px, bid_qty, ask_px, ask_qty, valid


def _read_parquet(path: str | os.PathLike[str]) -> Iterator[BboRow]:
    arrow = _pyarrow()
    try:
        table = arrow.parquet.ParquetFile(path)
    except arrow.ArrowInvalid as error:
        raise UserError(f"{os.fspath(path)}: the Parquet table is damaged ({error})") from None
    with table:
        if tuple(table.schema_arrow.names) != COLUMNS:
            raise UserError(f"{os.fspath(path)}: not a BBO table: its columns are not {', '.join(COLUMNS)}")
        for batch in table.iter_batches(batch_size=BATCH_ROWS):
            columns = [column.to_pylist() for column in batch.columns]
            columns[-1] = [int(valid) for valid in columns[-1]]
            yield from cast(Iterator[BboRow], zip(*columns, strict=True))


class _Raw(io.RawIOBase):
    """A `ByteStream` as the standard library wants a file."""

    def __init__(self, stream: ByteStream):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
