"""Pairings that look at depths alone: first_n, last_n, reverse."""

import pytest

from semalign.pairing import PairingContext
from semalign.pairing.depth import Depth
from semalign.pairing.first_n import FirstN
from semalign.pairing.last_n import LastN
from semalign.pairing.reverse import Reverse

DEPTHS = [(9, 5), (5, 5), (5, 9), (1, 4), (4, 1), (1, 1)]


def layers(pairing, n_teacher, n_student):
    pairs = pairing.pair(PairingContext(n_teacher=n_teacher, n_student=n_student))
    return [(pair.student, pair.teacher[0][0]) for pair in pairs]


@pytest.mark.parametrize(
    ("n_teacher", "n_student", "count", "first", "last"),
    [
        (9, 5, 2, [(0, 0), (1, 1)], [(3, 7), (4, 8)]),
        (3, 5, None, [(0, 0), (1, 1), (2, 2)], [(2, 0), (3, 1), (4, 2)]),
        (5, 3, None, [(0, 0), (1, 1), (2, 2)], [(0, 2), (1, 3), (2, 4)]),
        (1, 4, None, [(0, 0)], [(3, 0)]),
        (4, 1, 1, [(0, 0)], [(0, 3)]),
    ],
)
def test_layers_are_counted_from_one_end_in_both_models(n_teacher, n_student, count, first, last):
    assert layers(FirstN(count=count), n_teacher, n_student) == first
    assert layers(LastN(count=count), n_teacher, n_student) == last


def test_reasons_count_from_the_end_that_is_meant():
    asked = PairingContext(n_teacher=9, n_student=5)
    assert [pair.reason for pair in FirstN(count=2).pair(asked)] == [
        "layer 1 from the bottom of both models",
        "layer 2 from the bottom of both models",
    ]
    assert [pair.reason for pair in LastN(count=2).pair(asked)] == [
        "layer 2 from the top of both models",
        "layer 1 from the top of both models",
    ]


@pytest.mark.parametrize(("n_teacher", "n_student"), DEPTHS)
def test_reverse_gives_the_teacher_layers_of_the_depth_rule_backwards(n_teacher, n_student):
    forwards = [teacher for _, teacher in layers(Depth(), n_teacher, n_student)]
    assert layers(Reverse(), n_teacher, n_student) == list(enumerate(reversed(forwards)))


def test_reverse_keeps_its_pairs_where_it_takes_fewer():
    assert layers(Reverse(), 4, 4) == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert layers(Reverse(count=2), 4, 4) == [(1, 2), (3, 0)]
    (pair, _) = Reverse(count=2).pair(PairingContext(n_teacher=4, n_student=4))
    assert pair.reason == "control: by depth this teacher layer belongs to student layer 2"
