"""What a comparison found, in sentences that follow from its intervals and from nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..evaluation.scores import LIKELIHOOD
from ..report.units import percent, points

Result = Mapping[str, Any]
BEST = 3  # pairs that a page begins with; its last table has all


def difference(result: Result, a: str, b: str | None, task: str = "mean") -> Mapping[str, Any] | None:
    """The difference a - b, where it was measured; none between the base and a variant that repeats it."""
    if b == result["base"] and result["methods"][a]["is_base"]:
        return None
    found = (each for each in result["differences"] if (each["a"], each["b"], each["task"]) == (a, b, task))
    return next(found, None)


def lead(result: Result) -> list[str]:
    """What was compared, what the numbers are, and what should be known before reading them."""
    seeds, metrics = result["seeds"], result["metrics"]
    trained = [name for name, method in result["methods"].items() if method["role"] in ("control", "method")]
    kinds = "; ".join(f"{task}: {metric.replace('_', ' ')}" for task, metric in metrics.items())
    lines = [
        f"{len(trained)} ways to train the student, {_count(len(seeds), 'seed')} ({', '.join(map(str, seeds))}), "
        f"{_count(len(metrics), 'task')} ({kinds}). Scores in percent, differences, gaps and closeness in points.",
        f"Gap: the score minus that of {the_teacher(result)}; above 0 the student passes it. Closeness: the mean over "
        "tasks and seeds of the distance to that score, above or below; 0 is closest. Intervals: 95 %, bootstrap over "
        "seeds and rows, paired by both.",
    ]
    if result["answer"] is not None:
        lines.insert(0, result["answer"]["words"])
    likelihood = [task for task, metric in metrics.items() if metric == LIKELIHOOD]
    if 0 < len(likelihood) < len(metrics):
        lines.append(
            "The mean adds unlike metrics, shares of right answers and probabilities a byte: read tasks apart."
        )
    if likelihood:
        tasks = ", ".join(likelihood)
        lines.append(
            f"Of {tasks} the score is the gold answers' probability a byte: format counts as much as knowledge."
        )
    if len(seeds) == 1:
        lines.append("One seed: the intervals cover rows only, and another seed may differ by more.")
    elif len(seeds) < 5:
        lines.append(f"{len(seeds)} seeds: where trainings differ more than rows do, intervals are too narrow.")
    return [*lines, *overshoots(result), *map(_sentence, result["notes"])]


def first(result: Result) -> list[str]:
    """What a reader should take away: the answer of a comparison, the conclusions of a sweep, else who beats whom."""
    if result["answer"] is not None:
        return [result["answer"]["words"]]
    if result["axes"]:
        return [f"{axis}: {conclusion(result, axis)}" for axis in result["axes"]]
    beats = [
        f"{each['better']} is {_points(each['value'])} points above {each['worse']} on the mean of tasks "
        f"(95 % interval {points(each['low'])} to {points(each['high'])})."
        for each in result["significance"][:BEST]
    ]
    return beats or ["No student is above another beyond the interval."]


def _points(value: float) -> str:
    return points(value).lstrip("+")


def the_teacher(result: Result) -> str:
    """The teacher that gaps are measured to."""
    return "the teacher" if result["reference"] == "teacher" else "the adapted teacher"


def overshoots(result: Result) -> list[str]:
    """Which students pass the teacher, and where: closeness counts it as distance, but it is no error."""
    found = [
        f"{name} on {', '.join(method['overshoots'])}"
        for name, method in result["methods"].items()
        if method["overshoots"] and method["role"] in ("control", "method") and not method["is_base"]
    ]
    if not found:
        return []
    return [f"Above {the_teacher(result)} (closeness counts that as distance, but it is no error): {'; '.join(found)}."]


def conclusion(result: Result, axis: str) -> str:
    """What an axis decides: who is apart from the base, whether that survives comparing all at once, and LoRA-SFT."""
    part, base, control = result["axes"][axis], result["base"], result["control"]
    names = [name for name in part["variants"] if not result["methods"][name]["is_base"]]
    if not names:
        return "Nothing but the base was measured."
    sentences = [_against(result, names, base, "the base", part["apart_at_once"])]
    if control is not None and control != base:
        sentences.append(_against(result, names, control, "LoRA-SFT"))
    return " ".join(sentences)


def _against(result: Result, names: Sequence[str], than: str, called: str, at_once: Sequence[str] | None = None) -> str:
    found = {name: difference(result, name, than) for name in names}
    known = {name: each for name, each in found.items() if each is not None}
    if not known:
        return f"No seed has both a variant and {called}."
    above, below = ([name for name, each in known.items() if _side(each) == side] for side in (1, -1))
    if not above and not below:
        only = f"the one variant does not differ from {called}"
        many = f"none of the {len(known)} variants differs from {called}"
        return f"No difference beyond the interval: {only if len(known) == 1 else many}."
    said = [
        f"{side} {called}: {', '.join(_shown(result, name, known[name]) for name in some)}"
        for side, some in (("above", above), ("below", below))
        if some
    ]
    rest = len(known) - len(above) - len(below)
    text = f"{'; '.join(said)}{f'; {rest} without a difference beyond the interval' if rest else ''}."
    if at_once is not None and len(known) > 1:
        kept = [label(result, name) for name in [*above, *below] if name in at_once]
        text += f" Comparing all {len(known)} at once leaves apart: {', '.join(kept) or 'none'}."
    return text[0].upper() + text[1:]


def _side(each: Mapping[str, Any]) -> int:
    return 1 if each["low"] > 0 else -1 if each["high"] < 0 else 0


def label(result: Result, name: str) -> str:
    """A variant's own label; other models by their name."""
    method = result["methods"][name]
    return f"{method['label']} (the base)" if method["is_base"] else method["label"]


def _shown(result: Result, name: str, each: Mapping[str, Any]) -> str:
    return f"{label(result, name)} ({points(each['value'])}, {points(each['low'])} to {points(each['high'])})"


def share(interval: Mapping[str, Any], value: str = "value") -> str:
    """`43.8 (39.5 to 48.0)`, in percent."""
    return f"{percent(interval[value])} ({percent(interval['low'])} to {percent(interval['high'])})"


def change(each: Mapping[str, Any] | None) -> str:
    """A difference with its interval in points; a dash where there is none."""
    if each is None:
        return "–"
    return f"{points(each['value'])} ({points(each['low'])} to {points(each['high'])})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
