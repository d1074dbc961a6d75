"""The stage in which the teacher answers prompts: rows that methods train on beside the gold ones, or without them."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ranks
from .artifacts import read_json, write_json, write_text
from .config import Run
from .data import Row, Task, Template, prompt_tokens
from .errors import UserError
from .models import LanguageModel, context_length, reading
from .training import Tally

if TYPE_CHECKING:
    from .evaluation import Memory
    from .evaluation.texts import Written

FOLDER = "teacher/answers"
DRAFTS = ".drafts.jsonl"  # no task's name begins with a dot
SPENT = "spent"  # among the drafts, whose keys are hashes: what they have cost
NOTHING_SPENT = {"teacher_tokens": 0, "seconds": 0.0}


@dataclass(frozen=True)
class TeacherAnswers:
    """The answered prompts of each task, and what became of those that were left out."""

    rows: dict[str, list[Row]]
    about: dict[str, dict[str, int]]
    """By task: `prompts`, `answers` kept, and left out: `unended` ones that ran out of room, and `empty` ones."""

    def warnings(self, *, adapted: bool) -> list[str]:
        """A line on each task whose teacher, adapted or not, answered less than half of its prompts."""
        return [
            f"{task}: the teacher answered {told['answers']} of {told['prompts']} prompts ({told['unended']} answers "
            f"ran out of room, {told['empty']} were empty){_advice(told['unended'] > 0, adapted)}"
            for task, told in self.about.items()
            if 2 * told["answers"] < told["prompts"]
        ]

    def plain(self) -> dict[str, Any]:
        """What a record holds: the counts, and the first answer of each task to look at."""
        first = {
            task: {"id": rows[0].id, "prompt": rows[0].prompt, "answer": rows[0].answer}
            for task, rows in self.rows.items()
            if rows
        }
        return {"tasks": self.about, "first": first}

    @classmethod
    def load(cls, folder: Path, tasks: Sequence[Task]) -> "TeacherAnswers":
        """The answers that `write_answers` kept, to the prompts of these tasks."""
        rows = {}
        for task in tasks:
            if "prompts" in task.splits:
                prompts = {row.id: row for row in task.splits["prompts"]}
                lines = (folder / f"{task.name}.jsonl").read_text(encoding="utf-8").splitlines()
                kept = [json.loads(line) for line in lines]
                rows[task.name] = [replace(prompts[one["id"]], answer=_answer_of(one)) for one in kept]
        return cls(rows, read_json(folder / "about.json"))


def _advice(unended: bool, adapted: bool) -> str:
    room = ["raise teacher.writes.max_new_tokens as far as the longest prompt allows"] if unended else []
    advice = ", or ".join([*room, *([] if adapted else ["adapt the teacher (teacher.adapt)"])])
    return f"; {advice}" if advice else ""


def new_tokens(config: Run, task: Task, teacher: LanguageModel) -> int:
    """How long an answer of the teacher may be: as the run says, or as the task's scored ones as far as there is room.

    Raises UserError where its longest prompt leaves no such room in the teacher's positions.
    """
    return _length(config, task, *_room(config, task, teacher))


def _length(config: Run, task: Task, room: int | None, why: str) -> int:
    asked = config.teacher.writes.max_new_tokens
    if room is not None and (asked or 1) > room:
        instead = ", or lower teacher.writes.max_new_tokens" if asked and room > 0 else ""
        raise UserError(f"{why}: too few for {asked or 'any'} more; leave the row out{instead}")
    return asked or (task.max_new_tokens if room is None else min(task.max_new_tokens, room))


def little_room(config: Run, tasks: Sequence[Task], teacher: LanguageModel) -> list[str]:
    """A line on each task in which one long prompt makes every answer shorter than a scored one may be.

    Raises UserError where the teacher has no room for its answers.
    """
    found = []
    for task in tasks:
        if "prompts" not in task.splits:
            continue
        room, why = _room(config, task, teacher)
        length = _length(config, task, room, why)
        if config.teacher.writes.max_new_tokens is None and length < task.max_new_tokens:
            found.append(
                f"{why}: every answer of the task ends within {length} tokens instead of {task.max_new_tokens}, or is "
                "left out; leave the row out"
            )
    return found


def _room(config: Run, task: Task, teacher: LanguageModel) -> tuple[int | None, str]:
    """New tokens that the task's longest prompt leaves of the teacher's positions, and why; None: as many as asked."""
    context = context_length(teacher)
    if context is None or teacher.is_encoder_decoder:
        return None, ""
    lengths = {
        row.id: len(prompt_tokens(row, teacher.tokenizer, config.data.template)) for row in task.splits["prompts"]
    }
    longest = max(lengths, key=lambda row: lengths[row])
    row = f"task '{task.name}': prompts row '{longest}'"
    why = f"{row} has {lengths[longest]} tokens, and the teacher {context} positions"
    return context - lengths[longest] - 1, why


def forget_drafts(folder: Path) -> None:
    """Remove what only a stage that is not done needs."""
    if ranks.is_first():
        (folder / DRAFTS).unlink(missing_ok=True)


def write_answers(
    model: LanguageModel,
    tasks: Sequence[Task],
    config: Run,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Tally:
    """Write the teacher's answer to each prompt of the tasks into `folder`, a JSON-lines file a task.

    Greedy, or drawn at `teacher.writes.temperature`, by the run's seed. Answers that do not end within
    `max_new_tokens` are no answers, and left out like empty ones. A stopped call goes on where it was, until
    `forget_drafts`. Returns what the drafts have cost, also those of calls that were stopped.
    """
    from .evaluation import Memory  # needs lm_eval, which planning does without

    about: dict[str, dict[str, int]] = {}
    asked = [task for task in tasks if "prompts" in task.splits]
    total, n_done, read_by_others = sum(len(task.splits["prompts"]) for task in asked), 0, 0
    folder.mkdir(parents=True, exist_ok=True)
    memory = Memory(folder / DRAFTS if ranks.is_first() else None)
    with reading(model) as read:
        tally = Tally(lambda: read() + read_by_others)
        tally.resume(ranks.from_first(memory.recall(SPENT)) or NOTHING_SPENT)

        def advance(done: int, _total: int) -> None:
            """Called when a batch is in the drafts."""
            memory.keep(SPENT, tally.plain())
            if progress is not None:
                progress(n_done + done, total)

        for task in asked:
            prompts = task.splits["prompts"]
            written = _written(model, task, config, memory, advance)
            n_done += len(prompts)
            read_by_others = sum(ranks.gathered(read())) - read()
            memory.keep(SPENT, tally.plain())
            about[task.name] = _keep(folder / f"{task.name}.jsonl", prompts, written, config.data.template)
    write_json(folder / "about.json", about)
    return tally


def _written(
    model: LanguageModel, task: Task, config: Run, memory: "Memory", advance: Callable[[int, int], None]
) -> "list[Written]":
    """What the model writes after each prompt of a task."""
    from .evaluation import Draws, write_texts

    draws = Draws(temperature=config.teacher.writes.temperature, seed=config.seed)
    return write_texts(
        model,
        task.splits["prompts"],
        template=config.data.template,
        batch_size=config.evaluation.batch_size,
        settings={"until": list(task.stop), "max_gen_toks": new_tokens(config, task, model), **draws.settings},
        memory=memory,
        progress=advance,
    )


def _keep(path: Path, prompts: Sequence[Row], written: "Sequence[Written]", template: Template) -> dict[str, int]:
    """Write the answers that are any, and say what became of the others."""
    kept = [(row, text) for row, (text, ended) in zip(prompts, written, strict=True) if ended and text.strip()]
    unended = sum(not ended for _, ended in written)
    lines = [json.dumps({"id": row.id, **_record(row, text, template)}) for row, text in kept]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return {
        "prompts": len(prompts),
        "answers": len(kept),
        "unended": unended,
        "empty": len(prompts) - len(kept) - unended,
    }


def _record(row: Row, text: str, template: Template) -> dict[str, Any]:
    """The row in the layout that is read as what it is trained on."""
    if template == "plain" or row.messages is None:
        return {"prompt": row.prompt, "answer": text}
    return {"messages": [*row.messages, {"role": "assistant", "content": text}]}


def _answer_of(record: Mapping[str, Any]) -> str:
    return record["messages"][-1]["content"] if "messages" in record else record["answer"]
