"""`semalign shrink`: a student made of some of the teacher's layers."""

from collections.abc import Sequence
from pathlib import Path

from ..config import Run
from ..errors import UserError, unknown
from ..models import LanguageModel, load, save_plain
from ..models import shrink as shrink_model
from ..prepare import pick_device
from .stages import attribution_of, teacher_rows

WAYS = ("attribution", "even")


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
        scores = attribution_of(run).score(*teacher_rows(run)).tolist()
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
