"""Intervals over seeds and rows: coverage on simulated runs, pairing, and the limits that are known by hand."""

import numpy as np
import pytest

from semalign.compare.statistics import intervals, mean_of, sample_rows, simultaneous
from semalign.evaluation.statistics import bits_interval, bootstrap_interval, mean_difference

N_ROW = 37


def ones(runs):
    return {seed: np.ones(len(values)) for seed, values in runs.items()}


def same_rows(runs):
    return {seed: [f"r{i}" for i in range(len(values))] for seed, values in runs.items()}


def own_rows(runs):
    return {seed: [f"{seed}-{i}" for i in range(len(values))] for seed, values in runs.items()}


def sampled(models, ids=None, *, task="t", seed=0):
    every = {run: values for model in models for run, values in model.items()}
    return sample_rows(models, ones(every), ids or same_rows(every), task=task, seed=seed)


def width(interval):
    return interval.high - interval.low


def noisy(rng, n_seed, *, seeds=0.0, rows=0.0, noise=0.0):
    """Runs of a model whose true mean is 0, with the same rows in all seeds."""
    hard = rng.normal(0, rows, N_ROW)
    return {seed: rng.normal(0, seeds) + hard + rng.normal(0, noise, N_ROW) for seed in range(n_seed)}


# limits


def test_one_seed_is_the_bootstrap_over_rows():
    rng = np.random.default_rng(1)
    a, b = rng.random(N_ROW), rng.random(N_ROW)
    (score,) = intervals(sampled([{4: a}], task="sums", seed=3), seed=3)
    assert score == pytest.approx(bootstrap_interval(a, task="sums", seed=3), abs=1e-12)
    means = mean_of([sampled([{4: a}, {4: b}], task=task, seed=3) for task in ("x", "y")])
    (difference,) = intervals(means.pick([0], [0]).minus(means.pick([1], [0])), seed=3)
    expected = mean_difference({"x": a, "y": a}, {"x": b, "y": b}, seed=3)
    assert difference == pytest.approx(expected, abs=1e-12)


def test_bytes_weigh_rows_as_bits_per_byte_do():
    rng = np.random.default_rng(2)
    bits, size = rng.random(N_ROW) * 40, rng.integers(1, 30, N_ROW).astype(float)
    found = sample_rows([{0: bits / size}], {0: size}, same_rows({0: bits}), task="t", seed=5)
    assert intervals(found, seed=5)[0] == pytest.approx(bits_interval(bits, size, task="t", seed=5), abs=1e-12)


@pytest.mark.parametrize("n_seed", [1, 2, 4])
def test_identical_runs_differ_by_exactly_nothing(n_seed):
    runs = noisy(np.random.default_rng(3), n_seed, seeds=1, rows=1, noise=1)
    both = sampled([runs, dict(runs)])
    every = range(n_seed)
    (found,) = intervals(both.pick([0], every).minus(both.pick([1], every)))
    assert found == (0, 0, 0)


def test_two_seeds_by_hand():
    """Rows without spread leave the seeds alone: the draws are both, one, or the other, stretched by sqrt(2)."""
    (found,) = intervals(sampled([{0: np.zeros(5), 1: np.ones(5)}]))
    assert found == pytest.approx((0.5, 0.5 - 0.5 * 2**0.5, 0.5 + 0.5 * 2**0.5))


def test_seeds_that_a_model_lacks_are_unknown_and_leave_the_others_alone():
    a, b = np.linspace(0, 1, 6), np.linspace(1, 3, 6)
    found = sampled([{0: a, 1: b}, {1: a}])
    assert np.isnan(found.value).tolist() == [[False, False], [True, False]]
    assert np.isnan(found.resampled[1, 0]).all()
    assert found.value[0] == pytest.approx([0.5, 2])
    assert intervals(found.pick([1], [1]))[0] == intervals(sampled([{1: a}]))[0]


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    runs = noisy(np.random.default_rng(4), 3, rows=1, seeds=0.3)
    first, again, other = (intervals(sampled([runs], seed=seed), seed=seed)[0] for seed in (0, 0, 1))
    assert first == again
    assert first.low != other.low


# pairing


def test_rows_that_seeds_share_are_drawn_for_all_of_them():
    """Hardness of shared rows does not average out over seeds; that of each seed's own rows does."""
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 1, N_ROW)
    runs = dict.fromkeys(range(8), hard)
    (shared,) = intervals(sampled([runs]))
    (own,) = intervals(sampled([runs], own_rows(runs)))
    assert width(shared) == pytest.approx(width(bootstrap_interval(hard)), rel=0.05)
    assert width(own) == pytest.approx(width(shared) / 8**0.5, rel=0.1)


def test_paired_is_narrower_than_unpaired():
    rng = np.random.default_rng(6)
    a = noisy(rng, 4, seeds=0.5, rows=1, noise=0.1)
    b = {seed: values - 0.2 + rng.normal(0, 0.1, N_ROW) for seed, values in a.items()}
    both = sampled([a, b])
    (paired,) = intervals(both.pick([0], range(4)).minus(both.pick([1], range(4))))
    apart = sampled([b], own_rows(b), seed=9)
    (unpaired,) = intervals(both.pick([0], range(4)).minus(apart))
    assert paired.value == pytest.approx(unpaired.value)
    assert width(paired) < width(unpaired) / 3
    assert paired.low > 0 > unpaired.low


# coverage


CASES = {
    "one seed": (1, {"rows": 1.0}),
    "rows, shared by seeds": (4, {"rows": 1.0, "noise": 0.3}),
    "rows and seeds": (6, {"rows": 1.0, "seeds": 0.1, "noise": 0.3}),
    "seeds, many": (12, {"seeds": 1.0, "noise": 0.1}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(case):
    n_seed, spread = CASES[case]
    rng, held = np.random.default_rng(8), 0
    for trial in range(200):
        (found,) = intervals(sampled([noisy(rng, n_seed, **spread)], seed=trial), seed=trial)
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / 200 <= 0.99  # 0.95, with three standard errors of 200 trials


def test_all_at_once_misses_seldom_where_one_at_a_time_misses_often():
    rng, single, joint = np.random.default_rng(9), 0, 0
    for trial in range(120):
        found = sampled([noisy(rng, 1, noise=1) for _ in range(12)], seed=trial)
        single += any(not each.low <= 0 <= each.high for each in intervals(found))
        joint += any(not each.low <= 0 <= each.high for each in simultaneous(found))
    assert single / 120 > 0.3  # 1 - 0.95^12 is 0.46
    assert joint / 120 < 0.15  # 0.05, and a percentile interval of 37 rows is a little too narrow


def test_all_at_once_widens_each_interval_and_leaves_a_constant_alone():
    rng = np.random.default_rng(10)
    models = [*(noisy(rng, 3, rows=1, seeds=0.2) for _ in range(5)), dict.fromkeys(range(3), np.full(N_ROW, 0.25))]
    found = sampled(models)
    alone, together = intervals(found), simultaneous(found)
    assert all(width(wide) > width(narrow) for narrow, wide in zip(alone[:-1], together[:-1], strict=True))
    assert together[-1] == pytest.approx((0.25, 0.25, 0.25), abs=1e-12)
