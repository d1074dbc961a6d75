"""Steps that went wrong: found, written down, and left out or not, as the options say."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from ..artifacts import read_json, write_json
from ..errors import UserError
from .options import TrainingOptions

WINDOW = 50  # steps whose median loss a spike stands out from
FEWEST = 8  # steps before a median says what is usual
MOST = 10  # mishaps a training may have: with more, it is not the batches that are at fault


class Mishaps:
    """What went wrong in a training, in mishaps.json: kept over stops, so that a resumed training does the same.

    An entry holds the `step` and the `reason`; `first` and `step` are the steps whose batches are left out. Leaving
    batches out from a checkpoint on: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5.1.
    """

    def __init__(self, folder: Path, options: TrainingOptions) -> None:
        self.folder, self.options = folder, options
        self.path = folder / "mishaps.json"
        self.entries: list[dict[str, Any]] = read_json(self.path) if self.path.exists() else []

    def left_out(self, step: int) -> bool:
        return any(entry["first"] <= step <= entry["step"] for entry in self._left_out())

    def outdated(self, checkpoint: int) -> bool:
        """Whether a checkpoint holds steps that training has gone back behind."""
        return any(entry["first"] < checkpoint <= entry["step"] for entry in self._left_out())

    def damaged(self, checkpoint: int) -> None:
        if {"checkpoint": checkpoint} not in self.entries:
            self._add(checkpoint=checkpoint)

    def reason(self, entry: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> str | None:
        """What is wrong with a step, in words; `before` are the entries of the steps that changed weights before it."""
        loss, bad = entry["loss"], [term for term, value in entry["terms"].items() if not math.isfinite(value)]
        if not (math.isfinite(loss) and math.isfinite(entry["grad_norm"])):
            what = f"loss term '{bad[0]}'" if bad else "gradient"
            return f"the {what} is not a finite number"
        factor, recent = self.options.spike_factor, [step["loss"] for step in before[-WINDOW:]]
        if factor is not None and len(recent) >= FEWEST and loss > factor * (usual := median(recent)) > 0:
            return f"the loss jumped to {loss:.4g} (median {usual:.4g})"
        return None

    def handle(
        self,
        step: int,
        reason: str,
        rows: Sequence[str],
        batch: Mapping[str, Any],
        before: Sequence[Mapping[str, Any]],
    ) -> None:
        """Save the batch, and write down what is left out; UserError where training stops. `before` as in `reason`."""
        place = Path("bad_batches") / f"step-{step}.json"
        write_json(self.folder / place, {"step": step, "reason": reason, **batch})
        named = f"rows of the batch: {', '.join(rows[:4])}{', ...' if len(rows) > 4 else ''}"
        if self.options.on_trouble == "stop":
            raise UserError(
                f"training stopped at step {step}: {reason} ({named}); lower the learning rate or look at these rows, "
                f"which are in {self.folder / place}"
            )
        if len(self._left_out()) == MOST:
            raise UserError(
                f"training stopped at step {step}: {reason} ({named}), after batches had been left out {MOST} times; "
                f"lower the learning rate or look at {self.folder / 'bad_batches'}"
            )
        first = step
        if self.options.on_trouble == "roll_back" and before:  # at least the last update is undone
            first = before[-1]["step"] // self.options.checkpoint_every * self.options.checkpoint_every
        self._add(first=first, step=step, reason=reason, batch=str(place))

    def in_words(self) -> list[str]:
        """A line for each, for people."""
        return [_line(entry) for entry in self.entries]

    def _left_out(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if "first" in entry]

    def _add(self, **entry: Any) -> None:
        self.entries.append(entry)
        write_json(self.path, self.entries)


def plain_number(value: float) -> float | str:
    """A number as JSON can hold it: what is not finite becomes its name."""
    return value if math.isfinite(value) else str(value)


def _line(entry: Mapping[str, Any]) -> str:
    if "checkpoint" in entry:
        return f"checkpoint-{entry['checkpoint']} was damaged; training went on from the last good state before it"
    first, step = entry["first"], entry["step"]
    which = f"the batch of step {step} was" if first == step else f"the batches of steps {first} to {step} were"
    return f"{which} left out: {entry['reason']} at step {step} (rows and losses in {entry['batch']})"
