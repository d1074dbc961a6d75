"""What single stages start from: the models of a configuration and its rows."""

from ..attribution import Attribution
from ..attribution.gradient_x_activation import GradientXActivation
from ..config import Run
from ..contamination import load_tasks
from ..data import Batch, Task
from ..errors import UserError
from ..methods import MethodContext, Plan
from ..methods.semalign import SemAlign
from ..models import LanguageModel
from ..prepare import (
    check_models,
    extract_batches,
    load_model,
    method_context,
    pick_device,
    tokens_of,
)
from ..results import encode_rows
from ..two_tokenizers import compare_tokenizers, prompts_followed


def attribution_of(run: Run) -> Attribution:
    """What the run would use; for shrinking a teacher, and for methods without one, Gradient x Activation."""
    if isinstance(run.method, SemAlign):
        return run.method.attribution or GradientXActivation()
    return GradientXActivation()


def teacher_rows(run: Run) -> tuple[LanguageModel, list[Batch]]:
    """The teacher and its extract rows."""
    teacher = load_model(run, run.teacher, pick_device(run.device))
    return teacher, extract_batches(encode_rows(run, tasks_of(run), teacher), teacher)


def context_of(run: Run) -> MethodContext:
    """What the run's method may use."""
    tasks, device = tasks_of(run), pick_device(run.device)
    teacher, student = (load_model(run, part, device) for part in (run.teacher, run.student))
    check_models(run, student, teacher, tasks)
    rows = encode_rows(run, tasks, student, teacher)
    tokens = tokens_of(run, teacher, student)
    compare_tokenizers(rows, teacher, student, tokens)
    prompts_followed(run.methods.values(), rows, teacher, student)
    return method_context(run, rows, teacher, student, tokens)


def semalign_of(run: Run) -> SemAlign:
    """The run's method, which must be one that pairs layers."""
    if not isinstance(run.method, SemAlign):
        raise UserError(f"method '{run.method.name}' pairs no layers; take a configuration with method 'semalign'")
    return run.method


def plan(run: Run) -> Plan:
    return semalign_of(run).plan(context_of(run))


def tasks_of(run: Run) -> list[Task]:
    """Apart from what the run is scored on, as its configuration says."""
    return load_tasks(run)[0]
