"""LaTen: neurons that speak for an answer, located in both models, translated, and added to the student's weights."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ...errors import UserError
from ...losses.cross_entropy import CrossEntropy
from ...models import LanguageModel
from ...models.family import Role
from ...pairing import Pair
from ...training import History, LoraOptions, TrainingOptions
from ..base import Given, Method, MethodContext, Plan
from ..step import Stage, Step
from .adapter import inject_adapters
from .fit import Fit, Match, held_out_rows
from .lens import FixedLens
from .locate import Choice, Locator, kept_layers, layer_scores
from .places import KIND_OF, KINDS, Kind, Places, refuse_places
from .reading import Sources, read_row
from .rows import LocatingRow, locating_row, rows_of
from .translator import Translator

if TYPE_CHECKING:
    from peft import PeftModel
else:  # importing peft takes four seconds
    PeftModel = Any


@dataclass(frozen=True, kw_only=True)
class LaTen(Method, name="laten"):
    """Locate, align, inject: teacher neurons, translated by a small network, are added to student neurons.

    Nothing of the student is fine-tuned; of `training` only `micro_batch_size` and `diagnose_every` count. Every step
    is measured on held-out rows, and the best one is kept: that may be the untouched student.
    """

    source = "Tan et al. 2025, ACL, arXiv:2505.14436"
    uses_teacher = True
    one_tokenizer = True
    decoder_only = True
    label = "LATEN"

    learning_rate: Annotated[float, Field(gt=0)] = 3e-5
    """The highest of the translator's one cycle; the sources say 1e-5, 3e-5 and 3e-4."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Extract rows to locate neurons on, one a step; None: all of them."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Neurons a layer that are moved: of the student's FFN width, and of its own width for the attention."""
    neurons: Choice = "located"
    """`random`: as many drawn neurons of the located layers, in both models; the control."""
    sources: Sources = "last"
    """Whose values an attention neuron speaks with: the last position's, or all positions'."""
    fuse: Literal["first", "mean"] = "first"
    """What is added at the end: what one locating row (the first) leads to, or the mean over the rows of all steps."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Rows a step: the locating row, and others drawn from the `align` rows (from the training rows without any)."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of those other rows that is never trained on and chooses the step."""
    penalty: Annotated[float, Field(ge=0)] = 1000.0
    """Weight of the mean squared change, summed over up, down, v and o."""
    seed: int | None = None
    """Of the order of rows, the translator's first weights and random neurons; None: the run's."""

    def __post_init__(self) -> None:
        if self.neurons == "random" and self.sources != "last":
            raise UserError("'sources' has no effect on random neurons; leave it out, or set 'neurons: located'")
        if self.fuse == "mean" and self.steps == 1:
            raise UserError("'fuse: mean' has no effect with 'steps: 1'; raise 'steps', or set 'fuse: first'")

    @property
    def reads_weights(self) -> bool:
        return True

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        if teacher.n_layer < student.n_layer:
            raise UserError(
                f"method 'laten' takes a teacher layer for every student layer, but the teacher has {teacher.n_layer} "
                f"and the student {student.n_layer}; choose a deeper teacher or a shallower student"
            )
        for model in (teacher, student):
            refuse_places(model)
            FixedLens(model)
        for kind, count in self._count(student).items():
            if count < 1:
                raise UserError(
                    f"method 'laten': share {self.share} of the student's {kind} neurons is none; raise 'share'"
                )
            if count > Places(teacher).n_neuron(kind):
                raise UserError(
                    f"method 'laten' moves {count} {kind} neurons a layer, but the teacher has "
                    f"{Places(teacher).n_neuron(kind)}; lower 'share' or choose a wider teacher"
                )

    def plan(self, context: MethodContext) -> Plan:
        """The layers that the row whose neurons are injected leads to; neurons are located when training begins."""
        student, places = context.student, Places(context.teacher)
        rows = rows_of(context.extract, student.tokenizer)
        row = rows[self._order(len(rows), context.seed)[0]]
        lens = FixedLens(context.teacher)
        reading = read_row(places, lens, row, self.sources)
        scores: dict[Kind, Tensor] = {kind: layer_scores(lens, kind, [reading])[0] for kind in KINDS}
        layers = {kind: kept_layers(scores[kind], student.n_layer) for kind in KINDS}
        about = {kind: {"layers": layers[kind], "increase": scores[kind].tolist()} for kind in KINDS}
        pairs = tuple(
            Pair(student=k, teacher=((ffn, 1.0),), reason=_reason(ffn, attention, scores))
            for k, (ffn, attention) in enumerate(zip(layers["ffn"], layers["attention"], strict=True))
        )
        return Plan(layers=tuple(range(student.n_layer)), pairs=pairs, quality={"row": row.id, **about})

    def adapt(self, context: MethodContext, plan: Plan, options: LoraOptions) -> PeftModel:
        del plan, options  # as many rows and columns as neurons are moved, whatever rank others train with
        places, count = Places(context.student), self._count(context.student)
        n_extract = sum(len(batch.ids) for batch in context.extract)
        n_row = len(self._order(n_extract, context.seed)) if self.fuse == "mean" else 1
        ranks: dict[Role, int] = {
            role: min(n_row * count[kind], places.n_place(role)) for role, kind in KIND_OF.items()
        }
        return inject_adapters(context.student, ranks)

    def fit(self, context: MethodContext, plan: Plan, adapter: PeftModel, given: Given) -> History:
        del adapter  # the student carries it
        teacher, student = context.teacher, context.student
        seed = context.seed if self.seed is None else self.seed
        draws = torch.Generator().manual_seed(seed)
        examples = [given.rows["extract"][i] for i in self._order(len(given.rows["extract"]), context.seed)]
        rows = [locating_row(one.id, one.input_ids, one.n_prompt, student.tokenizer) for one in examples]
        held_out, pool = held_out_rows(given.rows.get("align") or given.rows["train"], self.held_out, seed)
        translator = Translator(teacher.width, student.width, draws).to(student.device)
        fit = Fit(
            teacher=Places(teacher),
            student=Places(student),
            step=Step(student, outputs=[CrossEntropy()], stages=[Stage(layers=plan.layers, pairs=())]).eval(),
            translator=translator,
            matches=self._matches(context, rows, draws),
            examples=examples,
            pool=pool,
            held_out=held_out,
            given=given,
            seed=seed,
            mean=self.fuse == "mean",
            batch_size=self.batch_size,
            penalty=self.penalty,
            learning_rate=self.learning_rate,
        )
        entries = fit.run()
        return History(
            entries,
            n_step=len(entries),
            n_token=sum(entry["tokens"] for entry in entries),
            n_trainable=sum(p.numel() for p in translator.parameters()),
        )

    def n_step(self, options: TrainingOptions, n_row: Mapping[str, int]) -> int:
        return min(n_row["extract"], self.steps or n_row["extract"])

    def _order(self, n_row: int, seed: int) -> list[int]:
        """The extract rows that neurons are located on, one a step."""
        order = random.Random(f"{seed if self.seed is None else self.seed}/laten")
        return order.sample(range(n_row), min(n_row, self.steps or n_row))

    def _count(self, student: LanguageModel) -> dict[Kind, int]:
        """Neurons to move a layer."""
        places = Places(student)
        counted: dict[Kind, int] = {"attention": student.width, "ffn": places.n_neuron("ffn")}
        return {kind: min(int(self.share * n), places.n_neuron(kind)) for kind, n in counted.items()}

    def _matches(self, context: MethodContext, rows: list[LocatingRow], draws: torch.Generator) -> list[Match]:
        student = context.student
        locator = Locator(
            n_layer=student.n_layer, count=self._count(student), sources=self.sources, choice=self.neurons
        )
        found = [locator.locate(model, rows, draws) for model in (context.teacher, student)]
        return [Match(teacher=t, student=s) for t, s in zip(*found, strict=True)]


def _reason(ffn: int, attention: int, scores: Mapping[Kind, Tensor]) -> str:
    return (
        f"FFN: log p {float(scores['ffn'][ffn]):+.3f}; attention from layer {attention}: "
        f"log p {float(scores['attention'][attention]):+.3f}"
    )
