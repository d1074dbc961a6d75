"""The most similar teacher layer for each student layer."""

from dataclasses import dataclass

from .base import Pair, PairingContext
from .choice import highest
from .measured import BySimilarity, similarity_of


@dataclass(frozen=True, kw_only=True)
class CKAArgmax(BySimilarity, name="cka_argmax"):
    """Every student layer follows the teacher layer whose states are most like its own (linear CKA), in any order.

    No pairing has a higher mean CKA. Several student layers may follow one teacher layer, and depth may run backwards.
    Of equally similar layers the shallowest is taken. Source: Kornblith et al. 2019, arXiv:1905.00414 (CKA).
    """

    source = "CKA: Kornblith et al. 2019, arXiv:1905.00414; arg-max over layers: control of monotone_cka"

    def pair(self, context: PairingContext) -> list[Pair]:
        similarity = similarity_of(context, self.name)
        best = [max(range(len(row)), key=row.__getitem__) for row in similarity]
        pairs = [
            Pair(student=student, teacher=((layer, 1.0),), reason=_reason(row, layer))
            for student, (row, layer) in enumerate(zip(similarity, best, strict=True))
        ]
        ranks = [row[layer] for row, layer in zip(similarity, best, strict=True)]
        return highest(self.count, pairs, ranks, self.name)


def _reason(row: list[float], best: int) -> str:
    others = [layer for layer in range(len(row)) if layer != best]
    said = f"the most similar teacher layer (CKA {row[best]:.3f})"
    if not others:
        return said
    second = max(others, key=row.__getitem__)
    return f"{said}; next is layer {second} ({row[second]:.3f})"
