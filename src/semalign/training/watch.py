"""The signs of trouble in a training history, each said in one line."""

from collections.abc import Sequence
from statistics import median
from typing import Any

LOW_COSINE = 0.2  # below it the target is not followed: aligned pairs pass 0.3 within the first tenth of training
GRADIENT_RATIO = 100.0  # beyond it the smaller term does not count


def trouble(
    method: str, history: Sequence[dict[str, Any]], *, learned_map: bool = False, mishaps: Sequence[str] = ()
) -> list[str]:
    """Warnings for a finished or running training, from its metrics.

    With a `learned_map` a low cosine at the beginning is no trouble: the map knows nothing yet. `mishaps` are those of
    the training, in words.
    """
    met = [f"{method}: {mishap}" for mishap in mishaps]
    if not history:
        return met
    low_cosine = [] if learned_map else _low_cosine(method, history)
    return [*met, *low_cosine, *_unbalanced(method, history), *_exploding(method, history)]


def _low_cosine(method: str, history: Sequence[dict[str, Any]]) -> list[str]:
    tenth = history[max(len(history) // 10 - 1, 0)]
    return [
        f"{method}: the cosine of pair {pair} is {value:.2f} after the first tenth of training; "
        "its target is hardly followed (try another map, site or pairing)"
        for pair, value in tenth.get("cosine", {}).items()
        if value < LOW_COSINE
    ]


def _unbalanced(method: str, history: Sequence[dict[str, Any]]) -> list[str]:
    measured = [entry["term_gradient_norms"] for entry in history if entry.get("term_gradient_norms")]
    if not measured:
        return []
    norms = {term: median(entry[term] for entry in measured) for term in measured[0]}
    high, low = max(norms, key=lambda term: norms[term]), min(norms, key=lambda term: norms[term])
    if norms[low] <= 0 or norms[high] / norms[low] < GRADIENT_RATIO:
        return []
    return [
        f"{method}: the gradient of '{high}' is {norms[high] / norms[low]:.0f} times that of '{low}', "
        "which hardly counts; "
        "change their weights"
    ]


def _exploding(method: str, history: Sequence[dict[str, Any]]) -> list[str]:
    norms = [entry["grad_norm"] for entry in history]
    if len(norms) < 3 or max(norms) < GRADIENT_RATIO * max(median(norms), 1e-12):
        return []
    worst = max(range(len(norms)), key=norms.__getitem__)
    return [
        f"{method}: the gradient norm jumped to {norms[worst]:.3g} at step {history[worst]['step']} "
        f"(median {median(norms):.3g})"
    ]
