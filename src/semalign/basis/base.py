"""What a semantic map is, how it is written to disk, and what every way to fit one promises."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data import Batch
from ..errors import UserError
from ..models import LanguageModel, SharedTokens, Site
from ..models.in_pieces import in_pieces
from ..strategy import Strategy, available

Pieces = Literal["mean", "first"]
"""What stands for the row of a token that a vocabulary has in pieces: the mean of their rows, or the first one's."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The rows of one model that belong to the tokens both models know: row i is the same token on both sides."""

    head: Float[Tensor, "n_token d"]
    embedding: Float[Tensor, "n_token d"]
    gain: Float[Tensor, "d"]
    """Gain of the final norm (1 + weight for Gemma)."""

    @property
    def width(self) -> int:
        return self.head.shape[1]

    def rows(self, index: Int[Tensor, "m"]) -> "Vocabulary":
        """The same model, other rows or another order of them."""
        return Vocabulary(head=self.head[index], embedding=self.embedding[index], gain=self.gain)

    def and_rows(self, other: "Vocabulary") -> "Vocabulary":
        """The rows of both, of one model."""
        return Vocabulary(
            head=torch.cat([self.head, other.head]),
            embedding=torch.cat([self.embedding, other.embedding]),
            gain=self.gain,
        )

    @classmethod
    def of_pieces(cls, model: LanguageModel, texts: Sequence[Sequence[int]], pieces: Pieces) -> "Vocabulary":
        """A row for each text, given as this model's tokens; means are taken in float32 or better."""
        if pieces == "first":
            return cls.of(model, torch.tensor([text[0] for text in texts], device=model.device))
        counts = torch.tensor([len(text) for text in texts], device=model.device)
        written = torch.tensor([token for text in texts for token in text], device=model.device)
        rows = cls.of(model, written)
        head, embedding = (_means(part, counts) for part in (rows.head, rows.embedding))
        return cls(head=head, embedding=embedding, gain=rows.gain)

    @classmethod
    def of(cls, model: LanguageModel, tokens: Int[Tensor, "n_token"]) -> "Vocabulary":
        """The rows of `tokens` (ids in this model's vocabulary); padded rows beyond the tokenizer never get in."""
        rows = model.head_weight.detach()[tokens]
        return cls(
            head=rows if model.head_scale == 1 else rows * model.head_scale,
            embedding=model.embedding_weight.detach()[tokens],
            gain=model.final_gain.detach(),
        )


@dataclass(frozen=True, eq=False)
class MapContext:
    """What a map may be fitted on: the two models, the tokens they share, and rows that are never tested on."""

    teacher: LanguageModel
    student: LanguageModel
    tokens: SharedTokens
    """Tokens that both models know."""
    batches: Sequence[Batch]
    """Calibration rows, on the models' device."""
    pairs: Mapping[int, tuple[tuple[int, float], ...]]
    """By student layer: the teacher layers that teach it, with their weights."""
    site: Site

    def vocabularies(self, pieces: Pieces | None = None) -> tuple[Vocabulary, Vocabulary]:
        """Teacher and student; one and the same object where they are one model.

        With `pieces` the rows of common tokens are followed by those of the teacher's tokens that the student has in
        pieces.
        """
        teacher = Vocabulary.of(self.teacher, self.tokens.teacher)
        same = self.student is self.teacher
        student = teacher if same else Vocabulary.of(self.student, self.tokens.student)
        written = in_pieces(self.teacher, self.student, self.tokens) if pieces is not None else {}
        if pieces is None or not written:
            return teacher, student
        more = Vocabulary.of(self.teacher, torch.tensor(list(written), device=self.teacher.device))
        return teacher.and_rows(more), student.and_rows(
            Vocabulary.of_pieces(self.student, list(written.values()), pieces)
        )


