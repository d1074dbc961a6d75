"""What was measured on the layers, checked, as plain numbers for the pairings that go by it."""

from math import isfinite

from ..errors import UserError
from .base import PairingContext


def scores_of(context: PairingContext, name: str) -> list[float]:
    """The attribution of each teacher layer; raises UserError where one is no number."""
    assert context.scores is not None, "the method passes scores where uses_attribution is set"
    wrong = [layer for layer, score in enumerate(context.scores) if not isfinite(score)]
    if wrong:
        raise UserError(
            f"pairing '{name}': the attribution of teacher layer {wrong[0]} is {context.scores[wrong[0]]}; "
            "the teacher's weights or its loss on the extract rows hold a NaN or overflow"
        )
    return list(context.scores)


def similarity_of(context: PairingContext, name: str) -> list[list[float]]:
    """CKA of each student layer (rows) with each teacher layer (columns); raises UserError where one is no number."""
    assert context.similarity is not None, "the method passes similarity where uses_similarity is set"
    if not context.similarity.isfinite().all():
        raise UserError(f"pairing '{name}': a CKA of two layers is NaN or Inf; a model's states hold one")
    return context.similarity.tolist()
