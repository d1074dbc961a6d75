"""Whether runs fit their models and rows: asked of all of them before the first one starts."""

from collections.abc import Sequence

from ..config import Run
from ..contamination import load_tasks
from ..errors import UserError
from ..methods import Method
from ..models import LanguageModel
from ..prepare import check_benchmarks, check_models, load_model, pick_device, refuse_empty, unused_prompts
from ..results import Rows, encode_rows


def check_runs(runs: Sequence[tuple[str, Run]]) -> list[str]:
    """Refuse the first run that does not fit, by its name; a line where the teacher answers prompts for none of them.

    Each pair of models is loaded once, and let go.
    """
    told: dict[str, None] = {}
    by_models: dict[str, list[tuple[str, Run]]] = {}
    for name, run in runs:
        by_models.setdefault(str([run.student, run.teacher, run.device]), []).append((name, run))
    for group in by_models.values():
        first = group[0][1]
        device = pick_device(first.device)
        student, teacher = (load_model(first, part, device) for part in (first.student, first.teacher))
        known: dict[str, Rows] = {}
        methods: dict[str, list[Method]] = {}
        for name, run in group:
            try:
                check_benchmarks(run)
                rows = _rows(run, student, known)
                methods.setdefault(_place(run), []).extend(run.methods.values())
                check_models(run, student, teacher, rows.tasks)
                refuse_empty(run, rows)
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
        for place, rows in known.items():
            told |= dict.fromkeys(unused_prompts(methods[place], rows))
    return list(told)


def _rows(run: Run, student: LanguageModel, known: dict[str, Rows]) -> Rows:
    """The rows of a run as tokens, read once for all that have the same."""
    place = _place(run)
    if place not in known:
        known[place] = encode_rows(run, load_tasks(run)[0], student)
    return known[place]


def _place(run: Run) -> str:
    return str((run.data, run.evaluation))
