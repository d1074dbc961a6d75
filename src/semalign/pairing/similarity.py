"""How alike the layers of two models are, for pairings that go by similarity."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ..data import Batch
from ..errors import UserError
from ..linalg.cka import CrossCKA
from ..models import LanguageModel, Point, Site, check_layer_site, states_of
from ..progress import Advance, silent

LIMIT = 2048  # positions: CKA costs n squared; 30 layers of 576 against 24 take 4 s beside the two forward passes


@torch.no_grad()
def layer_similarity(
    teacher: LanguageModel, student: LanguageModel, batches: Sequence[Batch], site: Site, advance: Advance = silent
) -> Float64[Tensor, "n_student n_teacher"]:
    """Linear CKA in [0, 1] of states at answer tokens, every student layer with every teacher layer, on the CPU.

    At most LIMIT answer tokens are compared, at equal distances in reading order; where the models read other tokens,
    those at which both have read the same text. With fewer positions than widths all values are high; their
    order within a row still tells layers apart. Raises UserError where the site belongs to no layer or states are not
    finite.
    """
    check_layer_site(site)
    similarity = CrossCKA()
    places = spread([batch.followed for batch in batches], LIMIT)
    for done, (batch, place) in enumerate(zip(batches, places, strict=True), start=1):
        if place.any():
            ours, theirs = _states(student, batch, site), _states(teacher, batch.of_teacher, site)
            similarity.update([state[place] for state in ours], [batch.at_student(state)[place] for state in theirs])
        advance(done, len(batches))
    found = similarity.matrix().cpu()
    if not found.isfinite().all():
        raise UserError("the layers cannot be compared: a model's states on the extract rows hold NaN or Inf")
    return found


def spread(masks: Sequence[Bool[Tensor, "_ _"]], limit: int) -> list[Bool[Tensor, "_ _"]]:
    """The masks with at most `limit` positions kept, at equal distances in reading order."""
    n_position = sum(int(mask.sum()) for mask in masks)
    kept, before = [], 0
    for mask in masks:
        rank = before + torch.arange(int(mask.sum()), device=mask.device)
        place = mask.clone()
        # the r-th position is kept where r limit / n reaches the next whole number
        place[mask] = (rank + 1) * limit // max(n_position, limit) > rank * limit // max(n_position, limit)
        before += len(rank)
        kept.append(place)
    return kept


def _states(model: LanguageModel, batch: Batch, site: Site) -> list[Float[Tensor, "b pos _"]]:
    points = [Point(site, layer) for layer in range(model.n_layer)]
    heard = states_of(model, points, batch.input_ids, batch.attention_mask, encoder=batch.encoder)
    return [heard[point] for point in points]
