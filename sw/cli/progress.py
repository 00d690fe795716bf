"""Progress bars on standard error for steps that take a while; nothing where standard error is no terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from tickgate.sw.files.block import Block
from tickgate.sw.files.source import MessageSource

Update = Callable[[float, int], None]


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
