"""Aligned positions: both models have read the same bytes there, and every such place is found."""

import doctest
import importlib
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import texts
from trained import LOSSLESS, SCHEMES, trained

from semalign.tokenizers import NOWHERE, align, byte_ends, common_suffix, token_bytes

PAIRS = [pair for pair in product(SCHEMES, SCHEMES) if pair[0] != pair[1]]
ends_of_prompt_and_answer = st.lists(st.integers(-12, 20), max_size=25).map(sorted)


def plain(student, teacher, least):
    """Last positions by a loop over all pairs."""
    found = []
    for i, end in enumerate(student):
        twins = [j for j, other in enumerate(teacher) if other == end >= least]
        found.append(max(twins) if twins and end not in student[i + 1 :] else -1)
    return found


@given(
    student=ends_of_prompt_and_answer, teacher=ends_of_prompt_and_answer, n_common=st.integers(0, 14), data=st.data()
)
@settings(deadline=None)
def test_the_last_tokens_with_the_same_end_are_aligned_and_no_others(student, teacher, n_common, data):
    nowhere = data.draw(st.sets(st.integers(0, 24)))
    student, teacher = ([NOWHERE if i in nowhere else end for i, end in enumerate(side)] for side in (student, teacher))
    found = align(student, teacher, n_common=n_common)
    assert found.last.tolist() == plain(student, teacher, -n_common)
    assert torch.equal(found.first, found.last)
    aligned = found.last[found.last >= 0]
    assert (aligned.diff() > 0).all()


@given(student=ends_of_prompt_and_answer, teacher=ends_of_prompt_and_answer)
@settings(deadline=None)
def test_mean_spans_are_all_teacher_positions_from_the_first_aligned_one_on_each_once(student, teacher):
    found = align(student, teacher, spans="mean")
    assert torch.equal(found.last, align(student, teacher).last)
    spans = [(f, t) for f, t in zip(found.first.tolist(), found.last.tolist(), strict=True) if t >= 0]
    covered = [position for f, t in spans for position in range(f, t + 1)]
    if spans:
        assert spans[0][0] == spans[0][1]
        assert covered == list(range(spans[0][0], spans[-1][1] + 1))


@pytest.mark.parametrize("spans", ["last", "mean"])
@given(student=ends_of_prompt_and_answer, teacher=ends_of_prompt_and_answer)
@settings(deadline=None)
def test_states_are_means_over_their_spans(spans, student, teacher):
    h = torch.arange(float(3 * len(teacher))).reshape(-1, 3).double().sin()
    found = align(student, teacher, spans=spans)
    expected = [
        h[f : t + 1].mean(0) if t >= 0 else torch.zeros(3).double()
        for f, t in zip(found.first.tolist(), found.last.tolist(), strict=True)
    ]
    if expected:
        torch.testing.assert_close(found.of(h), torch.stack(expected), rtol=1e-12, atol=1e-12)


@given(ends=ends_of_prompt_and_answer.map(lambda ends: sorted(set(ends))))
def test_a_text_is_wholly_aligned_with_itself(ends):
    found = align(ends, ends, n_common=12, spans="mean")
    assert found.last.tolist() == found.first.tolist() == list(range(len(ends)))
    assert found.coverage == 1
    assert found.n_answer == sum(end >= 0 for end in ends)


def test_prompts_are_aligned_as_far_as_they_are_the_same():
    ends = [-9, -4, -2, 0, 3]
    assert align(ends, ends, n_common=4).last.tolist() == [-1, 1, 2, 3, 4]
    assert align(ends, ends, n_common=3).last.tolist() == [-1, -1, 2, 3, 4]
    assert align(ends, ends).last.tolist() == [-1, -1, -1, 3, 4]


def test_coverage_counts_every_position_of_the_answer():
    found = align([-3, 0, 1, NOWHERE, 4, 6, 9], [-3, 0, 4, 9])
    assert (found.n_answer, found.n_aligned) == (6, 3)
    assert found.coverage == 0.5
    assert align([-3, -1], [-3, -1]).coverage == 1


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if set(pair) <= set(LOSSLESS)], ids="-".join)
@given(text=texts.filter(lambda text: "</s>" not in text and "▁" not in text))
@settings(max_examples=15, deadline=None)
def test_both_models_have_read_the_same_bytes_where_they_are_aligned(pair, text):
    read, ends = [], []
    for scheme in pair:
        pieces = token_bytes(trained(scheme))
        coded = byte_ends(trained(scheme), text)
        whole = b"".join(pieces[token] for token in coded.ids)
        added = len(whole) - len(text.encode())
        parts = [b"".join(pieces[token] for token in coded.ids[: i + 1])[added:] for i in range(len(coded.ids))]
        read.append(parts)
        ends.append(coded.ends)
    found = align(*ends).last.tolist()
    assert all(read[0][i] == read[1][j] for i, j in enumerate(found) if j >= 0)
    same = {part for part in read[0] if part in read[1]}
    assert len(same) == sum(j >= 0 for j in found)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@given(text=texts)
@settings(max_examples=5, deadline=None)
def test_any_two_schemes_are_aligned_without_crossing(pair, text):
    found = align(*(byte_ends(trained(scheme), text).ends for scheme in pair), spans="mean")
    aligned = found.last >= 0
    assert (found.last[aligned].diff() > 0).all()
    assert (found.first[aligned] <= found.last[aligned]).all()
    assert 0 <= found.coverage <= 1


@given(one=texts, other=texts, shared=texts)
def test_the_common_suffix_is_the_longest(one, other, shared):
    a, b = (one + shared).encode(), (other + shared).encode()
    n = common_suffix(one + shared, other + shared)
    assert n >= len(shared.encode())
    assert a[len(a) - n :] == b[len(b) - n :]
    assert n == min(len(a), len(b)) or a[-n - 1] != b[-n - 1]


def test_the_example_in_the_docstring_holds():
    module = importlib.import_module("semalign.tokenizers.align")  # its name in the package is the function's
    assert doctest.testmod(module) == (0, 2)
