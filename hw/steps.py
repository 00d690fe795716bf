"""Progress of work that several tools do at the same time, on standard error: a line a step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tickgate.hw import tools

#: Columns that what a tool says last may take.
SAID_MAX = 60


class Steps:
    """Shows what is being done; where standard error is no terminal, one line for each step that ends.

    Members
    -------
    seconds: how long each step took, by name.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._console = Console(stderr=True, highlight=False)
        columns = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[said]}", style="dim", markup=False),
        )
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)

    def __enter__(self) -> Steps:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, name: str, about: str = "") -> Iterator[Callable[[str], None]]:
        """A step; give what this yields the last words of a tool. May be used by several threads at once.

        Parameters
        ----------
        about: shown until there are other words.
        """
        began = time.monotonic()
        task = self._bars.add_task(name, total=1, said=about)
        said = lambda words: self._bars.update(task, said=_short(words))  # noqa: E731
        yield said
        self.seconds[name] = round(time.monotonic() - began, 1)
        self._bars.update(task, completed=1, said="")
        if not self._console.is_terminal:
            self._console.print(f"{name}: {self.seconds[name]:.1f} s", markup=False)

    def tell(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, markup=False)


def compile_tools(names: Iterable[str], folder: Path, workshop: tools.Workshop, steps: Steps) -> None:
    """Has every tool compiled, one after the other: two at the same time would compile the same one twice."""
    with steps.step("compile the tools", "takes minutes at the first use, then no time"):
        for name in names:
            tools.compiled(name, folder, workshop)


def _short(words: str) -> str:
    text = " ".join(words.removeprefix("Info:").split())
    return text if len(text) <= SAID_MAX else text[: SAID_MAX - 3] + "..."
