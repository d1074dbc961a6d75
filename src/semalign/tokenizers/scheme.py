"""How a tokenizer writes text as pieces, and the bytes of text that one piece stands for."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from .backend import backend, parts

BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """The marks of a tokenizer's pieces.

    Byte-level pieces write every byte as one printable character; SentencePiece writes a space as U+2581 and, where it
    knows a character by its bytes only, `<0xNN>`; WordPiece marks the pieces that continue a word, so that the others
    begin one and stand for a space too, unless the pre-tokenizer cuts them off any word (punctuation, ideographs).
    """

    byte_level: bool = False
    byte_fallback: bool = False
    replaced: tuple[tuple[str, str], ...] = ()
    """Marks and what they stand for, as U+2581 for a space."""
    continuing: str = ""
    word_end: str = ""
    stands_alone: Callable[[str], bool]

    def bytes_of(self, piece: str) -> bytes:
        """The bytes of text that a piece of the model's vocabulary stands for."""
        if self.byte_fallback and (byte := BYTE.fullmatch(piece)):
            return bytes([int(byte[1], 16)])
        if self.byte_level and all(character in BYTE_OF for character in piece):
            return bytes(BYTE_OF[character] for character in piece)
        if self.continuing:
            joined = piece.removeprefix(self.continuing)
            piece = joined if joined != piece or self.stands_alone(piece) else f" {piece}"
        return self.unmarked(piece).removesuffix(self.word_end).encode()

    def unmarked(self, text: str) -> str:
        """Pieces, or a text on its way to the model, with what marks stand for in their places."""
        for mark, meant in self.replaced:
            text = text.replace(mark, meant)
        return text


def scheme(tokenizer: PreTrainedTokenizerBase) -> Scheme:
    """The scheme of a tokenizer, from its decoder, or from its pre-tokenizer where it has none."""
    core = backend(tokenizer)
    steps = {part["type"]: part for part in parts(core.decoder) or _marking(core)}
    for name in steps.keys() - KNOWN:
        raise UserError(
            f"tokenizer '{tokenizer.name_or_path}' decodes with {name}, of which it is not known what its pieces stand "
            f"for; known are {', '.join(sorted(KNOWN))}"
        )
    return Scheme(
        byte_level="ByteLevel" in steps,
        byte_fallback="ByteFallback" in steps,
        replaced=_replaced(tokenizer, parts(core.decoder) or _marking(core)),
        continuing=steps.get("WordPiece", {}).get("prefix", ""),
        word_end=steps.get("BPEDecoder", {}).get("suffix", ""),
        stands_alone=lambda piece: len(piece) == 1 and _cut_off(core, piece),
    )


KNOWN = {"ByteLevel", "ByteFallback", "Metaspace", "Replace", "WordPiece", "BPEDecoder", "Fuse", "Strip"}
"""Steps of a decoder; Fuse joins pieces and Strip takes the space before a text away: neither changes a piece."""


def _marking(core: Tokenizer) -> list[dict]:
    """The steps before the model that put marks into the text."""
    return [part for part in parts(core.pre_tokenizer) + parts(core.normalizer) if part["type"] in _MARKS]


_MARKS = ("ByteLevel", "Metaspace")


def _replaced(tokenizer: PreTrainedTokenizerBase, steps: list[dict]) -> tuple[tuple[str, str], ...]:
    marks = []
    for step in steps:
        if step["type"] == "Metaspace":
            marks.append((step["replacement"], " "))
        elif step["type"] == "Replace":
            if "String" not in step["pattern"]:
                raise UserError(
                    f"tokenizer '{tokenizer.name_or_path}' decodes with a pattern, {step['pattern']}, so that it is "
                    "not known what one piece stands for; choose a model with another tokenizer"
                )
            marks.append((step["pattern"]["String"], step["content"]))
    return tuple(marks)


def _cut_off(core: Tokenizer, piece: str) -> bool:
    """Whether the character becomes a word of its own inside another."""
    text = f"a{piece}a"
    text = core.normalizer.normalize_str(text) if core.normalizer else text
    return core.pre_tokenizer is not None and len(core.pre_tokenizer.pre_tokenize_str(text)) > 1


def _byte_alphabet() -> dict[str, int]:
    """Byte-level BPE's character of each byte: printable ones as they are, the rest moved above U+00FF.

    Source: Radford et al. 2019 (GPT-2), `bytes_to_unicode`.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(moved)}


BYTE_OF = _byte_alphabet()
