"""KL probe: how far the output distribution moves when a block is skipped."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel
from .ablation import final_states
from .base import Attribution

LOGITS_AT_ONCE = 2**24  # 64 MB of float32 a distribution


@dataclass(frozen=True, kw_only=True)
class KLProbe(Attribution, name="kl_probe"):
    """KL(p || p without the block) of the next token at answer positions, in nats a token.

    The average is within each row first, then over rows. It asks what the layer does to the model's own prediction,
    right or wrong, so it looks at where the answers stand and not at what they say; never below 0, and 0 for a block
    that changes nothing. Costs half a forward a layer and batch.
    """

    source = "single-layer ablation; the divergence is that of Kullback and Leibler 1951"

    @torch.no_grad()
    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        parts = []
        for batch in batches:
            whole, ablated = final_states(model, batch)
            parts.append(torch.stack([_divergence(model, whole, hidden, batch) for hidden in ablated], dim=1))
        return torch.cat(parts).mean(0)


def _divergence(
    model: LanguageModel, whole: Float[Tensor, "b pos d"], ablated: Float[Tensor, "b pos d"], batch: Batch
) -> Float[Tensor, " b"]:
    """Of each row, in float64 on the CPU; logits are made for some answer tokens at a time."""
    size = max(1, LOGITS_AT_ONCE // model.head_weight.shape[0])
    parts = zip(whole[batch.mask].split(size), ablated[batch.mask].split(size), strict=True)
    tokens = torch.cat([_kl(_log_probabilities(model, p), _log_probabilities(model, q)) for p, q in parts]).double()
    owner = batch.mask.nonzero()[:, 0]
    sums = tokens.new_zeros(whole.shape[0]).index_add(0, owner, tokens)
    return (sums / batch.mask.sum(1).clamp(min=1)).cpu()


def _log_probabilities(model: LanguageModel, hidden: Float[Tensor, "tok d"]) -> Float[Tensor, "tok n_row"]:
    logits = model.logits(hidden)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)


def _kl(p: Float[Tensor, "tok n_row"], q: Float[Tensor, "tok n_row"]) -> Float[Tensor, " tok"]:
    return (p.exp() * (p - q)).sum(-1)
