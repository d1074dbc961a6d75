"""Log-probabilities of one token from any vector, with the final norm's statistic of the real last state."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import UserError
from ...losses.base import upcast
from ...models import LanguageModel

TOLERANCE = 0.02  # bfloat16 keeps eight bits; another norm is off by far more


class FixedLens:
    """Final norm and head, linear but for one scale a row: what the norm divides the row's real last state by.

    Of a sum of vectors it is then the sum of their images, so that thousands of neurons cost one matrix product.
    float32, or float64 for a model in float64. RMSNorm and LayerNorm, told apart by what they do.
    Source: Yu & Ananiadou 2024, arXiv:2312.12141 (the scale held fixed).
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.head = upcast(model.head_weight.detach())
        self.gain = upcast(model.final_gain.detach())
        shift, bias = getattr(model.norm, "bias", None), getattr(model.head, "bias", None)
        self.shift = torch.zeros_like(self.gain) if shift is None else upcast(shift.detach())
        self.constant = self.head @ self.shift + (0 if bias is None else upcast(bias.detach()))
        self.centred = _is_centred(model, self.gain, self.shift)

    def scale(self, h_last: Float[Tensor, " d"], normed: Float[Tensor, " d"]) -> Float[Tensor, ""]:
        """What the norm multiplied the last state by, from the state before and after it."""
        return _scale(self._straight(upcast(h_last)), upcast(normed) - self.shift)

    def image(self, vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n n_row"]:
        """The part of the head's output that is linear in the vectors, before the scale."""
        return self._straight(upcast(vectors)) @ self.head.T

    def log_p(self, scaled_images: Float[Tensor, "n n_row"], token: int) -> Float[Tensor, " n"]:
        """log p(token), in nats."""
        z = self.model.scaled(scaled_images + self.constant)
        return z[:, token] - z.logsumexp(-1)

    def _straight(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        if self.centred:
            vectors = vectors - vectors.mean(-1, keepdim=True)
        return self.gain * vectors


def _scale(straight: Tensor, normed: Tensor) -> Tensor:
    return (straight * normed).sum() / straight.square().sum()


def _is_centred(model: LanguageModel, gain: Tensor, shift: Tensor) -> bool:
    """Whether the norm takes the mean off; UserError for a norm that is neither RMSNorm nor LayerNorm."""
    probe = torch.linspace(-1, 2, model.width, dtype=model.head_weight.dtype, device=model.device).square()
    with torch.no_grad():
        normed = upcast(model.norm(probe[None])[0]) - shift
    for centred in (False, True):
        straight = gain * (upcast(probe) - (upcast(probe).mean() if centred else 0))
        if (_scale(straight, normed) * straight - normed).norm() < TOLERANCE * normed.norm():
            return centred
    raise UserError(
        f"{model.name}: the final norm is neither an RMSNorm nor a LayerNorm, so method 'laten' cannot read states "
        "through it with its scale held fixed"
    )
