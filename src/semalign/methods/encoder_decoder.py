"""What a method cannot do, or what has no effect, where a model is an encoder-decoder: each one line."""

from ..errors import UserError
from ..models import LanguageModel
from ..schedules.base import Sequential
from .base import Method


def refuse_encoder_decoder(key: str, method: Method, teacher: LanguageModel, student: LanguageModel) -> None:
    """Raise UserError for the first such thing; `key` is the name of the method in the run."""
    found = [model for model in (student, teacher) if model.is_encoder_decoder]
    if not found:
        return
    if method.decoder_only:
        raise UserError(
            f"method '{key}' ({method.name}) works between decoder-only models, but {found[0].name} is an "
            "encoder-decoder; use semalign, logit_kd, hidden_kd or sft"
        )
    if not student.is_encoder_decoder:
        return
    if getattr(method, "positions", "answer") == "all":
        raise UserError(
            f"method '{key}': 'positions: all' has no effect on an encoder-decoder student ({student.name}), whose "
            "decoder has positions in the answer alone; leave it out"
        )
    schedule = getattr(method, "schedule", None)
    if isinstance(schedule, Sequential) and schedule.cache:
        raise UserError(
            f"method '{key}': schedule '{schedule.name}' keeps states by the tokens of a row, which do not hold the "
            f"prompt of an encoder-decoder student ({student.name}); set 'cache: false' in the schedule"
        )
