import numpy as np
import pytest

from semalign.evaluation.statistics import (
    CHUNK,
    RESAMPLES,
    bits_difference,
    bits_interval,
    bootstrap_interval,
    mean_difference,
    mean_gap,
    mean_score,
    paired_difference,
)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def width(interval) -> float:
    return interval.high - interval.low


def test_rows_that_agree_are_not_certain():
    z = 1.959964
    assert bootstrap_interval([1.0] * 9) == pytest.approx((1.0, 9 / (9 + z**2), 1.0))
    assert bootstrap_interval([0] * 32) == pytest.approx((0.0, 0.0, z**2 / (32 + z**2)))
    assert paired_difference([1, 0] * 16, [1, 0] * 16) == pytest.approx((0.0, -z / 34, z / 34))
    best = paired_difference([1] * 9, [0] * 9)
    assert (best.value, best.high) == (1.0, 1.0)
    assert 0.5 < best.low < 1


def test_a_rate_that_shows_in_no_row_is_inside_the_interval_as_often_as_promised(generator):
    for rate, n in ((0.02, 60), (0.05, 30)):
        samples = generator.random((400, n)) < rate
        intervals = [bootstrap_interval(sample.astype(float)) for sample in samples if not sample.any()]
        assert intervals
        assert all(interval.low <= rate <= interval.high for interval in intervals)


def test_measures_that_agree_give_a_point():
    assert bootstrap_interval([0.25] * 9) == (0.25, 0.25, 0.25)
    assert paired_difference([0.5, 0.25], [0.5, 0.25]) == (0.0, 0.0, 0.0)


def test_the_same_seed_gives_the_same_interval_and_another_another(generator):
    outcomes = generator.random(40)
    assert bootstrap_interval(outcomes) == bootstrap_interval(outcomes)
    assert bootstrap_interval(outcomes) != bootstrap_interval(outcomes, seed=1)


def test_the_interval_is_the_normal_one_where_rows_are_many(generator):
    outcomes = generator.random(2000) < 0.3
    interval = bootstrap_interval(outcomes.astype(float))
    error = np.sqrt(outcomes.mean() * (1 - outcomes.mean()) / 2000)
    assert interval.low == pytest.approx(interval.value - 1.96 * error, abs=0.2 * error)
    assert interval.high == pytest.approx(interval.value + 1.96 * error, abs=0.2 * error)


def test_nineteen_in_twenty_intervals_hold_the_truth(generator):
    held = 0
    for trial in range(150):
        interval = bootstrap_interval((generator.random(80) < 0.4).astype(float), seed=trial)
        held += interval.low <= 0.4 <= interval.high
    # The share of 150 trials has a standard error of 0.018; small samples cover a little less than 0.95.
    assert 0.89 <= held / 150 <= 0.99


def test_pairing_narrows_the_interval_of_a_difference(generator):
    hardness = generator.random(200)
    a, b = (hardness < 0.6).astype(float), (hardness < 0.5).astype(float)
    paired = paired_difference(a, b)
    unpaired = paired_difference(a, generator.permutation(b))
    assert paired.value == pytest.approx(a.mean() - b.mean())
    assert width(paired) < 0.6 * width(unpaired)


def test_bits_per_byte_weighs_rows_by_their_bytes():
    assert bits_interval([10.0, 2.0], [5, 10]).value == pytest.approx(12 / 15)
    assert bits_interval([3.0, 6.0, 1.5], [2, 4, 1]) == pytest.approx((1.5, 1.5, 1.5))


def test_a_difference_of_bits_is_paired_and_signed():
    n_bytes = [3, 5, 9, 4]
    better, worse = [0.5 * n for n in n_bytes], [0.75 * n for n in n_bytes]
    assert bits_difference(better, worse, n_bytes) == pytest.approx((-0.25, -0.25, -0.25))


def test_the_mean_counts_tasks_not_rows():
    scores = {"many": [1.0] * 30, "few": [0.0] * 3}
    assert mean_score(scores) == (0.5, 0.5, 0.5)


def test_tasks_are_resampled_independently(generator):
    outcomes = (generator.random(100) < 0.5).astype(float)
    one = mean_score({"a": outcomes})
    four = mean_score(dict.fromkeys("abcd", outcomes))
    assert width(four) == pytest.approx(width(one) / 2, rel=0.15)


def test_the_gap_of_a_model_to_itself_is_nothing(generator):
    scores = {"a": generator.random(20), "b": generator.random(11)}
    assert mean_gap(scores, scores) == (0.0, 0.0, 0.0)


def test_the_gap_does_not_let_tasks_cancel():
    student, teacher = {"a": [1.0] * 4, "b": [0.0] * 6}, {"a": [0.5] * 4, "b": [0.5] * 6}
    assert mean_gap(student, teacher).value == pytest.approx(0.5)
    assert mean_difference(student, teacher).value == pytest.approx(0.0)


def test_the_interval_of_a_small_gap_holds_its_value(generator):
    a = (generator.random(60) < 0.5).astype(float)
    gap = mean_gap({"a": a}, {"a": np.roll(a, 7)})
    assert gap.value == pytest.approx(0.0)
    assert gap.low <= gap.value <= gap.high


def test_large_benchmarks_are_resampled_in_parts(generator):
    n_row = 14_042  # MMLU
    assert n_row * RESAMPLES > CHUNK
    interval = bootstrap_interval((generator.random(n_row) < 0.5).astype(float))
    assert width(interval) == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(n_row), rel=0.1)


def test_different_rows_or_tasks_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        paired_difference([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="same tasks"):
        mean_gap({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(ValueError, match="no rows"):
        bootstrap_interval([])
