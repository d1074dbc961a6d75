"""What every pairing promises, the depth table by hand, and the rules for critical and interpolated layers."""

import dataclasses
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semalign.errors import UserError
from semalign.pairing import Pair, PairingContext
from semalign.pairing.critical import Critical
from semalign.pairing.depth import Depth
from semalign.pairing.manual import Manual
from semalign.pairing.random import Random
from semalign.strategy import available, build

DEPTHS = [(9, 5), (5, 5), (5, 9), (1, 4), (4, 1), (1, 1), (40, 32)]
REQUIRED = {"manual": {"pairs": [[0, 0]]}}


def context(n_teacher, n_student, top=(), seed=0):
    """Depths with scores that rank `top` first, in that order, and then shallower layers before deeper ones.

    Similarities are drawn from the seed.
    """
    order = [*top, *(layer for layer in range(n_teacher) if layer not in top)]
    scores = [float(n_teacher - order.index(layer)) for layer in range(n_teacher)]
    draw = torch.Generator().manual_seed(seed)
    similarity = torch.rand(n_student, n_teacher, dtype=torch.float64, generator=draw)
    return PairingContext(n_teacher=n_teacher, n_student=n_student, scores=scores, similarity=similarity)


def image(pairing, n_teacher, n_student):
    """Teacher layer of each student layer, from 1 as in the paper."""
    pairs = pairing.pair(context(n_teacher, n_student))
    assert all(len(pair.teacher) == 1 for pair in pairs)
    return [pair.teacher[0][0] + 1 for pair in pairs]


def layers(pairs):
    return [(pair.student, pair.teacher[0][0]) for pair in pairs]


# every pairing


@pytest.fixture(params=available("pairing"))
def pairing(request):
    return build("pairing", {"name": request.param, **REQUIRED.get(request.param, {})})


