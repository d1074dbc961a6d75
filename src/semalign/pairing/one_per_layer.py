"""One teacher layer for each student layer: the most attributed one at its depth."""

from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext, depth_rule
from .choice import Count, highest
from .measured import scores_of


@dataclass(frozen=True, kw_only=True)
class OnePerLayer(Pairing, name="one_per_layer"):
    """Every student layer follows the most attributed teacher layer of its depth window, so the order of depth is kept.

    The window of student layer k is (floor((k-1) L_T / L_S), floor(k L_T / L_S)], both counted from 1. Windows do not
    overlap, so for L_T >= L_S no teacher layer is used twice; for L_T < L_S some are empty, and the depth rule is used.
    A reconstruction: the abstracts state one teacher layer for each student layer, not how it is chosen.
    Source: Gu et al. 2026, Findings of ACL 2026 and arXiv:2510.24208 v2 (abstracts).
    """

    source = "reconstruction from the abstracts of Gu et al. 2026, Findings of ACL 2026 and arXiv:2510.24208 v2"
    uses_attribution = True

    count: Count = None
    """How many student layers: those whose windows hold the most attributed layers; None: all."""

    def pair(self, context: PairingContext) -> list[Pair]:
        t, s = context.n_teacher, context.n_student
        scores = scores_of(context, self.name)
        pairs, ranks = [], []
        for k in range(1, s + 1):
            window = range((k - 1) * t // s, k * t // s)  # from 0
            layer = max(window, key=lambda layer: (scores[layer], -layer), default=depth_rule(k, t, s) - 1)
            pairs.append(Pair(student=k - 1, teacher=((layer, 1.0),), reason=_reason(window, layer, scores[layer])))
            ranks.append(scores[layer] if window else float("-inf"))
        return highest(self.count, pairs, ranks, self.name)


def _reason(window: range, layer: int, score: float) -> str:
    if not window:
        return f"its depth window holds no teacher layer; the depth rule gives layer {layer}"
    if len(window) == 1:
        return f"layer {layer} is the only one in its depth window (score {score:.3g})"
    return f"the most attributed of layers {window[0]} to {window[-1]}, its depth window (score {score:.3g})"
