"""The control: supervised fine-tuning with LoRA for as many steps, on the gold rows or on the teacher's answers too."""

from dataclasses import dataclass

from ..errors import UserError
from ..losses.cross_entropy import CrossEntropy
from ..models import LanguageModel
from .base import LoopMethod, MethodContext, Plan
from .positions import Positions
from .step import Stage, Step


@dataclass(frozen=True, kw_only=True)
class SFT(LoopMethod, name="sft"):
    """LoRA fine-tuning on the gold answers: the control that every transfer has to beat on the same budget."""

    source = "Hu et al. 2021, arXiv:2106.09685"
    uses_teacher = False
    label = "LoRA-SFT"

    layers: tuple[int, ...] | None = None
    """Student layers with adapters, counted from 0; None: all of them."""

    positions: Positions = "answer"
    """Trained on the answer tokens, or on all tokens, prompts too."""

    def __post_init__(self) -> None:
        if self.layers is not None and not self.layers:
            raise UserError("'layers' is empty; name at least one layer, or leave it out for all")

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        n_layer = student.n_layer
        outside = [layer for layer in self.layers or () if not 0 <= layer < n_layer]
        if outside:
            raise UserError(
                f"method 'sft': layer {outside[0]} does not exist; the student has layers 0 to {n_layer - 1}"
            )

    def plan(self, context: MethodContext) -> Plan:
        n_layer = context.student.n_layer
        if self.layers is None:
            return Plan(layers=tuple(range(n_layer)))
        return Plan(layers=tuple(sorted(set(self.layers))))

    def step(self, context: MethodContext, plan: Plan) -> Step:
        return Step(
            context.student,
            outputs=[CrossEntropy()],
            stages=[Stage(layers=plan.layers, pairs=())],
            labelled=self.positions,
        )
