"""Shrinking a difference to a short file that shows it again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tickgate.sw.files.binaryfile import write_binaryfile
from tickgate.sw.files.pcap import open_writer

#: A shrink stops after this long; what it has by then is still a reproducer.
SECONDS = 20.0

Item = bytes
Shows = Callable[[list[Item]], bool]


def shrink(items: list[Item], shows: Shows, seconds: float = SECONDS) -> list[Item]:
    """A short part of `items`, in order, for which `shows` is still true.

    Parameters
    ----------
    items: for which `shows` is true.
    shows: replays a list and tells whether the difference appears.
    seconds: bound of the time spent; at least one pass over halves is tried.
    """
    until = time.monotonic() + seconds
    size = len(items) // 2
    while size >= 1 and time.monotonic() < until:
        start, smaller = 0, False
        while start < len(items) and time.monotonic() < until:
            rest = items[:start] + items[start + size :]
            if rest and shows(rest):
                items, smaller = rest, True
            else:
                start += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2) if not smaller or size > len(items) else min(size, max(1, len(items) // 2))
    return items


def write_messages(path: Path, messages: list[bytes]) -> None:
    """Writes a reproducer of messages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_binaryfile(path, messages)


def write_frames(path: Path, frames: list[bytes]) -> None:
    """Writes a reproducer of frames, a microsecond apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_writer(path) as writer:
        for number, frame in enumerate(frames):
            writer.write(1000 * number, frame)
