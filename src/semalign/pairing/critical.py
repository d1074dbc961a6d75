"""Critical layers: those attribution ranks highest, each with the student layer that can follow it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated

from pydantic import Field

from ..errors import UserError
from .base import Pair, Pairing, PairingContext, at_depth, depth_rule


@dataclass(frozen=True, kw_only=True)
class Critical(Pairing, name="critical"):
    """The paper's pairing: the most attributed teacher layers, each to the first student layer whose depth reaches it.

    For a critical layer l*, k = min{k: l_k >= l*} by the depth rule (there is one: the last student layer reaches the
    last teacher layer), and student layer k follows l_k. Where several critical layers lead to one student layer the
    most attributed one keeps it, and the next in rank is taken.
    Source: Gu et al. 2025, arXiv:2510.24208, section 3.
    """

    source = "Gu et al. 2025, arXiv:2510.24208, section 3"
    uses_attribution = True

    count: Annotated[int, Field(ge=1)] | None = 1
    """How many student layers; None: all that a teacher layer leads to."""
    interpolate: bool = False
    """Mix the two teacher layers around the fractional depth."""

    def pair(self, context: PairingContext) -> list[Pair]:
        t, s, scores = context.n_teacher, context.n_student, context.scores
        assert scores is not None, "the method passes scores where uses_attribution is set"
        _check_scores(scores)
        ranked = sorted(range(t), key=lambda layer: (-scores[layer], layer))
        chosen: dict[int, Pair] = {}
        for rank, layer in enumerate(ranked, start=1):
            k = next(k for k in range(1, s + 1) if depth_rule(k, t, s) >= layer + 1)
            if k - 1 not in chosen:
                teacher = at_depth(k, t, s, interpolate=self.interpolate)
                reason = _reason(layer, rank, scores[layer], depth_rule(k, t, s) - 1)
                chosen[k - 1] = Pair(student=k - 1, teacher=teacher, reason=reason)
        if self.count is not None and self.count > len(chosen):
            raise UserError(
                f"pairing 'critical': count is {self.count}, but teacher layers lead to {len(chosen)} student layers"
            )
        return [chosen[student] for student in sorted(list(chosen)[: self.count])]


def _check_scores(scores: Sequence[float]) -> None:
    wrong = [layer for layer, score in enumerate(scores) if not isfinite(score)]
    if wrong:
        raise UserError(
            f"pairing 'critical': the attribution of teacher layer {wrong[0]} is {scores[wrong[0]]}; "
            "the teacher's weights or its loss on the extract rows hold a NaN or overflow"
        )


def _reason(layer: int, rank: int, score: float, supervising: int) -> str:
    reason = f"teacher layer {layer} is number {rank} by attribution (score {score:.3g})"
    return reason if supervising == layer else f"{reason}; the nearest depth a student layer reaches is {supervising}"
