"""BBO tables as CSV and Parquet say the same."""

import builtins
import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickgate.sw.files import bbo_io
from tickgate.sw.spec.errors import UserError

ROWS = [(0, 1, 1_000_000, 100, 0, 0, 1), (7, 65535, 2**32 - 1, 2**40, 1, 1, 0), (2**40, 2, 0, 0, 0, 0, 1)]
CSV = (
    b"index,locate,bid_px,bid_qty,ask_px,ask_qty,valid\n"
    b"0,1,1000000,100,0,0,1\n7,65535,4294967295,1099511627776,1,1,0\n1099511627776,2,0,0,0,0,1\n"
)
NAMES = ["x.csv", "x.csv.gz", "x.parquet"]


def test_csv_has_the_bytes_typed_by_hand(tmp_path: Path) -> None:
    assert bbo_io.write_bbo(tmp_path / "x.csv", ROWS) == 3
    assert (tmp_path / "x.csv").read_bytes() == CSV
    assert bbo_io.write_bbo(tmp_path / "x.csv.gz", iter(ROWS)) == 3
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()) == CSV


@pytest.mark.parametrize("name", NAMES)
def test_rows_come_back(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bbo_io, "BATCH_ROWS", 2)
    assert bbo_io.write_bbo(tmp_path / name, ROWS) == 3
    assert list(bbo_io.read_bbo(tmp_path / name)) == ROWS
    assert bbo_io.write_bbo(tmp_path / name, []) == 0
    assert list(bbo_io.read_bbo(tmp_path / name)) == []


def test_parquet_columns_have_their_types(tmp_path: Path) -> None:
    import pyarrow.parquet

    bbo_io.write_parquet(tmp_path / "x.parquet", ROWS)
    schema = pyarrow.parquet.read_schema(tmp_path / "x.parquet")
    assert dict(zip(schema.names, map(str, schema.types), strict=True)) == {
        "index": "uint64", "locate": "uint16", "bid_px": "uint32", "bid_qty": "uint64", "ask_px": "uint32",
        "ask_qty": "uint64", "valid": "bool",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_error_while_writing_leaves_nothing(tmp_path: Path, name: str) -> None:
    def rows():  # type: ignore[no-untyped-def]
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bbo_io.write_bbo(tmp_path / name, rows())
    assert os.listdir(tmp_path) == []


def test_missing_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def refuse(name: str, *args, **kwargs):  # type: ignore[no-untyped-def]
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"pip install 'tickgate\[files\]'"):
        bbo_io.write_parquet(tmp_path / "x.parquet", ROWS)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("x.csv", b"", "not a BBO table: its first line is not index,locate"),
        ("x.csv", b"a,b\n1,2\n", "not a BBO table"),
        ("x.csv", CSV + b"1,2,3\n", "line 5 is not seven integers: '1,2,3'"),
        ("x.csv", CSV + b"1,2,3,4,5,6,x\n", "line 5 is not seven integers"),
        ("x.parquet", b"PAR1" + bytes(50), "the Parquet table is damaged"),
    ],
)
def test_what_is_no_bbo_table_is_told(tmp_path: Path, name: str, content: bytes, error: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=error):
        list(bbo_io.read_bbo(tmp_path / name))


def test_parquet_of_something_else_is_told(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="not a BBO table: its columns are not index, locate"):
        list(bbo_io.read_bbo(tmp_path / "x.parquet"))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**63), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**48),
            st.integers(0, 2**32 - 1), st.integers(0, 2**48), st.integers(0, 1),
        )
    )
)  # fmt: skip
def test_csv_and_parquet_agree(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    folder = tmp_path_factory.mktemp("bbo")
    for name in ("x.csv", "x.parquet"):
        bbo_io.write_bbo(folder / name, rows)
        assert list(bbo_io.read_bbo(folder / name)) == rows
