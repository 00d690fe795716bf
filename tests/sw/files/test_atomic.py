"""Output appears whole under its name, or not at all."""

import errno
import gzip
import os
import stat
from pathlib import Path

import pytest

from tickgate.sw.files.atomic import atomic_output, open_output
from tickgate.sw.spec.errors import UserError


def test_file_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_output(path) as stream:
        stream.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, UserError])
def test_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.gz"
    path.write_bytes(b"old")
    with pytest.raises(error), open_output(path) as stream:
        stream.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.gz"]


def test_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_output(tmp_path / "out"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o600)
    with atomic_output(path) as stream:
        stream.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    with atomic_output(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_gzip_output_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        with open_output(tmp_path / name) as stream:
            stream.write(b"content" * 100)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()) == b"content" * 100


def test_folder_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder, not a file"), atomic_output(tmp_path):
        pass


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=f"no such folder: {tmp_path / 'none'}"),
        atomic_output(tmp_path / "none" / "out"),
    ):
        pass


def test_full_device_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no space left on the disk while writing /dev/full"):
        with atomic_output("/dev/full") as stream:
            stream.write(bytes(1 << 21))


def test_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.gz"
    with pytest.raises(UserError, match=f"no space left on the disk while writing {path}"), open_output(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    for path in (tmp_path / "out", Path("/dev/null")):
        with pytest.raises(OSError, match="Input/output"), atomic_output(path):
            raise OSError(errno.EIO, "Input/output error")
    assert os.listdir(tmp_path) == []


def test_device_is_written_directly() -> None:
    with atomic_output("/dev/null") as stream:
        stream.write(b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_folder_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with (
        pytest.raises(UserError, match=f"no permission to write in the folder {tmp_path}"),
        atomic_output(tmp_path / "x"),
    ):
        pass
