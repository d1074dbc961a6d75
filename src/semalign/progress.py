"""What a person sees while a run works: one bar a stage with rate and time left, or plain lines in a log."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Bar
from rich.text import Text

# Seconds over which a rate is taken: a batch of a real model on a CPU takes longer than rich's 30.
RATE_SECONDS = 600.0

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
            RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, speed_estimate_period=RATE_SECONDS) as progress:
            task = progress.add_task(name, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)
            done = progress.tasks[0].total or 1
            progress.update(task, total=done, completed=done)


class RateColumn(ProgressColumn):
    """Units a second, where two reports have come; what a stopped stage left is no measure of it."""

    def render(self, task: Bar) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="progress.data.speed")
