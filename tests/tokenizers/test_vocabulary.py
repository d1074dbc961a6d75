"""Matched vocabularies: the same bytes, one to one, nothing left out; special tokens by what they do."""

from collections import Counter
from itertools import product

import pytest
import torch
from real import QWEN, SMOLLM2, real
from trained import SCHEMES, counting, trained
from transformers import PreTrainedTokenizerFast

from semalign.tokenizers import decompose, match, token_bytes

PAIRS = list(product(SCHEMES, SCHEMES))


def matched(teacher, student, **more):
    return match(trained(teacher), trained(student), len(trained(teacher)), len(trained(student)), **more)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_matched_tokens_stand_for_the_same_bytes_one_to_one_and_none_is_missed(pair):
    found = matched(*pair)
    teacher, student = (token_bytes(trained(scheme)) for scheme in pair)
    assert (found.student.diff() > 0).all()
    assert len(found.teacher.unique()) == len(found)
    for t, s in zip(found.teacher.tolist(), found.student.tolist(), strict=True):
        assert teacher[t] == student[s]
        assert teacher[t] is not None or (t, s) in found.special
    texts = [Counter(piece for piece in side if piece is not None) for side in (teacher, student)]
    assert len(found) - len(found.special) == (texts[0] & texts[1]).total()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_tokenizer_gives_the_same_ids(scheme):
    found = matched(scheme, scheme)
    assert found.teacher.tolist() == found.student.tolist() == list(range(len(trained(scheme))))
    assert found.coverage_teacher == found.coverage_student == 1
    assert found.numerals.agree
    assert decompose(trained(scheme), trained(scheme), found) == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_head_with_fewer_rows_takes_its_tokens_out_and_moves_no_other(scheme):
    tokenizer, n_row = trained(scheme), len(trained(scheme)) - 31
    found = match(tokenizer, tokenizer, n_row, len(tokenizer) + 7)
    assert found.teacher.tolist() == found.student.tolist() == list(range(n_row))
    assert (found.n_teacher, found.n_student) == (n_row, len(tokenizer))
    assert found.coverage_student == n_row / len(tokenizer)


def ids(scheme, *pieces):
    return trained(scheme).convert_tokens_to_ids(list(pieces))


def partner(found, token):
    """The teacher's token for a student's, or None."""
    at = (found.student == token).nonzero().flatten().tolist()
    return found.teacher[at[0]].item() if at else None


@pytest.mark.parametrize(
    ("teacher", "student", "pairs"),
    [
        ("byte_level", "sentencepiece_llama", {"the": "the", "▁the": "Ġthe", "\n": "Ċ", "<0x3C>": "<", "<0xE6>": "æ"}),
        ("byte_level", "sentencepiece_gemma", {"▁": "Ġ", "a": "a", "<0x61>": None}),  # the ordinary a comes first
        ("sentencepiece_gemma", "byte_level", {"a": "a", "<": "<0x3C>", "Ġthe": "▁the"}),
        ("sentencepiece_llama", "sentencepiece_gemma", {"a": "a", "<0x61>": "<0x61>"}),
        ("byte_level", "wordpiece", {"the": "Ġthe", "##s": "s", ",": ",", "##,": None}),
    ],
)
def test_marks_do_not_matter_and_ordinary_tokens_come_first(teacher, student, pairs):
    found = matched(teacher, student)
    for of_student, of_teacher in pairs.items():
        expected = ids(teacher, of_teacher)[0] if of_teacher else None
        if student != "wordpiece" or of_student in trained(student).get_vocab():
            assert partner(found, ids(student, of_student)[0]) == expected, of_student


def with_special(scheme, **roles):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=SCHEMES[scheme](), unk_token="<unk>")
    tokenizer.add_special_tokens(roles)
    return tokenizer


def test_special_tokens_are_matched_by_what_is_written_then_by_role():
    teacher = with_special("byte_level", eos_token="<|end|>", bos_token="<|both|>", pad_token="<|end|>")
    student = with_special("unigram_nfkc", eos_token="[END]", bos_token="[BEGIN]", pad_token="<|both|>")
    found = match(teacher, student, len(teacher), len(student))
    names = {(teacher.convert_ids_to_tokens(t), student.convert_ids_to_tokens(s)) for t, s in found.special}
    assert names >= {("<|end|>", "[END]"), ("<|both|>", "<|both|>"), ("<unk>", "<unk>")}
    assert not [name for name in names if "[BEGIN]" in name]  # the teacher's BOS is what the student pads with


