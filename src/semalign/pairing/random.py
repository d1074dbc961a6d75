"""A control: teacher layers by chance."""

import random
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..errors import UserError
from .base import Pair, Pairing, PairingContext


@dataclass(frozen=True, kw_only=True)
class Random(Pairing, name="random"):
    """A control: `count` student layers (all of them by default) and, for each, a teacher layer drawn from a seed."""

    source = "control"

    count: Annotated[int, Field(ge=1)] | None = None
    seed: int = 0

    def pair(self, context: PairingContext) -> list[Pair]:
        count = context.n_student if self.count is None else self.count
        if count > context.n_student:
            raise UserError(f"pairing 'random': count is {count}, but the student has {context.n_student} layers")
        draw = random.Random(self.seed)
        students = sorted(draw.sample(range(context.n_student), count))
        teachers = [draw.randrange(context.n_teacher) for _ in students]
        reason = f"drawn with seed {self.seed}"
        return [
            Pair(student=student, teacher=((teacher, 1.0),), reason=reason)
            for student, teacher in zip(students, teachers, strict=True)
        ]
