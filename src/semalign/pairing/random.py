"""A control: teacher layers by chance."""

import random
from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext
from .choice import Count, check_count


@dataclass(frozen=True, kw_only=True)
class Random(Pairing, name="random"):
    """A control: `count` student layers and, for each, a teacher layer, drawn from a seed."""

    source = "control"

    count: Count = None
    """How many student layers; None: all."""
    seed: int | None = None
    """None: the run's seed."""

    def pair(self, context: PairingContext) -> list[Pair]:
        there_are = f"the student has {context.n_student} layers"
        count = check_count(self.count, context.n_student, self.name, there_are)
        seed = self.seed or 0
        draw = random.Random(seed)
        students = sorted(draw.sample(range(context.n_student), count))
        teachers = [draw.randrange(context.n_teacher) for _ in students]
        return [
            Pair(student=student, teacher=((teacher, 1.0),), reason=f"control: drawn with seed {seed}")
            for student, teacher in zip(students, teachers, strict=True)
        ]
