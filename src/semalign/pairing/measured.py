"""What was measured on the layers, checked, as plain numbers for the pairings that go by it."""

from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

from ..errors import UserError
from ..models import Site, check_layer_site
from .base import Pairing, PairingContext
from .choice import Count


@dataclass(frozen=True, kw_only=True)
class BySimilarity(Pairing):
    """A pairing that goes by the CKA of the two models' layers."""

    uses_similarity: ClassVar[bool] = True

    count: Count = None
    """How many student layers: those whose pairs are most similar; None: all."""
    site: Site | None = None
    """Where CKA is measured; None: where states are aligned. Contributions (mlp_out) tell layers apart better than
    states (block_out), which carry everything below them."""

    def __post_init__(self) -> None:
        if self.site is not None:
            check_layer_site(self.site)

    @property
    def similarity_site(self) -> Site | None:
        return self.site


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
