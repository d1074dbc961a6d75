"""Critical layers: the teacher layers that attribution ranks highest, each with the student layer that can follow it."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from .base import Pair, Pairing, PairingContext, at_depth, depth_rule


@dataclass(frozen=True, kw_only=True)
class Critical(Pairing, name="critical"):
    """The paper's pairing: the `count` most attributed teacher layers, each to the first student layer whose depth reaches it.

    For a critical layer l*, k = min{k: l_k >= l*} by the depth rule (the last student layer if there is none), and student layer k follows
    l_k. Where two critical layers lead to one student layer the more attributed one keeps it, and the next in rank is taken.
    Source: Gu et al. 2025, arXiv:2510.24208, section 3.
    """

    source = "Gu et al. 2025, arXiv:2510.24208, section 3"
    uses_attribution = True

    count: Annotated[int, Field(ge=1)] = 1
    interpolate: bool = False
    """Mix the two teacher layers around the fractional depth."""

    def pair(self, context: PairingContext) -> list[Pair]:
        assert context.scores is not None, "the method passes scores where uses_attribution is set"
        t, s = context.n_teacher, context.n_student
        image = [depth_rule(k, t, s) for k in range(1, s + 1)]
        ranked = sorted(range(t), key=lambda layer: (-context.scores[layer], layer))
        pairs: dict[int, Pair] = {}
        for rank, layer in enumerate(ranked, start=1):
            k = next((k for k, depth in enumerate(image, start=1) if depth >= layer + 1), s)
            if k - 1 in pairs:
                continue
            pairs[k - 1] = Pair(
                student=k - 1,
                teacher=at_depth(k, t, s, interpolate=self.interpolate),
                reason=_reason(layer, rank, context.scores[layer], image[k - 1] - 1),
            )
            if len(pairs) == self.count:
                break
        return [pairs[student] for student in sorted(pairs)]


def _reason(layer: int, rank: int, score: float, supervising: int) -> str:
    reason = f"teacher layer {layer} is number {rank} by attribution (score {score:.3g})"
    return reason if supervising == layer else f"{reason}; the nearest depth a student layer reaches is {supervising}"
