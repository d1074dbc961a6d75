"""A list of pairs given by the user."""

from dataclasses import dataclass

from ..errors import UserError
from .base import Pair, Pairing, PairingContext


@dataclass(frozen=True, kw_only=True)
class Manual(Pairing, name="manual"):
    """The pairs you list, as [student layer, teacher layer], counted from 0."""

    source = "user"

    pairs: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.pairs:
            raise UserError("'pairs' is empty; list at least one [student layer, teacher layer]")
        students = [student for student, _ in self.pairs]
        if len(set(students)) < len(students):
            raise UserError(f"'pairs' names a student layer twice: {sorted(students)}")

    def pair(self, context: PairingContext) -> list[Pair]:
        for student, teacher in self.pairs:
            _check("student", student, context.n_student)
            _check("teacher", teacher, context.n_teacher)
        return [
            Pair(student=student, teacher=((teacher, 1.0),), reason="listed by hand")
            for student, teacher in sorted(self.pairs)
        ]


def _check(side: str, layer: int, n_layer: int) -> None:
    if not 0 <= layer < n_layer:
        there_are = f"the {side} has layers 0 to {n_layer - 1}"
        raise UserError(f"pairing 'manual': {side} layer {layer} does not exist; {there_are}")