class SemanticMap(abc.ABC):
    """A fixed map from teacher states to student states: [*, d_t] -> [*, d_s]."""

    form: ClassVar[str]
    """How it is told apart on disk."""
    n_token: int
    """What it was fitted on: tokens of the vocabulary, or positions of the calibration rows."""
    condition: float
    """Condition number of what was inverted; inf means that it is rank deficient."""

    _forms: ClassVar[dict[str, type["SemanticMap"]]] = {}

    def __init_subclass__(cls, *, form: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.form = form
        SemanticMap._forms[form] = cls

    @property
    @abc.abstractmethod
    def width(self) -> int:
        """Of the states it returns."""

    @abc.abstractmethod
    def __call__(self, h: Float[Tensor, "*batch d_t"]) -> Float[Tensor, "*batch d_s"]:
        """The student state that means what h means; computed in float32 or better, result in h's dtype."""

    @abc.abstractmethod
    def to(self, device: torch.device) -> "SemanticMap":
        """The same map on another device."""

    @abc.abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """What goes into a safetensors file."""

    @abc.abstractmethod
    def about(self) -> dict[str, Any]:
        """Everything else, as plain JSON, with `form`; what a fit found out (its shrinkage, ...) is there too."""

    @classmethod
    @abc.abstractmethod
    def restore(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> "SemanticMap":
        """A map of this form from its `tensors()` and `about()`."""

    @staticmethod
    def load(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> "SemanticMap":
        """A map of any form from its `tensors()` and `about()`."""
        available("basis")  # a form may live in the file of its basis
        return SemanticMap._forms[about["form"]].restore(tensors, about)


@dataclass(frozen=True, kw_only=True)
class Basis(Strategy, abc.ABC, kind="basis"):
    """How teacher states are mapped to student states."""

    recovers: ClassVar[Literal["logits", "direction", "states", "itself", "nothing"]]
    """What a contract test plants and finds.

    'logits': the student state that reads like the teacher's, for any two heads. 'direction': the same up to scale,
    where both heads are tight frames (W^T W a multiple of the identity, rows of one length). 'states': the linear map
    between the two models' states, where there is one. 'itself': one model on both sides gives the state back, two
    models promise nothing. 'nothing': a control.
    """
    keeps_norm: ClassVar[bool]
    """Twice the teacher's state gives twice the student's; otherwise the norm is thrown away, and only directions of
    the result mean something."""
    uses_states: ClassVar[bool] = False
    """Fitted on the states of calibration rows, for each pair of layers; otherwise on the two vocabularies alone."""

    @property
    def rows_in_pieces(self) -> Pieces | None:
        """What it is fitted on beside the tokens that both models know; None: nothing."""
        return None

    def fit(self, teacher: Vocabulary, student: Vocabulary) -> SemanticMap:
        """The map for two models whose vocabulary rows are in the same order."""
        del teacher, student
        raise UserError(f"basis '{self.name}' is fitted on the states of paired layers, not on vocabularies")

    def fit_pairs(self, context: MapContext) -> dict[int, SemanticMap]:
        """The map of each pair, by student layer; one object for all of them where only the vocabularies are seen."""
        return dict.fromkeys(context.pairs, self.fit(*context.vocabularies(self.rows_in_pieces)))


@dataclass(frozen=True, kw_only=True)
class VocabularyBasis(Basis, abc.ABC):
    """A map that is read off the rows of the two vocabularies, token by token."""

    pieces: Pieces | None = None
    """Teacher tokens that the student has only in pieces are fitted on too, each with the mean of its pieces' rows or
    with the first piece's. None: only tokens that both have (docs/two-tokenizers.md says why)."""

    @property
    def rows_in_pieces(self) -> Pieces | None:
        return self.pieces


def _means(rows: Float[Tensor, "n_piece d"], counts: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
    """The means of so many neighbouring rows each, in the rows' dtype."""
    exact = torch.promote_types(rows.dtype, torch.float32)
    home = torch.repeat_interleave(torch.arange(len(counts), device=rows.device), counts)
    sums = torch.zeros(len(counts), rows.shape[1], dtype=exact, device=rows.device).index_add_(0, home, rows.to(exact))
    return (sums / counts[:, None]).to(rows.dtype)
