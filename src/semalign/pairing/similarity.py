"""How alike the layers of two models are, for pairings that go by similarity."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from ..data import Batch
from ..errors import UserError
from ..linalg.cka import CrossCKA
from ..models import LanguageModel, Point, Site, check_layer_site, states_of

LIMIT = 2048  # positions: CKA costs n squared; 30 layers of 576 against 24 take 4 s beside the two forward passes


@torch.no_grad()
def layer_similarity(
    teacher: LanguageModel, student: LanguageModel, batches: Sequence[Batch], site: Site
) -> Float64[Tensor, "n_student n_teacher"]:
    """Linear CKA in [0, 1] of states at answer tokens, every student layer with every teacher layer, on the CPU.

    At most LIMIT answer tokens are compared, at equal distances in reading order. Both models read the same tokens, so
    a position of one is the same position of the other. With fewer positions than widths all values are high; their
    order within a row still tells layers apart. Raises UserError where the site belongs to no layer or states are not
    finite.
    """
    check_layer_site(site)
    similarity = CrossCKA()
    for batch, place in zip(batches, spread([batch.mask for batch in batches], LIMIT), strict=True):
        if place.any():
            similarity.update(_states(student, batch, place, site), _states(teacher, batch, place, site))
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


def _states(model: LanguageModel, batch: Batch, place: Bool[Tensor, "b pos"], site: Site) -> list[Float[Tensor, "n _"]]:
    points = [Point(site, layer) for layer in range(model.n_layer)]
    heard = states_of(model, points, batch.input_ids, batch.attention_mask)
    return [heard[point][place] for point in points]
