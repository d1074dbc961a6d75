"""The most similar teacher layers that keep the order of depth."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Pair, PairingContext
from .choice import highest
from .measured import BySimilarity, similarity_of

NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True)
class MonotoneCKA(BySimilarity, name="monotone_cka"):
    """One teacher layer for each student layer, never shallower than the one before, with the highest summed CKA.

    Exact, by dynamic programming in L_S L_T steps. Of equally good paths the one with the shallowest last layer is
    taken, and so on downwards. Without `strict` several student layers may crowd onto one teacher layer.
    Source: CKA, Kornblith et al. 2019, arXiv:1905.00414; dynamic time warping, Sakoe and Chiba 1978.
    """

    source = "CKA: Kornblith et al. 2019, arXiv:1905.00414; monotone path: Sakoe and Chiba 1978, IEEE TASSP 26(1)"

    strict: bool = False
    """Each teacher layer at most once; needs a teacher at least as deep as the student."""

    def pair(self, context: PairingContext) -> list[Pair]:
        if self.strict and context.n_teacher < context.n_student:
            raise UserError(
                f"pairing '{self.name}': strict needs a teacher layer for each of {context.n_student} student layers, "
                f"but the teacher has {context.n_teacher}; leave strict out"
            )
        similarity = similarity_of(context, self.name)
        path = best_path(similarity, strict=self.strict)
        pairs = [
            Pair(student=student, teacher=((layer, 1.0),), reason=_reason(similarity[student], layer))
            for student, layer in enumerate(path)
        ]
        ranks = [row[layer] for row, layer in zip(similarity, path, strict=True)]
        return highest(self.count, pairs, ranks, self.name)


def best_path(gain: list[list[float]], *, strict: bool) -> list[int]:
    """A column for each row, non-decreasing (or increasing), with the highest sum of entries."""
    total, came_from = gain[0], []
    for row in gain[1:]:
        before = _best_up_to(total, strict=strict)
        came_from.append(before)
        total = [entry + (total[column] if column >= 0 else NEVER) for entry, column in zip(row, before, strict=True)]
    path = [max(range(len(total)), key=total.__getitem__)]
    for before in reversed(came_from):
        path.append(before[path[-1]])
    return path[::-1]


def _best_up_to(total: list[float], *, strict: bool) -> list[int]:
    """For each column the best one at or (strict) before it; -1 where there is none."""
    best, found = -1, []
    for column, value in enumerate(total):
        before = best
        if best < 0 or value > total[best]:
            best = column
        found.append(before if strict else best)
    return found


def _reason(row: list[float], layer: int) -> str:
    best = max(range(len(row)), key=row.__getitem__)
    if row[best] == row[layer]:
        return f"on the best path in order of depth, and the most similar teacher layer (CKA {row[layer]:.3f})"
    return f"on the best path in order of depth (CKA {row[layer]:.3f}); layer {best} is more similar ({row[best]:.3f})"
