"""Bootstrap intervals over seeds and rows, paired: every model is resampled on the same seeds and the same rows.

Each of 2,000 resamples draws the rows of a task with replacement from all rows that any seed was tested on, so a row
that several seeds share is drawn for all of them at once; and it draws the seeds with replacement, one draw for all
tasks, since the scores of a seed on all tasks come from one training. With one seed this is the bootstrap over rows
of `semalign.evaluation.statistics`, draw for draw. S resampled seeds vary by a factor (S - 1) / S too little, so their
spread is stretched by it: without that, intervals from three seeds would be a fifth too narrow. Where every seed has
rows of its own, their noise is in the spread of the seeds already and counts twice: such intervals are too wide.
Cost: one matrix product a task and seed for all models together.
Source: Owen 2007, arXiv:0712.1111 (rows and seeds crossed); Davison and Hinkley 1997, Bootstrap Methods, section 3.8.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from jaxtyping import Float, UInt16

from ..evaluation.statistics import CHUNK, LEVEL, RESAMPLES, Interval

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Sampled:
    """A quantity of several models on several seeds, as measured and in every resample of the rows."""

    value: Float[np.ndarray, "model seed"]
    resampled: Float[np.ndarray, "model seed resample"]

    def pick(self, models: Sequence[int], seeds: Sequence[int]) -> "Sampled":
        """Some of the models and seeds, by their places."""
        grid = np.ix_(models, seeds)
        return Sampled(self.value[grid], self.resampled[grid])

    def minus(self, other: "Sampled") -> "Sampled":
        """Differences: both were resampled on the same rows."""
        return Sampled(self.value - other.value, self.resampled - other.resampled)

    def distance(self) -> "Sampled":
        return Sampled(np.abs(self.value), np.abs(self.resampled))


def mean_of(tasks: Sequence[Sampled]) -> Sampled:
    """The plain mean over tasks."""
    return Sampled(np.mean([t.value for t in tasks], axis=0), np.mean([t.resampled for t in tasks], axis=0))


def sample_rows(
    values: Sequence[Mapping[int, Array]],
    weights: Mapping[int, Array],
    ids: Mapping[int, Sequence[str]],
    *,
    task: str,
    seed: int = 0,
) -> Sampled:
    """The weighted mean over rows of each model on each seed of `ids`, in order; NaN where a model lacks a seed.

    `values` holds, for each model, one number a row by seed; `weights` (1, or the bytes of the gold answer) and `ids`
    name the rows of a seed.
    """
    place = {row: index for index, row in enumerate(dict.fromkeys(row for rows in ids.values() for row in rows))}
    counts = _counts(len(place), seed, task)
    value = np.full((len(values), len(ids)), np.nan)
    resampled = np.full((len(values), len(ids), RESAMPLES), np.nan)
    for column, (run, rows) in enumerate(ids.items()):
        present = [index for index, by_seed in enumerate(values) if run in by_seed]
        if not present:
            continue
        stacked = np.stack([np.asarray(values[index][run], dtype=np.float64) for index in present])
        weight = np.asarray(weights[run], dtype=np.float64)
        own = (stacked * weight).sum(1) / weight.sum()
        drawn = counts[:, [place[row] for row in rows]].astype(np.float64)
        total = drawn @ weight
        # a resample without any row of this seed (only where there are very few) says nothing: it counts as measured
        sums = (drawn @ (stacked * weight).T).T
        means = np.where(total > 0, sums / np.maximum(total, np.finfo(float).tiny), own[:, None])
        value[present, column], resampled[present, column] = own, means
    return Sampled(value, resampled)


def intervals(sampled: Sampled, *, seed: int = 0) -> list[Interval]:
    """The mean over seeds of each model with its interval over seeds and rows."""
    resampled = over_seeds(sampled, seed)
    ends = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return [Interval(float(v), float(lo), float(hi)) for v, lo, hi in zip(sampled.value.mean(1), *ends, strict=True)]


def simultaneous(sampled: Sampled, *, seed: int = 0) -> list[Interval]:
    """Intervals that hold for all models at once at the same level: as many comparisons as there are models.

    The largest of the studentised deviations decides (max-t), so models that move together cost less than Bonferroni.
    Source: Davison and Hinkley 1997, section 4.2.
    """
    resampled = over_seeds(sampled, seed)
    value, error = sampled.value.mean(1), resampled.std(-1)
    moving = error > 0
    deviations = np.abs(resampled[moving] - value[moving, None]) / error[moving, None]
    width = np.quantile(deviations.max(0), LEVEL) * error if moving.any() else error
    return [Interval(float(v), float(v - w), float(v + w)) for v, w in zip(value, width, strict=True)]


def ratio(above: Sampled, below: Sampled, *, seed: int = 0) -> Interval:
    """One model's distance over another's, both at least 0 and drawn on the same rows and seeds.

    The mean over seeds is taken on both sides first. Draws in which the lower one vanishes count as infinitely large:
    the upper end, or the value itself, may be infinite. The interval is widened to hold the value, since resampled
    distances lean upwards. Source: Davison and Hinkley 1997, section 5.3 (percentile intervals of a ratio).
    """
    value = _over(above.value.mean(1), below.value.mean(1))[0]
    draws = _over(over_seeds(above, seed)[0], over_seeds(below, seed)[0])
    low = np.quantile(draws, (1 - LEVEL) / 2, method="lower")  # interpolation knows no infinity
    high = np.quantile(draws, (1 + LEVEL) / 2, method="higher")
    return Interval(float(value), float(min(value, low)), float(max(value, high)))


def _over(above: Array, below: Array) -> Array:
    """Moved by seeds, a resampled distance may come out below 0, where it is none."""
    quotient = np.full(above.shape, np.inf)
    np.divide(above.clip(0), below, out=quotient, where=below > 0)
    return quotient


def over_seeds(sampled: Sampled, seed: int = 0) -> Float[np.ndarray, "model resample"]:
    """The mean over seeds in every resample: of the rows drawn, moved by how far the drawn seeds are from all seeds."""
    rows, value = sampled.resampled.mean(1), sampled.value
    n_seed = value.shape[1]
    if n_seed == 1:
        return rows
    drawn = np.random.default_rng([seed, n_seed]).integers(n_seed, size=(RESAMPLES, n_seed))
    moved = value[:, drawn].mean(-1) - value.mean(1, keepdims=True)
    return rows + sqrt(n_seed / (n_seed - 1)) * moved


def _counts(n_row: int, seed: int, task: str) -> UInt16[np.ndarray, "resample row"]:
    """How often each resample holds each row; the stream of `evaluation.statistics`."""
    generator = np.random.default_rng([seed, zlib.crc32(task.encode())])
    counts = np.empty((RESAMPLES, n_row), dtype=np.uint16)
    step = max(1, CHUNK // n_row)
    for start in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - start)
        drawn = generator.integers(n_row, size=(size, n_row)) + n_row * np.arange(size)[:, None]
        counts[start : start + size] = np.bincount(drawn.ravel(), minlength=size * n_row).reshape(size, n_row)
    return counts
