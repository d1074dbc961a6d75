"""The first layers of both models, one to one."""

from dataclasses import dataclass

from .base import Pair, Pairing, PairingContext
from .choice import Count, check_count


@dataclass(frozen=True, kw_only=True)
class FirstN(Pairing, name="first_n"):
    """The k-th student layer follows the k-th teacher layer, for the first `count` layers."""

    source = "the bottom layers, as in ablations of Sun et al. 2019, arXiv:1908.09355"

    count: Count = None
    """How many layers; None: as many as the shallower model has."""

    def pair(self, context: PairingContext) -> list[Pair]:
        limit = min(context.n_teacher, context.n_student)
        count = check_count(self.count, limit, self.name, f"the shallower model has {limit} layers")
        return [
            Pair(student=k, teacher=((k, 1.0),), reason=f"layer {k + 1} from the bottom of both models")
            for k in range(count)
        ]
