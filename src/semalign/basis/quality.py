"""How good a semantic map is: what survives it, per layer, and whether a mapped state says what the teacher says."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..data import Batch
from ..models import LanguageModel, Point, SharedTokens, Site, listen, run_trunk
from .base import Basis, SemanticMap, Vocabulary

POOR = 0.1  # top-1 agreement: a map with shuffled tokens reaches 0.04 (docs/maps.md)


def poor_map(quality: Mapping[str, Any]) -> list[str]:
    """A line where a map keeps hardly any of the teacher's predictions; `quality` is that of a plan."""
    found = quality.get("agreement_top1")
    return [f"{said_of(found)}; {TO_DO}"] if found is not None and found < POOR else []


def said_of(agreement_top1: float) -> str:
    """The figure in words."""
    return f"the mapped final state predicts the teacher's first choice at {agreement_top1:.0%} of the answer positions"


TO_DO = "choose another basis: 'semalign basis' shows every map on this pair"


@torch.no_grad()
def agreement(
    semantic_map: SemanticMap,
    teacher: LanguageModel,
    student: LanguageModel,
    tokens: SharedTokens,
    batches: Sequence[Batch],
) -> dict[str, Any]:
    """Does the mapped final state, read through the student's head, predict what the teacher predicts?

    Over answer positions and shared tokens: `agreement_top1` and `agreement_top5` are the shares of positions where the
    teacher's best token is the mapped state's best, or among its five best, in [0, 1]; `row_correlation` is the mean
    correlation of the two rows of logits, in [-1, 1].
    """
    total, n_position = torch.zeros(3, dtype=torch.float64), 0
    for batch in batches:
        own = batch.of_teacher
        state = run_trunk(teacher, own.input_ids, own.attention_mask, encoder=own.encoder)[own.mask]
        ours = student.logits(semantic_map(state).to(student.head_weight.dtype))[:, tokens.student]
        total += agreements(ours, teacher.logits(state)[:, tokens.teacher])
        n_position += state.shape[0]
    top1, top5, correlation = (total / n_position).tolist()
    return {
        "tokens_used": semantic_map.n_token,
        "condition": semantic_map.condition if isfinite(semantic_map.condition) else None,
        "agreement_top1": top1,
        "agreement_top5": top5,
        "row_correlation": correlation,
    }


def agreements(ours: Float[Tensor, "n n_token"], theirs: Float[Tensor, "n n_token"]) -> Float64[Tensor, "3"]:
    """Sums over positions: their best token is our best, is among our five best, correlation of the two rows."""
    ours, theirs = ours.float(), theirs.float()
    best = theirs.argmax(-1, keepdim=True)
    ranked = ours.topk(min(5, ours.shape[-1]), dim=-1).indices
    centred = [logits - logits.mean(-1, keepdim=True) for logits in (ours, theirs)]
    sums = (
        (ranked[:, :1] == best).sum(),
        (ranked == best).any(-1).sum(),
        cosine_similarity(*centred, dim=-1).double().sum(),
    )
    return torch.tensor([float(value) for value in sums], dtype=torch.float64)


@torch.no_grad()
def reconstruction(
    basis: Basis,
    model: LanguageModel,
    tokens: Int[Tensor, "n_token"],
    batches: Sequence[Batch],
    site: Site,
) -> Float[Tensor, "n_layer"]:
    """Mean cosine, per layer, of a state with its image after decomposition and recomposition in one model's basis.

    The curve of the paper's Fig. 2, in [-1, 1], over all real tokens of the batches. Random bases come close to 1
    wherever there are many more tokens than dimensions, so the curve proves nothing without that control beside it.
    """
    vocabulary = Vocabulary.of(model, tokens)
    image = basis.fit(vocabulary, vocabulary)
    points = [Point(site, layer) for layer in range(model.n_layer)]
    total, n_position = torch.zeros(model.n_layer, dtype=torch.float64), 0
    for batch in batches:
        with listen(model, points) as states:
            run_trunk(model, batch.input_ids, batch.attention_mask, encoder=batch.encoder)
        real = batch.attention_mask.bool()
        for layer, point in enumerate(points):
            state = states[point][real]
            cosines = cosine_similarity(state.float(), image(state).float(), dim=-1)
            total[layer] += cosines.double().sum().cpu()
        n_position += int(real.sum())
    return total / n_position
