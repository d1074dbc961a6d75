"""Spearman's rank correlation, and its bootstrap over the rows that one side was measured on."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..evaluation.statistics import LEVEL, RESAMPLES, Interval


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch"]:
    """Correlation of the ranks, in [-1, 1]; ties share their mean rank; NaN where all of one side are equal.

    Source: Spearman 1904, The proof and measurement of association between two things.
    """
    a, b = (ranks - ranks.mean(-1, keepdims=True) for ranks in (_ranks(x), _ranks(y)))
    size = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.divide((a * b).sum(-1), size, out=np.full(size.shape, np.nan), where=size > 0)


def _ranks(x: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """How many are smaller, ties counting half; memory grows with n^2."""
    one, other = x[..., :, None], x[..., None, :]
    return (other < one).sum(-1) + (other == one).sum(-1) / 2


def resampled_means(
    rows: Float[np.ndarray, "row n"], groups: Sequence[str], *, seed: int
) -> Float[np.ndarray, "resample n"]:
    """Means of every column over rows drawn again within each group (task); the draws depend on the seed and sizes."""
    generator = np.random.default_rng(seed)
    counts = np.empty((RESAMPLES, len(rows)))
    for group in dict.fromkeys(groups):
        members = [i for i, name in enumerate(groups) if name == group]
        counts[:, members] = generator.multinomial(len(members), np.full(len(members), 1 / len(members)), RESAMPLES)
    return counts @ rows / len(rows)


def interval(value: float, resampled: Float[np.ndarray, " resample"]) -> Interval | None:
    """The percentile interval, widened to hold the value: noise in resampled ranks pulls them towards 0.

    None where the value is not a number.
    """
    if not np.isfinite(value):
        return None
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(min(low, value)), float(max(high, value)))
