"""What a stored row depends on: its content, and all that the teacher's signals are made from."""

from collections.abc import Sequence
from typing import Any

from ..artifacts import key
from ..data import Batch
from ..models.fingerprint import digest, fingerprint
from ..pairing import Pair
from .cache_options import CacheOptions
from .positions import Positions
from .teacher import OnlineTeacher


def row_key(batch: Batch) -> str:
    """Of a batch of one row: its tokens and where the answer begins, and what a teacher with other tokens reads."""
    own, teacher = [*_read(batch), int(batch.mask[0].int().argmax())], batch.teacher
    if teacher is None:
        return key(*own)
    return key(*own, *_read(teacher.batch), teacher.first.tolist(), teacher.last.tolist())


def _read(batch: Batch) -> list[Any]:
    return [batch.input_ids.tolist(), *([] if batch.encoder is None else [batch.encoder.input_ids.tolist()])]


def about(online: OnlineTeacher, pairs: Sequence[Pair], positions: Positions, options: CacheOptions) -> dict[str, Any]:
    """All but the rows, as plain JSON."""
    maps = {pair.student: online.maps[pair.student] for pair in pairs} if online.maps else {}
    output = None
    if online.tokens is not None:
        output = {"top_k": options.top_k, "tokens": key(online.tokens.tolist())} if options.top_k else "final state"
    return {
        "format": 1,
        "teacher": fingerprint(online.teacher),
        "device": online.teacher.device.type,
        "site": online.site,
        "norm": online.norm,
        "pairs": [[pair.student, pair.teacher] for pair in pairs],
        "maps": {str(student): key(one.about(), digest(one.tensors())) for student, one in maps.items()},
        "positions": positions,
        "states": options.states,
        "output": output,
    }
