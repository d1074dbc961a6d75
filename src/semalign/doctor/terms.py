"""Does every loss term pull, does none drown the others, and what do pairs and map look like."""

from collections.abc import Iterator

from ..basis.quality import POOR, TO_DO, said_of
from .finding import Finding
from .trial import Trial

DROWNED = 100  # a gradient so many times shorter than the longest changes nothing within a run


def examine_terms(trial: Trial) -> Iterator[Finding]:
    where = f"method {trial.name}"
    yield from _gradients(trial, where)
    if trial.plan.pairs:
        said = ", ".join(pair.label for pair in trial.plan.pairs[:4])
        more = ", ..." if len(trial.plan.pairs) > 4 else ""
        yield Finding("ok", f"{len(trial.plan.pairs)} pairs of layers ({said}{more})", where)
    agreement = trial.plan.quality.get("agreement_top1")
    if agreement is not None:
        poor = agreement < POOR
        yield Finding("warning" if poor else "ok", said_of(agreement), where, TO_DO if poor else "")


def _gradients(trial: Trial, where: str) -> Iterator[Finding]:
    if not trial.norms:
        severity = "error" if "train nothing" in trial.refused else "note"
        what_to_do = "change the site, the LoRA roles or the pairing" if severity == "error" else ""
        yield Finding(severity, f"gradient norms were not measured: {trial.refused}", where, what_to_do)
        return
    longest = max(trial.norms.values())
    said = ", ".join(f"{name} {norm:.3g}" for name, norm in trial.norms.items())
    drowned = [name for name, norm in trial.norms.items() if norm * DROWNED < longest or not norm]
    if drowned:
        yield Finding(
            "warning",
            f"{', '.join(drowned)}: gradient over {DROWNED} times shorter than the longest, or 0 ({said})",
            where,
            "raise its weight, lower the longest one's, set 'balance: true', or leave the term out",
        )
    else:
        yield Finding("ok", f"gradient norm of each weighted term on one micro-batch: {said}", where)