@pytest.mark.parametrize(("n_teacher", "n_student"), DEPTHS)
def test_pairs_are_legal(pairing, n_teacher, n_student):
    pairs = pairing.pair(context(n_teacher, n_student, top=[n_teacher // 2]))
    students = [pair.student for pair in pairs]
    assert students
    assert students == sorted(set(students))
    assert set(students) <= set(range(n_student))
    for pair in pairs:
        assert {layer for layer, _ in pair.teacher} <= set(range(n_teacher))
        assert len({layer for layer, _ in pair.teacher}) == len(pair.teacher)
        assert all(weight > 0 for _, weight in pair.teacher)
        assert sum(weight for _, weight in pair.teacher) == pytest.approx(1, abs=1e-12)
        assert pair.reason.strip()


@pytest.mark.parametrize(("n_teacher", "n_student"), DEPTHS)
def test_the_same_question_has_the_same_answer(pairing, n_teacher, n_student):
    asked = context(n_teacher, n_student)
    assert pairing.pair(asked) == pairing.pair(asked)


def test_only_pairings_that_say_so_look_at_the_attribution(pairing):
    asked = context(9, 5, top=[1])
    assert (pairing.pair(asked) != pairing.pair(context(9, 5, top=[7]))) == pairing.uses_attribution
    if not pairing.uses_attribution:
        assert pairing.pair(dataclasses.replace(asked, scores=None)) == pairing.pair(asked)


def test_only_pairings_that_say_so_look_at_the_similarity(pairing):
    asked = context(9, 5)
    assert (pairing.pair(asked) != pairing.pair(context(9, 5, seed=1))) == pairing.uses_similarity
    if not pairing.uses_similarity:
        assert pairing.pair(dataclasses.replace(asked, similarity=None)) == pairing.pair(asked)


@pytest.mark.parametrize("n_layer", [1, 2, 7])
@pytest.mark.parametrize("name", sorted({*available("pairing")} - {"random", "reverse", "manual"}))
def test_a_planted_diagonal_is_found_by_all_but_controls(name, n_layer):
    """Equally deep models whose layers are most alike at equal depth: every pair lies on the diagonal."""
    pairing = build("pairing", name)
    asked = dataclasses.replace(context(n_layer, n_layer), similarity=0.5 + 0.5 * torch.eye(n_layer).double())
    pairs = pairing.pair(asked)
    assert [pair.teacher for pair in pairs] == [((pair.student, 1.0),) for pair in pairs]
    assert pairing.name == "critical" or len(pairs) == n_layer


@pytest.mark.parametrize("name", [n for n, cls in available("pairing").items() if hasattr(cls, "count")])
@pytest.mark.parametrize(("n_teacher", "n_student"), DEPTHS)
def test_a_count_takes_so_many_of_the_pairs(name, n_teacher, n_student):
    asked = context(n_teacher, n_student, top=[n_teacher // 2])
    every = build("pairing", {"name": name, "count": None}).pair(asked)
    for count in range(1, len(every) + 1):
        some = build("pairing", {"name": name, "count": count}).pair(asked)
        assert len(some) == count
        assert [pair.student for pair in some] == sorted({pair.student for pair in some})
        if name != "random":
            assert [pair for pair in every if pair in some] == some
    with pytest.raises(UserError, match=rf"^pairing '{name}': count is {len(every) + 1}, but .*{len(every)}.* layers$"):
        build("pairing", {"name": name, "count": len(every) + 1}).pair(asked)


@pytest.mark.parametrize("name", [n for n, cls in available("pairing").items() if hasattr(cls, "count")])
@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused(name, count):
    with pytest.raises(UserError, match="count: input should be greater than or equal to 1"):
        build("pairing", {"name": name, "count": count})


def test_a_pair_comes_back_from_json():
    pair = Pair(student=3, teacher=((4, 0.25), (5, 0.75)), reason="why")
    assert Pair.from_plain(pair.plain()) == pair
    assert pair.plain()["teacher"] == [{"layer": 4, "weight": 0.25}, {"layer": 5, "weight": 0.75}]
    assert pair.label == "4+5->3"


# depth

TABLE = {
    (40, 32): "1 2 3 5 6 7 8 10 11 12 13 15 16 17 18 20 21 22 23 25 26 27 28 30 31 32 33 35 36 37 38 40",
    (24, 30): "1 1 2 3 4 4 5 6 7 8 8 9 10 11 12 12 13 14 15 16 16 17 18 19 20 20 21 22 23 24",
    (30, 24): "1 2 3 5 6 7 8 10 11 12 13 15 16 17 18 20 21 22 23 25 26 27 28 30",
}


@pytest.mark.parametrize(("n_teacher", "n_student"), TABLE)
def test_the_depth_rule_is_the_table_made_by_hand(n_teacher, n_student):
    expected = [int(layer) for layer in TABLE[n_teacher, n_student].split()]
    assert image(Depth(), n_teacher, n_student) == expected


@pytest.mark.parametrize("n_layer", [1, 2, 7, 32])
@pytest.mark.parametrize("interpolate", [False, True])
def test_equal_depths_give_the_diagonal(n_layer, interpolate):
    pairs = Depth(interpolate=interpolate).pair(context(n_layer, n_layer))
    assert [(pair.student, pair.teacher) for pair in pairs] == [(k, ((k, 1.0),)) for k in range(n_layer)]


@pytest.mark.parametrize(("n_teacher", "n_student"), DEPTHS)
def test_the_last_student_layer_follows_the_last_teacher_layer(n_teacher, n_student):
    assert layers(Depth().pair(context(n_teacher, n_student)))[-1] == (n_student - 1, n_teacher - 1)


@given(st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_the_depth_rule_is_the_paper_formula(n_teacher, n_student):
    expected = [max(1, math.floor(Fraction(k * n_teacher, n_student))) for k in range(1, n_student + 1)]
    assert image(Depth(), n_teacher, n_student) == expected
    assert expected == sorted(expected)


# interpolation


def paper_interpolation(k, n_teacher, n_student):
    """Teacher layers from 1 and their shares, in exact fractions: method.md, u, a, b, lambda."""
    u = Fraction(n_teacher * k, n_student)
    a = max(1, min(math.floor(u), n_teacher - 1))
    share = min(max(u - a, Fraction(0)), Fraction(1))
    return {a: 1 - share, a + 1: share}


@given(st.integers(2, 60), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_interpolation_is_the_paper_formula(n_teacher, n_student):
    for pair in Depth(interpolate=True).pair(context(n_teacher, n_student)):
        expected = {a: s for a, s in paper_interpolation(pair.student + 1, n_teacher, n_student).items() if s}
        assert [layer + 1 for layer, _ in pair.teacher] == list(expected)
        assert [weight for _, weight in pair.teacher] == pytest.approx([float(s) for s in expected.values()], abs=1e-9)


def test_interpolation_mixes_the_two_layers_around_a_depth():
    # u = 40/32 = 1.25, 2.5, 3.75, 5 for the first four student layers
    pairs = Depth(interpolate=True).pair(context(40, 32))
    assert [pair.teacher for pair in pairs[:4]] == [
        ((0, 0.75), (1, 0.25)),
        ((1, 0.5), (2, 0.5)),
        ((2, 0.25), (3, 0.75)),
        ((4, 1.0),),
    ]


def test_interpolation_cannot_leave_a_teacher_of_one_layer():
    for pair in Depth(interpolate=True).pair(context(1, 3)):
        assert pair.teacher == ((0, 1.0),)


def test_a_critical_layer_is_interpolated_at_its_student_depth():
    # l* = 3 of 9 leads to k = 2 of 5 (image 1, 3, 5, 7, 9), where u = 3.6
    (pair,) = Critical(interpolate=True).pair(context(9, 5, top=[2]))
    assert pair.student == 1
    assert pair.reason == (
        "teacher layer 2 is number 1 by attribution (score 9); "
        "the depth of the student layer that reaches it lies between layers, "
        "so it follows 0.40 of layer 2 and 0.60 of layer 3"
    )
    assert [layer for layer, _ in pair.teacher] == [2, 3]
    assert [weight for _, weight in pair.teacher] == pytest.approx([0.4, 0.6])


def test_a_critical_layer_at_a_whole_depth_is_not_interpolated():
    # u = 9 for the last of 5 student layers
    (pair,) = Critical(interpolate=True).pair(context(9, 5, top=[8]))
    assert pair.teacher == ((8, 1.0),)
    assert pair.reason == "teacher layer 8 is number 1 by attribution (score 9)"


# critical layers, all from 0; the paper counts from 1


@pytest.mark.parametrize(
    ("n_teacher", "n_student", "critical", "student", "teacher"),
    [
        (40, 32, 4, 3, 4),  # in the image: l* = 5 = l_4
        (40, 32, 3, 3, 4),  # not in the image: l* = 4, the first deeper one is l_4 = 5
        (40, 32, 38, 31, 39),  # l* = 39, reached by the last student layer only
        (40, 32, 39, 31, 39),
        (40, 32, 0, 0, 0),
        (24, 30, 0, 0, 0),  # l_1 = l_2 = 1: the first of them
        (24, 30, 7, 9, 7),  # l_10 = l_11 = 8
        (24, 30, 23, 29, 23),
        (8, 2, 0, 0, 3),
        (8, 2, 4, 1, 7),
        (1, 4, 0, 0, 0),
        (5, 1, 2, 0, 4),
    ],
)
def test_a_critical_layer_goes_to_the_first_student_layer_that_reaches_it(
    n_teacher, n_student, critical, student, teacher
):
    (pair,) = Critical().pair(context(n_teacher, n_student, top=[critical]))
    assert (pair.student, pair.teacher) == (student, ((teacher, 1.0),))
    assert f"teacher layer {critical} is number 1 by attribution" in pair.reason
    assert (f"the nearest depth a student layer reaches is {teacher}" in pair.reason) == (critical != teacher)


@given(st.data(), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_the_rule_for_a_critical_layer_is_the_papers(data, n_teacher, n_student):
    critical = data.draw(st.integers(1, n_teacher))
    depths = [max(1, k * n_teacher // n_student) for k in range(1, n_student + 1)]
    k = min([k for k, depth in enumerate(depths, 1) if depth >= critical] or [n_student])
    (pair,) = Critical().pair(context(n_teacher, n_student, top=[critical - 1]))
    assert layers([pair]) == [(k - 1, depths[k - 1] - 1)]


def test_of_critical_layers_that_meet_the_most_attributed_one_stays():
    # 8 -> 2: layers 0 to 3 lead to student layer 0, 4 to 7 to student layer 1
    pairs = Critical(count=2).pair(context(8, 2, top=[2, 1, 0, 6]))
    assert layers(pairs) == [(0, 3), (1, 7)]
    assert "teacher layer 2 is number 1" in pairs[0].reason
    assert "teacher layer 6 is number 4" in pairs[1].reason


def test_the_most_attributed_layers_are_taken_in_the_order_of_students():
    assert layers(Critical(count=3).pair(context(6, 6, top=[4, 0, 2]))) == [(0, 0), (2, 2), (4, 4)]
    assert layers(Critical(count=2).pair(context(6, 6, top=[4, 0, 2]))) == [(0, 0), (4, 4)]


def test_of_equal_scores_the_shallower_layer_is_taken():
    (pair,) = Critical().pair(PairingContext(n_teacher=4, n_student=4, scores=[0.0, 1.0, 1.0, 0.5]))
    assert layers([pair]) == [(1, 1)]


def test_without_a_count_every_reachable_student_layer_is_paired():
    assert layers(Critical(count=None).pair(context(9, 5))) == layers(Depth().pair(context(9, 5)))
    # three teacher layers lead to three of seven students: l = 1 1 1 1 2 2 3
    assert layers(Critical(count=None).pair(context(3, 7))) == [(0, 0), (4, 1), (6, 2)]


@pytest.mark.parametrize(("n_teacher", "n_student", "reach"), [(9, 5, 5), (3, 7, 3), (5, 1, 1)])
def test_more_critical_layers_than_students_that_follow_are_refused(n_teacher, n_student, reach):
    assert len(Critical(count=reach).pair(context(n_teacher, n_student))) == reach
    with pytest.raises(UserError) as caught:
        Critical(count=reach + 1).pair(context(n_teacher, n_student))
    assert str(caught.value) == (
        f"pairing 'critical': count is {reach + 1}, but teacher layers lead to {reach} student layers"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused(value):
    with pytest.raises(UserError, match=rf"the attribution of teacher layer 1 is {value}; .*NaN"):
        Critical().pair(PairingContext(n_teacher=3, n_student=2, scores=[1.0, value, 2.0]))


# depth with a count


@pytest.mark.parametrize(
    ("n_student", "count", "students"),
    [(12, 3, [3, 7, 11]), (7, 3, [2, 4, 6]), (7, 1, [6]), (5, 4, [1, 2, 3, 4]), (4, 4, [0, 1, 2, 3])],
)
def test_few_student_layers_lie_at_equal_distances_up_to_the_last(n_student, count, students):
    assert [pair.student for pair in Depth(count=count).pair(context(9, n_student))] == students


# manual


def test_listed_pairs_are_taken_in_the_order_of_students():
    assert layers(Manual(pairs=((4, 0), (1, 8))).pair(context(9, 5))) == [(1, 8), (4, 0)]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((5, 0), "student layer 5 does not exist; the student has layers 0 to 4"),
        ((-1, 0), "student layer -1 does not exist; the student has layers 0 to 4"),
        ((4, 9), "teacher layer 9 does not exist; the teacher has layers 0 to 8"),
        ((4, -1), "teacher layer -1 does not exist; the teacher has layers 0 to 8"),
    ],
)
def test_a_listed_layer_that_does_not_exist_is_refused(pair, message):
    with pytest.raises(UserError) as caught:
        Manual(pairs=((0, 0), pair)).pair(context(9, 5))
    assert str(caught.value) == f"pairing 'manual': {message}"


def test_a_list_that_pairs_nothing_or_one_layer_twice_is_refused():
    with pytest.raises(UserError, match=r"'pairs' is empty; list at least one \[student layer, teacher layer\]"):
        Manual(pairs=())
    with pytest.raises(UserError, match=r"'pairs' names a student layer twice: \[0, 2, 2\]"):
        Manual(pairs=((2, 0), (0, 1), (2, 3)))


# random


def test_random_pairs_say_their_seed():
    assert {pair.reason for pair in Random(seed=7).pair(context(9, 5))} == {"control: drawn with seed 7"}
    assert Random(seed=0).pair(context(9, 5)) == Random().pair(context(9, 5)) != Random(seed=7).pair(context(9, 5))


def test_random_pairs_take_the_seed_of_the_run_where_they_have_none():
    assert Random().seeded(5).pair(context(9, 5)) == Random(seed=5).pair(context(9, 5))
    assert Random(seed=3).seeded(5) == Random(seed=3)


def test_random_pairs_depend_on_the_seed():
    drawn = {tuple(layers(Random(seed=seed).pair(context(30, 24)))) for seed in range(4)}
    assert len(drawn) == 4
    counted = {tuple(layers(Random(seed=seed, count=3).pair(context(30, 24)))) for seed in range(4)}
    assert len(counted) == 4
    assert {len(pairs) for pairs in counted} == {3}


def test_random_pairs_reach_every_layer_of_both_sides():
    pairs = [pair for seed in range(60) for pair in layers(Random(seed=seed, count=1).pair(context(3, 4)))]
    assert {student for student, _ in pairs} == set(range(4))
    assert {teacher for _, teacher in pairs} == set(range(3))


def test_more_random_pairs_than_student_layers_are_refused():
    with pytest.raises(UserError, match="pairing 'random': count is 6, but the student has 5 layers"):
        Random(count=6).pair(context(9, 5))
