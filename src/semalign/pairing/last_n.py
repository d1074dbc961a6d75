"""The last layers of both models, one to one."""

from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext
from .choice import Count, check_count


@dataclass(frozen=True, kw_only=True)
class LastN(Pairing, name="last_n"):
    """The k-th student layer from the end follows the k-th teacher layer from the end, for the last `count` layers."""

    source = "the top layers, as PKD-Last of Sun et al. 2019, arXiv:1908.09355"

    count: Count = None
    """How many layers; None: as many as the shallower model has."""

    def pair(self, context: PairingContext) -> list[Pair]:
        t, s = context.n_teacher, context.n_student
        limit = min(t, s)
        count = check_count(self.count, limit, self.name, f"the shallower model has {limit} layers")
        return [
            Pair(student=s - k, teacher=((t - k, 1.0),), reason=f"layer {k} from the top of both models")
            for k in range(count, 0, -1)
        ]
