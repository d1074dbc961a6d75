"""What a person sees while a run works: one bar a stage with rate and time left, or plain lines in a log."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int, int], None]
"""Called with how many units are done, and how many there are."""


class Reporter:
    """Bars on a terminal, one line a stage elsewhere (or with `plain`), nothing with `quiet`; all on standard error."""

    def __init__(self, *, plain: bool = False, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.bars = not plain and not quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line that should not be missed."""
        self.console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[Advance]:
        """A stage; call the yielded function as its units get done."""
        if not self.bars:
            self.say(f"{name} ...")
            yield lambda _done, _total: None
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(name, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
            done = progress.tasks[0].total or 1
            progress.update(task, total=done, completed=done)
