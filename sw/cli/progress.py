"""Progress bars on standard error for steps that take a while; nothing where standard error is no terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tickgate.sw.files.block import Block
from tickgate.sw.files.source import MessageSource
from tickgate.sw.spec.events import Notice

Update = Callable[[float, int], None]

#: A bar that follows messages one by one moves once in so many of them.
PROGRESS_STEP = 1 << 14


@contextmanager
def progress_bar(label: str) -> Iterator[Update]:
    """A bar; call what it gives with the share done (0 to 1) and a count (messages, rows) to move it."""
    if not sys.stderr.isatty():
        yield lambda share, count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[count]:,} messages"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=1.0, count=0)
        yield lambda share, count: bars.update(task, completed=share, count=count)


def with_progress(blocks: Iterable[Block], source: MessageSource, update: Update) -> Iterator[Block]:
    """The same blocks, moving a bar as they pass."""
    for block in blocks:
        yield block
        update(source.progress, block.first_index + len(block))


def items_with_progress(
    source: MessageSource, stop: int | None, update: Update, report: dict[str, Any]
) -> Iterator[bytes | Notice]:
    """The first `stop` messages of a source with the notices between them, moving a bar as they pass.

    `report["messages"]` is how many messages passed, once the last one has.
    """
    count = 0
    for item in source.items(stop):
        yield item
        if not isinstance(item, Notice):
            count += 1
            if not count % PROGRESS_STEP:
                update(source.progress, count)
    report["messages"] = count
