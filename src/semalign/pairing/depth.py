"""The depth rule: every student layer follows the teacher layer at the same relative depth."""

from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext, at_depth
from .choice import Count, evenly


@dataclass(frozen=True, kw_only=True)
class Depth(Pairing, name="depth"):
    """Same relative depth for every student layer: l_k = max(1, floor(k L_T / L_S)), counted from 1."""

    source = "Gu et al. 2025, arXiv:2510.24208, section 3"

    count: Count = None
    """How many student layers, at equal distances up to the last; None: all."""
    interpolate: bool = False
    """Mix the two teacher layers around the fractional depth."""

    def pair(self, context: PairingContext) -> list[Pair]:
        t, s = context.n_teacher, context.n_student
        return [
            Pair(
                student=student,
                teacher=at_depth(student + 1, t, s, interpolate=self.interpolate),
                reason=f"depth {student + 1}/{s} of the student is depth {t * (student + 1) / s:.2f} of {t} "
                "in the teacher",
            )
            for student in evenly(self.count, s, self.name)
        ]
