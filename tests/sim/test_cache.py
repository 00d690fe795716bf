"""The build cache: built once, whole or not at all, pruned."""

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tickgate.sim import cache


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKGATE_CACHE", str(tmp_path))
    return tmp_path


def _count(folder: Path) -> None:
    with open(folder.parent / "builds", "a", encoding="ascii") as log:
        log.write("x")
    time.sleep(0.05)
    (folder / "made").write_text("yes")


def _enter_twice() -> None:
    for _ in range(2):
        assert (cache.entry("thing", "one", _count) / "made").read_text() == "yes"


def test_entry_built_twice_builds_once(root):
    first = cache.entry("thing", "one", _count)
    assert cache.entry("thing", "one", _count) == first
    assert (root / "builds").read_text() == "x"


def test_entry_raced_by_processes_builds_once(root):
    # Processes without a lock between them: the end of a pool may wait forever for a worker that waits for one.
    builders = [multiprocessing.get_context("fork").Process(target=_enter_twice, daemon=True) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(30)
    assert [builder.exitcode for builder in builders] == [0] * 4
    assert (root / "builds").read_text() == "x"


def test_entry_of_a_build_that_fails_leaves_nothing_under_its_name(root):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise RuntimeError("tool failed")

    with pytest.raises(RuntimeError, match="tool failed"):
        cache.entry("thing", "bad", fail)
    assert not (root / "thing-bad").exists()
    assert (cache.entry("thing", "bad", _count) / "made").is_file()
    assert not (root / "thing-bad" / "half").exists()


def test_prune_keeps_the_newest_and_everything_in_use(root, monkeypatch):
    monkeypatch.setattr(cache, "KEEP_ENTRIES", 2)
    long_ago = time.time() - 2 * cache.KEEP_SECONDS
    for name in "abc":
        os.utime(cache.entry("thing", name, _count), (long_ago, long_ago))
    cache.entry("thing", "d", _count)
    assert sorted(p.name for p in root.glob("thing-*")) == ["thing-c", "thing-d"]


def _build_until(event: Any) -> None:
    cache.entry("thing", "slow", lambda folder: event.wait(30))


def test_prune_takes_partial_folders_that_no_build_holds_and_no_others(root):
    (root / "partial-thing-killed").mkdir(parents=True)
    (root / "partial-thing-killed" / "half").write_text("")
    context = multiprocessing.get_context("fork")
    event = context.Event()
    builder = context.Process(target=_build_until, args=(event,))
    builder.start()
    while not (root / "partial-thing-slow").is_dir():
        time.sleep(0.01)
    cache.entry("thing", "one", _count)
    assert [p.name for p in root.glob("partial-*")] == ["partial-thing-slow"]
    event.set()
    builder.join(30)
    assert builder.exitcode == 0 and (root / "thing-slow").is_dir()


def test_design_hash_changes_with_every_part():
    hashes = {cache.design_hash(), cache.design_hash("a"), cache.design_hash("b"), cache.design_hash("a", 1)}
    assert len(hashes) == 4
    assert cache.design_hash("a") == cache.design_hash("a")
