"""Where the layers of two models look: how alike their attention patterns are, beside how alike their states are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel, evaluating
from ..progress import Advance, silent
from .similarity import spread

LIMIT = 512
"""Query positions looked at, at equal distances in reading order: a mean is known to 0.01 then."""


@torch.no_grad()
def attention_similarity(
    teacher: LanguageModel, student: LanguageModel, batches: Sequence[Batch], advance: Advance = silent
) -> Float64[Tensor, "n_student n_teacher"] | None:
    """How alike the attention patterns of each student layer and each teacher layer are, in [0, 1]; 1 is the same.

    Two heads are compared at every answer token by the Bhattacharyya coefficient of what they attend to, sum_k sqrt(p_k
    q_k); a student layer's similarity with a teacher layer is the mean over its heads of the most similar teacher head.
    The first token, on which most heads rest when nothing is to be done (Xiao et al. 2023, arXiv:2309.17453), is left
    out. Where the models read other tokens, attention is summed over the text that lies between two positions at which
    both have read the same. None where a model does not give its attention weights, or is an encoder-decoder, whose
    encoder alone can be compared.
    """
    if teacher.is_encoder_decoder or student.is_encoder_decoder:  # whose decoder looks at two places
        return None
    sums: Tensor | None = None
    n_query = 0
    places = spread([batch.followed for batch in batches], LIMIT)
    for done, (batch, place) in enumerate(zip(batches, places, strict=True), start=1):
        for row in range(len(batch.ids)):
            ours, theirs = aligned_positions(batch, row)
            asked = place[row, ours].nonzero()[:, 0]
            asked = asked[asked > 0].cpu()
            if not len(asked):
                continue
            own = batch.of_teacher
            sides = (
                (student, batch.input_ids[row, : int(batch.attention_mask[row].sum())], ours),
                (teacher, own.input_ids[row, : int(own.attention_mask[row].sum())], theirs),
            )
            roots = [_roots(model, ids, positions, asked) for model, ids, positions in sides]
            if roots[0] is None or roots[1] is None:
                return None
            found = torch.einsum("lhx,mgx->lhmg", *roots)
            sums = found if sums is None else sums + found
            n_query += len(asked)
        advance(done, len(batches))
    if sums is None:
        return None
    return (sums / n_query).amax(3).mean(1)


def aligned_positions(batch: Batch, row: int) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
    """The student's positions of a row at which the teacher has read the same text, and the teacher's."""
    ours = batch.aligned[row].nonzero()[:, 0]
    return ours, ours if batch.teacher is None else batch.teacher.last[row, ours]


def _roots(
    model: LanguageModel, ids: Int[Tensor, "pos"], positions: Int[Tensor, "n"], asked: Int[Tensor, "q"]
) -> Float64[Tensor, "n_layer n_head x"] | None:
    """Square roots of each head's attention from the asked positions to the text between aligned ones, flattened."""
    with evaluating(model.module), _plain_attention(model):
        output = model.trunk(input_ids=ids.unsqueeze(0), use_cache=False, output_attentions=True)
    weights = getattr(output, "attentions", None)
    if not weights or len(weights) != model.n_layer or any(layer is None for layer in weights):
        return None
    return torch.stack([_pooled(layer[0].double().cpu(), positions.cpu(), asked) for layer in weights])


def _pooled(
    weights: Float[Tensor, "n_head pos pos"], positions: Int[Tensor, "n"], asked: Int[Tensor, "q"]
) -> Float64[Tensor, "n_head x"]:
    up_to = weights[:, positions[asked]].cumsum(-1)[..., positions]
    between = up_to.diff(dim=-1).clamp(min=0)  # nothing up to the first aligned position is looked at
    share = between / between.sum(-1, keepdim=True).clamp(min=torch.finfo(between.dtype).tiny)
    return share.sqrt().flatten(1)


@contextmanager
def _plain_attention(model: LanguageModel) -> Iterator[None]:
    """Attention that gives its weights: the fused kinds never have them."""
    module = model.module
    before = module.config._attn_implementation or "eager"
    module.set_attn_implementation("eager")
    try:
        yield
    finally:
        module.set_attn_implementation(before)
