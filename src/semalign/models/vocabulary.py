"""Do two models write text with the same tokens? The tokens that both know, and the first difference."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from ..tokenizers.vocabulary import Matched, match
from .language_model import LanguageModel

# Where normalisers, pre-tokenizers and merges differ although vocabularies do not
PROBES = (
    "The 3 quick foxes (aged 12.5) don't jump;\n    return x_1 == 'naïve'  # 日本語\n",
    "1234567 + 89012 = 1323579; 2019, 10000",  # digits one by one, in threes from the left, from the right
    "cafe\u0301 caf\u00e9 a\u0301\u0323 ﬁ ① Ａ x²",  # composed, decomposed, compatible
    "a\r\n\n\tb   \n\n  c\u00a0d\u3000e\u200b   ",
    "  I'LL say WE'VE helloWorld HTTPServer_v2",
    "हिन्दी ไทย 한국어 Привет 😀👩\u200d👧",
)
LEAST = 2  # tokens: a distribution over one says nothing


@dataclass(frozen=True, eq=False)
class SharedTokens:
    """Tokens that stand for the same text in both vocabularies: entry i of both sides is one token."""

    teacher: Int[Tensor, "n"]
    """Ids in the teacher's vocabulary."""
    student: Int[Tensor, "n"]
    """Ids in the student's, ascending."""
    matched: Matched | None = None
    """How they were found where the tokenizers differ."""
    difference: str | None = None
    """The first difference of the tokenizers."""

    def __len__(self) -> int:
        return len(self.student)

    @classmethod
    def of_one(cls, ids: Int[Tensor, "n"]) -> "SharedTokens":
        """Tokens of two models with one tokenizer."""
        return cls(teacher=ids, student=ids)


@dataclass(frozen=True)
class Agreement:
    """How far two tokenizers agree; `difference` is None where they do."""

    n_shared: int
    n_teacher: int
    n_student: int
    difference: str | None

    @property
    def agree(self) -> bool:
        return self.difference is None


def tokenizers_agree(teacher: LanguageModel, student: LanguageModel) -> Agreement:
    """Whether every id that both have is the same token, and both encode text alike; either may have more tokens."""
    sizes = (len(teacher.head_weight), len(student.head_weight))
    return agreement(teacher.tokenizer, student.tokenizer, *sizes)


def agreement(
    teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, n_teacher: int, n_student: int
) -> Agreement:
    """The same of two tokenizers alone, whose models have heads of so many rows."""
    t, s = _tokens_below(teacher, n_teacher), _tokens_below(student, n_student)
    unequal = [token_id for token_id in sorted(t.keys() & s.keys()) if t[token_id] != s[token_id]]
    difference = None
    if unequal:
        token_id = unequal[0]
        difference = f"id {token_id} is {t[token_id]!r} for the teacher and {s[token_id]!r} for the student"
    elif _encode(teacher) != _encode(student):
        difference = "the same text is split differently"
    return Agreement(len(_shared(t, s)), len(t), len(s), difference)


def shared_tokens(teacher: LanguageModel, student: LanguageModel, ends: tuple[int, int] | None = None) -> SharedTokens:
    """Tokens that both models know; padded rows are not among them.

    The same ids where the tokenizers agree, otherwise those that stand for the same bytes, with the special tokens that
    do the same; `ends` are the tokens (teacher, student) that end an answer.
    """
    difference = tokenizers_agree(teacher, student).difference
    if difference is None:
        ids = torch.tensor(_shared(_real_tokens(teacher), _real_tokens(student)), dtype=torch.long)
        return SharedTokens.of_one(ids)
    rows = (len(model.head_weight) for model in (teacher, student))
    matched = match(teacher.tokenizer, student.tokenizer, *rows, end_of_turn=ends)
    if len(matched) < LEAST:
        raise UserError(
            f"the tokenizers of teacher {teacher.name} and student {student.name} share {len(matched)} tokens, "
            f"of {matched.n_teacher} and {matched.n_student}; choose a pair with more"
        )
    return SharedTokens(matched.teacher, matched.student, matched, difference)


def _real_tokens(model: LanguageModel) -> dict[int, str]:
    return _tokens_below(model.tokenizer, len(model.head_weight))


def _tokens_below(tokenizer: PreTrainedTokenizerBase, n_row: int) -> dict[int, str]:
    return {token_id: token for token, token_id in tokenizer.get_vocab().items() if token_id < n_row}


def _shared(teacher: dict[int, str], student: dict[int, str]) -> list[int]:
    return sorted(token_id for token_id, token in teacher.items() if student.get(token_id) == token)


def _encode(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    return [tokenizer.encode(text, add_special_tokens=False) for text in PROBES]
