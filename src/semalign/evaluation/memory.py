"""Answers of a model on disk, one JSON line each, so that a stopped evaluation asks only for what is left."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semalign.artifacts import disk_errors, key


class Memory:
    """What was answered by request; without a path, nothing is kept.

    The file belongs to one model and one way of asking: whoever names it sees to that.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._answers = {} if path is None else _read(path)

    def keys(self, kind: str, requests: Sequence[Any]) -> list[str]:
        """A key for each request; equal requests are numbered, because samples of one prompt differ."""
        seen: Counter[str] = Counter()
        keys = []
        for request in requests:
            plain = key(kind, request)
            keys.append(f"{plain}-{seen[plain]}")
            seen[plain] += 1
        return keys

    def recall(self, request: str) -> Any:
        """The answer to a request, or None."""
        return self._answers.get(request)

    def keep(self, request: str, answer: Any) -> None:
        if self.path is None:
            return
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([request, answer]) + "\n")
        self._answers[request] = answer

    def forget(self) -> None:
        """Remove the file: the answers have a better place."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """The answers in a file; a kill may have cut its last line, which is taken off."""
    if not path.exists():
        return {}
    answers, whole = {}, 0
    content = path.read_bytes()
    for line in content.splitlines(keepends=True):
        try:
            request, answer = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        answers[request] = answer
        whole += len(line)
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
    return answers
