"""Scores and bits per byte of a model on tasks, through lm-eval, with every prompt and generation kept."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lm_eval.api.model import LM

from semalign.data import Row, Task, Template, prompt_text
from semalign.errors import UserError
from semalign.evaluation.harness import Sample, answer_all, quiet, row_task
from semalign.evaluation.memory import Memory
from semalign.evaluation.model import HarnessModel
from semalign.evaluation.outcome import Outcome
from semalign.evaluation.sampling import Draws
from semalign.evaluation.sandbox import Sandbox, SandboxUnavailable
from semalign.evaluation.scorers import CODE, GENERATED, Scorer, generation_reader, read_bits, scorer_for
from semalign.evaluation.scores import TaskScore
from semalign.evaluation.seq2seq_model import Seq2SeqHarnessModel
from semalign.evaluation.summary import Protocol, summarise
from semalign.models import LanguageModel, evaluating

Progress = Callable[[str, int, int], None]
"""Called with a task's name, how many of its requests are answered, and how many there are."""


def evaluate(
    model: LanguageModel | LM,
    tasks: Sequence[Task],
    *,
    split: str = "test",
    template: Template,
    batch_size: int = 32,
    folder: Path | None = None,
    progress: Progress | None = None,
    skip_unavailable: bool = False,
    draws: Draws | None = None,
    memory: Memory | None = None,
) -> dict[str, TaskScore]:
    """The score on each task and the bits per byte of its gold answers; with `folder`, saved there task by task.

    Generation is greedy unless said otherwise, from the same tokens as in training. Where there is no sandbox, a task
    of generated code is an error before anything is generated; with `skip_unavailable` it has bits per byte, no score,
    and the reason.
    Any lm-eval model that has a `tokenizer` does as `model` too. With `draws`, tasks of generated code are answered
    several times at a temperature; with `memory`, answers that it holds are not made again.
    """
    scores = {}
    with contextlib.ExitStack() as stack:
        for task in tasks:
            _check(task, split)
        box, missing = _open_sandbox(stack, tasks, skip_unavailable)
        stack.enter_context(quiet())
        lm = model if isinstance(model, LM) else open_model(stack, model, template, batch_size)
        if memory is not None and isinstance(lm, HarnessModel):
            lm.memory = memory
        for task in tasks:
            _check_room(task, lm)
        for task in tasks:
            reason = missing if task.score == CODE else None
            own = draws if draws is not None and task.score == CODE else Draws()
            protocol = Protocol(
                task=task, split=split, template=template, batch_size=batch_size, reason=reason, draws=own
            )
            scorer = None if reason else scorer_for(task.score, box)
            scores[task.name] = _evaluate_task(lm, protocol, scorer, progress)
            if folder is not None:
                scores[task.name].save(folder)
    return scores


def _evaluate_task(lm: LM, protocol: Protocol, scorer: Scorer | None, progress: Progress | None) -> TaskScore:
    task, rows = protocol.task, protocol.rows
    documents = [_document(i, row, lm, protocol.template) for i, row in enumerate(rows)]
    outcomes: dict[int, list[Outcome]] = {}
    asked = {"bits": row_task("bits_per_byte", documents, read=read_bits)}
    if task.score == "multiple_choice":
        asked["score"] = row_task(task.score, documents)
    elif scorer is not None and task.score is not None:
        draws = protocol.draws
        settings = {"until": list(task.stop), "max_gen_toks": task.max_new_tokens, **draws.settings}
        read = generation_reader(task.score, rows, scorer, outcomes)
        asked["score"] = row_task(task.score, documents, read=read, generation=settings, repeats=draws.count)
    if isinstance(lm, HarnessModel):
        each = protocol.draws.count
        n_request = sum(1 + (len(document["choices"]) or each) * ("score" in asked) for document in documents)
        lm.begin(rows, partial(progress, task.name) if progress else None, n_request)
    samples = answer_all(lm, asked)
    for index, outcome in outcomes.items():
        samples["score"][index]["outcomes"] = outcome
    truncated = lm.truncated if isinstance(lm, HarnessModel) else 0
    return summarise(protocol, documents, samples, truncated)


def _document(index: int, row: Row, lm: LM, template: Template) -> Sample:
    """What lm-eval gets of a row; `index` leads back to it."""
    prompt = prompt_text(row, lm.tokenizer, template)  # pyright: ignore[reportAttributeAccessIssue]
    choices, gold = list(row.extra.get("choices", ())), row.extra.get("gold", 0)
    return {"index": index, "prompt": prompt, "answer": row.answer, "choices": choices, "gold": gold}


def open_model(stack: contextlib.ExitStack, model: LanguageModel, template: Template, batch_size: int) -> HarnessModel:
    stack.enter_context(evaluating(model.module))
    kind = Seq2SeqHarnessModel if model.is_encoder_decoder else HarnessModel
    return kind(model, template=template, batch_size=batch_size)


def _open_sandbox(
    stack: contextlib.ExitStack, tasks: Sequence[Task], skip_unavailable: bool
) -> tuple[Sandbox | None, str | None]:
    """An open sandbox if a task needs one, or why there is none."""
    if not any(task.score == CODE for task in tasks):
        return None, None
    try:
        return stack.enter_context(Sandbox()), None
    except SandboxUnavailable as error:
        if not skip_unavailable:
            raise UserError(str(error)) from None
        return None, str(error)


def _check(task: Task, split: str) -> None:
    if not task.splits.get(split):
        filled = ", ".join(name for name, rows in task.splits.items() if rows) or "none"
        raise UserError(f"task '{task.name}': no rows in split '{split}' to evaluate; splits with rows: {filled}")


def _check_room(task: Task, lm: LM) -> None:
    if isinstance(lm, HarnessModel) and task.score in GENERATED and task.max_new_tokens >= lm.max_length:
        raise UserError(
            f"task '{task.name}': max_new_tokens {task.max_new_tokens} leaves no room for a prompt in the model's "
            f"context of {lm.max_length} tokens; lower it"
        )
