"""Tokenizers of every scheme, trained on the spot on a text of several scripts."""

import json
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox doesn't jump over the lazy dog; it sleeps, eats 12 or 345 apples and sleeps again.\n",
    "def add(a, b):\n    return a + b  # the sum\n\nprint(add(1, 2))\r\n",
    "naïve café, façade, Ærø, Straße; 日本語の文、漢字。 Привет, мир! 😀 👍",
    "the end of the song and the start of the other one: 2019, 1000, 7",
] * 4
FALLBACK = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(n_token, *, add_prefix_space=False, normalizer=None, split=None, trim=False):
    core = Tokenizer(models.BPE())
    if normalizer:
        core.normalizer = normalizer
    marking = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=split is None)
    core.pre_tokenizer = pre_tokenizers.Sequence([split, marking]) if split else marking
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.ByteLevel(trim_offsets=trim)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(CORPUS, trainers.BpeTrainer(initial_alphabet=alphabet, **options(n_token)))
    return core


def sentencepiece_bpe(n_token, *, prefix):
    """Llama-2 writes a space before a text, Gemma does not; both know every byte."""
    core = Tokenizer(models.BPE())
    spaces = normalizers.Replace(" ", "▁")
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    core.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # words, for training only
    core.train_from_iterator(CORPUS, trainers.BpeTrainer(limit_alphabet=70, **options(n_token)))
    trained = json.loads(core.to_str())["model"]
    vocabulary = trained["vocab"] | {piece: len(trained["vocab"]) + i for i, piece in enumerate(FALLBACK)}
    merges = [tuple(merge) for merge in trained["merges"]]
    core.model = models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    core.pre_tokenizer = None
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return core


def unigram(n_token, *, normalizer=None, byte_fallback=False, split=None):
    core = Tokenizer(models.Unigram())
    marking = pre_tokenizers.Metaspace()
    core.pre_tokenizer = pre_tokenizers.Sequence([split, marking]) if split else marking
    core.decoder = decoders.Metaspace()
    core.train_from_iterator(CORPUS, trainers.UnigramTrainer(unk_token="<unk>", **options(n_token)))
    if byte_fallback:
        pieces = [
            (piece, score)
            for piece, score in json.loads(core.to_str())["model"]["vocab"]
            if piece.isascii() or "▁" in piece
        ]
        lowest = min(score for _, score in pieces)
        core.model = models.Unigram(pieces + [(piece, lowest - 1) for piece in FALLBACK], unk_id=2, byte_fallback=True)
        core.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    if normalizer:
        core.normalizer = normalizer
    return core


def wordpiece(n_token):
    core = Tokenizer(models.WordPiece(unk_token="<unk>"))
    core.normalizer = normalizers.BertNormalizer()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece()
    core.train_from_iterator(CORPUS, trainers.WordPieceTrainer(**options(n_token)))
    return core


def options(n_token):
    return {"vocab_size": n_token, "special_tokens": ["<s>", "</s>", "<unk>"], "show_progress": False}


DIGITS = pre_tokenizers.Digits(individual_digits=True)
SCHEMES = {
    "byte_level": lambda: byte_level(420),
    "byte_level_digits": lambda: byte_level(390, split=DIGITS),
    "byte_level_prefix": lambda: byte_level(400, add_prefix_space=True, trim=True),
    "byte_level_nfc": lambda: byte_level(410, normalizer=normalizers.NFC()),
    "byte_level_lower_trimmed": lambda: byte_level(380, normalizer=normalizers.Lowercase(), trim=True),
    "sentencepiece_llama": lambda: sentencepiece_bpe(450, prefix=True),
    "sentencepiece_gemma": lambda: sentencepiece_bpe(470, prefix=False),
    "unigram_nfkc": lambda: unigram(150, normalizer=normalizers.NFKC()),
    "unigram_bytes": lambda: unigram(150, byte_fallback=True),
    "unigram_t5": lambda: unigram(150, normalizer=normalizers.NFKC(), split=pre_tokenizers.WhitespaceSplit()),
    "wordpiece": lambda: wordpiece(250),
}
LOSSLESS = ["byte_level", "byte_level_digits", "byte_level_prefix", "sentencepiece_llama", "sentencepiece_gemma"]
"""Schemes whose pieces are the text, byte by byte, but for a space before it."""


@cache
def trained(scheme):
    return PreTrainedTokenizerFast(
        tokenizer_object=SCHEMES[scheme](), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


GROUPS = {
    "any": None,
    "one": DIGITS,
    "left": pre_tokenizers.Split(Regex(r"\d{1,3}"), "isolated"),
    "right": pre_tokenizers.Split(Regex(r"\d{1,3}(?=(\d{3})*(?!\d))"), "isolated"),
}
"""How the digits of a number are cut: not at all, one by one, in threes from the left, in threes from the right."""


def counting(group="any", normalizer=None):
    """One vocabulary, which has every number below 1000 with and without a space before it."""
    core = Tokenizer.from_str(_counting_core())
    marking = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.pre_tokenizer = pre_tokenizers.Sequence([GROUPS[group], marking]) if GROUPS[group] else marking
    if normalizer:
        core.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>", pad_token="</s>")


@cache
def _counting_core():
    numbers = [str(number) for number in range(1000)]
    digits = [str(digit) for digit in range(10)]
    pairs = [(a, b) for a in digits for b in digits]
    threes = [cut for a, b in pairs for c in digits for cut in ((a + b, c), (a, b + c))]
    merges = [*pairs, *threes, *(("Ġ", number) for number in numbers)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = dict.fromkeys(["</s>", *alphabet, *map("".join, merges)])
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    core.decoder = decoders.ByteLevel()
    return core.to_str()
