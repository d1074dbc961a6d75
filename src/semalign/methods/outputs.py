"""The output losses of a step on one batch: logits are made by the chunk, once for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data import Batch
from ..losses import Loss
from ..losses.base import Vocabulary, chosen
from ..losses.chunks import columns, sum_by_chunks
from ..models import LanguageModel
from ..models.first_token import by_first_token
from .positions import Positions, asked_positions, followed_positions
from .teacher import ReadLogits


@dataclass(frozen=True, eq=False)
class Asked:
    """What output losses are asked about: the final states of a batch, and what they are compared with."""

    batch: Batch
    hidden: Float[Tensor, "b pos d_s"]
    taught: Positions
    labelled: Positions
    tokens: Int[Tensor, "n_token"] | None
    """Ids of the student that the teacher has logits for."""
    said: ReadLogits | None
    """The teacher's logits where it is followed."""
    first: Int[Tensor, "n_teacher"] | None = None
    """For each of the teacher's tokens the student's that its text begins with (`models.first_token`)."""

    def mask(self, output: Loss) -> Bool[Tensor, "b pos"]:
        return asked_positions(self.batch, output.target, taught=self.taught, labelled=self.labelled)


def output_loss(
    outputs: Sequence[Loss], student: LanguageModel, asked: Asked, weighted: Callable[[str, Tensor], Tensor]
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """The weighted sum of the outputs, which alone has a gradient, and the total of each by its name."""
    masks = torch.stack([asked.mask(output) for output in outputs])
    looked_at = masks.any(0)
    gold, taught = asked.batch.targets[looked_at], followed_positions(asked.batch, asked.taught)[looked_at]
    nth_taught = [0, *taught.cumsum(0).tolist()]

    def part(h: Float[Tensor, "rows d_s"], rows: slice) -> tuple[Float[Tensor, ""], Float[Tensor, " k"]]:
        logits, totals = student.logits(h), {}
        for output, mask in zip(outputs, masks[:, looked_at], strict=True):
            if output.target == "labels":
                totals[output.name] = output.total(logits, gold[rows], mask[rows])
        followers = [output for output in outputs if output.target != "labels"]
        if followers:
            assert asked.tokens is not None, "teacher logits come with the shared tokens"
            assert asked.said is not None, "the teacher was asked for logits"
            there = slice(nth_taught[rows.start], nth_taught[rows.stop])
            said = chosen(logits, taught[rows])
            everywhere = torch.ones(len(said), dtype=torch.bool, device=said.device)
            vocabularies: list[Vocabulary] = [output.compares for output in followers]
            for vocabulary in dict.fromkeys(vocabularies):
                ours = columns(said, asked.tokens) if vocabulary == "shared" else said[:, : student.n_token]
                theirs = asked.said(there, "shared" if vocabulary == "shared" else "own")
                if vocabulary == "first_token":
                    assert asked.first is not None, "first tokens come with a loss that asks for them"
                    theirs = by_first_token(theirs, asked.first, student.n_token)
                totals |= {
                    output.name: output.total(ours, theirs, everywhere)
                    for output in followers
                    if output.compares == vocabulary
                }
        in_order = [totals[output.name] for output in outputs]
        losses = [weighted(output.name, total) for output, total in zip(outputs, in_order, strict=True)]
        return torch.stack(losses).sum(), torch.stack(in_order)

    loss, totals = sum_by_chunks(
        part, asked.hidden[looked_at], student.head_weight.shape[0], list(student.head.parameters())
    )
    return loss, {output.name: total for output, total in zip(outputs, totals, strict=True)}
