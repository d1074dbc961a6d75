"""What two models are to each other, as far as their configurations, tokenizers and embeddings tell."""

from dataclasses import dataclass
from typing import Literal

from ..data import Template
from ..errors import UserError
from ..models.describe import Described, cut_out_of, describe
from ..models.vocabulary import agreement

Relation = Literal["cut", "one_tokenizer", "two_tokenizers"]
RANK = 16  # the paper's


@dataclass(frozen=True, kw_only=True, eq=False)
class PairOfModels:
    """Teacher and student, and which line of docs/how-to-choose.md they are."""

    teacher: Described
    student: Described
    relation: Relation
    difference: str | None
    """The first difference of the tokenizers."""

    @property
    def template(self) -> Template:
        """The chat template where both have one."""
        both = all(model.tokenizer.chat_template for model in (self.teacher, self.student))
        return "chat" if both else "plain"

    @property
    def longest(self) -> int | None:
        """Tokens that both can read."""
        known = [model.longest for model in (self.teacher, self.student) if model.longest]
        return min(known) if known else None

    @property
    def rank(self) -> int:
        """The paper's LoRA rank, or less where the student is so narrow that it would be most of a matrix."""
        return max(1, min(RANK, self.student.narrowest // 2))

    @property
    def notes(self) -> list[str]:
        teacher, student = self.teacher, self.student
        found = {
            "cut": "the student looks cut out of the teacher: same width, fewer layers, same embedding",
            "one_tokenizer": "one tokenizer, models trained apart",
            "two_tokenizers": f"two tokenizers: {self.difference}",
        }[self.relation]
        sizes = f"teacher {teacher.n_layer} layers x {teacher.width}, student {student.n_layer} x {student.width}"
        swapped = student.n_layer * student.width**2 > teacher.n_layer * teacher.width**2
        return [sizes, found, *(["the student is larger than the teacher: are the two swapped?"] if swapped else [])]


def examine_pair(teacher: str, student: str) -> PairOfModels:
    """Look at two models without loading them; UserError where `init` has no recipe for them."""
    described = [describe(name) for name in (teacher, student)]
    for model in described:
        if model.config.is_encoder_decoder:
            raise UserError(
                f"{model.name}: is an encoder-decoder; init knows decoder-only pairs: write the file by hand"
            )
    t, s = described
    if t.source == s.source:
        raise UserError(
            f"{teacher}: is teacher and student; give two models, or cut a student out of it with 'semalign shrink'"
        )
    difference = agreement(t.tokenizer, s.tokenizer, t.n_row, s.n_row).difference
    relation = "two_tokenizers" if difference else "cut" if cut_out_of(s, t) else "one_tokenizer"
    return PairOfModels(teacher=t, student=s, relation=relation, difference=difference)
