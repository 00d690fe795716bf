"""The check of tracked files bites on each thing that it is there to find."""

import subprocess
import sys
from pathlib import Path

import pytest


def check(repository: Path, root: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, str(repository / ".ci/check_tree"), str(root)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_this_tree_is_clean(repository):
    done = check(repository, repository)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        ("a.py", 'PATH = "/home/' + 'somebody/x"', "a.py:1: a path of one machine"),
        ("a.md", "see /root/" + "thing", "a.md:1: a path of one machine"),
        (
            "requirements/run.txt",
            "--index-url https://example.org/simple",
            "run.txt:1: a lock file names a package index",
        ),
        ("requirements/run.txt", "x @ https://example.org/x.whl", "run.txt:1: a lock file names a package index"),
        ("a.py", "x = 1\n# TO" + "DO: more", "a.py:2: a mark of unfinished work"),
        ("big.bin", "x" * 1_000_001, "big.bin: 1000001 bytes"),
    ],
)
def test_planted_fault_is_found(repository, tmp_path, name, text, finding):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    done = check(repository, tmp_path)
    assert done.returncode == 1
    assert finding in done.stdout


def test_path_of_the_checkout_itself_is_found(repository, tmp_path):
    (tmp_path / "a.cfg").write_text(f"build = {tmp_path}/build\n")
    assert "a.cfg:1: a path of one machine" in check(repository, tmp_path).stdout


def test_innocent_text_passes(repository, tmp_path):
    (tmp_path / "a.md").write_text("`$HOME/x`, ~/home/x, https://example.org/home/page, src/root/x\n")
    assert check(repository, tmp_path).returncode == 0
