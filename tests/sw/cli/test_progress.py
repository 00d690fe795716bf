"""Progress goes to a terminal on standard error, and nowhere else."""

import io
import sys

import pytest
import sample_feed

from tickgate.sw.cli.progress import progress_bar, with_progress
from tickgate.sw.files.binaryfile import BinaryFileReader


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_blocks_pass_and_move_the_bar(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    messages = sample_feed.every_type()
    path = tmp_path / "x"
    path.write_bytes(sample_feed.binaryfile(messages))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with BinaryFileReader(path, chunk_bytes=100) as source, progress_bar("reading") as update:
        passed = [message for block in with_progress(source.read_blocks(), source, update) for message in block]
    assert passed == messages
    assert "reading" in terminal.getvalue()


def test_no_terminal_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("reading") as update:
        update(0.5, 10)
    assert capsys.readouterr() == ("", "")
