"""What `semalign attribute` measures: the scores, and how well they and others foretell single-layer ablation."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..attribution import Attribution
from ..attribution.occlusion import Occlusion
from ..config import Run
from ..data import Batch, Example
from ..errors import UserError
from ..evaluation.statistics import Interval
from ..models import LanguageModel
from ..prepare import load_model, pick_device, small_batches
from ..progress import Reporter
from ..results import encode_rows
from ..strategy import available
from .rank_correlation import interval, resampled_means, spearman
from .stages import attribution_of, tasks_of


@dataclass(frozen=True)
class Subject:
    """The teacher, and which rows its layers are scored on and ablated on."""

    teacher: LanguageModel
    scored: list[Example]
    ablated: list[Example]
    split: str
    """Where the ablated rows come from, in words."""

    def batches(self, rows: Sequence[Example]) -> list[Batch]:
        return small_batches(rows, self.teacher)


def subject(run: Run, *, check: bool) -> Subject:
    """Scored on the extract rows; ablated on the validation rows, or where there are none on half of the extract rows.

    Halves are cut only where they are needed, for `check`.
    """
    teacher = load_model(run, run.teacher, pick_device(run.device))
    rows = encode_rows(run, tasks_of(run), teacher)
    extract, validation = rows.split("extract"), rows.split("validation")
    if len(extract) < (1 if validation or not check else 2):
        names = ", ".join(task.name for task in rows.tasks)
        raise UserError(f"too few rows in split 'extract' of {names} ({len(extract)}); add a task that has some")
    if validation or not check:
        return Subject(teacher, extract, validation, "validation rows")
    return Subject(teacher, extract[::2], extract[1::2], "every other extract row (no validation rows)")


def measure(run: Run, subject: Subject) -> dict[str, Any]:
    """The scores of the run's attribution, as plain JSON."""
    attribution = attribution_of(run).seeded(run.seed)
    return {
        "attribution": label(attribution),
        "options": attribution.spec(),
        "teacher": subject.teacher.name,
        "rows": len(subject.scored),
        "seed": run.seed,
        "scores": attribution.score(subject.teacher, subject.batches(subject.scored)).tolist(),
        "config": run.plain(),
    }


def check(run: Run, subject: Subject, reporter: Reporter) -> dict[str, Any]:
    """Rank correlation of every attribution's scores with the loss increase of single-layer ablation on other rows.

    Intervals are over the ablated rows, drawn again within each task; the scores stay as they are.
    """
    with reporter.stage(f"ablating each layer on {len(subject.ablated)} rows"):
        rows = Occlusion().rows(subject.teacher, subject.batches(subject.ablated)).numpy()
    mean, draws = rows.mean(0), resampled_means(rows, [row.task for row in subject.ablated], seed=run.seed)
    found = []
    for attribution in _contenders(run):
        with reporter.stage(f"scoring layers by {label(attribution)}"):
            began = time.perf_counter()
            scores = attribution.score(subject.teacher, subject.batches(subject.scored)).numpy()
            spent = time.perf_counter() - began
        correlation = interval(float(spearman(scores, mean)), spearman(scores, draws))
        found.append(
            {
                "attribution": label(attribution),
                "options": attribution.spec(),
                "scores": scores.tolist(),
                "rank_correlation": None if correlation is None else correlation._asdict(),
                "seconds": spent,
            }
        )
    return {
        "split": subject.split,
        "rows": len(subject.ablated),
        "ablation": [_plain(interval(float(mean[i]), draws[:, i])) for i in range(len(mean))],
        "attributions": found,
    }


def label(attribution: Attribution) -> str:
    """The name, and the options that are not the default ones."""
    fields = dataclasses.fields(attribution)
    changed = {f.name: getattr(attribution, f.name) for f in fields if getattr(attribution, f.name) != f.default}
    options = ", ".join(f"{name} {value}" for name, value in changed.items() if name != "seed")
    return f"{attribution.name} ({options})" if options else attribution.name


def _contenders(run: Run) -> list[Attribution]:
    """The run's own first, then every other that needs no option, with its defaults."""
    ready: list[Any] = [
        cls()
        for cls in available("attribution").values()
        if all(f.default is not f.default_factory for f in dataclasses.fields(cls))  # pyright: ignore[reportArgumentType]  strategies are dataclasses
    ]
    own = attribution_of(run)
    return [a.seeded(run.seed) for a in (own, *(other for other in ready if other != own))]


def _plain(found: Interval | None) -> dict[str, float]:
    if found is None:
        raise UserError("the loss without a layer is not a number; the teacher's weights or its loss overflow")
    return found._asdict()


def order(scores: Sequence[float] | np.ndarray) -> list[int]:
    """Layers by score, highest first; of equal ones the shallower."""
    return sorted(range(len(scores)), key=lambda layer: (-scores[layer], layer))
