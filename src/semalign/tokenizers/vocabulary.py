"""Which tokens of two tokenizers are the same: those that stand for the same bytes, and special ones by role."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from .backend import backend
from .numerals import Numerals, numerals
from .pieces import special_ids, token_bytes
from .scheme import BYTE, scheme

Side = Literal["teacher", "student"]
ROLES = ("eos_token_id", "bos_token_id", "pad_token_id")


@dataclass(frozen=True, eq=False)
class Matched:
    """Entry i of both sides is the same token; each token is in at most one entry, student ids ascend."""

    teacher: Int[Tensor, " n"]
    student: Int[Tensor, " n"]
    special: tuple[tuple[int, int], ...]
    """Those of the pairs (teacher, student) that stand for no text."""
    n_teacher: int
    """Tokens that the teacher's tokenizer has and its head has a row for."""
    n_student: int
    numerals: Numerals

    def __len__(self) -> int:
        return len(self.student)

    @property
    def coverage_teacher(self) -> float:
        """Share of the teacher's tokens that the student has too, in [0, 1]."""
        return len(self) / self.n_teacher

    @property
    def coverage_student(self) -> float:
        """Share of the student's tokens that the teacher has too, in [0, 1]."""
        return len(self) / self.n_student

    def coverage_of(self, ids: Iterable[int], side: Side) -> float:
        """Share of a text's tokens, given as ids of one side, that both have; 1 for no tokens."""
        there = torch.isin(torch.tensor(list(ids), dtype=torch.long), getattr(self, side))
        return float(there.double().mean()) if len(there) else 1.0


def match(
    teacher: PreTrainedTokenizerBase,
    student: PreTrainedTokenizerBase,
    n_row_teacher: int,
    n_row_student: int,
    *,
    end_of_turn: tuple[int, int] | None = None,
) -> Matched:
    """Pair the tokens of two tokenizers whose heads have so many rows; one tokenizer gives the same ids on both sides.

    Tokens are the same if they stand for the same bytes. Where several of one side do, the ones written alike are
    paired first, then in this order: ordinary ones, those that continue a word, added ones, `<0xNN>`; then by id.
    Special tokens are the same if they are written alike, the others by their role: eos, bos, pad. `end_of_turn` are
    the tokens (teacher, student) that end an answer in the chat templates; they are paired before all others.
    """
    t, s = _Vocabulary(teacher, n_row_teacher), _Vocabulary(student, n_row_student)
    special = _special_pairs(t, s, end_of_turn)
    taken_t, taken_s = {pair[0] for pair in special}, {pair[1] for pair in special}
    pairs = list(special)
    for text, pieces in s.written.items():
        found = _pairs(t.written.get(text, {}), pieces)
        pairs += [pair for pair in found if pair[0] not in taken_t and pair[1] not in taken_s]
    pairs.sort(key=lambda pair: pair[1])
    of_t, of_s = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
    return Matched(of_t, of_s, special, t.n_token, s.n_token, numerals(teacher, student))


class _Vocabulary:
    """The tokens of one side that its head has a row for: by the bytes they stand for, and those that are special."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, n_row: int) -> None:
        core, own, text = backend(tokenizer), scheme(tokenizer), token_bytes(tokenizer)
        in_model = core.get_vocab(with_added_tokens=False)
        known = {piece: token for piece, token in core.get_vocab().items() if token < n_row}
        self.n_token = len(known)
        textless = special_ids(tokenizer)
        self.special = {piece: token for piece, token in known.items() if token in textless}
        roles = {role: getattr(tokenizer, role) for role in ROLES}
        self.roles = {role: token for role, token in roles.items() if token is not None and token < n_row}

        def rank(piece: str) -> tuple[int, int]:
            if piece not in in_model:
                return 2, known[piece]
            byte = own.byte_fallback and BYTE.fullmatch(piece) is not None
            return 3 if byte else int(bool(own.continuing) and piece.startswith(own.continuing)), known[piece]

        self.written: dict[bytes, dict[str, int]] = defaultdict(dict)
        for piece in sorted(known, key=rank):
            if (meant := text[known[piece]]) is not None:
                self.written[meant][piece] = known[piece]


def _pairs(teacher: dict[str, int], student: dict[str, int]) -> list[tuple[int, int]]:
    """Tokens for the same bytes, one to one: those written alike, then the others in their order."""
    alike = [(teacher[piece], token) for piece, token in student.items() if piece in teacher]
    others_t = (token for piece, token in teacher.items() if piece not in student)
    others_s = (token for piece, token in student.items() if piece not in teacher)
    return alike + list(zip(others_t, others_s, strict=False))


def _special_pairs(
    teacher: _Vocabulary, student: _Vocabulary, end_of_turn: tuple[int, int] | None
) -> tuple[tuple[int, int], ...]:
    wanted = [end_of_turn] if end_of_turn else []
    wanted += [(teacher.special[piece], token) for piece, token in student.special.items() if piece in teacher.special]
    wanted += [
        (teacher.roles[role], student.roles[role]) for role in ROLES if role in teacher.roles.keys() & student.roles
    ]
    pairs: dict[int, int] = {}
    for t, s in wanted:
        if t not in pairs and s not in pairs.values():
            pairs[t] = s
    return tuple(sorted(pairs.items(), key=lambda pair: pair[1]))
