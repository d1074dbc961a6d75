"""Where in a text its tokens end, in bytes."""

from itertools import accumulate
from typing import NamedTuple, cast
from unicodedata import combining

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from .backend import backend, parts, untrimmed
from .scheme import Scheme, scheme

NOWHERE = -(1 << 40)
"""The end of a token that ends inside a character or inside what a normaliser rewrote: far before every text, so that
it stays nowhere when ends are counted from another place."""


class ByteEnds(NamedTuple):
    """The tokens of a text and the byte of `text.encode()` after each one's last; NOWHERE where there is none."""

    ids: list[int]
    ends: list[int]


def byte_ends(tokenizer: PreTrainedTokenizerBase, text: str) -> ByteEnds:
    """The tokens of a text alone and where each ends: the model has then read exactly the text up to that byte.

    Ends other than NOWHERE never decrease. They are exact for characters that are several tokens. Where the tokenizer
    normalises (NFC, NFKC, lowercase, accents), a token ends where the text that was rewritten into it ends; space that
    it drops belongs to no token, and its end is then that of the token before.
    """
    own, coding = scheme(tokenizer), _coding(tokenizer, text)
    pieces = [own.bytes_of(piece) for piece in coding.tokens]
    ends = _by_counting(pieces, text.encode())
    return ByteEnds(coding.ids, ends if ends is not None else _by_windows(tokenizer, text, pieces, own))


def _coding(tokenizer: PreTrainedTokenizerBase, text: str) -> Encoding:
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return cast(list[Encoding], encoded.encodings)[0]


def _by_counting(pieces: list[bytes], raw: bytes) -> list[int] | None:
    """Where the pieces are the text, with or without a space before it that the tokenizer adds; else None."""
    whole = b"".join(pieces)
    added = len(whole) - len(raw)
    return _counted(pieces, 0, added) if added in (0, 1) and whole == b" " * added + raw else None


def _counted(pieces: list[bytes], start: int, added: int) -> list[int]:
    """Ends of pieces of which the first `added` bytes are not in the text."""
    return [max(end, start) for end in accumulate(map(len, pieces), initial=start - added)][1:]


def _by_windows(tokenizer: PreTrainedTokenizerBase, text: str, pieces: list[bytes], own: Scheme) -> list[int]:
    """From the tokenizer's offsets, each checked: what it says a piece was made of must give that piece.

    Pieces with characters in common are one cluster. Its last piece ends where the cluster's characters end; the others
    end somewhere only where the cluster's text was not rewritten.
    """
    with untrimmed(tokenizer):
        coding = _coding(tokenizer, text)
    places = _byte_places(text)
    ends: list[int] = []
    for first, after, start, stop in _clusters(text, coding.offsets):
        window, whole = text[start:stop], b"".join(pieces[first:after])
        added = len(whole) - len(window.encode())
        if added in (0, 1) and whole == b" " * added + window.encode():
            ends += _counted(pieces[first:after], places[start], added)
            continue
        unknown = tokenizer.unk_token_id in coding.ids[first:after]  # of which the model knows that it is there
        exact = unknown or whole.strip() in (window.encode().strip(), _rewritten(tokenizer, window, own).strip())
        ends += [NOWHERE] * (after - first - 1) + [places[stop] if exact else NOWHERE]
    return ends


def _rewritten(tokenizer: PreTrainedTokenizerBase, text: str, own: Scheme) -> bytes:
    """The text as the tokenizer's normaliser hands it on, its marks undone."""
    normalizer = backend(tokenizer).normalizer
    text = normalizer.normalize_str(text) if normalizer else text
    into_bytes = any(part["type"] == "ByteLevel" for part in parts(normalizer))
    return own.bytes_of(text) if into_bytes else own.unmarked(text).encode()


def _clusters(text: str, offsets: list[tuple[int, int]]) -> list[tuple[int, int, int, int]]:
    """First piece, piece after the last, first character and character after the last of each cluster, in order.

    Characters between two clusters belong to the one before (a normaliser composed or dropped them), up to white space.
    A combining mark does too, which normalisers move before others of the same letter.
    """
    found: list[list[int]] = []
    for i, (start, stop) in enumerate(offsets):
        if found and (start < found[-1][3] or combining(text[start : start + 1] or " ")):
            found[-1][1], found[-1][3] = i + 1, max(stop, found[-1][3])
        else:
            found.append([i, i + 1, start, stop])
    following = [*(cluster[2] for cluster in found), len(text)][1:]
    for cluster, limit in zip(found, following, strict=True):
        while cluster[3] < limit and not text[cluster[3]].isspace():
            cluster[3] += 1
    return [tuple(cluster) for cluster in found]  # pyright: ignore[reportReturnType]  # four integers each


def _byte_places(text: str) -> list[int]:
    """The byte at which each character begins, and the number of bytes."""
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode()))
    return places
