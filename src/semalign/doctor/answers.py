"""Which prompts the teacher will answer, and whether a method trains on the answers."""

from collections.abc import Iterator

from ..prepare import unused_prompts
from ..teacher_answers import little_room
from .finding import Finding
from .subject import Subject


def examine_answers(subject: Subject) -> Iterator[Finding]:
    following = [name for name, method in subject.config.methods.items() if method.follows_answers]
    for warning in (
        *unused_prompts(subject.config.methods.values(), subject.rows),
        *little_room(subject.config, subject.rows.tasks, subject.teacher),
    ):
        what, _, what_to_do = warning.rpartition("; ")
        yield Finding("warning", what, "data.tasks", what_to_do)
    if not following:
        return
    if not subject.rows.n_prompt:
        what = f"{', '.join(following)}: trained on answers of the teacher, but no task has prompts for it"
        yield Finding("error", what, "data.tasks", "give rows.prompts, or a file as 'prompts'")
        return
    counts = {task.name: len(task.splits.get("prompts", ())) for task in subject.rows.tasks}
    asked = ", ".join(f"{n} of {task}" for task, n in counts.items() if n)
    yield Finding(
        "note",
        f"prompts that the teacher will answer: {asked}; trained on its answers, which nobody checks: "
        f"{', '.join(following)}",
        "data.tasks",
        "" if subject.config.teacher.adapt else "set teacher.adapt, so that its answers look like the gold ones",
    )
