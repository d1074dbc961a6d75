"""Student tokens that the teacher's vocabulary has only in pieces."""

from transformers import PreTrainedTokenizerBase

from .pieces import token_bytes
from .vocabulary import Matched


def decompose(
    teacher: PreTrainedTokenizerBase, student: PreTrainedTokenizerBase, matched: Matched
) -> dict[int, list[int]]:
    """For each student token without an equal the teacher tokens (ids in order) that stand for its bytes.

    Tokens that are not whole characters, and those that the teacher's tokenizer rewrites, are left out.
    """
    meant_t, equal = token_bytes(teacher), set(matched.student.tolist())
    lacking = {
        token: text.decode()
        for token, text in enumerate(token_bytes(student))
        if text is not None and token not in equal and _is_whole(text)
    }
    found: dict[int, list[int]] = {}
    for text_of in (lambda text: text, lambda text: text.removeprefix(" ")):  # some write a space before any text
        left = {token: text for token, text in lacking.items() if token not in found}
        if not left:
            break
        coded = teacher([text_of(text) for text in left.values()], add_special_tokens=False).input_ids
        for (token, text), ids in zip(left.items(), coded, strict=True):
            if ids and b"".join(meant_t[i] or b"" for i in ids) == text.encode():
                found[token] = list(ids)
    return found


def _is_whole(text: bytes) -> bool:
    return text.decode(errors="ignore").encode() == text
