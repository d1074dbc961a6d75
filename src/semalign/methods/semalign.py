"""SemAlign: student layers follow the mapped states of the teacher layers they are paired with."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from ..attribution import Attribution
from ..basis import Basis, MapContext, SemanticMap
from ..basis.cosine import Cosine as CosineBasis
from ..basis.pair_quality import final_map, pair_quality
from ..basis.quality import agreement
from ..errors import UserError
from ..losses import Loss
from ..losses.cosine import Cosine as CosineLoss
from ..losses.onehot_cosine import OnehotCosine
from ..models import LanguageModel, Part, Site, encoder_of, lora_targets, reader_of
from ..pairing import Pair, Pairing
from ..pairing.critical import Critical
from ..schedules import Schedule
from ..schedules.base import Sequential
from ..schedules.joint import Joint
from ..training import LoraOptions
from .agreement import AgreeingTeacher
from .base import LoopMethod, MethodContext, Plan
from .choice import choose_pairs, possible_pairs
from .injected import Start, principal_start, refuse_start
from .positions import Positions
from .refuse import refuse_part, refuse_pieces, refuse_tokens, refuse_without_effect
from .step import Stage, Step
from .teacher import Norm, OnlineTeacher


@dataclass(frozen=True, kw_only=True)
class SemAlign(LoopMethod, name="semalign"):
    """Latent semantic alignment; by default version 1 of the paper: one critical layer, cosine map, two cosine terms.

    Choices of ours where the paper is silent: the site (MLP output) and one critical layer. The later versions are
    `loss: fisher` (site block_out) and `loss: geometry` (site block_delta) with `schedule: frontier`, `pairing:
    one_per_layer` and `outputs: [kl]`; both are reconstructions from abstracts.
    Source: Gu et al. 2025, arXiv:2510.24208 v1; Gu et al. 2026, Findings of ACL 2026 and arXiv:2510.24208 v2.
    """

    source = "Gu et al. 2025, arXiv:2510.24208 v1"
    uses_teacher = True
    label = "SemAlign"

    attribution: Attribution | None = None
    """None: Gradient x Activation at the MLP outputs where the pairing asks for an attribution, whatever the site: at
    block outputs it ranks layers against what skipping them costs (docs/attribution.md)."""
    pairing: Pairing = field(default_factory=Critical)
    part: Part = "decoder"
    """Whose layers are paired: the decoder's, or those of an encoder-decoder student's encoder, at the prompt's tokens,
    with the layers of the teacher's encoder or of a decoder-only teacher (docs/encoder-decoder.md)."""
    basis: Basis = field(default_factory=CosineBasis)
    site: Site = "mlp_out"
    norm: Norm = "map"
    """Length of a target state: as the map gives it, the teacher state's, or the student state's. Directions stay."""
    loss: Loss = field(default_factory=CosineLoss)
    """What pulls a paired layer to its target; a loss of logits reads both by logit lens (site block_out)."""
    outputs: tuple[Loss, ...] = field(default_factory=lambda: (OnehotCosine(),))
    """What is asked of the output beside it."""
    positions: Positions = "answer"
    """Where the teacher is followed, by layer losses and by outputs that look at its logits: at the answer tokens, or
    at all tokens, prompts too. Gold tokens are asked for in the answer only."""
    agreement: bool = False
    """Layer losses only where the map is to be trusted: where the teacher's final state, mapped and read by the
    student's head, has the teacher's own likeliest token. The loss stays divided by all positions."""
    balance: bool = False
    """Weights by gradient norm: at the start of a stage each term's weight is set so that its gradient is `weight`
    times as long as the first output's. The weights found are logged."""
    schedule: Schedule = field(default_factory=Joint)
    """All pairs at once, or one after the other."""
    start: Start = "zero"
    """Where LoRA starts: at zero, or at the principal part of the student's own weights (PiSSA)."""
    train: Literal["paired", "all"] = "paired"
    """Adapters on the paired student layers only (the paper), or on all of them; in a sequential schedule those without
    a pair train with the next paired layer above them."""

    def __post_init__(self) -> None:
        refuse_without_effect(self)

    def spec(self) -> dict[str, Any]:
        values = super().spec()
        return values if self.part == "encoder" else {name: x for name, x in values.items() if name != "part"}

    @property
    def cacheable(self) -> bool:
        return not self.agreement and self.part == "decoder"

    @property
    def reads_weights(self) -> bool:
        return self.attribution is not None and self.attribution.reads_weights

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        refuse_part(self, teacher, student)
        refuse_tokens((self.loss, *self.outputs), teacher, student)
        refuse_pieces(self.basis, teacher, student)
        if self.basis.name == "identity" and not self.loss.any_width and teacher.width != student.width:
            raise UserError(
                f"basis 'identity' leaves states as wide as the teacher ({teacher.width}), but the student has "
                f"{student.width}, and loss '{self.loss.name}' compares coordinates; use basis 'logit' or 'ridge'"
            )
        if self.agreement and self.basis.name == "identity" and teacher.width != student.width:
            raise UserError(
                f"'agreement' reads mapped states by the student's head ({student.width} wide), and basis 'identity' "
                f"leaves them as wide as the teacher ({teacher.width}); use another basis, or leave it out"
            )
        parts = (reader_of(teacher), reader_of(student)) if self.part == "encoder" else (teacher, student)
        pairs = possible_pairs(self.pairing, *parts)
        n_stage = len(self._stages(pairs, student.n_layer))
        if n_stage == 1 and isinstance(self.schedule, Sequential):
            raise UserError(
                f"schedule '{self.schedule.name}' has no effect: pairing '{self.pairing.name}' gives one pair; "
                "leave it out, or pair more layers"
            )
        if n_step < n_stage:
            raise UserError(
                f"schedule '{self.schedule.name}' has {n_stage} stages, but the training has {n_step} steps; "
                "raise training.epochs, lower training.batch_size or pair fewer layers"
            )

    def check_lora(self, teacher: LanguageModel, student: LanguageModel, options: LoraOptions) -> None:
        adapted = [student] if self.part == "decoder" else [student, encoder_of(student)]
        for part in adapted:
            lora_targets(part, options.roles)
            if self.start == "principal":
                refuse_start(self.name, part, options)

    def plan(self, context: MethodContext) -> Plan:
        student, method, seen = context.student, self.seeded(context.seed), self.seen(context)
        pairs, scores = choose_pairs(seen, method.pairing, self.site, method.attribution)
        fitted_on = self._fitted_on(seen, pairs)
        maps = method.basis.fit_pairs(fitted_on)
        layers = {layer for stage in self._stages(pairs, student.n_layer) for layer in stage.layers}
        encoder_layers: set[int] = set()
        if self.part == "encoder":
            encoder_layers = set(range(seen.student.n_layer)) if self.train == "all" else {p.student for p in pairs}
        adapted = [(student, sorted(layers)), (seen.student, sorted(encoder_layers))]
        start: dict[str, Tensor] = {}
        if self.start == "principal":
            start = {k: x for part, some in adapted for k, x in principal_start(part, some, context.lora).items()}
        return Plan(
            layers=tuple(sorted(layers)),
            encoder_layers=tuple(sorted(encoder_layers)),
            scores=scores,
            pairs=tuple(pairs),
            maps=maps,
            start=start,
            quality=_quality(method.basis, maps, fitted_on, seen),
        )

    def seen(self, context: MethodContext) -> MethodContext:
        """The models and rows as the layers of `part` see them."""
        return context.of_encoder if self.part == "encoder" else context

    def step(self, context: MethodContext, plan: Plan) -> Step:
        schedule = self.schedule
        return Step(
            context.student,
            outputs=self.outputs,
            layer_loss=self.loss,
            stages=self.seeded(context.seed)._stages(plan.pairs, context.student.n_layer),
            site=self.site,
            norm=self.norm,
            signals=self._signals(context, plan),
            tokens=context.tokens.student,
            first=context.first_tokens(self.outputs),
            cache=isinstance(schedule, Sequential) and schedule.cache,
            balanced=self.balance,
            taught=self.positions,
            part=self.part,
        )

    def _signals(self, context: MethodContext, plan: Plan) -> OnlineTeacher:
        needs_logits = any(output.target == "teacher_logits" for output in self.outputs)
        teacher, tokens, site = context.teacher, context.tokens, self.site
        if not self.agreement:
            own = tokens.teacher if needs_logits else None
            return OnlineTeacher(teacher, site, plan.maps, own, self.norm, part=self.part)
        final = final_map(self.seeded(context.seed).basis, plan.maps, self._fitted_on(context, plan.pairs))
        return AgreeingTeacher(
            teacher,
            site,
            plan.maps,
            tokens.teacher,
            self.norm,
            student=context.student,
            student_tokens=tokens.student,
            final=final,
        )

    def _fitted_on(self, context: MethodContext, pairs: Sequence[Pair]) -> MapContext:
        return MapContext(
            teacher=context.teacher,
            student=context.student,
            tokens=context.tokens,
            batches=context.calibration,
            pairs={pair.student: pair.teacher for pair in pairs},
            site=self.site,
        )

    def _stages(self, pairs: "list[Pair] | tuple[Pair, ...]", n_student: int) -> list[Stage]:
        by_student = {pair.student: pair for pair in pairs}
        if self.part == "encoder":
            layers = range(n_student) if self.train == "all" else ()
            return [Stage(layers=tuple(layers), pairs=tuple(by_student[student] for student in sorted(by_student)))]
        layers = {student: (student,) for student in by_student}
        if self.train == "all":
            layers = _segments(sorted(by_student), n_student)
        return [
            Stage(
                layers=tuple(sorted(layer for student in stage for layer in layers[student])),
                pairs=tuple(by_student[student] for student in sorted(stage)),
            )
            for stage in self.schedule.stages(sorted(by_student))
        ]


