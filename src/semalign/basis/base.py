"""What a semantic map is: one fixed linear map from teacher states to student states."""

import abc
import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..linalg.gram import check_finite
from ..models import LanguageModel
from ..strategy import Strategy


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The rows of one model that belong to the tokens both models know: row i is the same token on both sides."""

    head: Float[Tensor, "n_token d"]
    embedding: Float[Tensor, "n_token d"]
    gain: Float[Tensor, "d"]
    """Gain of the final norm (1 + weight for Gemma)."""

    @property
    def width(self) -> int:
        return self.head.shape[1]

    def rows(self, index: Int[Tensor, "m"]) -> "Vocabulary":
        """The same model, other rows or another order of them."""
        return Vocabulary(head=self.head[index], embedding=self.embedding[index], gain=self.gain)

    @classmethod
    def of(cls, model: LanguageModel, tokens: Int[Tensor, "n_token"]) -> "Vocabulary":
        """The rows of `tokens` (ids in this model's vocabulary); padded rows beyond the tokenizer never get in."""
        return cls(
            head=model.head_weight.detach()[tokens],
            embedding=model.embedding_weight.detach()[tokens],
            gain=model.final_gain.detach(),
        )


@dataclass(frozen=True, eq=False)
class SemanticMap:
    """h_student = M h_teacher, divided by |h_teacher| where `unit` (the paper's map keeps only the direction)."""

    matrix: Float[Tensor, "d_s d_t"]
    n_token: int
    condition: float
    """Condition number of the student's basis; inf means that it is rank deficient."""
    unit: bool = True

    def __post_init__(self) -> None:
        check_finite(self.matrix)

    def to(self, device: torch.device) -> "SemanticMap":
        """The same map on another device."""
        return dataclasses.replace(self, matrix=self.matrix.to(device))

    def __call__(self, h: Float[Tensor, "*batch d_t"]) -> Float[Tensor, "*batch d_s"]:
        """The student state that means what h means; computed in float32 or better, result in h's dtype."""
        state = h.to(torch.promote_types(h.dtype, torch.float32))
        if self.unit:
            state = torch.nn.functional.normalize(state, dim=-1)
        return (state @ self.matrix.to(state).T).to(h.dtype)


@dataclass(frozen=True, kw_only=True)
class Basis(Strategy, abc.ABC, kind="basis"):
    """How teacher states are mapped to student states."""

    recovers: ClassVar[Literal["logits", "direction", "itself", "nothing"]]
    """What a contract test plants and finds.

    'logits': the student state that reads like the teacher's, for any two heads. 'direction': the same up to scale,
    where both heads are tight frames (W^T W a multiple of the identity, rows of one length). 'itself': one model on
    both sides gives the state back, two models promise nothing. 'nothing': a control.
    """

    @abc.abstractmethod
    def fit(self, teacher: Vocabulary, student: Vocabulary) -> SemanticMap:
        """The map for two models whose vocabulary rows are in the same order."""
