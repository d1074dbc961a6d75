"""A control: a real map fitted on a shuffled vocabulary."""

from dataclasses import dataclass, field

import torch

from ..errors import UserError
from .base import Basis, Pieces, SemanticMap, Vocabulary
from .cosine import Cosine

UNSPOILT = ("identity", "random")  # they do not look at the rows of a vocabulary


@dataclass(frozen=True, kw_only=True)
class Permuted(Basis, name="permuted"):
    """A control: another map with the teacher's tokens shuffled: every statistic stays and every meaning is lost."""

    source = "control"
    recovers = "nothing"

    of: Basis = field(default_factory=Cosine)
    """The map to spoil."""
    seed: int | None = None
    """None: the run's seed."""

    def __post_init__(self) -> None:
        if self.of.uses_states or self.of.name in UNSPOILT:
            raise UserError(
                f"'of' takes a map that is read off the vocabularies, and shuffling tokens does nothing to "
                f"'{self.of.name}'; use cosine, logit, input_side or sparse"
            )

    @property
    def keeps_norm(self) -> bool:
        """As the map it spoils."""
        return self.of.keeps_norm

    @property
    def rows_in_pieces(self) -> Pieces | None:
        """As the map it spoils."""
        return self.of.rows_in_pieces

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> SemanticMap:
        generator = torch.Generator().manual_seed(self.seed or 0)
        order = torch.randperm(teacher.head.shape[0], generator=generator).to(teacher.head.device)
        return self.of.fit(teacher.rows(order), student)
