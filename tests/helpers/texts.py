"""Arbitrary Unicode text, rich in what tokenizers treat in ways of their own."""

from hypothesis import strategies as st

MARKED = [
    *("the quick", " fox", "  ", " ", "\r\n", "\n\n", "\t", "12", "345", "café", "cafe\u0301", "日本語", "Привет"),
    *("a\u0301\u0323", "a\u0323\u0301", "\u0301", "한", "\u1112\u1161\u11ab", "ﬁ", "①", "İ", "ß", "É", "😀", "👩‍👩‍👧"),
    *("\u200d", "\u00a0", "\u3000", "\x00", "\x7f", "\ufeff", "▁", "##", "<0x0A>", "</s>", "Ġ"),
]

texts = st.lists(st.one_of(st.sampled_from(MARKED), st.text(max_size=4)), max_size=12).map("".join)
