"""SemAlign: student layers follow the mapped states of the teacher layers they are paired with."""

from dataclasses import dataclass, field
from typing import Literal

import torch

from ..attribution import Attribution
from ..attribution.gradient_x_activation import GradientXActivation
from ..basis import Basis, Vocabulary
from ..basis.cosine import Cosine as CosineBasis
from ..basis.quality import agreement
from ..errors import UserError
from ..losses import Loss
from ..losses.cosine import Cosine as CosineLoss
from ..losses.onehot_cosine import OnehotCosine
from ..models import Site
from ..pairing import Pairing, PairingContext
from ..pairing.critical import Critical
from .base import Method, MethodContext, Plan
from .step import OnlineTeacher, Step


@dataclass(frozen=True, kw_only=True)
class SemAlign(Method, name="semalign"):
    """Latent semantic alignment; by default version 1 of the paper: one critical layer, cosine map, two cosine terms.

    Choices of ours where the paper is silent: the site (MLP output) and one critical layer.
    Source: Gu et al. 2025, arXiv:2510.24208 v1.
    """

    source = "Gu et al. 2025, arXiv:2510.24208 v1"
    uses_teacher = True
    label = "SemAlign"

    attribution: Attribution | None = None
    """None: Gradient x Activation where the pairing asks for an attribution, nothing where it does not."""
    pairing: Pairing = field(default_factory=Critical)
    basis: Basis = field(default_factory=CosineBasis)
    site: Site = "mlp_out"
    loss: Loss = field(default_factory=CosineLoss)
    """What pulls a paired layer to its target."""
    outputs: tuple[Loss, ...] = field(default_factory=lambda: (OnehotCosine(),))
    """What is asked of the output beside it."""
    train: Literal["paired", "all"] = "paired"
    """Adapters on the paired student layers only (the paper), or on all of them."""

    def __post_init__(self) -> None:
        if self.attribution is not None and not self.pairing.uses_attribution:
            raise UserError(f"pairing '{self.pairing.name}' does not look at an attribution; leave 'attribution' out")
        if self.site == "final":
            raise UserError("site 'final' belongs to no layer; choose mlp_out, attn_out, block_delta or block_out")
        if self.loss.target != "state":
            raise UserError(f"'loss' compares states, but '{self.loss.name}' compares outputs; name it under 'outputs'")
        for output in self.outputs:
            if output.target == "state":
                raise UserError(f"'outputs' compare outputs, but '{output.name}' compares states; name it as 'loss'")
        names = [output.name for output in self.outputs]
        if len(set(names)) < len(names):
            raise UserError(f"'outputs' names a loss twice: {', '.join(names)}; give it once with its 'weight'")

    def check(self, n_teacher: int, n_student: int) -> None:
        scores = [0.0] * n_teacher if self.pairing.uses_attribution else None
        self.pairing.pair(PairingContext(n_teacher=n_teacher, n_student=n_student, scores=scores))

    def plan(self, context: MethodContext) -> Plan:
        teacher, student = context.teacher, context.student
        scores = None
        if self.pairing.uses_attribution:
            attribution = self.attribution or GradientXActivation(site=self.site)
            scores = tuple(attribution.score(teacher, context.extract).tolist())
        pairs = self.pairing.pair(PairingContext(n_teacher=teacher.n_layer, n_student=student.n_layer, scores=scores))
        semantic_map = self.basis.fit(Vocabulary.of(teacher, context.tokens), Vocabulary.of(student, context.tokens))
        paired = tuple(pair.student for pair in pairs)
        return Plan(
            layers=paired if self.train == "paired" else tuple(range(student.n_layer)),
            scores=scores,
            pairs=tuple(pairs),
            map=semantic_map,
            quality=agreement(semantic_map, teacher, student, context.tokens, context.extract),
        )

    def step(self, context: MethodContext, plan: Plan) -> Step:
        needs_logits = any(output.target == "teacher_logits" for output in self.outputs)
        tokens: torch.Tensor | None = context.tokens if needs_logits else None
        return Step(
            context.student,
            outputs=self.outputs,
            layer_loss=self.loss,
            pairs=plan.pairs,
            site=self.site,
            signals=OnlineTeacher(context.teacher, plan.pairs, self.site, plan.map, tokens),
            tokens=tokens,
        )
