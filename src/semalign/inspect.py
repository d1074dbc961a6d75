"""Single stages for the command line: attribution, pairing and map of a configuration, and shrinking its teacher."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from .attribution import Attribution
from .attribution.gradient_x_activation import GradientXActivation
from .config import Run
from .data import load_task
from .errors import UserError, unknown
from .methods import MethodContext, Plan
from .methods.semalign import SemAlign
from .models import LanguageModel, check_tokenizers, load, save_plain, shared_tokens
from .models import shrink as shrink_model
from .pipeline import EXTRACT_BATCH, extract_batches, load_model, pick_device
from .results import encode_rows

WAYS = ("attribution", "even")


def attribution_table(config: Path, overrides: Sequence[str]) -> Table:
    """Teacher layers by score, highest first."""
    run = Run.read(config, overrides)
    attribution = _attribution(run)
    scores = attribution.score(*_teacher_rows(run)).tolist()
    table = Table(title=f"attribution by {attribution.name}")
    for column in ("rank", "teacher layer", "score"):
        table.add_column(column, justify="right")
    for rank, layer in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), start=1):
        table.add_row(str(rank), str(layer), f"{scores[layer]:.4g}")
    return table


def pairing_table(config: Path, overrides: Sequence[str]) -> Table:
    """Pairs and their reasons."""
    table = Table(title="pairing")
    for column in ("student layer", "teacher layer", "reason"):
        table.add_column(column)
    for pair in _plan(Run.read(config, overrides)).pairs:
        layers = " + ".join(f"{weight:.2g} x {layer}" if weight < 1 else str(layer) for layer, weight in pair.teacher)
        table.add_row(str(pair.student), layers, pair.reason)
    return table


def basis_table(config: Path, overrides: Sequence[str]) -> Table:
    """Quality of the map: what of the teacher's predictions survives it."""
    table = Table("figure", "value", title="semantic map")
    for name, value in _plan(Run.read(config, overrides)).quality.items():
        table.add_row(name, "-" if value is None else f"{value:.4g}")
    return table


def shrink_teacher(config: Path, out: Path, *, layers: int, by: str, overrides: Sequence[str]) -> list[int]:
    """Write a model of the teacher's `layers` best (or evenly spaced) layers to `out`; returns those layers."""
    if by not in WAYS:
        raise unknown("way to choose layers", by, WAYS, "--by")
    if out.exists():
        raise UserError(f"{out}: already exists; choose another --out")
    run = Run.read(config, overrides)
    teacher = _as_in_the_files(run)
    n_layer = teacher.n_layer
    if not 0 < layers < n_layer:
        raise UserError(f"--layers {layers}: the teacher has {n_layer} layers; keep 1 to {n_layer - 1} of them")
    if by == "even":
        kept = [round(i * (n_layer - 1) / max(layers - 1, 1)) for i in range(layers)]
    else:
        scores = _attribution(run).score(*_teacher_rows(run)).tolist()
        kept = sorted(sorted(range(n_layer), key=lambda i: -scores[i])[:layers])
    smaller = shrink_model(teacher, kept)
    save_plain(smaller.module, smaller.tokenizer, out)
    return kept


def _as_in_the_files(run: Run) -> LanguageModel:
    """The teacher in the dtype of its files, unless the configuration names one: kept layers stay bit-identical."""
    part = run.teacher
    return load(
        run.model_path(part),
        revision=part.revision,
        dtype=part.dtype,
        device=pick_device(run.device),
        trust_remote_code=part.trust_remote_code,
    )


def _attribution(run: Run) -> Attribution:
    """What the run would use; for shrinking a teacher, and for methods without one, Gradient x Activation."""
    if isinstance(run.method, SemAlign):
        return run.method.attribution or GradientXActivation(site=run.method.site)
    return GradientXActivation()


def _teacher_rows(run: Run) -> tuple:
    """The teacher and its extract rows."""
    tasks = [load_task(spec, seed=run.seed, root=run.root) for spec in run.tasks]
    teacher = load_model(run, run.teacher, pick_device(run.device))
    rows = encode_rows(run, tasks, teacher)
    return teacher, extract_batches(rows, EXTRACT_BATCH, teacher)


def _plan(run: Run) -> Plan:
    if not isinstance(run.method, SemAlign):
        raise UserError(f"method '{run.method.name}' pairs no layers; take a configuration with method 'semalign'")
    teacher, extract = _teacher_rows(run)
    student = load_model(run, run.student, pick_device(run.device))
    check_tokenizers(teacher, student)
    tokens = shared_tokens(teacher, student)
    return run.method.plan(
        MethodContext(teacher=teacher, student=student, tokens=tokens, extract=extract, seed=run.seed)
    )
