"""Positions of two tokenizations of one text at which both models have read the same bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Spans = Literal["last", "mean"]


@dataclass(frozen=True)
class Alignment:
    """Teacher positions first..last (inclusive) of each student position; -1 for both where it has none.

    `last` is where the teacher has read the same bytes. With spans="last" `first` is the same position, with "mean" the
    one after the last aligned position before. Both increase; spans do not overlap.
    """

    first: Int[Tensor, " pos"]
    last: Int[Tensor, " pos"]
    n_answer: int
    """Student positions that have read the whole prompt: all that predict answer tokens or the end."""
    n_aligned: int
    """Those of them that have a teacher position."""

    @property
    def coverage(self) -> float:
        """Share of the answer's positions that are aligned, in [0, 1]; 1 where there is no answer."""
        return self.n_aligned / self.n_answer if self.n_answer else 1.0

    def of(self, h: Float[Tensor, "pos_t d"]) -> Float[Tensor, "pos d"]:
        """The mean of each span of teacher states at its student position; zeros where there is none."""
        has = self.last >= 0
        length = (self.last - self.first + 1)[has]
        owner = has.nonzero().flatten().repeat_interleave(length)
        begins = length.cumsum(0) - length
        within = torch.arange(len(owner), device=h.device) - begins.repeat_interleave(length)
        source = self.first[has].repeat_interleave(length) + within
        weight = (1 / length.to(h.dtype)).repeat_interleave(length).unsqueeze(-1)
        return h.new_zeros(len(self.last), h.shape[1]).index_add(0, owner, h[source] * weight)


def align(student: Sequence[int], teacher: Sequence[int], *, n_common: int = 0, spans: Spans = "last") -> Alignment:
    """Match positions of student and teacher that end at the same byte; linear in the number of tokens.

    Ends are counted from the start of the answer: those of prompt tokens are negative, that of the token before the
    answer is 0. Prompts may differ: only positions that end within the last `n_common` bytes of the prompts, which both
    have in common (`common_suffix`), or at 0 or later are matched. Of several tokens with one end the last counts.
    Tokens that the text does not hold have the end NOWHERE (a BOS) or are left out (the end token after the answer).

    Prompts `A: ` and `Q: ` with the answer `over all`, the student's tokens `A`, `: `, `over`, ` a`, `ll` and the
    teacher's `Q:`, ` `, `ov`, `er`, ` all`:

    >>> align([-2, 0, 4, 6, 8], [-1, 0, 2, 4, 8], n_common=2).last.tolist()
    [-1, 1, 3, -1, 4]
    >>> align([-2, 0, 4, 6, 8], [-1, 0, 2, 4, 8], n_common=2, spans="mean").first.tolist()
    [-1, 1, 2, -1, 4]
    """
    end_s, at_s = _boundaries(student, -n_common)
    end_t, at_t = _boundaries(teacher, -n_common)
    last = torch.full((len(student),), -1, dtype=torch.long)
    first = last.clone()
    if len(end_t):
        near = torch.searchsorted(end_t, end_s).clamp(max=len(end_t) - 1)
        both = end_t[near] == end_s
        matched = at_t[near[both]]
        last[at_s[both]] = matched
        before = torch.cat([matched[:1], matched[:-1] + 1])
        first[at_s[both]] = before if spans == "mean" else matched
    answer = _answer_from(end_s, at_s)
    n_answer = len(student) - answer if answer is not None else 0
    return Alignment(first, last, n_answer, int((last[len(student) - n_answer :] >= 0).sum()))


def _boundaries(ends: Sequence[int], least: int) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Ends from `least` on, each once, ascending, and the last position that has each."""
    every = torch.as_tensor(ends, dtype=torch.long)
    at = (every >= least).nonzero().flatten()
    kept = every[at]
    final = torch.ones(len(kept), dtype=torch.bool)
    final[:-1] = kept[1:] != kept[:-1]
    return kept[final], at[final]


def _answer_from(ends: Int[Tensor, " n"], at: Int[Tensor, " n"]) -> int | None:
    after = (ends >= 0).nonzero().flatten()
    return int(at[after[0]]) if len(after) else None
