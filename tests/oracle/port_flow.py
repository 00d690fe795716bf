"""Frames for tests of ports, and waiting for them: every loop ends."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RIGHTS = {"sys_admin": 21, "net_admin": 12, "net_raw": 13, "bpf": 39}


def need_rights(*names: str) -> None:
    """Skip where this process lacks a capability, naming it."""
    status = Path("/proc/self/status").read_text().splitlines()
    mask = int(next(line for line in status if line.startswith("CapEff")).split()[1], 16)
    lacking = [f"CAP_{name.upper()}" for name in names if not mask >> RIGHTS[name] & 1]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} is missing: run the tests as root")


def own_name(text: str) -> str:
    """A name of this test process, for what the machine has one of: shared segments, named namespaces."""
    return f"test-{os.getpid()}-{text}"


def interpreter() -> list[str]:
    """The words that start a Python like this one: without site where this one has none (make test-asan)."""
    return [sys.executable, *(["-S"] if sys.flags.no_site else [])]


def environment() -> dict[str, str]:
    """An environment in which such a Python finds what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path if p)}


def frame(number: int, size: int = 64) -> bytes:
    """An Ethernet frame of the local experimental EtherType, its content different for each number."""
    head = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5"
    return head + bytes((number + i) & 255 for i in range(size - len(head)))


def until(done: Callable[[], Any], seconds: float = 5.0) -> Any:
    """What ``done`` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (result := done()):
        assert time.monotonic() < end, "this did not happen in time"
    return result


def receive(port: Any, count: int, seconds: float = 5.0) -> list[bytes]:
    """The content of the next ``count`` frames of a port."""
    got: list[bytes] = []
    until(lambda: got.extend(bytes(view) for view in port.recv_burst(count - len(got))) or len(got) >= count, seconds)
    return got