def _quality(
    basis: Basis, maps: dict[int, SemanticMap], fitted_on: MapContext, context: MethodContext
) -> dict[str, Any]:
    """What of the teacher's predictions survives the map, at the final state and at each pair, on the extract rows."""
    held = replace(fitted_on, batches=context.extract)
    layers = pair_quality(maps, held, keeps_norm=basis.keeps_norm)
    quality: dict[str, Any] = {"layers": [{"student": student, **found} for student, found in layers.items()]}
    if not context.student.has_lens:  # an encoder has no final state that a head reads
        return {"tokens_used": next(iter(maps.values())).n_token, **quality}
    final = final_map(basis, maps, fitted_on)
    if final.width != context.student.width:  # no map: the teacher's states as they are
        return {"tokens_used": final.n_token, **quality}
    if basis.rows_in_pieces is not None:
        quality["tokens_in_pieces"] = final.n_token - len(context.tokens)
    return {**agreement(final, context.teacher, context.student, context.tokens, context.extract), **quality}


def _segments(paired: list[int], n_student: int) -> dict[int, tuple[int, ...]]:
    """Every student layer with the next paired layer at or above it; those above all of them with the last one."""
    below = [-1, *paired[:-1]]
    ends = [*paired[:-1], n_student - 1]
    return {student: tuple(range(low + 1, high + 1)) for student, low, high in zip(paired, below, ends, strict=True)}
