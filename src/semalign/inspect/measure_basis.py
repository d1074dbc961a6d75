"""The measurements behind `semalign basis`, as plain JSON: the run's map pair by pair, and every map side by side."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..basis import Basis, MapContext, SemanticMap
from ..basis.cosine import Cosine
from ..basis.input_side import InputSide
from ..basis.logit import Logit
from ..basis.pair_quality import final_map, pair_quality
from ..basis.permuted import Permuted
from ..basis.quality import agreement, reconstruction
from ..basis.random import Random
from ..config import Run
from ..errors import UserError
from ..methods import MethodContext
from ..pairing import Pair
from ..progress import Reporter
from ..strategy import available
from .stages import context_of, semalign_of

CONTROLS: tuple[Basis, ...] = (Cosine(), InputSide(), Random(), Permuted())
"""The paper's Fig. 2 with the controls it needs."""
FINAL_FIGURES = ("agreement_top1", "agreement_top5", "row_correlation")


def measure(run: Run, reporter: Reporter | None = None) -> dict[str, Any]:
    """All figures of `semalign basis`; maps are fitted on the calibration rows and measured on the extract rows."""
    method, reporter = semalign_of(run), reporter or Reporter(quiet=True)
    with reporter.stage("loading the models and fitting the map"):
        context = context_of(run)
        plan = method.plan(context)
        context = method.seen(context)
    basis = method.basis.seeded(run.seed)
    fitting = MapContext(
        teacher=context.teacher,
        student=context.student,
        tokens=context.tokens,
        batches=context.calibration,
        pairs={pair.student: pair.teacher for pair in plan.pairs},
        site=method.site,
    )
    held = dataclasses.replace(fitting, batches=context.extract)
    maps, rows = [basis, *(other.seeded(run.seed) for other in _others(basis))], []
    with reporter.stage("measuring every map") as advance:
        for other in maps:
            rows.append(_row(other, fitting, held, context))
            advance(len(rows), len(maps))
    with reporter.stage("reconstructing each layer"):
        reconstructed = _curves(basis, context, fitting)
    return {
        "teacher": context.teacher.name,
        "student": context.student.name,
        "site": method.site,
        "basis": label(basis),
        "rows": {"fitted": _n_row(context.calibration), "measured": _n_row(context.extract)},
        "tokens": len(context.tokens),
        "final": _final(final_map(basis, plan.maps, fitting), context),
        "pairs": _pairs(plan.pairs, plan.maps, pair_quality(plan.maps, held, keeps_norm=basis.keeps_norm)),
        "reconstruction": reconstructed,
        "maps": rows,
    }


def label(basis: Basis) -> str:
    """The name with the options that are not the default, `logit fold_final_norm=True`."""
    fields = [field for field in dataclasses.fields(basis) if field.name != "seed"]
    usual = type(basis)()
    changed = [field.name for field in fields if getattr(basis, field.name) != getattr(usual, field.name)]
    values = ((name, getattr(basis, name)) for name in changed)
    return " ".join(
        [basis.name, *(f"{name}={value.name if isinstance(value, Basis) else value}" for name, value in values)]
    )


def _others(basis: Basis) -> list[Basis]:
    """Every map that there is, and the variants that answer a question: norms folded in, the logit map spoilt."""
    every: list[Any] = [cls() for cls in available("basis").values()]
    every += [Logit(fold_final_norm=True), Permuted(of=Logit())]
    return [other for other in every if label(other) != label(basis)]


def _n_row(batches: Sequence[Any]) -> int:
    return sum(len(batch.ids) for batch in batches)


def _final(semantic_map: SemanticMap, context: MethodContext) -> dict[str, Any]:
    """At the state that the head reads; without agreement where the map does not end at the student's width, or where
    the layers are an encoder's."""
    if semantic_map.width != context.student.width or not context.student.has_lens:
        return {"tokens_used": semantic_map.n_token, "condition": None, **dict.fromkeys(FINAL_FIGURES)}
    return agreement(semantic_map, context.teacher, context.student, context.tokens, context.extract)


def _pairs(
    pairs: Sequence[Pair], maps: Mapping[int, SemanticMap], quality: Mapping[int, dict[str, Any]]
) -> list[dict[str, Any]]:
    return [{**pair.plain(), **quality[pair.student], "map": maps[pair.student].about()} for pair in pairs]


def _curves(basis: Basis, context: MethodContext, fitting: MapContext) -> dict[str, dict[str, list[float]]]:
    """By model and basis, the cosine of each layer's states with their decomposed and recomposed images."""
    own = () if basis.uses_states or label(basis) in {label(control) for control in CONTROLS} else (basis,)
    return {
        side: {
            label(each): reconstruction(each, model, tokens, rows, fitting.site).tolist() for each in (*own, *CONTROLS)
        }
        for side, model, tokens, rows in (
            ("teacher", context.teacher, context.tokens.teacher, context.teacher_extract),
            ("student", context.student, context.tokens.student, context.extract),
        )
    }


def _row(basis: Basis, fitting: MapContext, held: MapContext, context: MethodContext) -> dict[str, Any]:
    """A line of the table over all maps: means over pairs, or why this map cannot be had."""
    try:
        maps = basis.fit_pairs(fitting)
        final = final_map(basis, maps, fitting)
    except UserError as error:
        return {"basis": label(basis), "refused": str(error)}
    quality = list(pair_quality(maps, held, keeps_norm=basis.keeps_norm).values())
    means = {name: _mean([pair[name] for pair in quality]) for name in quality[0]}
    return {"basis": label(basis), "recovers": basis.recovers, "refused": None, **_final(final, context), **means}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
