"""What a user may say about the teacher cache, and what it is refused for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveFloat

from ..cache import Precision
from ..errors import UserError
from ..losses import Loss
from ..losses.divergence import Divergence
from ..settings import Part

if TYPE_CHECKING:
    from .base import Method


class CacheOptions(Part):
    """What is kept of the teacher, how, and how much at most."""

    states: Precision = "bfloat16"
    """How states are kept. float32 is exact; int8 has a scale for each token, and keeps the final state in bfloat16."""
    top_k: Annotated[int, Field(ge=2)] | None = None
    """What is kept where the output follows the teacher: logits of its likeliest tokens. None: its final state, which
    its head reads again, so that all tokens count."""
    limit_gb: PositiveFloat = 10.0
    """The most that the cache of one method may take on disk, in 10^9 bytes."""
    folder: str | None = None
    """A folder that runs share; what is in it stays. None: in the run's folder, until the method is trained."""


def refuse_cache(options: CacheOptions, methods: Mapping[str, "Method"]) -> None:
    """Raise UserError where no method of a run could use the cache, or an option of it makes no difference."""
    cached = {name: method for name, method in methods.items() if method.cacheable}
    if not cached:
        raise UserError(
            f"cache: none of the methods ({', '.join(methods)}) can follow a teacher from disk; leave 'cache' out"
        )
    if options.top_k is None:
        return
    following = [loss for method in cached.values() for loss in _following(method)]
    if not following:
        raise UserError("cache: 'top_k' has no effect: no method looks at the teacher's output; leave it out")
    refuse_top_k_of_cache(options, following)


def cache_of(options: CacheOptions | None, method: "Method") -> CacheOptions | None:
    """What of the options has an effect on one method; None where it follows no teacher from disk."""
    if options is None or not method.cacheable:
        return None
    return options if _following(method) else options.model_copy(update={"top_k": None})


def refuse_top_k_of_cache(options: CacheOptions, outputs: Sequence[Loss]) -> None:
    """Raise UserError where a loss looks at more of the teacher's tokens than are kept."""
    for loss in outputs:
        if options.top_k is None or not _follows(loss):
            continue
        asked = loss.top_k if isinstance(loss, Divergence) and loss.compares == "shared" else None
        if asked is None or asked > options.top_k:
            looks = "at all tokens" if asked is None else f"at {asked}"
            raise UserError(
                f"cache: 'top_k' keeps the teacher's {options.top_k} likeliest tokens, but loss '{loss.name}' looks "
                f"{looks}; leave 'cache.top_k' out, or give the loss a 'top_k' of at most {options.top_k}"
            )


def _following(method: "Method") -> list[Loss]:
    return [loss for loss in getattr(method, "outputs", ()) if _follows(loss)]


def _follows(loss: Loss) -> bool:
    return loss.target == "teacher_logits"
