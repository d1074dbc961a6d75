"""Sensitivity: how much of the loss is due to a layer's parameters, to first order."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data import Batch
from ..models import LanguageModel, run_trunk
from ..models.family import Role
from ..models.weights import Weight, layer_weights, matrix_name, oriented
from .base import Attribution, answer_loss, fixed_weights

Key = tuple[int, str]
"""A layer, and the name or the role of one of its weights."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity(Attribution, name="sensitivity"):
    """|parameter x gradient|, summed over all parameters of a layer: what each would cost if it were 0, to first order.

    A row's loss is the cross-entropy of its answer; absolute values are taken row by row, and averaged over rows (the
    source sums them: the order is the same). One forward and backward a row. Gradients are dropped as they are made,
    so the memory is that of the model, the activations of one row and one gradient.
    Source: Zhong et al. 2024, arXiv:2310.11451, section 3.1.
    """

    source = "Zhong et al. 2024, arXiv:2310.11451"
    reads_weights = True

    def score(self, model: LanguageModel, batches: Sequence[Batch]) -> Float[Tensor, "n_layer"]:
        totals = torch.zeros(model.n_layer, dtype=torch.float64)
        weights: dict[Key, Weight] = {
            (layer, name): weight
            for layer in range(model.n_layer)
            for name, weight in layer_weights(model, layer).items()
        }

        def add(key: Key, scores: Tensor) -> None:
            totals[key[0]] += scores.sum(dtype=torch.float64).cpu()

        return totals / _each(model, batches, weights, add)

    def weight_scores(
        self, model: LanguageModel, batches: Sequence[Batch], layers: Collection[int], roles: Collection[Role]
    ) -> dict[Key, Float[Tensor, "out in"]]:
        """A score for each weight of these layers' matrices, on the CPU: 4 bytes a weight in float32."""
        weights: dict[Key, Weight] = {
            (layer, role): layer_weights(model, layer)[matrix_name(model, role)] for layer in layers for role in roles
        }
        totals = {
            key: torch.zeros(weight.parameter.shape, dtype=_exact(weight.parameter.dtype))
            for key, weight in weights.items()
        }

        def add(key: Key, scores: Tensor) -> None:
            totals[key] += scores.cpu()

        n_row = _each(model, batches, weights, add)
        return {key: oriented(model, total.div_(n_row)) for key, total in totals.items()}


def _each(
    model: LanguageModel,
    batches: Sequence[Batch],
    weights: Mapping[Key, Weight],
    add: Callable[[Key, Tensor], None],
) -> int:
    """Add each weight's |value x gradient| for each row, and return how many rows there were."""
    n_row = 0
    with fixed_weights(model.module), torch.enable_grad(), ExitStack() as afterwards:
        for key, weight in weights.items():
            weight.parameter.requires_grad_(True)
            afterwards.callback(weight.parameter.requires_grad_, False)
            hook = weight.parameter.register_post_accumulate_grad_hook(_hook(key, weight, add))
            afterwards.callback(hook.remove)
        for row in _rows(batches):
            hidden = run_trunk(model, row.input_ids, row.attention_mask, encoder=row.encoder)
            answer_loss(model, hidden, row).sum().backward()
            n_row += 1
    return n_row


def _hook(key: Key, weight: Weight, add: Callable[[Key, Tensor], None]) -> Callable[[nn.Parameter], None]:
    def hook(parameter: nn.Parameter) -> None:
        exact = _exact(parameter.dtype)
        assert parameter.grad is not None
        add(key, (weight.value.to(exact) * parameter.grad.to(exact)).abs())
        parameter.grad = None

    return hook


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _rows(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Each row alone, without its padding."""
    for batch in batches:
        for i, name in enumerate(batch.ids):
            here = (slice(i, i + 1), slice(int(batch.attention_mask[i].sum())))
            yield Batch(
                [name],
                batch.input_ids[here],
                batch.attention_mask[here],
                batch.targets[here],
                batch.mask[here],
                encoder=batch.encoder and batch.encoder.row(i),
            )
