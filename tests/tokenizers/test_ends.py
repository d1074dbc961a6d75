"""Where tokens end: never decreasing, whole at the end, and true: what was read so far is that much of the text."""

from itertools import product

import pytest
from hypothesis import given, settings
from texts import texts
from tokenizers import normalizers
from trained import LOSSLESS, SCHEMES, byte_level, trained, unigram
from transformers import PreTrainedTokenizerFast

from semalign.tokenizers import NOWHERE, byte_ends, token_bytes

each_scheme = pytest.mark.parametrize("scheme", SCHEMES)
many = settings(max_examples=60, deadline=None)


def somewhere(ends):
    return [end for end in ends if end != NOWHERE]


@each_scheme
@given(text=texts)
@many
def test_ends_never_decrease_and_are_those_of_the_tokens(scheme, text):
    tokenizer = trained(scheme)
    ids, ends = byte_ends(tokenizer, text)
    assert ids == tokenizer(text, add_special_tokens=False).input_ids
    assert len(ids) == len(ends)
    assert somewhere(ends) == sorted(somewhere(ends))
    assert all(0 <= end <= len(text.encode()) for end in somewhere(ends))


@pytest.mark.parametrize("scheme", LOSSLESS)
@given(text=texts.filter(bool))
@many
def test_where_nothing_is_rewritten_every_token_ends_somewhere_and_the_last_at_the_end(scheme, text):
    if "▁" in text and scheme.startswith("sentencepiece"):  # the mark itself becomes a space
        return
    _, ends = byte_ends(trained(scheme), text)
    assert NOWHERE not in ends
    assert ends[-1] == len(text.encode())


@pytest.mark.parametrize("scheme", LOSSLESS)
@given(text=texts.filter(lambda text: "</s>" not in text and "▁" not in text))
@many
def test_pieces_up_to_an_end_are_the_text_up_to_it(scheme, text):
    pieces = token_bytes(trained(scheme))
    ids, ends = byte_ends(trained(scheme), text)
    read = b""
    for token, end in zip(ids, ends, strict=True):
        read += pieces[token]
        assert read in (text.encode()[:end], b" " + text.encode()[:end])


def known_bytes(core):
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


ORDERING = {
    "nfc": lambda: trained("byte_level_nfc"),
    "nfkc": lambda: known_bytes(byte_level(390, normalizer=normalizers.NFKC())),
    "nfd": lambda: known_bytes(byte_level(390, normalizer=normalizers.NFD())),
    "unigram_nfkc": lambda: known_bytes(unigram(150, normalizer=normalizers.NFKC(), byte_fallback=True)),
}


@pytest.mark.parametrize("form", ORDERING)
def test_marks_that_are_put_in_order_end_where_all_of_them_are_read(form):
    """Every text of up to four characters over an alphabet of marks of two classes, one of them two marks in one."""
    tokenizer = ORDERING[form]()
    normalizer, pieces = tokenizer.backend_tokenizer.normalizer, token_bytes(tokenizer)
    for length in range(1, 5):
        for text in map("".join, product("a\u0301\u0323\u0344 ", repeat=length)):
            ids, ends = byte_ends(tokenizer, text)
            read = b""
            for token, end in zip(ids, ends, strict=True):
                read += pieces[token]
                if end != NOWHERE:
                    whole = text.encode()[:end].decode(errors="ignore")
                    begun = text.encode()[len(whole.encode()) : end]
                    expected = normalizer.normalize_str(whole).encode() + begun
                    assert spaceless(read) == spaceless(expected), (text, end)


def rewritten(tokenizer, text):
    """A text as the tokenizer's model sees it."""
    core = tokenizer.backend_tokenizer
    return core.normalizer.normalize_str(text) if core.normalizer else text


def spaceless(text):
    """Without white space, which schemes mark, add and drop."""
    return "".join(text.decode(errors="surrogateescape").replace("▁", " ").split())


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme not in LOSSLESS])
@given(text=texts.filter(lambda text: "</s>" not in text and "<0x" not in text))
@many
def test_pieces_up_to_an_end_are_the_rewritten_text_up_to_it(scheme, text):
    tokenizer, pieces = trained(scheme), token_bytes(trained(scheme))
    ids, ends = byte_ends(tokenizer, text)
    read = b""
    for token, end in zip(ids, ends, strict=True):
        if pieces[token] is None:  # unknown characters: it is not known what was read
            return
        read += pieces[token]
        if end != NOWHERE:
            whole = text.encode()[:end].decode(errors="ignore")
            begun = text.encode()[len(whole.encode()) : end]  # the first bytes of a character
            assert spaceless(read) == spaceless(rewritten(tokenizer, whole).encode() + begun)


@pytest.mark.parametrize(
    ("scheme", "text", "expected"),
    [
        ("byte_level", "é😀 the", {"Ã©": 2, "ðŁ": 4, "ĺĢ": 6, "Ġthe": 10}),
        ("byte_level_prefix", " the</s>the", {"Ġthe": 11, "</s>": 8}),
        ("byte_level_nfc", "xe\u0301y", {"x": 1, "Ã©": 4, "y": 5}),
        ("byte_level_nfc", "a\u0301\u0323y", {"á": NOWHERE, "º": NOWHERE, "¡": NOWHERE, "ģ": 5, "y": 6}),
        ("byte_level_lower_trimmed", "A  \n  b", {"a": 1, "ĠĠ": 3, "Ċ": 4, "Ġ": 5, "Ġb": 7}),
        ("sentencepiece_llama", "😀<s>\n", {"<s>": 7, "▁": 7, "\n": 8}),
        ("sentencepiece_gemma", "the<", {"the": 3, "<0x3C>": 4}),
        ("unigram_nfkc", "ﬁx", {"▁": NOWHERE, "f": NOWHERE, "i": 3, "x": 4}),
        ("wordpiece", "The  thes\t日", {"the": 8, "##s": 9, "日": 13}),
        ("wordpiece", "e\u0301 É", {"e": 6}),
    ],
)
def test_ends_by_hand(scheme, text, expected):
    ids, ends = byte_ends(trained(scheme), text)
    found = dict(zip(trained(scheme).convert_ids_to_tokens(ids), ends, strict=True))  # the last of equal tokens
    assert found.items() >= expected.items()
