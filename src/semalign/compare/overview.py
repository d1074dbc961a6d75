"""Several pairs of models in one comparison: a method's scores on all tasks of all pairs, seed by seed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import UserError
from .collect import Collection, Group
from .measured import Measured


def overview(collections: Mapping[str, Collection], config: Mapping[str, Any]) -> Collection:
    """Tasks are called `pair/task`, and the mean is over all of them. A model counts with the seeds it has on every
    pair; its costs are means over pairs, its peak memory the largest."""
    first = next(iter(collections.values()))
    names = [name for name in first.groups if all(name in held.groups for held in collections.values())]
    notes = [f"{pair}: {note}" for pair, held in collections.items() for note in held.notes]
    groups: dict[str, Group] = {}
    for name in names:
        runs = {pair: held.groups[name].runs for pair, held in collections.items()}
        seeds = sorted(set.intersection(*(set(by_seed) for by_seed in runs.values())))
        if seeds:
            merged = {seed: _merged({pair: by_seed[seed] for pair, by_seed in runs.items()}) for seed in seeds}
            groups[name] = replace(first.groups[name], runs=merged)
    if first.reference not in groups:
        raise UserError(f"no seed is done on all of {', '.join(collections)}; each pair's own comparison is written")
    absent = [name for held in collections.values() for name in held.groups if name not in groups]
    notes += [f"{name} has no seed on which it is done on every pair" for name in dict.fromkeys(absent)]
    base = first.base if first.base in groups else ""
    return Collection(
        groups=groups,
        metrics={
            f"{pair}/{task}": metric for pair, held in collections.items() for task, metric in held.metrics.items()
        },
        reference=first.reference,
        base=base,
        config=config,
        failed=[failed for held in collections.values() for failed in held.failed],
        notes=notes,
        recommended=base and first.recommended,
    )


def _merged(runs: Mapping[str, Measured]) -> Measured:
    facts = [run.facts for run in runs.values()]
    means = {fact: float(np.mean([each[fact] for each in facts])) for fact in facts[0]}
    scores = {f"{pair}/{task}": score for pair, run in runs.items() for task, score in run.scores.items()}
    benchmarks = {f"{pair}/{task}": score for pair, run in runs.items() for task, score in run.benchmarks.items()}
    first = next(iter(runs.values()))
    return replace(
        first,
        scores=scores,
        benchmarks=benchmarks,
        facts={**means, "peak_bytes": max(each["peak_bytes"] for each in facts)},
    )
