"""Divergences between the student's and the teacher's next-token distributions."""

import abc
from dataclasses import dataclass
from typing import Annotated, Literal

from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import log_softmax

from .base import Loss, Vocabulary, chosen, upcast


@dataclass(frozen=True, kw_only=True)
class Divergence(Loss):
    """Both logits are divided by `temperature` and the result multiplied by its square: gradients keep their size.

    With `top_k` only the teacher's k most likely tokens of each position count, and both distributions are normalised
    over them: what the student says of all other tokens makes no difference. Of the variants in use it is the one
    named and criticised by arXiv:2608.14728, which adds a token for the rest; others leave the student normalised over
    all tokens (arXiv:2503.16870).
    """

    target = "teacher_logits"

    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_k: Annotated[int, Field(ge=2)] | None = None
    """None: all tokens. One token alone has probability 1 in both models, so 2 is the least."""
    vocabulary: Literal["shared", "first_token"] = "shared"
    """Where the tokenizers differ: compare the tokens that both have (both normalised over them), or all the student's.
    For `first_token` the teacher's probability of each of its tokens is counted for the student's token that its text
    begins with, so that ");" is known to begin with ")"."""

    @property
    def compares(self) -> Vocabulary:
        return self.vocabulary

    def total(
        self, h: Float[Tensor, "*batch pos d"], target: Float[Tensor, "*batch pos d"], mask: Bool[Tensor, "*batch pos"]
    ) -> Float[Tensor, ""]:
        student, teacher = chosen(h, mask), chosen(target, mask)
        if self.top_k is not None:
            teacher, likely = teacher.topk(self.top_k, dim=-1)
            student = student.gather(-1, likely)
        p_student, p_teacher = (log_softmax(upcast(z) / self.temperature, dim=-1) for z in (student, teacher))
        return self.between(p_student, p_teacher) * self.temperature**2

    @abc.abstractmethod
    def between(self, student: Float[Tensor, "n d"], teacher: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """Summed over tokens, in nats, from log-probabilities."""
