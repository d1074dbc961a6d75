"""Methods whose LoRA starts at a low-rank part of given weights: PiSSA the student's own, SEEKING the teacher's."""

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import UserError
from ..losses.cross_entropy import CrossEntropy
from ..models import LanguageModel, lora_targets
from ..models.injection import fold, inject
from ..models.weights import layer_weights, oriented
from ..training import History, LoraOptions
from .base import Given, LoopMethod, MethodContext, Plan
from .step import Stage, Step

if TYPE_CHECKING:
    from peft import PeftModel
else:  # importing peft takes four seconds
    PeftModel = Any


@dataclass(frozen=True, kw_only=True)
class Injected(LoopMethod, abc.ABC):
    """LoRA fine-tuning on the gold answers that starts at factors B0, A0 of the plan, with W - B0 A0 as the base."""

    def check_lora(self, teacher: LanguageModel, student: LanguageModel, options: LoraOptions) -> None:
        if options.alpha != options.rank:
            raise UserError(
                f"method '{self.name}' starts at factors of a given size, so LoRA must not scale them: "
                f"training.lora.alpha is {options.alpha}, rank {options.rank}; set both to the same number"
            )
        for path, matrix in student_matrices(student, options).items():
            if min(matrix.shape) < options.rank:
                raise UserError(
                    f"method '{self.name}': {path} of the student is {_size(matrix)}, which has no {options.rank} "
                    "singular values; lower training.lora.rank and alpha"
                )

    def adapt(self, context: MethodContext, plan: Plan, options: LoraOptions) -> PeftModel:
        return inject(context.student, plan.layers, plan.start, seed=context.seed, **options.model_dump())

    def step(self, context: MethodContext, plan: Plan) -> Step:
        return Step(context.student, outputs=[CrossEntropy()], stages=[Stage(layers=plan.layers, pairs=())])

    def fit(self, context: MethodContext, plan: Plan, adapter: PeftModel, given: Given) -> History:
        history = super().fit(context, plan, adapter, given)
        fold(context.student, adapter)
        return history


def student_matrices(student: LanguageModel, options: LoraOptions) -> dict[str, Float[Tensor, "_out _in"]]:
    """The matrices that get adapters, by the path of their module, with a row for each output."""
    return {
        f"{student.family.blocks}.{layer}.{path}": oriented(
            student, layer_weights(student, layer)[f"{path}.weight"].value
        )
        for layer in range(student.n_layer)
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
