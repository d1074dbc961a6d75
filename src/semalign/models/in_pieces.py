"""The teacher's tokens that the student's vocabulary has only in pieces."""

from dataclasses import replace

from ..tokenizers.decompose import decompose
from .language_model import LanguageModel
from .vocabulary import SharedTokens


def in_pieces(teacher: LanguageModel, student: LanguageModel, tokens: SharedTokens) -> dict[int, list[int]]:
    """By each of the teacher's tokens without an equal the student's that write its text; none where they agree.

    Special tokens and parts of characters that the student lacks are left out. Takes seconds for a large vocabulary.
    """
    if tokens.matched is None:
        return {}
    swapped = replace(tokens.matched, teacher=tokens.matched.student, student=tokens.matched.teacher)
    found = decompose(student.tokenizer, teacher.tokenizer, swapped)
    return {
        token: pieces
        for token, pieces in sorted(found.items())
        if token < teacher.n_token and max(pieces) < student.n_token
    }
