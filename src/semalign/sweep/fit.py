"""Whether runs fit their models: asked of all of them before the first one starts."""

from collections.abc import Sequence

from ..config import Run
from ..data import Task, load_task
from ..errors import UserError
from ..prepare import check_models, load_model, pick_device


def check_runs(runs: Sequence[tuple[str, Run]]) -> None:
    """Refuse the first run that does not fit, by its name. Each pair of models is loaded once, and let go."""
    by_models: dict[str, list[tuple[str, Run]]] = {}
    for name, run in runs:
        by_models.setdefault(str([run.student, run.teacher, run.device]), []).append((name, run))
    loaded: dict[str, list[Task]] = {}
    for group in by_models.values():
        first = group[0][1]
        device = pick_device(first.device)
        student, teacher = (load_model(first, part, device) for part in (first.student, first.teacher))
        for name, run in group:
            try:
                check_models(run, student, teacher, _tasks(run, loaded))
            except UserError as error:
                raise UserError(f"{name}: {error}") from None


def _tasks(run: Run, loaded: dict[str, list[Task]]) -> list[Task]:
    """The rows of a run, read once for all that have the same."""
    place = str(run.data)
    if place not in loaded:
        loaded[place] = [load_task(spec, seed=run.seed, root=run.root) for spec in run.tasks]
    return loaded[place]
