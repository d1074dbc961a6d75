"""Maps that are fitted on the states of calibration rows: paired states, streamed into moments."""

import abc
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from ..data import Batch
from ..errors import UserError
from ..linalg.moments import Moments
from ..models import LanguageModel, Point, listen, run_trunk
from .base import Basis, MapContext, SemanticMap
from .linear import LinearMap

HOLD_OUT = 4
"""Every fourth row is held out: enough to tell shrinkages apart, and three quarters are left to fit."""

Positions = Literal["all", "answer"]


@dataclass(frozen=True, eq=False)
class PairedStates:
    """The states of one batch at one pair, flattened over positions."""

    student_layer: int
    x: Float[Tensor, "tok d_t"]
    """Weighted mix of the teacher layers of the pair."""
    y: Float[Tensor, "tok d_s"]
    row: Int[Tensor, "tok"]
    """Index of each position's row in the batch."""


@dataclass(frozen=True, eq=False)
class Solved:
    """A linear map between states, and how well one fitted on the other rows alone does on those held out."""

    matrix: Float64[Tensor, "d_s d_t"]
    offset: Float64[Tensor, "d_s"]
    condition: float
    explained_variance: float
    """On tokens held out, channels pooled: 1 is exact, 0 is as good as the mean, below 0 worse."""
    notes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StateBasis(Basis, abc.ABC):
    """A linear map for each pair of layers, fitted on the states of both models on the same tokens."""

    uses_states = True
    recovers = "states"
    keeps_norm = True

    positions: Positions = "all"
    """All tokens of the calibration rows but each row's first, or those before an answer token.

    The first token is an attention sink in most models, with a state of hundreds of times the norm of the others (Sun
    et al. 2024, arXiv:2402.17762): a fit would see little else.
    """
    center: bool = True
    """Fit about the means, with an intercept."""

    @abc.abstractmethod
    def solve(self, fit: Moments, held: Moments) -> Solved:
        """The map of all tokens; what had to be chosen was chosen on `held` with a map of `fit`."""

    @torch.no_grad()
    def fit_pairs(self, context: MapContext) -> dict[int, SemanticMap]:
        """One map a pair. Costs one forward pass of each model, and 16 d_t (d_t + d_s) bytes of moments a pair."""
        n_row = sum(len(batch.ids) for batch in context.batches)
        if n_row < HOLD_OUT:
            raise UserError(
                f"basis '{self.name}' is fitted on calibration rows and checked on every {HOLD_OUT}th of them, but "
                f"there are {n_row}; add rows to the split align or train"
            )
        maps: dict[int, SemanticMap] = {}
        for layer, (fit, held) in self._moments(context).items():
            try:
                maps[layer] = self._map(fit, held)
            except UserError as error:
                teachers = " + ".join(str(teacher) for teacher, _ in context.pairs[layer])
                place = f"student layer {layer} from teacher layer {teachers}, site {context.site}"
                raise UserError(f"basis '{self.name}', {place}: {error}") from None
        return maps

    def _moments(self, context: MapContext) -> dict[int, tuple[Moments, Moments]]:
        widths = (context.teacher.width, context.student.width, context.student.device)
        moments = {layer: (Moments.zero(*widths), Moments.zero(*widths)) for layer in context.pairs}
        seen = 0
        for batch in context.batches:
            for states in paired_states(context, batch, self.positions):
                held = (states.row + seen) % HOLD_OUT == HOLD_OUT - 1
                for part, chosen in zip(moments[states.student_layer], (~held, held), strict=True):
                    part.update(states.x[chosen], states.y[chosen])
            seen += len(batch.ids)
        return moments

    def _map(self, fit: Moments, held: Moments) -> LinearMap:
        if fit.n < 2 or held.n < 2:
            raise UserError(f"too few tokens to fit and check a map ({fit.n} and {held.n}); give more calibration rows")
        solved = self.solve(fit, held)
        return LinearMap(
            matrix=solved.matrix.float(),
            n_token=fit.n + held.n,
            condition=solved.condition,
            unit=False,
            offset=solved.offset.float() if self.center else None,
            notes={"explained_variance": solved.explained_variance} | solved.notes,
        )


@torch.no_grad()
def paired_states(context: MapContext, batch: Batch, positions: Positions) -> list[PairedStates]:
    """States of a batch at every pair, on the student's device."""
    site = context.site
    teachers = {layer for pair in context.pairs.values() for layer, _ in pair}
    heard_t = _heard(context.teacher, batch.of_teacher, [Point(site, layer) for layer in sorted(teachers)])
    heard_t = {point: batch.at_student(state) for point, state in heard_t.items()}
    heard_s = _heard(context.student, batch, [Point(site, layer) for layer in context.pairs])
    chosen = chosen_positions(batch, positions)
    row = chosen.nonzero()[:, 0]
    found = []
    for layer, pair in context.pairs.items():
        mixed = torch.stack([weight * heard_t[Point(site, teacher)][chosen] for teacher, weight in pair]).sum(0)
        state = heard_s[Point(site, layer)][chosen]
        found.append(PairedStates(layer, mixed.to(state.device), state, row.to(state.device)))
    return found


def chosen_positions(batch: Batch, positions: Positions) -> Bool[Tensor, "b pos"]:
    """Real tokens after each row's first, or those before an answer token; only where the teacher can be followed."""
    if positions == "answer":
        return batch.followed
    chosen = batch.aligned.clone()
    chosen[:, 0] = False
    return chosen


def _heard(model: LanguageModel, batch: Batch, points: list[Point]) -> dict[Point, Tensor]:
    with listen(model, points) as states:
        run_trunk(model, batch.input_ids, batch.attention_mask, encoder=batch.encoder)
    return states
