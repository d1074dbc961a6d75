"""What the teacher says about a batch: mapped target states, and logits by the chunk where an output loss asks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from ..basis import SemanticMap
from ..data import Batch
from ..losses.chunks import columns
from ..models import FINAL, LanguageModel, Part, Point, Site, states_of, states_with_prompt
from ..pairing import Pair

Norm = Literal["map", "teacher", "student"]


@runtime_checkable
class ReadLogits(Protocol):
    """Reads the teacher's logits at some of the positions asked for, which are numbered in their order: whoever needs
    them takes a few rows at a time, so that no logits of all of them are ever held."""

    def __call__(self, rows: slice, vocabulary: Literal["shared", "own"] = "shared") -> Float[Tensor, "rows n_token"]:
        """Of the tokens that both models know, or of all the teacher's own."""
        ...


@dataclass(frozen=True, eq=False)
class Signals:
    """What the teacher says about a batch."""

    states: dict[int, Float[Tensor, "b pos d"]]
    """Target state of each paired student layer."""
    logits: ReadLogits | None
    """None where nobody asked."""
    agree: Bool[Tensor, "b pos"] | None = None
    """Where layer losses follow the teacher; None: wherever it is followed."""


SignalSource = Callable[[Batch, Sequence[Pair], Bool[Tensor, "b pos"]], Signals]
"""What a step follows: a teacher beside it, or what one said before."""


class OnlineTeacher:
    """A frozen teacher that runs beside the student, no deeper than the pairs and the outputs ask for.

    It is no submodule of the step, so nothing of it is trained, saved or sharded with the student.
    """

    def __init__(
        self,
        teacher: LanguageModel,
        site: Site,
        maps: Mapping[int, SemanticMap] | None,
        tokens: Int[Tensor, "n_token"] | None,
        norm: Norm = "map",
        *,
        part: Part = "decoder",
    ) -> None:
        """Without maps the targets are the teacher's states as they are. `part` of the student follows them: its
        encoder at the tokens of the prompt, the states of an encoder or of a decoder-only teacher."""
        self.teacher, self.tokens, self.norm = teacher, tokens, norm
        self.maps = maps and {layer: semantic_map.to(teacher.device) for layer, semantic_map in maps.items()}
        self.site: Site = site
        self.part: Part = part

    @torch.no_grad()
    def __call__(self, batch: Batch, pairs: Sequence[Pair], mask: Bool[Tensor, "b pos"]) -> Signals:
        """Target states of the pairs everywhere, and what reads logits at the positions of the mask."""
        targets, final = self.heard(batch, pairs)
        return Signals(states=targets, logits=None if final is None else self.reader(final[mask]))

    @torch.no_grad()
    def heard(self, batch: Batch, pairs: Sequence[Pair]) -> tuple[dict[int, Tensor], Float[Tensor, "b pos d_t"] | None]:
        """Target states of the pairs at the positions of the student's part, and the final state at those of its
        decoder where logits are asked for."""
        points = sorted({Point(self.site, layer) for pair in pairs for layer, _ in pair.teacher})
        own, read = batch.of_teacher, batch.prompts if self.part == "encoder" else batch
        rows, final = (own.input_ids, own.attention_mask), self.tokens is not None
        if self.part == "encoder" and own.encoder is not None:
            heard = states_with_prompt(self.teacher, points, *rows, encoder=own.encoder, final=final)
        else:
            heard = states_of(self.teacher, [*points, *([FINAL] if final else [])], *rows, encoder=own.encoder)
        hidden = batch.at_student(heard.pop(FINAL)) if final else None
        states = {point: read.at_student(state) for point, state in heard.items()}
        return {pair.student: self._target(pair, states) for pair in pairs}, hidden

    def reader(self, hidden: Float[Tensor, "n d_t"]) -> ReadLogits:
        """What reads logits from final states."""
        tokens = self.tokens
        assert tokens is not None

        @torch.no_grad()
        def read(rows: slice, vocabulary: Literal["shared", "own"] = "shared") -> Float[Tensor, "rows n_token"]:
            logits = self.teacher.logits(hidden[rows])
            return columns(logits, tokens) if vocabulary == "shared" else logits[:, : self.teacher.n_token]

        return read

    def _target(self, pair: Pair, states: Mapping[Point, Tensor]) -> Float[Tensor, "b pos d"]:
        mixed = torch.stack([weight * states[Point(self.site, layer)] for layer, weight in pair.teacher]).sum(0)
        target = mixed if self.maps is None else self.maps[pair.student](mixed)
        if self.norm == "teacher":
            return normalize(target, dim=-1) * mixed.norm(dim=-1, keepdim=True)
        return target
