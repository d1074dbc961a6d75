"""What a person sees while a run works: one bar a stage with rate and time left, or plain lines in a log."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int], None]


class Reporter:
    """Bars on a terminal, one line a stage elsewhere (or with `plain`), nothing with `quiet`. Everything goes to standard error."""

    def __init__(self, *, plain: bool = False, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.bars = not plain and not quiet and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False)

    def warn(self, text: str) -> None:
        """One line that should not be missed."""
        self.console.print(f"warning: {text}", style="yellow", markup=False)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """A stage of `total` units; call the yielded function with how many more are done."""
        if not self.bars:
            self.say(f"{name} ...")
            yield lambda _: None
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
            task = progress.add_task(name, total=total)
            yield lambda n: progress.update(task, advance=n)
            progress.update(task, total=total or 1, completed=total or 1)
