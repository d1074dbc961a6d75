"""Generalised knowledge distillation: the student learns from the teacher on answers it has sampled itself."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from .. import ranks
from ..data import Example
from ..errors import UserError
from ..losses import Loss
from ..losses.jsd import JSD
from ..models import LanguageModel, context_length, stream_seed
from ..models.sharding import in_company
from .base import LoopMethod, MethodContext, Plan
from .on_policy import sample_answers
from .refuse import losses_on_logits, refuse_tokens
from .step import Stage, Step
from .teacher import OnlineTeacher


@dataclass(frozen=True, kw_only=True)
class GKD(LoopMethod, name="gkd"):
    """On-policy distillation in its simple form: at each step the given answers, or the student's own instead.

    With probability `on_policy` the student of that step answers the prompts of the whole batch, and the loss is taken
    on the sampled tokens up to and with the end token; no gradient passes the sampling. The teacher runs beside it.
    The paper also adds a reward, which is left out, and takes the teacher's answers where there are no gold ones:
    `answers` does that.
    """

    source = "Agarwal et al. 2023, arXiv:2306.13649"
    uses_teacher = True
    one_tokenizer = True
    decoder_only = True
    label = "GKD"

    on_policy: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of steps on sampled answers, lambda in the paper; 0 is `logit_kd` with the same loss."""
    loss: Loss = field(default_factory=JSD)
    """How far the student's distributions are from the teacher's."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """What the student's logits are divided by to sample; the loss has a temperature of its own."""
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    """The longest sampled answer; None: as long as the longest given one in the batch."""

    def __post_init__(self) -> None:
        if self.loss.target != "teacher_logits":
            raise UserError(f"'loss' must look at the teacher's logits; use one of {losses_on_logits()}")
        if not self.on_policy and (self.temperature != 1 or self.max_new_tokens is not None):
            named = "temperature" if self.temperature != 1 else "max_new_tokens"
            raise UserError(f"'{named}' has no effect where 'on_policy' is 0: nothing is sampled; leave it out")

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        refuse_tokens((self.loss,), teacher, student)
        limit = _positions(teacher, student)
        if self.max_new_tokens is not None and limit is not None and self.max_new_tokens >= limit:
            raise UserError(
                f"'max_new_tokens' is {self.max_new_tokens}, but the models have {limit} positions; lower it"
            )

    def plan(self, context: MethodContext) -> Plan:
        return Plan(layers=tuple(range(context.student.n_layer)))

    def step(self, context: MethodContext, plan: Plan) -> Step:
        return OnPolicyStep(
            self,
            context,
            outputs=[self.loss],
            stages=[Stage(layers=plan.layers, pairs=())],
            signals=OnlineTeacher(context.teacher, "block_out", {}, context.tokens.teacher),
            tokens=context.tokens.student,
        )


class OnPolicyStep(Step):
    """A step that may let the student answer its rows first; seed and step alone decide when and what."""

    def __init__(self, method: GKD, context: MethodContext, **options: Any) -> None:
        super().__init__(context.student, **options)
        self.method, self.context = method, context

    def rewrite(self, rows: Sequence[Example], step: int) -> Sequence[Example]:
        seed, method = self.context.seed, self.method
        if random.Random(f"{seed}/{step}/on_policy").random() >= method.on_policy:
            return rows
        wanted = method.max_new_tokens or max(row.n_supervised for row in rows)
        most = min(wanted, self._room(rows, wanted))

        def answered(part: list[tuple[Example, int]]) -> list[Example]:
            return sample_answers(
                self.student,
                [row for row, _ in part],
                tokens=self.context.tokens.student,
                temperature=method.temperature,
                max_new_tokens=most,
                seeds=[row_seed for _, row_seed in part],
            )

        asked = [(row, stream_seed(seed, step, i)) for i, row in enumerate(rows)]
        return ranks.spread(answered, asked, within=in_company(self.student))

    def _room(self, rows: Sequence[Example], wanted: int) -> int:
        """Tokens that both models have a position for behind the longest prompt, at least those of the given rows."""
        prompt, longest = max(row.n_prompt for row in rows), max(len(row.input_ids) for row in rows)
        limit = _positions(self.context.teacher, self.context.student)
        return wanted if limit is None else max(limit, longest) - prompt


def _positions(*models: LanguageModel) -> int | None:
    """The least number of positions that one of the models was made for."""
    limits = [context_length(model) for model in models]
    return min([limit for limit in limits if limit], default=None)
