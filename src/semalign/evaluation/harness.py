"""An lm-eval task made of a YAML file of this package and rows in memory; nothing is downloaded, cached or printed."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import datasets
import yaml
from lm_eval import evaluator
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from transformers.utils import logging as transformers_logging

Sample = dict[str, Any]
"""A document of a task, or what lm-eval says of it afterwards."""
Read = Callable[[Mapping[str, Any], Sequence[Any]], dict[str, Any]]
"""An lm-eval `process_results`: a document and the model's responses to the metrics of that row."""


class QuietTask(ConfigurableTask):
    """A task of lm-eval that draws nothing."""

    def build_all_requests(self, **options: Any) -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # lm-eval draws a progress bar here that no option turns off
            super().build_all_requests(**options)


class RowTask(QuietTask):
    """One YAML file over documents in memory."""

    def __init__(self, config: Mapping[str, Any], documents: Sequence[Mapping[str, Any]]) -> None:
        rows = datasets.Dataset.from_list([dict(document) for document in documents])
        super().__init__(config={**config, "custom_dataset": lambda **_: {config["test_split"]: rows}})


def description(kind: str) -> dict[str, Any]:
    """The content of tasks/<kind>.yaml."""
    return yaml.safe_load((files("semalign.evaluation") / "tasks" / f"{kind}.yaml").read_text(encoding="utf-8"))


def row_task(
    kind: str,
    documents: Sequence[Mapping[str, Any]],
    *,
    read: Read | None = None,
    generation: Mapping[str, Any] | None = None,
    repeats: int = 1,
) -> RowTask:
    """The task of tasks/<kind>.yaml; `read` scores where lm-eval has no metric, `generation` adds to its settings.

    With `repeats` each document is answered that often, and `read` gets the list of answers.
    """
    config = description(kind)
    if read is not None:
        config["process_results"] = read
    if generation is not None:
        config["generation_kwargs"] = {**config["generation_kwargs"], **generation}
    if repeats > 1:
        config["repeats"] = repeats
        config["filter_list"] = [{"name": "all", "filter": [{"function": "take_first_k", "k": repeats}]}]
    return RowTask(config, documents)


def answer_all(lm: LM, tasks: Mapping[str, RowTask]) -> dict[str, list[Sample]]:
    """Let the model answer all tasks in one pass: lm-eval's samples of each task, in the order of its documents."""
    results = evaluator.evaluate(lm, {"tasks": dict(tasks), "groups": {}}, bootstrap_iters=0, log_samples=True)
    assert results is not None, "evaluated by a process that is not the first"
    samples: Any = results["samples"]  # pyright: ignore[reportTypedDictNotRequiredAccess]  (asked for above)
    return {name: sorted(samples[name], key=lambda sample: sample["doc_id"]) for name in tasks}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's and transformers' notes off the terminal; errors still pass."""
    logger, verbosity = logging.getLogger("lm_eval"), transformers_logging.get_verbosity()
    level = logger.level
    logger.setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(transformers|lm_eval|datasets)(\.|$)")
            yield
    finally:
        logger.setLevel(level)
        transformers_logging.set_verbosity(verbosity)
