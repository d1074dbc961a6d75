"""A control: a real map fitted on a shuffled vocabulary."""

from dataclasses import dataclass, field

import torch

from .base import Basis, SemanticMap, Vocabulary
from .cosine import Cosine


@dataclass(frozen=True, kw_only=True)
class Permuted(Basis, name="permuted"):
    """A control: another map with the teacher's tokens shuffled: every statistic stays and every meaning is lost."""

    source = "control"
    recovers = "nothing"

    of: Basis = field(default_factory=Cosine)
    """The map to spoil."""
    seed: int | None = None
    """None: the run's seed."""

    @property
    def keeps_norm(self) -> bool:
        """As the map it spoils."""
        return self.of.keeps_norm

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> SemanticMap:
        generator = torch.Generator().manual_seed(self.seed or 0)
        order = torch.randperm(teacher.head.shape[0], generator=generator).to(teacher.head.device)
        return self.of.fit(teacher.rows(order), student)
