"""What a person sees while a run works: one bar a stage with rate and time left, or plain lines in a log."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

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
SAID_EVERY = 60.0  # seconds between two lines of one stage where there are no bars

Advance = Callable[[int, int], None]
"""Called with how many units are done, and how many there are."""

Item = TypeVar("Item")


def silent(done: int, total: int) -> None:
    """Where nobody watches."""


class Watched(Sequence[Item]):
    """Items that say how far each pass over them has come; for what takes a sequence and tells nothing itself."""

    def __init__(self, items: Sequence[Item], advance: Advance) -> None:
        self._items, self._advance = items, advance

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Item]:
        for done, item in enumerate(self._items, start=1):
            yield item
            self._advance(done, len(self._items))


class Reporter:
    """Bars on a terminal, elsewhere (or with `plain`) a line a stage and one a minute; all on standard error.

    Nothing with `quiet`.
    """

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
    def stage(self, name: str, n_unit: int | None = None) -> Iterator[Advance]:
        """A stage of `n_unit` units, where that is known before the first is done; call what is yielded as they are."""
        if not self.bars:
            self.say(f"{name} ...")
            yield self._lines(name)
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
            task = progress.add_task(name, total=n_unit)
            yield lambda done, total: progress.update(task, completed=done, total=total)
            done = progress.tasks[0].total or 1
            progress.update(task, total=done, completed=done)

    def _lines(self, name: str) -> Advance:
        """A stage's lines, so that a log shows that a long one goes on."""
        said = time.monotonic()

        def advance(done: int, total: int) -> None:
            nonlocal said
            if time.monotonic() - said >= SAID_EVERY:
                said = time.monotonic()
                self.say(f"{name}: {done} of {total}")

        return advance


class RateColumn(ProgressColumn):
    """Units a second, where two reports have come; what a stopped stage left is no measure of it."""

    def render(self, task: Bar) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="progress.data.speed")
