"""Where the map is to be trusted: positions at which the teacher's mapped state says what the teacher says."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..basis import SemanticMap
from ..data import Batch
from ..errors import UserError
from ..losses.chunks import columns
from ..models import LanguageModel
from ..models.sharding import is_sharded
from ..pairing import Pair
from .teacher import OnlineTeacher, Signals

AT_ONCE = 256  # positions whose logits are held at once: 156 MB in float32 for a vocabulary of 152,000


class AgreeingTeacher(OnlineTeacher):
    """An online teacher that also says where its map keeps its word.

    At such a position the mapped final state, read by the student's head, has the teacher's own likeliest token, among
    those that both models have.
    Source: the agreement mask of DSKDv2, Zhang et al. 2025, arXiv:2504.11426; here it holds for layer losses.
    """

    def __init__(
        self,
        *teacher: Any,
        student: LanguageModel,
        student_tokens: Int[Tensor, "n_token"],
        final: SemanticMap,
        **options: Any,
    ) -> None:
        """`final` maps the state that the teacher's head reads to one that the student's head reads."""
        super().__init__(*teacher, **options)
        self.student, self.student_tokens, self.final = student, student_tokens, final.to(student.device)

    @torch.no_grad()
    def __call__(self, batch: Batch, pairs: Sequence[Pair], mask: Bool[Tensor, "b pos"]) -> Signals:
        if is_sharded(self.student):
            raise UserError(
                "'agreement' reads the student's head before the student runs, and the engine divides it; use ddp"
            )
        states, hidden = self.heard(batch, pairs)
        assert hidden is not None, "an agreeing teacher has tokens, so it is heard to the end"
        agree = torch.zeros_like(mask)
        agree[mask] = torch.cat([self._agree(h) for h in hidden[mask].split(AT_ONCE)])
        return replace(Signals(states=states, logits=self.reader(hidden[mask])), agree=agree)

    def _agree(self, hidden: Float[Tensor, "n d_t"]) -> Bool[Tensor, " n"]:
        said = self.reader(hidden)(slice(None)).argmax(-1)
        read = columns(self.student.logits(self.final(hidden).to(self.student.head_weight.dtype)), self.student_tokens)
        return read.argmax(-1) == said
