"""Layer losses in the space of predictions: two states read through the student's final norm and head."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..losses import Loss
from ..models import LanguageModel

LOGITS_AT_ONCE = 2**24  # 64 MB of float32: chunks this size are as fast as larger ones


def lens_total(
    loss: Loss,
    student: LanguageModel,
    state: Float[Tensor, "n d_s"],
    target: Float[Tensor, "n d_s"],
    tokens: Int[Tensor, "n_token"],
) -> Float[Tensor, ""]:
    """A loss between logits, taken between two states read by logit lens; summed over tokens.

    In chunks of tokens whose logits are made again in the backward pass: memory does not grow with n x n_token.
    """

    def read(h: Tensor, aim: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = student.read(aim.to(student.head_weight.dtype))[:, tokens]
        everywhere = torch.ones(h.shape[0], dtype=torch.bool, device=h.device)
        return loss.total(student.read(h)[:, tokens], wanted, everywhere)

    size = max(1, LOGITS_AT_ONCE // student.head_weight.shape[0])
    if state.shape[0] <= size:
        return read(state, target)
    parts = zip(state.split(size), target.split(size), strict=True)
    chunks = [checkpoint(read, h, aim, use_reentrant=False) for h, aim in parts]
    return torch.stack([chunk for chunk in chunks if isinstance(chunk, Tensor)]).sum()
