"""The teacher's next tokens as the student's: each counts for the student's token that its text begins with."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .in_pieces import in_pieces
from .language_model import LanguageModel
from .vocabulary import SharedTokens

NONE = -1
LEAST = 1e-30  # a probability whose logarithm is finite in float32


def first_tokens(teacher: LanguageModel, student: LanguageModel, tokens: SharedTokens) -> Int[Tensor, "n_teacher"]:
    """For each of the teacher's tokens the student's that it begins with, -1 where there is none.

    A token that both have is itself. Of another one the student encodes the text alone, and the first piece counts: the
    piece may turn out longer where more text follows. Special tokens and parts of characters that the student lacks
    begin with none.
    """
    first = torch.full((teacher.n_token,), NONE)
    first[tokens.teacher.cpu()] = tokens.student.cpu()
    for token, pieces in in_pieces(teacher, student, tokens).items():
        first[token] = pieces[0]
    return torch.where(first < student.n_token, first, NONE)


def by_first_token(
    logits: Float[Tensor, "n n_teacher"], first: Int[Tensor, "n_teacher"], n_student: int
) -> Float[Tensor, "n n_student"]:
    """Logits over the student's tokens: logarithms of the summed probabilities of all that begin with each."""
    begins = first != NONE
    p = logits[:, begins].to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
    return p.new_full((len(p), n_student), LEAST).index_add_(1, first[begins], p).log()
