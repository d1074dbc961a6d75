"""The control without layers: the student follows the teacher's distribution at the output."""

from dataclasses import dataclass, field

from ..errors import UserError
from ..losses import Loss
from ..losses.kl import ForwardKL
from ..models import LanguageModel
from ..training import LoraOptions
from .base import LoopMethod, MethodContext, Plan
from .injected import Start, principal_start, refuse_start
from .positions import Positions
from .refuse import losses_on_logits, refuse_states, refuse_tokens, refuse_twice
from .step import Stage, Step
from .teacher import OnlineTeacher


@dataclass(frozen=True, kw_only=True)
class LogitKD(LoopMethod, name="logit_kd"):
    """Logit distillation with LoRA on all layers: what the teacher's outputs give without its layers.

    By default the forward KL alone, which needs no gold answers; `outputs: [cross_entropy, kl]` uses them too. The
    divergences take a `temperature`, and `top_k` for the teacher's likeliest tokens alone.
    """

    source = "Hinton et al. 2015, arXiv:1503.02531"
    uses_teacher = True
    label = "logit KD"

    outputs: tuple[Loss, ...] = field(default_factory=lambda: (ForwardKL(),))

    positions: Positions = "answer"
    """Where the teacher is followed: at the answer tokens, or at all tokens."""
    start: Start = "zero"
    """Where LoRA starts, as of `semalign`: the control of a recipe that starts at the principal part."""

    def __post_init__(self) -> None:
        refuse_twice(self.outputs)
        if not any(output.target == "teacher_logits" for output in self.outputs):
            raise UserError(f"'outputs' holds no loss that looks at the teacher; add one of {losses_on_logits()}")
        refuse_states(self.outputs)

    @property
    def cacheable(self) -> bool:
        return True

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        refuse_tokens(self.outputs, teacher, student)

    def check_lora(self, teacher: LanguageModel, student: LanguageModel, options: LoraOptions) -> None:
        if self.start == "principal":
            refuse_start(self.name, student, options)

    def plan(self, context: MethodContext) -> Plan:
        layers = tuple(range(context.student.n_layer))
        principal = self.start == "principal"
        return Plan(layers=layers, start=principal_start(context.student, layers, context.lora) if principal else {})

    def step(self, context: MethodContext, plan: Plan) -> Step:
        return Step(
            context.student,
            outputs=self.outputs,
            stages=[Stage(layers=plan.layers, pairs=())],
            signals=OnlineTeacher(context.teacher, "block_out", {}, context.tokens.teacher),
            tokens=context.tokens.student,
            first=context.first_tokens(self.outputs),
            taught=self.positions,
        )
