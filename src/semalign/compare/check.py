"""What may stand in one table: the same tasks, rows, metrics and reference; and whether the budgets are equal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UserError
from .measured import Measured

BUDGET = {"steps": "steps", "train_tokens": "train tokens"}


def check_same(measured: Sequence[Measured]) -> None:
    """Refuse runs that were not measured alike, naming the first difference; rows need to be equal a seed."""
    first = measured[0]
    by_seed: dict[int, Measured] = {}
    for run in measured:
        _compare("the reference", first, run, first.reference, run.reference)
        for part in ("teacher", "student"):
            _compare(f"the {part}", first, run, first.whole[part]["model"], run.whole[part]["model"])
        _compare("tasks", first, run, list(first.scores), list(run.scores))
        for task, score in run.scores.items():
            _compare(f"metrics of {task}", first, run, first.scores[task].measured, score.measured)
            for part in ("split", "template"):
                there, here = (scores[task].protocol.get(part) for scores in (first.scores, run.scores))
                _compare(f"{part} of {task}", first, run, there, here)
        other = by_seed.setdefault(run.seed, run)
        for task, score in run.scores.items():
            _compare_rows(task, other, run, other.scores[task].ids, score.ids)


def _compare(what: str, first: Measured, other: Measured, there: Any, here: Any) -> None:
    if there != here:
        raise UserError(
            f"{other.folder}: {what} differ from those of {first.folder} ({_said(here)} here, {_said(there)} there); "
            "compare them apart"
        )


def _compare_rows(task: str, first: Measured, other: Measured, there: Sequence[str], here: Sequence[str]) -> None:
    if list(there) != list(here):
        strange = next((row for row in here if row not in set(there)), None)
        why = f"row '{strange}' is only here" if strange else f"{len(here)} here, {len(there)} there, or in other order"
        raise UserError(
            f"{other.folder}: rows of {task} for seed {other.seed} differ from those of {first.folder} ({why}); "
            "compare them apart"
        )


def check_budget(measured: Sequence[Measured]) -> list[str]:
    """One note for each part of the budget that is not the same for all trained students."""
    trained = [run for run in measured if run.role in ("control", "method")]
    notes = []
    for fact, words in BUDGET.items():
        by_seed: dict[int, dict[str, int]] = {}
        for run in trained:
            by_seed.setdefault(run.seed, {})[run.name] = run.facts[fact]
        uneven = [values for values in by_seed.values() if len(set(values.values())) > 1]
        if uneven:
            spread = [value for values in uneven for value in values.values()]
            notes.append(f"budgets differ: between {min(spread):,} and {max(spread):,} {words}{_unlike_most(uneven)}")
    batches = sorted({(run.whole["training"]["batch_size"], run.whole["training"]["epochs"]) for run in trained})
    if len(batches) > 1:
        notes.append(f"budgets differ: batch size and epochs are {', '.join(f'{b} and {e}' for b, e in batches)}")
    return notes


def _unlike_most(uneven: Sequence[Mapping[str, int]]) -> str:
    """Who differs, where more than half agree."""
    odd: dict[str, None] = {}
    for values in uneven:
        usual, n_usual = Counter(values.values()).most_common(1)[0]
        if 2 * n_usual > len(values):
            odd |= dict.fromkeys(name for name, value in values.items() if value != usual)
    return f" ({', '.join(odd)} unlike most)" if odd else ""


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
