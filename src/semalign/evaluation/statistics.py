"""Bootstrap intervals over rows: of a score, of bits per byte, of differences and gaps between models on the same rows.

Every interval resamples rows with replacement within each task and is the 95 % percentile interval of 2,000 resamples
(enough for two stable digits at both ends). The draws depend on the seed, the task's name and its number of rows alone,
so all models are resampled on the same rows: comparisons are paired. Where a task's rows are right or wrong and all
agree, resampling has nothing to vary, and the interval of a score or of a difference on that task has a formula.
Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapters 13 and 16; Koehn 2004, W04-3250.
"""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RESAMPLES = 2_000
LEVEL = 0.95
Z = 1.959964  # the normal quantile of LEVEL, two-sided
# Row indices drawn at once: 2^22 int64 are 32 MB, whatever the size of the benchmark.
CHUNK = 2**22


Values = Sequence[float] | Sequence[int] | np.ndarray
"""One number a row."""


class Interval(NamedTuple):
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(outcomes: Values, *, seed: int = 0, task: str = "") -> Interval:
    """The mean outcome. Where all rows are right, or all wrong, the interval is Wilson's: 0 of 32 is 0 to 0.107.

    Source: Wilson 1927, JASA 22.
    """
    rows = _stack(outcomes)
    if _right_or_wrong(rows) and _agree(rows[0]):
        far = Z**2 / (rows.shape[1] + Z**2)
        return Interval(1.0, 1 - far, 1.0) if rows[0, 0] else Interval(0.0, 0.0, far)
    return _interval(rows.mean(1)[0], _means(rows, seed, task)[0])


def paired_difference(a: Values, b: Values, *, seed: int = 0, task: str = "") -> Interval:
    """Mean of a minus mean of b, resampled by row: what both find hard cancels.

    Where rows are right or wrong and the difference is the same in all of them, the interval is Wald's after half a row
    was added to each of the four cases: no difference in 32 rows is -0.058 to 0.058.
    Source: Agresti and Min 2005, Statistics in Medicine 24.
    """
    rows = _stack(a, b)
    difference = rows[0] - rows[1]
    if _right_or_wrong(rows) and _agree(difference):
        return _agreeing_difference(float(difference[0]), len(difference))
    return _interval(difference.mean(), _means(difference[None], seed, task)[0])


def bits_interval(bits: Values, n_bytes: Values, *, seed: int = 0, task: str = "") -> Interval:
    """Bits per byte: the sum of bits over the sum of bytes, so long answers count by their length."""
    rows = _stack(bits, n_bytes)
    resampled = _means(rows, seed, task)
    return _interval(rows[0].sum() / rows[1].sum(), resampled[0] / resampled[1])


def bits_difference(a: Values, b: Values, n_bytes: Values, *, seed: int = 0, task: str = "") -> Interval:
    """Bits per byte of a minus those of b on the same answers; below 0 where a is better."""
    rows = _stack(a, b)
    return bits_interval(rows[0] - rows[1], n_bytes, seed=seed, task=task)


def mean_score(scores: Mapping[str, Values], *, seed: int = 0) -> Interval:
    """The plain mean over tasks of each task's mean outcome; `scores` maps a task to its outcomes by row."""
    tasks = [_stack(outcomes) for outcomes in scores.values()]
    resampled = [_means(rows, seed, task)[0] for task, rows in zip(scores, tasks, strict=True)]
    return _interval(np.mean([rows.mean() for rows in tasks]), np.mean(resampled, axis=0))


def mean_difference(a: Mapping[str, Values], b: Mapping[str, Values], *, seed: int = 0) -> Interval:
    """Mean over tasks of a's score minus b's, rows resampled jointly."""
    return mean_score({task: x - y for task, (x, y) in _pairs(a, b).items()}, seed=seed)


def mean_gap(scores: Mapping[str, Values], teacher: Mapping[str, Values], *, seed: int = 0) -> Interval:
    """Closeness to the teacher: mean over tasks of |score - teacher's score|, 0 is closest.

    It punishes a student that overtakes its teacher: print `mean_score` beside it. Resampled gaps lean upwards where
    the true gap is small, so the interval is widened to hold the value.
    Source: Gu et al. 2025, arXiv:2510.24208, section 4.
    """
    pairs = _pairs(scores, teacher)
    resampled = [_means((x - y)[None], seed, task)[0] for task, (x, y) in pairs.items()]
    value = np.mean([abs((x - y).mean()) for x, y in pairs.values()])
    interval = _interval(value, np.mean(np.abs(resampled), axis=0))
    return Interval(interval.value, min(interval.value, interval.low), max(interval.value, interval.high))


def _right_or_wrong(rows: Float[np.ndarray, "series row"]) -> bool:
    return bool(np.isin(rows, (0.0, 1.0)).all())


def _agree(values: Float[np.ndarray, "row"]) -> bool:
    return bool((values == values[0]).all())


def _agreeing_difference(value: float, n: int) -> Interval:
    n_differ, n_all = n * abs(value) + 1, n + 2
    centre = n * value / n_all
    spread = Z * math.sqrt(n_differ - n_all * centre**2) / n_all
    return Interval(value, max(-1.0, min(value, centre - spread)), min(1.0, max(value, centre + spread)))


def _pairs(a: Mapping[str, Values], b: Mapping[str, Values]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if set(a) != set(b):
        raise ValueError(f"both models need the same tasks, got {sorted(a)} and {sorted(b)}")
    return {task: (rows[0], rows[1]) for task in a for rows in [_stack(a[task], b[task])]}


def _stack(*series: Values) -> Float[np.ndarray, "series row"]:
    if len({len(values) for values in series}) > 1:
        raise ValueError(f"both need the same rows, got {[len(values) for values in series]} of them")
    if len(series[0]) == 0:
        raise ValueError("no rows to take an interval over")
    return np.asarray(series, dtype=np.float64)


def _means(rows: Float[np.ndarray, "series row"], seed: int, task: str) -> Float[np.ndarray, "series resample"]:
    """The mean of every series over the same resampled rows."""
    return np.concatenate([rows[:, drawn].mean(-1) for drawn in _draws(rows.shape[1], seed, task)], axis=1)


def _draws(n_row: int, seed: int, task: str) -> Iterator[np.ndarray]:
    # Each task has a stream of its own: with one stream, tasks of equal size would be resampled in step.
    generator = np.random.default_rng([seed, zlib.crc32(task.encode())])
    step = max(1, CHUNK // n_row)
    for start in range(0, RESAMPLES, step):
        yield generator.integers(n_row, size=(min(step, RESAMPLES - start), n_row))


def _interval(value: float | np.floating, resampled: Float[np.ndarray, "resample"]) -> Interval:
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))
