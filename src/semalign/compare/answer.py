"""Did alignment help? The recommended method against each rival: score, distance to the teacher, and their ratio."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from ..evaluation.statistics import Interval
from ..report.units import decimal, points
from .collect import TRAINED, Group
from .resampled import MEAN, Resampled
from .statistics import intervals, ratio
from .words import the_teacher

# What the recommended method is to come closer than, whatever a comparison calls them: of several rows of one of these
# methods the first. Where a comparison has none of them, all other methods are rivals.
RIVALS = ("seeking", "laten", "sft", "logit_kd")


def answer(drawn: Resampled, recommended: str) -> dict[str, Any]:
    """`against`: differences of score and of closeness (below 0: closer than the other) to every other student;
    `gap_ratio`: the distance to the teacher over that of the closest rival, chosen by its measured distance."""
    groups = drawn.collection.groups
    trained = [name for name, group in groups.items() if group.role in TRAINED and name != recommended]
    against = {
        name: _difference(drawn, recommended, name)
        for name in (*(name for name, group in groups.items() if group.role == "before"), *trained)
        if drawn.places([recommended, name])
    }
    known = [name for name in trained if name in against]
    rivals = [found for method in RIVALS if (found := _row_of(method, known, groups))] or known
    best = min(rivals, key=lambda name: drawn.closeness(MEAN, name).value, default=None)
    found = ratio(*drawn.both(drawn.distances[MEAN], [recommended], best), seed=drawn.seed) if best else None
    result = {
        "recommended": recommended,
        "rivals": rivals,
        "against": against,
        "best_rival": best,
        "gap_ratio": {end: x if isfinite(x) else None for end, x in found._asdict().items()} if found else None,
    }
    return {**result, "words": _words(result, drawn.collection.reference)}


def _row_of(method: str, names: Sequence[str], groups: Mapping[str, Group]) -> str | None:
    """The row that is called like a method, else the first one that is it."""
    called = (name for name in names if name.replace("-", "_") == method)
    is_it = (name for name in names if (groups[name].first.method or {}).get("name") == method)
    return next(called, None) or next(is_it, None)


def _difference(drawn: Resampled, name: str, than: str) -> dict[str, Any]:
    score = drawn.difference(MEAN, name, than)
    assert score is not None
    ours, theirs = drawn.both(drawn.distances[MEAN], [name], than)
    (closeness,) = intervals(ours.minus(theirs), seed=drawn.seed)
    return {
        "score": score._asdict(),
        "closeness": closeness._asdict(),
        "seeds": len(drawn.places([name, than])),
    }


def _words(result: Mapping[str, Any], reference: str) -> str:
    """One sentence."""
    if not result["rivals"]:
        return "Did alignment help? There is no finished run of another method to compare it with."
    scores = {name: Interval(**result["against"][name]["score"]) for name in result["rivals"]}
    above = [name for name, each in scores.items() if each.low > 0]
    below = [name for name, each in scores.items() if each.high < 0]
    same = [name for name in scores if name not in above and name not in below]
    parts = [
        f"{side} {_listed(names, scores)}"
        for side, names in (("above", above), ("below", below), ("not apart from", same))
        if names
    ]
    verdict = "Yes" if not below and not same else "No" if below and not above else "Partly" if above else "Not clearly"
    others = {name: each["score"] for name, each in result["against"].items() if name not in scores}
    better = {name: Interval(**score) for name, score in others.items() if score["high"] < 0}
    parts += [f"and below {_listed(list(better), better)} too"] if better else []
    gap = f"its distance to {the_teacher({'reference': reference})} is {_ratio(result)}"
    return f"Did alignment help? {verdict}: {result['recommended']} scores {', '.join(parts)}; {gap}."


def _listed(names: Sequence[str], scores: Mapping[str, Interval]) -> str:
    return " and ".join(
        f"{name} ({points(each.value)}, {points(each.low)} to {points(each.high)} points)"
        for name in names
        for each in [scores[name]]
    )


def _ratio(result: Mapping[str, Any]) -> str:
    found, best = result["gap_ratio"], result["best_rival"]
    if found["value"] is None:
        return f"measured against that of the closest rival, {best}, which is 0"
    end = f"to {decimal(found['high'], 2)}" if found["high"] is not None else "upwards"
    times = f"{decimal(found['value'], 2)} ({decimal(found['low'], 2)} {end})"
    return f"{times} times that of the closest rival, {best}"
