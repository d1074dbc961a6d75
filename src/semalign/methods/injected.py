"""Methods whose LoRA starts at a low-rank part of given weights: PiSSA the student's own, SEEKING the teacher's."""

import abc
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UserError
from ..losses.cross_entropy import CrossEntropy
from ..models import LanguageModel, lora_targets
from ..models.weights import layer_weights, oriented
from ..training import LoraOptions
from .base import LoopMethod, MethodContext, Plan
from .step import Stage, Step

Start = Literal["zero", "principal"]
"""Where LoRA starts: at zero, or at the principal part of the student's own weights (PiSSA)."""


@dataclass(frozen=True, kw_only=True)
class Injected(LoopMethod, abc.ABC):
    """LoRA fine-tuning on the gold answers that starts at factors B0, A0 of the plan, with W - B0 A0 as the base."""

    def check_lora(self, teacher: LanguageModel, student: LanguageModel, options: LoraOptions) -> None:
        refuse_start(self.name, student, options)

    def step(self, context: MethodContext, plan: Plan) -> Step:
        return Step(context.student, outputs=[CrossEntropy()], stages=[Stage(layers=plan.layers, pairs=())])


def refuse_start(method: str, student: LanguageModel, options: LoraOptions) -> None:
    """Raise UserError where LoRA cannot start at factors of as many singular values as its rank."""
    if options.alpha != options.rank:
        raise UserError(
            f"method '{method}' starts at factors of a given size, so LoRA must not scale them: "
            f"training.lora.alpha is {options.alpha}, rank {options.rank}; set both to the same number"
        )
    for path, matrix in student_matrices(student, options).items():
        if min(matrix.shape) < options.rank:
            raise UserError(
                f"method '{method}': {path} of the student is {_size(matrix)}, which has no {options.rank} "
                "singular values; lower training.lora.rank and alpha"
            )


def principal_start(student: LanguageModel, layers: Collection[int], options: LoraOptions) -> dict[str, Tensor]:
    """First values of the adapters at the principal part of the student's own weights, in PiSSA's split.

    Source: Meng et al. 2024, arXiv:2404.02948, eq. 2 to 4.
    """
    start = {}
    for path, matrix in student_matrices(student, options, layers).items():
        u, s, vh = principal_part(matrix, options.rank)
        start[f"{path}.lora_B"] = u * s.sqrt()
        start[f"{path}.lora_A"] = s.sqrt()[:, None] * vh
    return start


def student_matrices(
    student: LanguageModel, options: LoraOptions, layers: Collection[int] | None = None
) -> dict[str, Float[Tensor, "_out _in"]]:
    """The matrices that get adapters (None: on all layers), by the path of their module, with a row for each output."""
    return {
        f"{student.family.blocks}.{layer}.{path}": oriented(student, weights[f"{path}.weight"].value)
        for layer in (range(student.n_layer) if layers is None else layers)
        for weights in [layer_weights(student, layer)]
        for path in lora_targets(student, options.roles)
    }


def principal_part(
    matrix: Float[Tensor, "out in"], rank: int
) -> tuple[Float[Tensor, "out rank"], Float[Tensor, " rank"], Float[Tensor, "rank in"]]:
    """The largest singular values with their vectors, U, S, V^T, in float32 or better on the matrix's device."""
    exact = matrix.to(torch.promote_types(matrix.dtype, torch.float32))
    u, s, vh = torch.linalg.svd(exact, full_matrices=False)
    return u[:, :rank], s[:rank], vh[:rank]


def _size(matrix: Tensor) -> str:
    return " x ".join(map(str, matrix.shape))
