"""What single stages start from: the models of a configuration and its rows."""

from ..attribution import Attribution
from ..attribution.gradient_x_activation import GradientXActivation
from ..config import Run
from ..data import load_task
from ..errors import UserError
from ..methods import MethodContext, Plan
from ..methods.semalign import SemAlign
from ..models import check_tokenizers, shared_tokens
from ..pipeline import EXTRACT_BATCH, extract_batches, load_model, pick_device
from ..results import encode_rows


def attribution_of(run: Run) -> Attribution:
    """What the run would use; for shrinking a teacher, and for methods without one, Gradient x Activation."""
    if isinstance(run.method, SemAlign):
        return run.method.attribution or GradientXActivation(site=run.method.site)
    return GradientXActivation()


def teacher_rows(run: Run) -> tuple:
    """The teacher and its extract rows."""
    tasks = [load_task(spec, seed=run.seed, root=run.root) for spec in run.tasks]
    teacher = load_model(run, run.teacher, pick_device(run.device))
    rows = encode_rows(run, tasks, teacher)
    return teacher, extract_batches(rows, EXTRACT_BATCH, teacher)


def plan(run: Run) -> Plan:
    if not isinstance(run.method, SemAlign):
        raise UserError(f"method '{run.method.name}' pairs no layers; take a configuration with method 'semalign'")
    teacher, extract = teacher_rows(run)
    student = load_model(run, run.student, pick_device(run.device))
    check_tokenizers(teacher, student)
    tokens = shared_tokens(teacher, student)
    return run.method.plan(
        MethodContext(teacher=teacher, student=student, tokens=tokens, extract=extract, seed=run.seed)
    )
