"""Every model of a collection, resampled on the same rows and seeds: scores, bits, distances and differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..evaluation.statistics import Interval
from .collect import Collection, Group
from .statistics import Sampled, intervals, mean_of, sample_rows

MEAN = "mean"


@dataclass(frozen=True, eq=False)
class Resampled:
    """Every model of a collection, resampled on the same rows and seeds."""

    collection: Collection
    seed: int = 0

    @cached_property
    def names(self) -> list[str]:
        return list(self.collection.groups)

    @cached_property
    def scores(self) -> dict[str, Sampled]:
        """By task, and the mean of all under `mean`."""
        return self._with_mean({task: self._sample(task, bits=False) for task in self.collection.metrics})

    @cached_property
    def bits(self) -> dict[str, Sampled]:
        """Bits per byte of gold answers; likewise."""
        return self._with_mean({task: self._sample(task, bits=True) for task in self.collection.metrics})

    @cached_property
    def distances(self) -> dict[str, Sampled]:
        """To the reference's score, on either side of it; likewise."""
        reference = self.names.index(self.collection.reference)
        every = range(len(self.collection.seeds))
        tasks = {task: self.scores[task] for task in self.collection.metrics}
        return self._with_mean({t: x.minus(x.pick([reference], every)).distance() for t, x in tasks.items()})

    def closeness(self, task: str, name: str) -> Interval:
        """The mean distance to the reference; 0 is closest. Resampled distances lean upwards where the true one is
        small: the interval is widened to hold the value."""
        value, low, high = self.interval(self.distances[task], name)
        return Interval(value, max(0.0, min(value, low)), max(value, high))

    def interval(self, sampled: Sampled, name: str) -> Interval:
        places = self.places([name])
        return intervals(sampled.pick([self.names.index(name)], places), seed=self.seed)[0]

    def both(self, sampled: Sampled, names: Sequence[str], than: str) -> tuple[Sampled, Sampled]:
        """Some models, and one other, on the seeds that all of them have."""
        places = self.places([*names, than])
        ours = sampled.pick([self.names.index(name) for name in names], places)
        return ours, sampled.pick([self.names.index(than)], places)

    def differences(self, task: str, names: Sequence[str], than: str) -> Sampled:
        """Of the scores of some models and one other."""
        ours, theirs = self.both(self.scores[task], names, than)
        return ours.minus(theirs)

    def difference(self, task: str, name: str, than: str) -> Interval | None:
        """None where no seed has both."""
        if not self.places([name, than]):
            return None
        return intervals(self.differences(task, [name], than), seed=self.seed)[0]

    def places(self, names: Sequence[str]) -> list[int]:
        """Places of the seeds that all these models have."""
        runs = [self.collection.groups[name].runs for name in names]
        return [place for place, seed in enumerate(self.collection.seeds) if all(seed in held for held in runs)]

    def _sample(self, task: str, *, bits: bool) -> Sampled:
        groups = self.collection.groups.values()
        rows = {
            seed: next(g.runs[seed] for g in groups if seed in g.runs).scores[task] for seed in self.collection.seeds
        }
        sizes = {seed: np.asarray(score.row_bytes, dtype=np.float64) for seed, score in rows.items()}
        weights = sizes if bits else {seed: np.ones(len(score.ids)) for seed, score in rows.items()}

        def of(group: Group) -> dict[int, np.ndarray]:
            if not bits:
                return {seed: run.values[task] for seed, run in group.runs.items()}
            return {seed: np.asarray(run.scores[task].row_bits) / sizes[seed] for seed, run in group.runs.items()}

        ids = {seed: score.ids for seed, score in rows.items()}
        drawn_as = next(iter(rows.values())).task  # rows that pairs of models share are drawn for all of them
        return sample_rows([of(group) for group in groups], weights, ids, task=drawn_as, seed=self.seed)

    @staticmethod
    def _with_mean(tasks: dict[str, Sampled]) -> dict[str, Sampled]:
        return {**tasks, MEAN: mean_of(list(tasks.values()))}
