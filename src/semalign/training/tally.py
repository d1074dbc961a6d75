"""What a training has cost so far beside what its history says; checkpoints carry it over a stop."""

import time
from collections.abc import Callable, Mapping
from typing import Any


class Tally:
    """Tokens the teacher has read, and seconds: of the steps that count, however often the training was stopped."""

    def __init__(self, read: Callable[[], int] = lambda: 0) -> None:
        """`read` says how many tokens the teacher has read since this process began with the training."""
        self._read, self._began = read, time.perf_counter()
        self._tokens_before = 0
        self.seconds_before = 0.0
        """Spent by processes that were stopped, up to the checkpoint that this one goes on from."""

    @property
    def teacher_tokens(self) -> int:
        return self._tokens_before + self._read()

    def plain(self) -> dict[str, Any]:
        return {
            "teacher_tokens": self.teacher_tokens,
            "seconds": self.seconds_before + time.perf_counter() - self._began,
        }

    def go_on(self, held: Mapping[str, Any]) -> None:
        """Count on from a checkpoint: what was read since it is read again."""
        self._tokens_before = held["teacher_tokens"] - self._read()

    def resume(self, held: Mapping[str, Any]) -> None:
        """`go_on` in a new process."""
        self.go_on(held)
        self.seconds_before = held["seconds"]
