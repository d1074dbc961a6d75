"""Critical layers: those attribution ranks highest, each with the student layer that can follow it."""

from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext, at_depth, depth_rule
from .choice import Count, check_count
from .measured import scores_of


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

    count: Count = 1
    """How many student layers; None: all that a teacher layer leads to."""
    interpolate: bool = False
    """Mix the two teacher layers around the fractional depth."""

    def pair(self, context: PairingContext) -> list[Pair]:
        t, s = context.n_teacher, context.n_student
        scores = scores_of(context, self.name)
        ranked = sorted(range(t), key=lambda layer: (-scores[layer], layer))
        chosen: dict[int, Pair] = {}
        for rank, layer in enumerate(ranked, start=1):
            k = next(k for k in range(1, s + 1) if depth_rule(k, t, s) >= layer + 1)
            if k - 1 not in chosen:
                teacher = at_depth(k, t, s, interpolate=self.interpolate)
                reason = f"teacher layer {layer} is number {rank} by attribution (score {scores[layer]:.3g})"
                chosen[k - 1] = Pair(student=k - 1, teacher=teacher, reason=reason + _instead(layer, teacher))
        n = check_count(self.count, len(chosen), self.name, f"teacher layers lead to {len(chosen)} student layers")
        return [chosen[student] for student in sorted(list(chosen)[:n])]


def _instead(layer: int, teacher: tuple[tuple[int, float], ...]) -> str:
    """Why the student layer follows other layers than the critical one."""
    if teacher == ((layer, 1.0),):
        return ""
    if len(teacher) == 1:
        return f"; the nearest depth a student layer reaches is {teacher[0][0]}"
    mixed = " and ".join(f"{weight:.2f} of layer {layer}" for layer, weight in teacher)
    return f"; the depth of the student layer that reaches it lies between layers, so it follows {mixed}"
