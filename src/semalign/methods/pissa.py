"""PiSSA: LoRA that starts at the student's own principal part. The control of SEEKING that needs no teacher."""

from dataclasses import dataclass

from .base import MethodContext, Plan
from .injected import Injected, principal_start


@dataclass(frozen=True, kw_only=True)
class PiSSA(Injected, name="pissa"):
    """LoRA fine-tuning from the principal singular values and vectors of the student's own weights, on all layers.

    B0 = U sqrt(S), A0 = sqrt(S) V^T: the split of the source. The rest of the weight is the base and stands still.
    Source: Meng et al. 2024, arXiv:2404.02948, eq. 2 to 4.
    """

    source = "Meng et al. 2024, arXiv:2404.02948"
    uses_teacher = False
    label = "PiSSA"

    def plan(self, context: MethodContext) -> Plan:
        layers = tuple(range(context.student.n_layer))
        return Plan(layers=layers, start=principal_start(context.student, layers, context.lora))
