"""A control: the depth rule upside down."""

from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext, depth_rule
from .choice import Count, evenly


@dataclass(frozen=True, kw_only=True)
class Reverse(Pairing, name="reverse"):
    """A control: the order of depth reversed, so the first student layer follows the last teacher layer.

    The k-th student layer follows the teacher layer that the depth rule gives to the k-th from the end.
    """

    source = "control"

    count: Count = None
    """How many student layers, at equal distances up to the last; None: all."""

    def pair(self, context: PairingContext) -> list[Pair]:
        t, s = context.n_teacher, context.n_student
        return [
            Pair(
                student=student,
                teacher=((depth_rule(s - student, t, s) - 1, 1.0),),
                reason=f"control: by depth this teacher layer belongs to student layer {s - 1 - student}",
            )
            for student in evenly(self.count, s, self.name)
        ]
