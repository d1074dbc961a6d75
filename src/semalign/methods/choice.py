"""Which layers a method pairs: by rule, or by what was measured on the extract rows where the pairing looks at that."""

import torch

from ..attribution import Attribution
from ..attribution.gradient_x_activation import GradientXActivation
from ..models import LanguageModel, Site
from ..pairing import Pair, Pairing, PairingContext
from ..pairing.similarity import layer_similarity
from .base import MethodContext


def choose_pairs(
    context: MethodContext, pairing: Pairing, site: Site, attribution: Attribution | None = None
) -> tuple[list[Pair], tuple[float, ...] | None]:
    """The pairs, and the attribution of each teacher layer where the pairing asks for one (None: Gradient x Activation
    at the MLP outputs). Similarity is measured at `site` unless the pairing says otherwise."""
    teacher, student = context.teacher, context.student
    scores = similarity = None
    if pairing.uses_attribution:
        scores = tuple((attribution or GradientXActivation()).score(teacher, context.teacher_extract).tolist())
    if pairing.uses_similarity:
        similarity = layer_similarity(teacher, student, context.extract, pairing.similarity_site or site)
    sizes = {"n_teacher": teacher.n_layer, "n_student": student.n_layer}
    return pairing.pair(PairingContext(**sizes, scores=scores, similarity=similarity)), scores


def possible_pairs(pairing: Pairing, teacher: LanguageModel, student: LanguageModel) -> list[Pair]:
    """As many pairs as there will be, from nothing but the depths: raises UserError where the layers do not exist."""
    return pairing.seeded(0).pair(
        PairingContext(
            n_teacher=teacher.n_layer,
            n_student=student.n_layer,
            scores=[0.0] * teacher.n_layer if pairing.uses_attribution else None,
            similarity=torch.ones(student.n_layer, teacher.n_layer, dtype=torch.float64),
        )
    )
