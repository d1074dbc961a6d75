"""Layouts of other trainers' rows, told by their keys, made into the ones that `rows` reads.

| format | keys | what it becomes |
|---|---|---|
| alpaca (LLaMA-Factory) | instruction, output; input, history, system | `messages` where it has history or system |
| sharegpt (LLaMA-Factory) | conversations of from/value; system | `messages` |
| messages (TRL, OpenAI) | messages of role/content | `messages` |
| prompt-completion (TRL) | prompt, completion: both texts, or both lists of turns | as it is, or `messages` |

Turns may be named role/content or from/value in either kind of list. The last turn must be the assistant's: it is the
answer, and all turns before it are the prompt.
"""

from collections.abc import Mapping
from typing import Any, Literal

from ..errors import UserError

Format = Literal["alpaca", "sharegpt", "messages", "prompt-completion"]
KEYS: dict[Format, tuple[str, ...]] = {
    "alpaca": ("instruction", "output"),
    "sharegpt": ("conversations",),
    "messages": ("messages",),
    "prompt-completion": ("prompt", "completion"),
}
TEXTS = {"prompt", "completion", "question", "answer", "instruction", "output"}
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant"}
PREFERENCES = ("chosen", "rejected", "kto_tag")
BESIDE_TEXT = ("tools", "images", "image", "videos", "audios")


def format_of(record: Mapping[str, Any]) -> Format | None:
    """The format whose keys a record has; None for the layouts of semalign's own (prompt/answer, question/answer)."""
    has = {name for name, value in record.items() if value is not None}
    return next(
        (name for name in ("messages", "sharegpt", "prompt-completion", "alpaca") if has >= {*KEYS[name]}), None
    )


def as_turns(record: Mapping[str, Any], named: Format | None, where: str) -> Mapping[str, Any]:
    """The record with `messages` where its format has turns, else unchanged; UserError for what cannot be read.

    With `named`, the record must have that format's keys, and other formats' keys in it are passed over.
    """
    _refuse_preferences(record, where)
    found = named or format_of(record)
    if found is None:
        return record
    for name in KEYS[found] if named else ():
        if record.get(name) is None:
            fields = ", ".join(record) or "none"
            raise UserError(f"{where}: no field '{name}', which format '{named}' needs; fields found: {fields}")
    for name in BESIDE_TEXT:
        if record.get(name):
            raise UserError(
                f"{where}: has '{name}', which cannot be read; leave the row out, or the field where unused"
            )
    if named is None and record.get("messages") is not None and record.get("conversations") is not None:
        raise UserError(f"{where}: has 'messages' and 'conversations'; say which with format: messages or sharegpt")
    turns = {"alpaca": _alpaca, "sharegpt": _sharegpt, "messages": _messages, "prompt-completion": _completion}[found](
        record, where
    )
    others = {"messages", "conversations", *(TEXTS - {*KEYS[named]} if named else ())}
    rest = {name: value for name, value in record.items() if name not in others}
    return rest if turns is None else {**rest, "messages": turns}


def _refuse_preferences(record: Mapping[str, Any], where: str) -> None:
    """Rows that rank answers, or call an answer bad, are no demonstrations."""
    found = [name for name in PREFERENCES if record.get(name) is not None]
    if not found and isinstance(record.get("label"), bool) and "completion" in record:
        found = ["label"]
    if found:
        raise UserError(
            f"{where}: has '{found[0]}', so it is a preference row; semalign trains on answers to follow: keep the "
            f"preferred answer under 'answer' (or 'completion') and leave '{found[0]}' out"
        )


def _alpaca(record: Mapping[str, Any], where: str) -> list[dict[str, str]] | None:
    history, system = record.get("history") or [], record.get("system") or ""
    if not history and not system:
        return None
    if not isinstance(history, list):
        raise UserError(f"{where}: 'history' must be a list of [question, answer]")
    turns = [("system", system)] if system else []
    for i, pair in enumerate(history):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UserError(f"{where}: history[{i}] must be [question, answer]")
        turns += [("user", pair[0]), ("assistant", pair[1])]
    asked = "\n\n".join(str(part) for part in (record["instruction"], record.get("input")) if part)
    turns += [("user", asked), ("assistant", record["output"])]
    return _turns([{"role": role, "content": content} for role, content in turns], "turn", where)


def _sharegpt(record: Mapping[str, Any], where: str) -> list[dict[str, str]]:
    turns, system = _turns(record["conversations"], "conversations", where), record.get("system")
    return [_turn({"role": "system", "content": system}, "system", where), *turns] if system else turns


def _messages(record: Mapping[str, Any], where: str) -> list[dict[str, str]]:
    return _turns(record["messages"], "messages", where)


def _completion(record: Mapping[str, Any], where: str) -> list[dict[str, str]] | None:
    parts = [record["prompt"], record["completion"]]
    if not any(isinstance(part, list) for part in parts):
        return None
    if not all(isinstance(part, list) for part in parts):
        raise UserError(f"{where}: 'prompt' and 'completion' must both be texts or both be lists of turns")
    return [turn for name in ("prompt", "completion") for turn in _turns(record[name], name, where)]


def _turns(given: Any, field: str, where: str) -> list[dict[str, str]]:
    if not isinstance(given, list | tuple) or not given:
        raise UserError(f"{where}: '{field}' must be a list of at least two turns")
    return [_turn(turn, f"{field}[{i}]", where) for i, turn in enumerate(given)]


def _turn(turn: Any, place: str, where: str) -> dict[str, str]:
    """A turn as role and content; UserError for what is no text of one speaker."""
    if not isinstance(turn, Mapping):
        raise UserError(f"{where}: {place} must have the texts 'role' and 'content' (or 'from' and 'value')")
    if turn.get("tool_calls") or turn.get("from") in ("function_call", "observation"):
        raise UserError(f"{where}: {place} calls a tool or answers one; such rows cannot be read: leave the row out")
    if isinstance(turn.get("content"), list):
        raise UserError(f"{where}: {place} has parts (images?) for content; only text can be read: leave the row out")
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(role, str) or not isinstance(content, str):
        raise UserError(f"{where}: {place} must have the texts 'role' and 'content' (or 'from' and 'value')")
    if "role" not in turn and role not in (*ROLES, *ROLES.values(), "system"):
        raise UserError(f"{where}: {place} is from '{role}'; expected system, human (user) or gpt (assistant)")
    return {"role": ROLES.get(role, role), "content": content}
