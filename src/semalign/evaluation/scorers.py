"""How responses of a model become outcomes: generations by a scorer, answers by their bits."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from semalign.data import Row
from semalign.evaluation.answers import exact_match
from semalign.evaluation.harness import Read
from semalign.evaluation.outcome import Outcome
from semalign.evaluation.programs import program
from semalign.evaluation.sandbox import Sandbox

CODE = "passes_tests"
GENERATED = ("exact_match", CODE)
# Wall seconds for a program and its tests. Right ones need 0.02, but MBPP's own solution of task 123 needs up to 4 on a
# busy core, and lm-eval's limit of 3 would make the score depend on what else runs.
TIMEOUT = 10.0

Scorer = Callable[[Row, str], Outcome]
"""The outcome of a generated text on a row."""


def scorer_for(score: str | None, box: Sandbox | None) -> Scorer | None:
    """The scorer of a generating task; None where nothing is generated."""
    if score == "exact_match":
        return lambda row, text: exact_match(text, row.extra["final"])
    if score == CODE:
        assert box is not None
        return lambda row, text: passes_tests(row, text, box)
    return None


def passes_tests(row: Row, generation: str, box: Sandbox) -> Outcome:
    """1 where the program in a generated text passes the row's tests in the sandbox."""
    code = program(row.prompt, generation, row.extra.get("entry_point"), row.extra.get("code_prefix"))
    verdict = box.run(code, row.extra["tests"], timeout=TIMEOUT)
    return Outcome(float(verdict.passed), code, "" if verdict.passed else verdict.reason)


def generation_reader(metric: str, rows: Sequence[Row], scorer: Scorer, outcomes: dict[int, list[Outcome]]) -> Read:
    """An lm-eval `process_results`; lm-eval averages values, so the whole outcomes are kept in `outcomes` by index.

    The value of several answers to a row is the mean of theirs: of programs, the unbiased pass@1.
    """

    def read(document: Mapping[str, Any], responses: Sequence[Any]) -> dict[str, Any]:
        index, answered = document["index"], responses[0]
        texts = [answered] if isinstance(answered, str) else answered
        outcomes[index] = [scorer(rows[index], text) for text in texts]
        return {metric: sum(outcome.value for outcome in outcomes[index]) / len(texts)}

    return read


def read_bits(document: Mapping[str, Any], responses: Sequence[Any]) -> dict[str, Any]:
    """The pair that lm-eval's own bits_per_byte aggregation takes: nats of the gold answer and its UTF-8 bytes."""
    nats, _ = responses[0]
    return {"bits_per_byte": (nats, len(document["answer"].encode()))}
