"""Verilator's runtime is compiled once for builds of a kind."""

import time

from tickgate.sim import cache, runtime


def test_runtime_of_one_build_is_lent_to_the_next_of_the_same_kind(tmp_path, monkeypatch):
    monkeypatch.setenv("TICKGATE_CACHE", str(tmp_path / "cache"))
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    runtime.lend(first, "kind", False)
    assert list(first.iterdir()) == []
    for name in ("verilated.o", "verilated_vpi.o", "verilator.o", "Vtop.o"):
        (first / name).write_text(name)
    runtime.keep(first, "kind", False)
    runtime.lend(second, "kind", False)
    assert sorted(p.name for p in second.iterdir()) == ["verilated.o", "verilated_vpi.o"]
    assert all(p.stat().st_mtime > time.time() for p in second.iterdir())
    assert cache.existing("runtime", cache.tools_hash("kind", True)) is None
