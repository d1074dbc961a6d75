"""Spearman's rank correlation against scipy, and its bootstrap over rows."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from semalign.evaluation.statistics import RESAMPLES
from semalign.inspect.rank_correlation import interval, resampled_means, spearman


@pytest.mark.parametrize("values", [50, 4], ids=["no ties", "ties"])
def test_rank_correlation_is_scipys(values):
    draw = np.random.default_rng(3)
    x = draw.integers(values, size=9).astype(float) + (draw.random(9) if values == 50 else 0)
    y = draw.integers(values, size=(5, 9)).astype(float)
    expected = [spearmanr(x, row).statistic for row in y]
    np.testing.assert_allclose(spearman(x, y), expected, rtol=0, atol=1e-12)


def test_only_the_order_counts():
    x = np.array([0.3, -2.0, 7.0, 0.1])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)


def test_equal_scores_have_no_rank_correlation():
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))
    assert interval(float("nan"), np.zeros(7)) is None


def test_resampling_keeps_the_size_of_every_task():
    tasks = ["a"] * 3 + ["b"] * 5
    rows = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 5)  # columns count the rows of a task
    means = resampled_means(rows, tasks, seed=0)
    np.testing.assert_allclose(means, np.tile([3 / 8, 5 / 8], (RESAMPLES, 1)))


def test_resampled_means_spread_as_a_mean_does():
    rows = np.random.default_rng(5).normal(size=(40, 1))
    means = resampled_means(rows, ["a"] * 40, seed=1)
    assert means.mean() == pytest.approx(rows.mean(), abs=0.02)
    assert means.std() == pytest.approx(rows.std() / 40**0.5, rel=0.1)
    assert not np.array_equal(means, resampled_means(rows, ["a"] * 40, seed=2))


def test_an_interval_holds_its_value():
    assert interval(0.9, np.linspace(0, 0.5, 101)) == pytest.approx((0.9, 0.0125, 0.9))
