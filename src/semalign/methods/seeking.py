"""SEEKING: the sensitive parts of the teacher's weights, made low-rank, are where the student's LoRA starts."""

from dataclasses import dataclass, field
from typing import Any

import torch

from ..attribution import Attribution
from ..attribution.sensitivity import Sensitivity
from ..errors import UserError
from ..models import LanguageModel, lora_targets
from ..models.family import Role
from ..models.weights import layer_weights, matrix_name, oriented
from ..pairing import Pair
from ..training import LoraOptions
from .base import MethodContext, Plan
from .injected import Injected, principal_part
from .submatrix import Submatrix, extract


@dataclass(frozen=True, kw_only=True)
class Seeking(Injected, name="seeking"):
    """Parametric knowledge transfer: extract the teacher's most sensitive layers and windows, inject them, fine-tune.

    As many teacher layers as the student has, those with the highest scores, each give the student layer at their place
    a part of each matrix; its truncated SVD, B0 = U S, A0 = V^T, is where LoRA starts, with W - B0 A0 as the base. The
    embedding and the head, which the source treats too, are left out (docs/seeking.md).
    Source: Zhong et al. 2024, arXiv:2310.11451, section 3.
    """

    source = "Zhong et al. 2024, arXiv:2310.11451"
    uses_teacher = True
    label = "SEEKING"

    attribution: Attribution = field(default_factory=Sensitivity)
    """Which teacher layers: those with the highest scores. `random` is the control."""
    submatrix: Submatrix = "window"
    """What of a matrix: the most sensitive contiguous window, the most sensitive rows and columns, the most sensitive
    weights wherever they are, or a window anywhere (the control)."""
    seed: int | None = None
    """Of the window anywhere. None: the run's seed (0 outside a run)."""

    @property
    def reads_weights(self) -> bool:
        return True

    def check(self, teacher: LanguageModel, student: LanguageModel, n_step: int) -> None:
        if teacher.n_layer < student.n_layer:
            raise UserError(
                f"method '{self.name}' gives each student layer a teacher layer of its own: the student has "
                f"{student.n_layer}, the teacher only {teacher.n_layer}; use a deeper teacher"
            )

    def check_lora(self, teacher: LanguageModel, student: LanguageModel, options: LoraOptions) -> None:
        super().check_lora(teacher, student, options)
        lora_targets(teacher, options.roles)
        for role in options.roles:
            _refuse_fused(teacher, role)
            _refuse_fused(student, role)
            _refuse_larger(teacher, student, role)

    def plan(self, context: MethodContext) -> Plan:
        method = self.seeded(context.seed)
        scores = method.attribution.score(context.teacher, context.teacher_extract).tolist()
        pairs = _pairs(scores, context.student.n_layer, self.attribution.name)
        start, found = method._extract(context, pairs)
        return Plan(
            layers=tuple(range(context.student.n_layer)),
            scores=tuple(scores),
            pairs=pairs,
            start=start,
            quality={"extracts": found},
        )

    def _extract(
        self, context: MethodContext, pairs: tuple[Pair, ...]
    ) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
        """First values of the adapters, and what was taken for each of them."""
        teacher, student, roles = context.teacher, context.student, tuple(dict.fromkeys(context.lora.roles))
        generator = torch.Generator().manual_seed(self.seed or 0)
        layers = [pair.teacher[0][0] for pair in pairs]
        scores = {}
        if self.submatrix != "random_window":
            scores = Sensitivity().weight_scores(teacher, context.teacher_extract, layers, roles)
        start, found = {}, []
        for pair, layer in zip(pairs, layers, strict=True):
            for role in roles:
                large = oriented(teacher, layer_weights(teacher, layer)[matrix_name(teacher, role)].value)
                shape = _shape(student, pair.student, role)
                taken = extract(self.submatrix, large, scores.pop((layer, role), None), shape, generator)
                u, s, vh = principal_part(taken.matrix, context.lora.rank)
                path = f"{student.family.blocks}.{pair.student}.{student.family.roles[role]}"
                start |= {f"{path}.lora_B": u * s, f"{path}.lora_A": vh.contiguous()}
                energy = float((s.double() ** 2).sum() / (taken.matrix.double() ** 2).sum())
                found.append({"module": path, "corner": taken.corner, "share": taken.share, "energy": energy})
        return start, found


def _pairs(scores: list[float], n_student: int, by: str) -> tuple[Pair, ...]:
    """The highest scores (of equal ones the first) in order of depth, the k-th with the k-th student layer."""
    ranked = sorted(range(len(scores)), key=lambda layer: -scores[layer])
    chosen = sorted(ranked[:n_student])
    return tuple(
        Pair(
            student=k,
            teacher=((layer, 1.0),),
            reason=f"number {ranked.index(layer) + 1} of {len(scores)} by {by}, number {k + 1} of the chosen by depth",
        )
        for k, layer in enumerate(chosen)
    )


def _refuse_fused(model: LanguageModel, role: Role) -> None:
    """A window of a module that holds several matrices would mix them."""
    path = model.family.roles[role]
    others = [other for other, place in model.family.roles.items() if place == path and other != role]
    if others:
        raise UserError(
            f"method 'seeking': {model.name} keeps '{role}' in one matrix with {', '.join(others)} ({path}), and a "
            f"window of it would mix them; leave '{role}' out of training.lora.roles"
        )


def _refuse_larger(teacher: LanguageModel, student: LanguageModel, role: Role) -> None:
    large = [_shape(teacher, layer, role) for layer in range(teacher.n_layer)]
    most = [min(shape[axis] for shape in large) for axis in (0, 1)]
    for layer in range(student.n_layer):
        small = _shape(student, layer, role)
        if small[0] > most[0] or small[1] > most[1]:
            raise UserError(
                f"method 'seeking' cuts the student's matrices out of the teacher's: {student.family.roles[role]} of "
                f"layer {layer} is {small[0]} x {small[1]} in the student, only {most[0]} x {most[1]} in the teacher; "
                f"leave '{role}' out of training.lora.roles, or use a larger teacher"
            )


def _shape(model: LanguageModel, layer: int, role: Role) -> torch.Size:
    return oriented(model, layer_weights(model, layer)[matrix_name(model, role)].parameter).shape