def test_the_tokens_that_end_a_turn_come_before_all_others():
    turn = ids("byte_level", "<s>", "</s>")
    found = matched("byte_level", "byte_level", end_of_turn=(turn[0], turn[1]))
    assert partner(found, turn[1]) == turn[0]
    assert partner(found, turn[0]) is None
    assert len(found) == len(trained("byte_level")) - 1


def test_coverage_of_a_text_counts_its_tokens():
    found = matched("byte_level", "sentencepiece_gemma")
    kept = found.student[:3].tolist()
    other = next(token for token in range(len(trained("sentencepiece_gemma"))) if token not in found.student.tolist())
    assert found.coverage_of([*kept, other], "student") == 0.75
    assert found.coverage_of(found.teacher.tolist(), "teacher") == found.coverage_of([], "student") == 1


def test_numbers_of_one_token_are_counted():
    numerals = matched("byte_level_digits", "wordpiece").numerals
    words = {piece.removeprefix("##") for piece in trained("wordpiece").get_vocab()}
    numbers = [{w for w in words if w.isdecimal() and len(w) == n and not (n > 1 and w[0] == "0")} for n in (1, 2, 3)]
    assert numerals.teacher == (10, 0, 0)  # every digit is split off
    assert numerals.both == (numerals.student[0], 0, 0)
    assert all(0 < found <= len(known) for found, known in zip(numerals.student, numbers, strict=True))
    assert numerals.student[1] > 0
    assert not numerals.agree


CUT = {"any": "12 34 56 78 90", "one": "1 2 3 4 5 6 7 8 9 0", "left": "123 456 789 0", "right": "1 234 567 890"}


@pytest.mark.parametrize("groups", list(product(CUT, CUT)), ids="-".join)
def test_one_vocabulary_may_cut_numbers_in_several_ways(groups):
    teacher, student = map(counting, groups)
    found = match(teacher, student, len(teacher), len(student)).numerals
    counts = [(10, 0, 0) if group == "one" else (10, 90, 900) for group in groups]
    assert [found.teacher, found.student, found.both] == [*counts, min(counts)]
    assert [" ".join(cut) for cut in (found.cut_teacher, found.cut_student)] == [CUT[group] for group in groups]
    assert found.agree == (groups[0] == groups[1])


def test_a_token_of_a_space_alone_does_not_count():
    llama = trained("sentencepiece_llama")
    assert llama.tokenize("3") == ["▁", "3"]
    assert matched("sentencepiece_llama", "sentencepiece_gemma").numerals.both[0] == 10


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] != pair[1]], ids="-".join)
def test_tokens_without_an_equal_are_written_by_the_teachers_tokens(pair):
    found = matched(*pair)
    parts = decompose(trained(pair[0]), trained(pair[1]), found)
    teacher, student = (token_bytes(trained(scheme)) for scheme in pair)
    assert not parts.keys() & set(found.student.tolist())
    assert all(b"".join(teacher[i] for i in of) == student[token] for token, of in parts.items())
    if pair[0] in ("byte_level", "sentencepiece_gemma"):  # which can write every text as it is
        whole = {i for i, piece in enumerate(student) if piece and piece.decode(errors="ignore").encode() == piece}
        assert parts.keys() == whole - set(found.student.tolist())


@pytest.mark.real
@pytest.mark.slow
def test_qwen_and_smollm2_share_their_byte_level_pieces():
    found = match(real(QWEN), real(SMOLLM2), 151936, 49152)
    vocabularies = [real(name).get_vocab() for name in (QWEN, SMOLLM2)]
    alike = {(vocabularies[0][piece], token) for piece, token in vocabularies[1].items() if piece in vocabularies[0]}
    assert set(zip(found.teacher.tolist(), found.student.tolist(), strict=True)) == alike
    assert len(found) == 39237
    assert found.numerals.student == found.numerals.teacher == (10, 0, 0)
    itself = match(real(SMOLLM2), real(SMOLLM2), 49152, 49152)
    assert torch.equal(itself.teacher, itself.student)
