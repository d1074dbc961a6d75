"""The later versions, reconstructed: one teacher layer for each student layer, by attribution within a window."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semalign.errors import UserError
from semalign.pairing import PairingContext
from semalign.pairing.depth import Depth
from semalign.pairing.one_per_layer import OnePerLayer


def pairs_of(scores, n_student, count=None):
    return OnePerLayer(count=count).pair(PairingContext(n_teacher=len(scores), n_student=n_student, scores=scores))


def image(pairs):
    return [pair.teacher[0][0] for pair in pairs]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_it_is_the_most_attributed_layer_of_the_window(scores, n_student):
    n_teacher = len(scores)
    found = image(pairs_of(scores, n_student))
    for k, layer in enumerate(found, start=1):
        low, high = (math.floor(Fraction(i * n_teacher, n_student)) for i in (k - 1, k))
        window = {i: scores[i - 1] for i in range(low + 1, high + 1)}  # counted from 1, as in the formula
        if window:
            assert layer + 1 in window
            assert scores[layer] == max(window.values())
        else:
            assert layer + 1 == max(1, high)
    assert found == sorted(found)
    assert n_teacher < n_student or len(set(found)) == n_student


def test_windows_by_hand():
    # 5 -> 2: layers 0, 1 and 2, 3, 4
    assert image(pairs_of([1.0, 3.0, 0.0, 2.0, 1.0], 2)) == [1, 3]
    assert [pair.reason for pair in pairs_of([1.0, 3.0, 0.0, 2.0, 1.0], 2)] == [
        "the most attributed of layers 0 to 1, its depth window (score 3)",
        "the most attributed of layers 2 to 4, its depth window (score 2)",
    ]
    assert image(pairs_of([1.0, 1.0, 0.5, 0.5, 0.5], 2)) == [0, 2]  # of equal scores the shallower layer


def test_a_window_without_a_layer_is_said_and_filled_by_the_depth_rule():
    # 2 -> 5: floor(k 2/5) = 0 0 1 1 2, so the windows of k = 1, 2, 4 are empty
    pairs = pairs_of([0.2, 0.7], 5)
    assert image(pairs) == image(Depth().pair(PairingContext(n_teacher=2, n_student=5))) == [0, 0, 0, 0, 1]
    empty = "its depth window holds no teacher layer; the depth rule gives layer 0"
    assert [pair.reason == empty for pair in pairs] == [True, True, False, True, False]
    assert pairs[2].reason == "layer 0 is the only one in its depth window (score 0.2)"


def test_a_count_takes_the_most_attributed_and_layers_without_a_window_last():
    assert [pair.student for pair in pairs_of([1.0, 3.0, 0.0, 2.0], 4, count=2)] == [1, 3]
    assert [pair.student for pair in pairs_of([0.2, 0.7], 5, count=2)] == [2, 4]
    assert [pair.student for pair in pairs_of([0.2, 0.7], 5, count=3)] == [0, 2, 4]


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(UserError, match=r"^pairing 'one_per_layer': the attribution of teacher layer 1 is nan;"):
        pairs_of([1.0, math.nan, 2.0], 2)


def test_it_says_that_it_is_a_reconstruction():
    assert "reconstruction" in OnePerLayer.source
