"""What tokens stand for: every scheme's marks undone."""

import pytest
from hypothesis import given, settings
from texts import texts
from trained import LOSSLESS, SCHEMES, trained
from transformers import PreTrainedTokenizer

from semalign.errors import UserError
from semalign.tokenizers import token_bytes

each_scheme = pytest.mark.parametrize("scheme", SCHEMES)


@each_scheme
def test_every_id_has_an_entry_and_special_ones_have_no_text(scheme):
    tokenizer = trained(scheme)
    pieces = token_bytes(tokenizer)
    assert len(pieces) == len(tokenizer)
    textless = {tokenizer.convert_ids_to_tokens(i) for i, piece in enumerate(pieces) if piece is None}
    assert textless == {"<s>", "</s>", "<unk>"}


@pytest.mark.parametrize("scheme", LOSSLESS)
@given(text=texts.filter(lambda text: "</s>" not in text and "▁" not in text))
@settings(max_examples=40, deadline=None)
def test_the_pieces_of_a_text_are_the_text(scheme, text):
    tokenizer, pieces = trained(scheme), token_bytes(trained(scheme))
    whole = b"".join(pieces[token] for token in tokenizer(text, add_special_tokens=False).input_ids)
    assert whole in (text.encode(), b" " + text.encode())


@pytest.mark.parametrize(
    ("scheme", "piece", "text"),
    [
        ("byte_level", "Ġthe", b" the"),
        ("byte_level", "Ċ", b"\n"),
        ("byte_level", "Ł", b"\x9f"),
        ("byte_level", "Ã", b"\xc3"),
        ("sentencepiece_llama", "▁the", b" the"),
        ("sentencepiece_llama", "<0x0A>", b"\n"),
        ("sentencepiece_gemma", "<0xE6>", b"\xe6"),
        ("unigram_nfkc", "▁sleeps", b" sleeps"),
        ("unigram_bytes", "<0xF0>", b"\xf0"),
        ("wordpiece", "the", b" the"),
        ("wordpiece", "##s", b"s"),
        ("wordpiece", ",", b","),
        ("wordpiece", "日", "日".encode()),
    ],
)
def test_marks_are_undone(scheme, piece, text):
    tokenizer = trained(scheme)
    token = tokenizer.convert_tokens_to_ids(piece)
    assert tokenizer.convert_ids_to_tokens(token) == piece
    assert token_bytes(tokenizer)[token] == text


def test_an_added_token_is_text_as_it_is_written():
    from trained import byte_level
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_level(300), unk_token="<unk>")
    tokenizer.add_tokens(["<tool>", "  "])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    pieces = token_bytes(tokenizer)
    found = [pieces[tokenizer.convert_tokens_to_ids(token)] for token in ("<tool>", "  ", "<|turn|>")]
    assert found == [b"<tool>", b"  ", None]


def test_a_slow_tokenizer_is_refused():
    class Slow(PreTrainedTokenizer):
        vocab_size = 1

        def get_vocab(self):
            return {"a": 0}

    with pytest.raises(UserError, match=r"\(Slow\) is a slow one.*load that"):
        token_bytes(Slow())
