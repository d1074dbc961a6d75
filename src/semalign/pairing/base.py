"""What a pairing is: student layers, in order, each with its teacher layer and the reason."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float64
from torch import Tensor

from ..models import Site
from ..strategy import Strategy


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One student layer and the teacher layers it follows (two where depths are interpolated), weights summing to 1."""

    student: int
    teacher: tuple[tuple[int, float], ...]
    reason: str

    def plain(self) -> dict[str, Any]:
        """The pair as JSON."""
        layers = [{"layer": layer, "weight": weight} for layer, weight in self.teacher]
        return {"student": self.student, "teacher": layers, "reason": self.reason}

    @classmethod
    def from_plain(cls, value: dict[str, Any]) -> "Pair":
        layers = tuple((layer["layer"], layer["weight"]) for layer in value["teacher"])
        return cls(student=value["student"], teacher=layers, reason=value["reason"])

    @property
    def label(self) -> str:
        """`3 -> 5`: teacher layer (or layers) to student layer."""
        return "+".join(str(layer) for layer, _ in self.teacher) + f"->{self.student}"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairingContext:
    """What a pairing may look at: the two depths and, where it asks for them, what was measured on the layers."""

    n_teacher: int
    n_student: int
    scores: Sequence[float] | None = None
    """Attribution of each teacher layer; higher matters more."""
    similarity: Float64[Tensor, "n_student n_teacher"] | None = None
    """Linear CKA of the layers' states, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Pairing(Strategy, abc.ABC, kind="pairing"):
    """How teacher layers are matched with student layers."""

    uses_attribution: ClassVar[bool] = False
    uses_similarity: ClassVar[bool] = False

    @property
    def similarity_site(self) -> Site | None:
        """Where similarity is measured; None: at the site where states are aligned."""
        return None

    @abc.abstractmethod
    def pair(self, context: PairingContext) -> list[Pair]:
        """Pairs in the order of student layers; each student layer at most once; indices from 0."""


def depth_rule(k: int, n_teacher: int, n_student: int) -> int:
    """Teacher layer of student layer k by relative depth, both counted from 1: max(1, floor(k L_T / L_S))."""
    return max(1, k * n_teacher // n_student)


def at_depth(k: int, n_teacher: int, n_student: int, *, interpolate: bool) -> tuple[tuple[int, float], ...]:
    """Teacher layers (from 0) and weights for student layer k (from 1): one, or two around the fractional depth."""
    if not interpolate or n_teacher == 1:
        return ((depth_rule(k, n_teacher, n_student) - 1, 1.0),)
    depth = n_teacher * k / n_student
    below = max(1, min(n_teacher * k // n_student, n_teacher - 1))
    share = min(max(depth - below, 0.0), 1.0)
    layers = ((below - 1, 1.0 - share), (below, share))
    return tuple((layer, weight) for layer, weight in layers if weight > 0)
