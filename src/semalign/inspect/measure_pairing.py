"""The measurements behind `semalign pair`, as plain JSON: the run's pairs, and every pairing side by side."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, cast

from ..config import Run
from ..errors import UserError
from ..models import Encoder, LanguageModel
from ..pairing import Pair, Pairing, PairingContext
from ..pairing.attention_patterns import attention_similarity
from ..pairing.monotone_cka import MonotoneCKA
from ..pairing.similarity import LIMIT, layer_similarity
from ..progress import Reporter, Watched
from ..strategy import available
from .stages import attribution_of, context_of, semalign_of


def measure(run: Run, reporter: Reporter | None = None) -> dict[str, Any]:
    """All figures of `semalign pair`; similarity and attribution are measured on the extract rows."""
    method, reporter = semalign_of(run), reporter or Reporter(quiet=True)
    with reporter.stage("loading the models"):
        context = method.seen(context_of(run))
    teacher, student = context.teacher, context.student
    site = method.pairing.similarity_site or method.site
    with reporter.stage("comparing the layers' states", len(context.extract)) as advance:
        similarity = layer_similarity(teacher, student, context.extract, site, advance)
    scores = None
    if not isinstance(teacher, Encoder):  # attributions score the layers of decoders
        with reporter.stage("scoring the teacher's layers", len(context.extract)) as advance:
            rows = Watched(context.teacher_extract, advance)
            scores = attribution_of(run).seeded(run.seed).score(teacher, rows).tolist()
    asked = PairingContext(n_teacher=teacher.n_layer, n_student=student.n_layer, scores=scores, similarity=similarity)
    pairing = method.pairing.seeded(run.seed)
    with reporter.stage("comparing attention patterns", len(context.extract)) as advance:
        alike = attention_similarity(teacher, student, context.extract, advance)
    patterns = None if alike is None else {"mean": float(alike.mean()), "values": alike.tolist()}
    return {
        "teacher": {"name": teacher.name, "width": teacher.width},
        "student": {"name": student.name, "width": student.width},
        "site": site,
        "positions": min(LIMIT, sum(int(batch.followed.sum()) for batch in context.extract)),
        "pairing": label(pairing),
        "pairs": [
            {
                **pair.plain(),
                "cka": mixed(pair, similarity.tolist()),
                "attention": None if patterns is None else mixed(pair, patterns["values"]),
            }
            for pair in pairing.pair(asked)
        ],
        "similarity": similarity.tolist(),
        "attention": patterns,
        "attention_left_out": None if patterns else _left_out(teacher, student),
        "attribution": asked.scores,
        "pairings": [_row(each, asked) for each in (pairing, *_others(pairing, run.seed))],
    }


def _left_out(teacher: LanguageModel, student: LanguageModel) -> str:
    """Why there are no attention patterns."""
    if teacher.is_encoder_decoder or student.is_encoder_decoder:
        return "those of encoder-decoders are not; those of an encoder are, with 'part: encoder'"
    return "one of the models does not give its attention weights"


def label(pairing: Pairing) -> str:
    """The name with the options that are not the default, as in a configuration: `monotone_cka strict=true`."""
    given = [
        f"{field.name}={json.dumps(getattr(pairing, field.name))}"
        for field in dataclasses.fields(pairing)
        if field.name not in ("seed", "pairs") and getattr(pairing, field.name) != field.default
    ]
    return " ".join((pairing.name, *given))


def mixed(pair: Pair, similarity: Sequence[Sequence[float]]) -> float:
    """The similarity of a student layer with the layers it follows, in [0, 1]: their weighted mean where two."""
    return sum(weight * similarity[pair.student][layer] for layer, weight in pair.teacher)


def _others(pairing: Pairing, seed: int) -> list[Pairing]:
    """Every pairing that needs no list of the user's, with as many pairs as it has."""
    found: list[Any] = [MonotoneCKA(strict=True)]
    for cls in available("pairing").values():
        fields = {field.name for field in dataclasses.fields(cast(Any, cls))}
        if "pairs" not in fields:
            found.append(cast(Any, cls)(**({"count": None} if "count" in fields else {})))
    found = sorted((each.seeded(seed) for each in found), key=label)
    return [each for each in found if each != pairing]


def _row(pairing: Pairing, asked: PairingContext) -> dict[str, Any]:
    """What the pairs of a pairing have in common; `refused` says why there are none."""
    uses = [kind for kind in ("attribution", "similarity") if getattr(pairing, f"uses_{kind}")]
    row: dict[str, Any] = {"pairing": label(pairing), "uses": uses, "source": pairing.source}
    if pairing.uses_attribution and asked.scores is None:
        return {**row, "pairs": [], "refused": "ranks decoder layers"}
    try:
        pairs = pairing.pair(asked)
    except UserError as error:
        return {**row, "pairs": [], "refused": str(error)}
    assert asked.similarity is not None
    ckas = [mixed(pair, asked.similarity.tolist()) for pair in pairs]
    depths = [sum(layer * weight for layer, weight in pair.teacher) for pair in pairs]
    return {
        **row,
        "refused": None,
        "pairs": [[pair.student, depth] for pair, depth in zip(pairs, depths, strict=True)],
        "n_teacher": len({layer for pair in pairs for layer, _ in pair.teacher}),
        "in_order": depths == sorted(depths),
        "mean_cka": sum(ckas) / len(ckas),
        "lowest_cka": min(ckas),
    }
