"""A probe: one teacher and fixed answer positions, against which any student is measured again and again."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..data import Batch
from ..errors import UserError
from ..linalg.cka import CrossCKA
from ..models import FINAL, LanguageModel, Point, SharedTokens, evaluating, listen, run_trunk
from .lens import lens

# Positions: the agreement's standard error is then at most 0.016. A probe costs a head product for each of them and
# each layer: 0.2 s on the embedded pair, 40 s on one CPU thread for 30 layers of 576 with 49,000 tokens.
LIMIT = 1024


class Probe:
    """Measures students at the same answer positions, so that two measurements differ by their students alone.

    At most `limit` positions are used, spread evenly over the answers of `batches`. The teacher's final states are
    computed once, here; its block states only where CKA is asked for. A probe changes neither model: no gradient, no
    random number, every module in the mode it was in.
    """

    def __init__(
        self,
        teacher: LanguageModel,
        batches: Sequence[Batch],
        tokens: SharedTokens,
        *,
        limit: int = LIMIT,
    ) -> None:
        self.teacher, self.batches, self.tokens = teacher, list(batches), tokens
        self.places = spread([batch.followed for batch in batches], limit)
        self.n_position = sum(int(place.sum()) for place in self.places)
        if self.n_position < 2:
            raise UserError(f"the rows to probe have {self.n_position} answer tokens, at least 2 are needed; add rows")
        self.supervised_share = sum(b.n_supervised for b in batches) / sum(b.n_tokens for b in batches)
        self._final = [teacher_states_at(teacher, b, place, [FINAL])[0] for b, place in self._parts()]

    def __call__(self, student: LanguageModel, *, cka: bool = False) -> dict[str, Any]:
        """What the student has taken over, as plain JSON.

        `lens_kl`: a number a student layer, nats a token, at least 0, lower is closer: KL(teacher's final distribution
        || student's block output read by its final norm and head), over the shared tokens. `agreement`: the share of
        positions, in [0, 1], where both models' first choices among the shared tokens are equal. `supervised_share`:
        answer tokens among all tokens of the rows, in [0, 1]. With `cka` also `cka`, [n_student][n_teacher], in [0, 1],
        the linear CKA of block outputs; with fewer positions than widths it is high for unrelated states too.
        """
        points, theirs = _block_outputs(student), _block_outputs(self.teacher)
        sums, n_equal, similarity = torch.zeros(len(points), dtype=torch.float64), 0, CrossCKA()
        for (batch, place), final in zip(self._parts(), self._final, strict=True):
            states = states_at(student, batch, place, points)
            kl, equal = lens(student, states, self.teacher, final, self.tokens)
            sums, n_equal = sums + kl, n_equal + equal
            if cka:
                similarity.update(states, teacher_states_at(self.teacher, batch, place, theirs))
        found = {
            "lens_kl": (sums / self.n_position).tolist(),
            "agreement": n_equal / self.n_position,
            "supervised_share": self.supervised_share,
        }
        return {**found, "cka": similarity.matrix().tolist()} if cka else found

    def _parts(self) -> Iterator[tuple[Batch, Bool[Tensor, "_ _"]]]:
        """Batches with their chosen positions; those without one are passed over."""
        return ((batch, place) for batch, place in zip(self.batches, self.places, strict=True) if place.any())


def spread(masks: Sequence[Bool[Tensor, "_ _"]], limit: int) -> list[Bool[Tensor, "_ _"]]:
    """The masks with at most `limit` True positions kept, at equal distances in reading order."""
    n_position = sum(int(mask.sum()) for mask in masks)
    if n_position <= limit:
        return list(masks)
    chosen = torch.zeros(n_position, dtype=torch.bool)
    chosen[torch.arange(limit) * n_position // limit] = True
    places, start = [], 0
    for mask in masks:
        here = int(mask.sum())
        place = mask.clone()
        place[mask] = chosen[start : start + here].to(mask.device)
        places.append(place)
        start += here
    return places


def states_at(
    model: LanguageModel, batch: Batch, place: Bool[Tensor, "b pos"], points: Sequence[Point]
) -> list[Float[Tensor, "n width"]]:
    """States of a model at chosen positions, one tensor a point, without dropout."""
    return [state[place] for state in _heard(model, batch, points)]


def teacher_states_at(
    teacher: LanguageModel, batch: Batch, place: Bool[Tensor, "b pos"], points: Sequence[Point]
) -> list[Float[Tensor, "n width"]]:
    """States of a teacher, which may read other tokens, at chosen positions of the student."""
    return [batch.at_student(state)[place] for state in _heard(teacher, batch.of_teacher, points)]


@torch.no_grad()
def _heard(model: LanguageModel, batch: Batch, points: Sequence[Point]) -> list[Float[Tensor, "b pos width"]]:
    with evaluating(model.module), listen(model, points) as heard:
        run_trunk(model, batch.input_ids, batch.attention_mask, encoder=batch.encoder)
    return [heard[point] for point in points]


def _block_outputs(model: LanguageModel) -> list[Point]:
    return [Point("block_out", layer) for layer in range(model.n_layer)]
