"""Layer losses in the space of predictions: two states read through the student's final norm and head."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..losses import Loss
from ..losses.chunks import columns, sum_by_chunks
from ..models import LanguageModel


def lens_total(
    loss: Loss,
    student: LanguageModel,
    state: Float[Tensor, "n d_s"],
    target: Float[Tensor, "n d_s"],
    tokens: Int[Tensor, "n_token"],
) -> Float[Tensor, ""]:
    """A loss between logits, taken between two states read by logit lens; summed over tokens, by chunks of them."""

    def part(h: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            wanted = columns(student.read(target[rows].to(student.head_weight.dtype)), tokens)
        everywhere = torch.ones(len(h), dtype=torch.bool, device=h.device)
        total = loss.total(columns(student.read(h), tokens), wanted, everywhere)
        return total, total.unsqueeze(0)

    read_by = [*student.norm.parameters(), *student.head.parameters()]
    total, _ = sum_by_chunks(part, state, student.head_weight.shape[0], read_by)
    return total
