"""A teacher that reads each row alone: what it says of a row does not depend on the batch that the row comes in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..cache import Row
from ..data import Batch
from ..data.batch import TeacherRows
from ..pairing import Pair
from .teacher import OnlineTeacher, ReadLogits, Signals

FINAL_STATE, TOP_LOGIT, TOP_TOKEN = "final", "top.logit", "top.token"


@dataclass(frozen=True, eq=False)
class RowTeacher:
    """The online teacher, row by row.

    Sums of floats depend on the shapes they are taken in, so a row read in a padded batch differs in its last digits
    from the same row in another batch. This is the teacher that a float32 cache equals bit for bit.
    """

    online: OnlineTeacher
    top_k: int | None = None

    def __call__(self, batch: Batch, pairs: Sequence[Pair], mask: Bool[Tensor, "b pos"]) -> Signals:
        rows = [self.row(alone, pairs, mask[i : i + 1, : alone.n_tokens]) for i, alone in enumerate(rows_of(batch))]
        return assembled(self.online, rows, pairs, mask)

    def row(self, batch: Batch, pairs: Sequence[Pair], mask: Bool[Tensor, "1 pos"]) -> Row:
        """What is said at the positions of the mask of a batch of one row."""
        targets, final = self.online.heard(batch, pairs)
        row = {state_of(pair): targets[pair.student][mask] for pair in pairs}
        if final is None:
            return row
        if self.top_k is None:
            return {**row, FINAL_STATE: final[mask]}
        logits = self.online.reader(final[mask])(slice(None))
        values, tokens = logits.topk(min(self.top_k, logits.shape[1]), dim=-1)
        return {**row, TOP_LOGIT: values, TOP_TOKEN: tokens}


def assembled(
    online: OnlineTeacher, rows: Sequence[Row], pairs: Sequence[Pair], mask: Bool[Tensor, "b pos"]
) -> Signals:
    """The signals of a batch from those of its rows; states are 0 where nothing was asked for."""
    states = {}
    for pair in pairs:
        said = _joined(rows, state_of(pair), mask)
        states[pair.student] = said.new_zeros(*mask.shape, said.shape[-1])
        states[pair.student][mask] = said
    if online.tokens is None:
        return Signals(states=states, logits=None)
    if FINAL_STATE in rows[0]:
        return Signals(states=states, logits=online.reader(_joined(rows, FINAL_STATE, mask)))
    values, tokens = _joined(rows, TOP_LOGIT, mask), _joined(rows, TOP_TOKEN, mask)
    return Signals(states=states, logits=_likeliest(values, tokens.long(), len(online.tokens)))


def state_of(pair: Pair) -> str:
    """What the target of a pair is called in a row."""
    return f"state.{pair.student}"


def rows_of(batch: Batch) -> Iterable[Batch]:
    """The rows of a batch, each as a batch of its own without padding."""
    teacher = batch.teacher
    theirs: Iterable[Any] = [None] * len(batch.ids) if teacher is None else rows_of(teacher.batch)
    for i, (length, their) in enumerate(zip(batch.attention_mask.sum(1).tolist(), theirs, strict=True)):
        here = (slice(i, i + 1), slice(length))
        yield Batch(
            ids=batch.ids[i : i + 1],
            input_ids=batch.input_ids[here],
            attention_mask=batch.attention_mask[here],
            targets=batch.targets[here],
            mask=batch.mask[here],
            teacher=teacher and TeacherRows(their, teacher.first[here], teacher.last[here]),
            encoder=batch.encoder and batch.encoder.row(i),
        )


def _joined(rows: Sequence[Row], name: str, mask: Tensor) -> Tensor:
    return torch.cat([row[name] for row in rows]).to(mask.device)


def _likeliest(values: Float[Tensor, "n k"], tokens: Tensor, n_token: int) -> ReadLogits:
    def read(rows: slice, vocabulary: Literal["shared", "own"] = "shared") -> Float[Tensor, "rows n_token"]:
        assert vocabulary == "shared", "a loss that looks at more tokens than are kept is refused"
        some = values[rows]
        return some.new_full((len(some), n_token), -torch.inf).scatter(1, tokens[rows], some)

    return read
