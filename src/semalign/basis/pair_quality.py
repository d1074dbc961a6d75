"""How good the maps of a pairing are where they are used: at the paired layers, on rows that nothing was fitted to."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ..linalg.cka import linear_cka
from ..linalg.gram import row_blocks
from .base import Basis, MapContext, SemanticMap
from .quality import agreements
from .states import paired_states

LIMIT = 1024
"""Positions looked at, evenly taken: CKA grows with their square, and a share is known to 0.03 then."""
READ = 256
"""Positions read through the heads, of those: agreement is known to 0.03 then, and a real vocabulary takes seconds."""
BLOCK = 128  # positions whose logits are held at once: 78 MB in float32 for a vocabulary of 152,000


def final_map(basis: Basis, maps: Mapping[int, SemanticMap], context: MapContext) -> SemanticMap:
    """The map of the state that the head reads: the one all pairs share, or for maps of states one fitted there."""
    if not basis.uses_states:
        return next(iter(maps.values()))
    return basis.fit_pairs(dataclasses.replace(context, site="final", pairs={-1: ((-1, 1.0),)}))[-1]


@torch.no_grad()
def pair_quality(maps: Mapping[int, SemanticMap], held: MapContext, *, keeps_norm: bool) -> dict[int, dict[str, Any]]:
    """By student layer, at the answer positions of `held.batches`:

    - `explained_variance`: 1 - |y - M x|^2 / |y - mean y|^2 over all channels, 1 is exact, None for maps that throw the
      norm away; `explained_scaled`: the same after the best scale >= 0 and shift, in [0, 1];
    - `cosine`: mean cosine of mapped state and student state, in [-1, 1];
    - `cka_before`, `cka_after`: linear CKA of the teacher's and of the mapped states with the student's, in [0, 1];
    - `lens_top1`, `lens_top5`, `lens_correlation`: agreement of the mapped state, read by the student's final norm and
      head, with the teacher's state, read by the teacher's (logit lens), on the shared tokens.

    None where a map does not end at the student's width, the last three also where the layers are an encoder's. `y` is
    the untouched student's state: a map that explains it well asks for little change.
    """
    states = _collect(held)
    return {
        layer: _measures(semantic_map, held, *states[layer], keeps_norm=keeps_norm)
        for layer, semantic_map in maps.items()
    }


def explained_variance(y: Float[Tensor, "n d"], mapped: Float[Tensor, "n d"]) -> float:
    """Share of the variance of y, all channels pooled, that `mapped` accounts for: (-inf, 1]."""
    y, mapped = y.double(), mapped.double()
    return float(1 - (y - mapped).square().sum() / (y - y.mean(0)).square().sum())


def explained_scaled(y: Float[Tensor, "n d"], mapped: Float[Tensor, "n d"]) -> float:
    """The same after the best scale >= 0 and shift of `mapped`: [0, 1]."""
    y, mapped = (states.double() - states.double().mean(0) for states in (y, mapped))
    size = y.norm() * mapped.norm()
    return float(((y * mapped).sum() / size).clamp(min=0).square()) if size > 0 else 0.0


def _collect(held: MapContext) -> dict[int, tuple[Tensor, Tensor]]:
    """Teacher and student states of each pair."""
    every = max(1, -(-sum(batch.n_supervised for batch in held.batches) // LIMIT))
    found: dict[int, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in held.pairs}
    for batch in held.batches:
        for states in paired_states(held, batch, "answer"):
            found[states.student_layer].append((states.x[::every], states.y[::every]))
    return {layer: (torch.cat([x for x, _ in part]), torch.cat([y for _, y in part])) for layer, part in found.items()}


def _measures(semantic_map: SemanticMap, held: MapContext, x: Tensor, y: Tensor, *, keeps_norm: bool) -> dict[str, Any]:
    mapped = semantic_map(x.to(torch.promote_types(x.dtype, torch.float32)))
    fits = semantic_map.width == held.student.width
    every = max(1, -(-len(x) // READ))
    read = fits and held.student.has_lens
    top1, top5, correlation = _lens(mapped[::every], x[::every], held) if read else (None, None, None)
    return {
        "explained_variance": explained_variance(y, mapped) if fits and keeps_norm else None,
        "explained_scaled": explained_scaled(y, mapped) if fits else None,
        "cosine": float(cosine_similarity(y.to(mapped), mapped, dim=-1).mean()) if fits else None,
        "cka_before": linear_cka(x, y),
        "cka_after": linear_cka(mapped, y),
        "lens_top1": top1,
        "lens_top5": top5,
        "lens_correlation": correlation,
    }


def _lens(mapped: Tensor, x: Tensor, held: MapContext) -> list[float]:
    total = torch.zeros(3, dtype=torch.float64)
    teacher, student = held.teacher, held.student
    for rows in row_blocks(len(x), BLOCK):
        ours = student.read(mapped[rows].to(student.head_weight.dtype))[:, held.tokens.student]
        theirs = teacher.read(x[rows].to(teacher.head_weight))[:, held.tokens.teacher]
        total += agreements(ours, theirs.to(ours.device))
    return (total / len(x)).tolist()
