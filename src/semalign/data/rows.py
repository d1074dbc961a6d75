"""A row of a task: what the model reads, what it shall answer, and what a scorer needs; made from one JSON record.

`Row.prompt` is the exact plain text before the answer: the plain template joins prompt and answer with nothing between.
Records that do not give such a text get one simple layout each:

| fields of the record | plain prompt | chat turns |
|---|---|---|
| prompt + answer, prompt + completion | the prompt as it is | the prompt as one user turn |
| question + answer | `Question: <question>` newline `Answer:` newline | the question as one user turn |
| instruction (+ input) + output | instruction, blank line, input, newline | the same text as one user turn |
| messages | `user:` newline content newline ... `assistant:` newline | the messages as they are |

Rows laid out for LLaMA-Factory or TRL become one of these first: `formats`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError
from .formats import Format, as_turns

SCORED: dict[str, Any] = {
    "choices": list,
    "gold": int,
    "final": (str, int, float),
    "tests": (str, list),
    "entry_point": str,
    "code_prefix": str,
}
"""What a scorer may need of a record, with its types."""
PAIRS = (("prompt", "answer"), ("prompt", "completion"), ("question", "answer"), ("instruction", "output"))


@dataclass(frozen=True)
class Row:
    """One exercise of a task.

    `messages` are the chat turns before the answer (None: the prompt is one user turn); where the last one is the
    assistant's, it opens the answer. `extra` holds what the task's scorer needs: `choices` (list of full answers) and
    `gold` (index), or `final` (the short answer), or `tests` and `entry_point` (and `code_prefix`, the code that stands
    before a completion).
    """

    id: str
    task: str
    prompt: str
    answer: str
    messages: tuple[dict[str, str], ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def row_from_record(
    record: Mapping[str, Any],
    *,
    task: str,
    identifier: str,
    where: str,
    fields: Mapping[str, str] | None = None,
    layout: Format | None = None,
) -> Row:
    """The row that a JSON record describes; `where` names the record in errors, `fields` renames its fields.

    `layout` is the record's format; None: told by its keys.
    """
    names = dict(fields or {})
    if "prompt" not in names:
        record = as_turns(record, layout, where)
    identifier = str(record.get(names.get("id", "id"), identifier))
    if record.get("messages") is not None and "prompt" not in names:
        prompt, answer, turns = _from_messages(record["messages"], where)
    else:
        prompt, answer, turns = _from_fields(record, names, where)
    if not prompt.strip():
        raise UserError(f"{where}: the prompt is empty")
    if not answer.strip():
        raise UserError(f"{where}: the answer is empty")
    return Row(identifier, task, prompt, answer, turns, _extra(record, names, where))


def rows_from_records(
    records: Iterable[tuple[str, str, Mapping[str, Any]]],
    *,
    task: str,
    fields: Mapping[str, str] | None = None,
    layout: Format | None = None,
) -> list[Row]:
    """The rows of records given as (place for errors, id where the record has none, record); ids must differ."""
    rows: list[Row] = []
    places: dict[str, str] = {}
    for where, identifier, record in records:
        row = row_from_record(record, task=task, identifier=identifier, where=where, fields=fields, layout=layout)
        if row.id in places:
            raise UserError(f"{where}: id '{row.id}' is already that of {places[row.id]}")
        places[row.id] = where
        rows.append(row)
    return rows


def text_field(record: Mapping[str, Any], name: str, where: str) -> str:
    """The text of a field; an error that lists the fields there are where it is missing or no text."""
    if name not in record:
        raise UserError(f"{where}: no field '{name}'; fields found: {', '.join(record) or 'none'}")
    if not isinstance(record[name], str):
        raise UserError(f"{where}: field '{name}' is {type(record[name]).__name__}, expected text")
    return record[name]


def _from_fields(record: Mapping[str, Any], names: Mapping[str, str], where: str) -> tuple[str, str, Any]:
    found = fitting_pair(record)
    prompt_name, answer_name = names.get("prompt", found[0]), names.get("answer", found[1])
    prompt, answer = text_field(record, prompt_name, where), text_field(record, answer_name, where)
    turn = ({"role": "user", "content": prompt},)
    if prompt_name == "question" and prompt.strip():
        return f"Question: {prompt}\nAnswer:\n", answer, turn
    if prompt_name == "instruction" and prompt.strip():
        given = record.get("input") or ""
        asked = f"{prompt}\n\n{given}" if given else prompt
        return f"{asked}\n", answer, ({"role": "user", "content": asked},)
    return prompt, answer, None


def fitting_pair(record: Mapping[str, Any]) -> tuple[str, str]:
    """The known names of prompt and answer that fit the record best."""
    return max(PAIRS, key=lambda pair: (pair[0] in record) * 2 + (pair[1] in record))


def _from_messages(messages: Sequence[dict[str, str]], where: str) -> tuple[str, str, tuple[dict[str, str], ...]]:
    if len(messages) < 2:
        raise UserError(f"{where}: 'messages' must be a list of at least two turns")
    turns = tuple(messages)
    if turns[-1]["role"] != "assistant":
        raise UserError(
            f"{where}: the last message is of '{turns[-1]['role']}'; it must be the assistant's answer: cut it off, or "
            "leave the row out"
        )
    if not any(turn["content"].strip() for turn in turns[:-1]):
        raise UserError(f"{where}: the prompt is empty")
    prompt = "".join(f"{turn['role']}:\n{turn['content']}\n" for turn in turns[:-1]) + "assistant:\n"
    return prompt, turns[-1]["content"], turns[:-1]


def _extra(record: Mapping[str, Any], names: Mapping[str, str], where: str) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for name, kind in SCORED.items():
        source = names.get(name, name)
        if source not in record:
            if name in names:
                raise UserError(f"{where}: no field '{source}'; fields found: {', '.join(record)}")
            continue
        if not isinstance(record[source], kind) or isinstance(record[source], bool):
            raise UserError(f"{where}: field '{source}' is {type(record[source]).__name__}, not what '{name}' must be")
        extra[name] = record[source]
    if "final" in extra:
        extra["final"] = str(extra["final"])
    if isinstance(extra.get("tests"), list):
        extra["tests"] = "\n".join(str(test) for test in extra["tests"])
    _check_choices(extra, where)
    return extra


def _check_choices(extra: Mapping[str, Any], where: str) -> None:
    if not all(isinstance(choice, str) for choice in extra.get("choices", ())):
        raise UserError(f"{where}: 'choices' must be texts")
    if "gold" in extra and not 0 <= extra["gold"] < len(extra.get("choices", ())):
        raise UserError(f"{where}: 'gold' is {extra['gold']}, expected an index from 0 into 'choices'")
