"""Pairings that go by similarity: planted alignments, brute force, and the two that bound each other."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semalign.errors import UserError
from semalign.pairing import PairingContext
from semalign.pairing.cka_argmax import CKAArgmax
from semalign.pairing.monotone_cka import MonotoneCKA

SIZES = [(1, 4), (4, 1), (3, 5), (5, 3), (4, 4), (6, 2)]  # teacher, student


def context(similarity):
    similarity = torch.tensor(similarity, dtype=torch.float64)
    n_student, n_teacher = similarity.shape
    return PairingContext(n_teacher=n_teacher, n_student=n_student, similarity=similarity)


def path(pairing, similarity):
    pairs = pairing.pair(context(similarity))
    assert [pair.student for pair in pairs] == list(range(len(similarity)))
    return [pair.teacher[0][0] for pair in pairs]


def drawn(n_teacher, n_student, seed):
    return torch.rand(n_student, n_teacher, generator=torch.Generator().manual_seed(seed)).double().tolist()


def total(similarity, layers):
    return math.fsum(row[layer] for row, layer in zip(similarity, layers, strict=True))


def brute_force(similarity, *, strict):
    """The highest sum over every path in order."""
    n_student, n_teacher = len(similarity), len(similarity[0])
    ways = itertools.combinations if strict else itertools.combinations_with_replacement
    return max(total(similarity, layers) for layers in ways(range(n_teacher), n_student))


@pytest.mark.parametrize(
    ("n_teacher", "n_student", "strict"),
    [(t, s, strict) for t, s in SIZES for strict in (False, True) if t >= s or not strict],
)
@pytest.mark.parametrize("seed", range(8))
def test_the_monotone_path_is_the_best_of_all(n_teacher, n_student, strict, seed):
    similarity = drawn(n_teacher, n_student, seed)
    layers = path(MonotoneCKA(strict=strict), similarity)
    assert layers == sorted(layers)
    assert not strict or len(set(layers)) == n_student
    assert total(similarity, layers) == pytest.approx(brute_force(similarity, strict=strict), abs=1e-12)


def test_of_equally_good_paths_the_shallowest_is_taken():
    assert path(MonotoneCKA(), [[0.5] * 4] * 3) == [0, 0, 0]
    assert path(MonotoneCKA(strict=True), [[0.5] * 4] * 3) == [0, 1, 2]


@given(st.data(), st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_planted_monotone_alignment_is_found(data, n_teacher, n_student):
    layers = data.draw(st.lists(st.integers(0, n_teacher - 1), min_size=n_student, max_size=n_student).map(sorted))
    similarity = [[0.9 if column == layer else 0.6 for column in range(n_teacher)] for layer in layers]
    assert path(MonotoneCKA(), similarity) == layers
    assert path(CKAArgmax(), similarity) == layers
    if len(set(layers)) == n_student:
        assert path(MonotoneCKA(strict=True), similarity) == layers


def test_a_planted_alignment_out_of_order_is_found_by_the_arg_max_alone():
    similarity = [[0.1, 0.2, 0.7], [0.3, 0.8, 0.2], [0.7, 0.1, 0.6]]
    assert path(CKAArgmax(), similarity) == [2, 1, 0]
    assert path(MonotoneCKA(), similarity) == [1, 1, 2]  # 0.2 + 0.8 + 0.6


@pytest.mark.parametrize(("n_teacher", "n_student"), SIZES)
def test_each_constraint_costs_similarity(n_teacher, n_student):
    similarity = drawn(n_teacher, n_student, seed=20)
    free, ordered = (total(similarity, path(pairing, similarity)) for pairing in (CKAArgmax(), MonotoneCKA()))
    assert free >= ordered
    assert free == pytest.approx(sum(map(max, similarity)))
    if n_teacher >= n_student:
        assert ordered >= total(similarity, path(MonotoneCKA(strict=True), similarity))


@pytest.mark.parametrize("pairing", [CKAArgmax, MonotoneCKA])
def test_a_count_takes_the_most_similar_pairs(pairing):
    similarity = [[0.5, 0.1, 0.1], [0.2, 0.9, 0.1], [0.1, 0.2, 0.7], [0.1, 0.2, 0.6]]
    pairs = pairing(count=2).pair(context(similarity))
    assert [(pair.student, pair.teacher[0][0]) for pair in pairs] == [(1, 1), (2, 2)]


def test_reasons_give_the_similarity_and_what_was_passed_over():
    similarity = [[0.1, 0.2, 0.7], [0.3, 0.8, 0.2], [0.7, 0.1, 0.6]]
    free, ordered = (pairing().pair(context(similarity)) for pairing in (CKAArgmax, MonotoneCKA))
    assert free[0].reason == "the most similar teacher layer (CKA 0.700); next is layer 1 (0.200)"
    assert ordered[0].reason == "on the best path in order of depth (CKA 0.200); layer 2 is more similar (0.700)"
    assert ordered[1].reason == "on the best path in order of depth, and the most similar teacher layer (CKA 0.800)"
    assert CKAArgmax().pair(context([[0.4]]))[0].reason == "the most similar teacher layer (CKA 0.400)"


def test_a_teacher_too_shallow_for_a_strict_path_is_refused():
    with pytest.raises(UserError) as caught:
        MonotoneCKA(strict=True).pair(context(drawn(3, 5, 0)))
    assert str(caught.value) == (
        "pairing 'monotone_cka': strict needs a teacher layer for each of 5 student layers, but the teacher has 3; "
        "leave strict out"
    )


@pytest.mark.parametrize("pairing", [CKAArgmax, MonotoneCKA])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_similarity_that_is_no_number_is_refused(pairing, value):
    with pytest.raises(UserError, match=rf"^pairing '{pairing.name}': a CKA of two layers is NaN or Inf"):
        pairing().pair(context([[0.5, value], [0.1, 0.2], [0.3, 0.4]]))
