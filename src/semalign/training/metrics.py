"""metrics.jsonl: one line a step, cut back to the step that training goes on from."""

import json
from pathlib import Path
from typing import Any

from .. import ranks
from ..artifacts import disk_errors, write_text
from ..errors import UserError
from ..tracking import Log


class Metrics:
    """What was measured at each step so far, left-out ones among them."""

    def __init__(self, path: Path, start: int, log: Log | None = None) -> None:
        """`log` gets every entry too, after it was written."""
        self.path, self.log = path, log
        self.entries: list[dict[str, Any]] = []
        self.trained: list[dict[str, Any]] = []
        """Entries of the steps that changed weights."""
        lines = path.read_text(encoding="utf-8").splitlines()[:start] if path.exists() else []
        try:
            self.entries = [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            self.entries = []
        if len(self.entries) < start:
            raise UserError(
                f"{path}: does not hold the {start} steps that are done; delete {path.parent} to train from the start"
            )
        self.cut(start)

    def cut(self, start: int) -> None:
        """Forget the steps from `start` on."""
        del self.entries[start:]
        self.trained = [entry for entry in self.entries if "loss" in entry]
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    def write(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        self.trained += [entry] if "loss" in entry else []
        if not ranks.is_first():
            return
        with disk_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if self.log:
            self.log(entry)
