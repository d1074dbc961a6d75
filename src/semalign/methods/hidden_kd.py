"""Hidden-state distillation: student states are projected to the teacher's width by projectors that learn with it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError
from ..losses import Loss
from ..losses.base import upcast
from ..losses.cosine import Cosine
from ..losses.cross_entropy import CrossEntropy
from ..losses.kl import ForwardKL
from ..models import LanguageModel, Site, check_layer_site
from ..pairing import Pair, Pairing
from ..pairing.depth import Depth
from .base import LoopMethod, MethodContext, Plan
from .choice import choose_pairs, possible_pairs
from .positions import Positions
from .refuse import refuse_states, refuse_tokens, refuse_twice
from .step import Stage, Step
from .teacher import OnlineTeacher


def _outputs() -> tuple[Loss, ...]:
    return CrossEntropy(weight=0.25), ForwardKL(weight=0.25, temperature=2.0)


@dataclass(frozen=True, kw_only=True)
class HiddenKD(LoopMethod, name="hidden_kd"):
    """Hidden-state distillation as in DistillKit: paired states are compared at the teacher's width.

    A linear projector without bias for each pair maps the student's state to the teacher's width (where the widths are
    equal there is none). The projectors train with the adapters, by the same optimiser, and are dropped at the end: the
    student alone is saved. Terms and weights are those of DistillKit's example with hidden states; its `mse` is the
    mean over coordinates, ours is relative to the target. Pairs go by depth over all student layers, where DistillKit's
    `all` pairs equal indices from the embedding on, which leaves out the deepest student layer and the teacher's top.
    """

    source = "Goddard et al. 2024, DistillKit (github.com/arcee-ai/DistillKit)"
    uses_teacher = True
    label = "hidden KD"
    learned_map = True

    pairing: Pairing = field(default_factory=Depth)
    site: Site = "block_out"
    loss: Loss = field(default_factory=lambda: Cosine(weight=0.5))
    """What pulls a projected state to the teacher's; mean over the pairs."""
    outputs: tuple[Loss, ...] = field(default_factory=_outputs)
    """What is asked of the output beside it."""
    positions: Positions = "answer"
    """Where the teacher is followed: at the answer tokens, or at all tokens."""

    def __post_init__(self) -> None:
        check_layer_site(self.site)
        if self.loss.target != "state" or self.loss.any_width:
            raise UserError(
                f"'loss' compares a projected state with the teacher's, coordinate by coordinate, but "
                f"'{self.loss.name}' does not; use cosine or mse"
            )
        refuse_states(self.outputs)
        refuse_twice(self.outputs)

    @property
    def cacheable(self) -> bool:
        return True

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        refuse_tokens(self.outputs, teacher, student)
        possible_pairs(self.pairing, teacher, student)

    def plan(self, context: MethodContext) -> Plan:
        pairs, scores = choose_pairs(context, self.pairing.seeded(context.seed), self.site)
        return Plan(layers=tuple(range(context.student.n_layer)), scores=scores, pairs=tuple(pairs))

    def step(self, context: MethodContext, plan: Plan) -> Step:
        needs_logits = any(output.target == "teacher_logits" for output in self.outputs)
        return ProjectedStep(
            context.student,
            projectors=projectors(context.student, context.teacher.width, plan.pairs, context.seed),
            outputs=self.outputs,
            layer_loss=self.loss,
            stages=[Stage(layers=plan.layers, pairs=plan.pairs)],
            site=self.site,
            signals=OnlineTeacher(context.teacher, self.site, None, context.tokens.teacher if needs_logits else None),
            tokens=context.tokens.student,
            first=context.first_tokens(self.outputs),
            taught=self.positions,
        )


class ProjectedStep(Step):
    """A step whose layer loss sees student states through projectors, which are part of it and train with it."""

    def __init__(self, student: LanguageModel, *, projectors: nn.ModuleDict, **options: Any) -> None:
        super().__init__(student, **options)
        self.projectors = projectors

    def _compared(self, pair: Pair, state: Float[Tensor, "b pos d_s"]) -> Float[Tensor, "b pos d_t"]:
        return self.projectors[str(pair.student)](upcast(state))


def projectors(student: LanguageModel, width: int, pairs: tuple[Pair, ...], seed: int) -> nn.ModuleDict:
    """One a pair, by student layer, with Xavier-uniform weights that the seed decides; float32 or better."""
    if student.width == width:
        return nn.ModuleDict({str(pair.student): nn.Identity() for pair in pairs})
    dtype = torch.promote_types(student.head_weight.dtype, torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = {str(pair.student): nn.Linear(student.width, width, bias=False, dtype=dtype) for pair in pairs}
        for projector in made.values():
            nn.init.xavier_uniform_(projector.weight)
    return nn.ModuleDict(made).to(student.device)
