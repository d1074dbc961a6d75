"""The stage in which the teacher answers prompts: rows that methods train on beside the gold ones, or without them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import ranks
from .artifacts import read_json, write_json, write_text
from .config import Run
from .data import Row, Task
from .evaluation import Draws, Memory, write_texts
from .models import LanguageModel

STAGE = "write answers"
FOLDER = "teacher/answers"


@dataclass(frozen=True)
class TeacherAnswers:
    """The answered prompts of each task, and what became of those that were left out."""

    rows: dict[str, list[Row]]
    about: dict[str, dict[str, int]]
    """By task: `prompts`, `answers` kept, and left out: `unended` ones that ran out of room, and `empty` ones."""

    @property
    def warnings(self) -> list[str]:
        return [
            f"{task}: the teacher answered {told['answers']} of {told['prompts']} prompts ({told['unended']} answers "
            f"ran out of room, {told['empty']} were empty); raise teacher.writes.max_new_tokens, or adapt the teacher"
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
                rows[task.name] = [replace(prompts[one["id"]], answer=one["answer"]) for one in kept]
        return cls(rows, read_json(folder / "about.json"))


def write_answers(
    model: LanguageModel,
    tasks: Sequence[Task],
    config: Run,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the teacher's answer to each prompt of the tasks into `folder`, a JSON-lines file a task.

    Greedy, or drawn at `teacher.writes.temperature`, by the run's seed. Answers that do not end within
    `max_new_tokens` are no answers, and left out like empty ones. A stopped call goes on where it was.
    """
    writing, about = config.teacher.writes, {}
    draws = Draws(temperature=writing.temperature, seed=config.seed)
    asked = [task for task in tasks if "prompts" in task.splits]
    total, before = sum(len(task.splits["prompts"]) for task in asked), 0
    folder.mkdir(parents=True, exist_ok=True)
    memory = Memory(folder / "memory.jsonl" if ranks.is_first() else None)
    for task in asked:
        prompts = task.splits["prompts"]
        written = write_texts(
            model,
            prompts,
            template=config.data.template,
            batch_size=config.evaluation.batch_size,
            settings={
                "until": list(task.stop),
                "max_gen_toks": writing.max_new_tokens or task.max_new_tokens,
                **draws.settings,
            },
            memory=memory,
            progress=None if progress is None else lambda done, _, start=before: progress(start + done, total),
        )
        before += len(prompts)
        kept = [(row, text) for row, (text, ended) in zip(prompts, written, strict=True) if ended and text.strip()]
        unended = sum(not ended for _, ended in written)
        about[task.name] = {
            "prompts": len(prompts),
            "answers": len(kept),
            "unended": unended,
            "empty": len(prompts) - len(kept) - unended,
        }
        lines = [json.dumps({"id": row.id, "prompt": row.prompt, "answer": text}) for row, text in kept]
        write_text(folder / f"{task.name}.jsonl", "".join(f"{line}\n" for line in lines))
    write_json(folder / "about.json", about)
    memory.forget()
