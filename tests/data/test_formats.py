"""Rows laid out for LLaMA-Factory and TRL: told by their keys, read the same by either name, refused in one line."""

import json

import pytest

from semalign.data import TaskSpec, load_task, prompt_text
from semalign.data.formats import format_of
from semalign.data.jsonl import read_jsonl, read_rows
from semalign.data.rows import row_from_record
from semalign.errors import UserError

SHAREGPT = {
    "system": "Be brief.",
    "conversations": [
        {"from": "human", "value": "1+1?"},
        {"from": "gpt", "value": "2"},
        {"from": "human", "value": "And 2+2?"},
        {"from": "gpt", "value": "4"},
    ],
}
ALPACA = {
    "instruction": "And 2+2?",
    "input": "",
    "output": "4",
    "system": "Be brief.",
    "history": [["1+1?", "2"]],
}
TURNS = [
    {"role": role, "content": content}
    for role, content in (
        ("system", "Be brief."),
        ("user", "1+1?"),
        ("assistant", "2"),
        ("user", "And 2+2?"),
        ("assistant", "4"),
    )
]
ALIKE = {
    "messages": {"messages": TURNS},
    "sharegpt": SHAREGPT,
    "alpaca": ALPACA,
    "prompt-completion": {"prompt": TURNS[:-1], "completion": TURNS[-1:]},
}


def conversations(n):
    return [
        {"conversations": [{"from": "human", "value": f"{i}?"}, {"from": "gpt", "value": f"{i}!"}]} for i in range(n)
    ]


def made(record, **options):
    return row_from_record(record, task="t", identifier="i", where="f.jsonl line 17", **options)


@pytest.mark.parametrize("name", ALIKE)
def test_one_conversation_is_one_row_in_every_format(name):
    record = ALIKE[name]
    assert format_of(record) == name
    assert made(record) == made(record, layout=name) == made(ALIKE["messages"])
    assert (made(record).answer, made(record).messages) == ("4", tuple(TURNS[:-1]))


def test_the_turns_before_the_last_are_the_prompt_of_the_chat_template(with_bos):
    text = prompt_text(made(SHAREGPT), with_bos, "chat")
    said = "".join(f"<|turn|>{turn['role']}\n{turn['content']}<|end|>\n" for turn in TURNS[:-1])
    assert text == f"<s>{said}<|turn|>assistant\n"


@pytest.mark.parametrize("empty", [{}, {"history": [], "system": ""}, {"history": None, "system": None}])
def test_alpaca_of_one_turn_is_the_row_it_always_was(empty):
    row = made({"instruction": "Add.", "input": "1, 1", "output": "2", **empty})
    assert (row.prompt, row.messages) == ("Add.\n\n1, 1\n", ({"role": "user", "content": "Add.\n\n1, 1"},))


def test_prompt_and_completion_of_text_are_taken_as_they_are():
    row = made({"prompt": "1+1=", "completion": " 2"}, layout="prompt-completion")
    assert (row.prompt, row.answer, row.messages) == ("1+1=", " 2", None)


def test_a_named_format_wins_over_other_keys():
    both = {**SHAREGPT, "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]}
    assert made(both, layout="sharegpt").answer == "4"
    assert made(both, layout="messages").answer == "!"
    with pytest.raises(UserError, match="say which with format: messages or sharegpt"):
        made(both)


@pytest.mark.parametrize(
    ("record", "layout", "message"),
    [
        ({"instruction": "q"}, "alpaca", "no field 'output', which format 'alpaca' needs; fields found: instruction"),
        ({}, "sharegpt", "no field 'conversations', which format 'sharegpt' needs; fields found: none"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, None, "has 'chosen', so it is a preference row"),
        ({"prompt": "q", "completion": "a", "label": False}, None, "has 'label', so it is a preference row"),
        ({**SHAREGPT, "tools": "[{}]"}, None, "has 'tools', which cannot be read"),
        ({**ALPACA, "images": ["a.png"]}, None, "has 'images', which cannot be read"),
        ({**ALPACA, "history": [["q"]]}, None, "history[0] must be [question, answer]"),
        ({**ALPACA, "history": "q"}, None, "'history' must be a list"),
        ({"prompt": TURNS[:-1], "completion": "4"}, None, "'prompt' and 'completion' must both be texts or both"),
        ({"conversations": SHAREGPT["conversations"][:-1]}, None, "the last message is of 'user'; it must be the"),
        ({"conversations": [{"from": "narrator", "value": "x"}]}, None, "conversations[0] is from 'narrator'"),
        ({"conversations": [{"from": "observation", "value": "x"}]}, None, "conversations[0] calls a tool"),
        ({"conversations": [{"from": "human"}]}, None, "conversations[0] must have the texts"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, None, "messages[0] has parts"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, None, "messages[0] calls a tool"),
        ({"conversations": ["hello"]}, None, "conversations[0] must have the texts"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_place(record, layout, message):
    with pytest.raises(UserError) as error:
        made(record, layout=layout)
    assert str(error.value).startswith(f"f.jsonl line 17: {message}")


@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_list_gives_the_rows_of_json_lines(tmp_path, indent):
    records = [{**ALPACA, "instruction": f"{i} + {i}?"} for i in range(3)]
    (tmp_path / "a.json").write_text("\ufeff " + json.dumps(records, indent=indent) + "\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    listed, lined = (read_rows(tmp_path / name, task="t") for name in ("a.json", "a.jsonl"))
    assert [(row.prompt, row.answer) for row in listed] == [(row.prompt, row.answer) for row in lined]
    assert len({row.id for row in listed}) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[\n {"a": 1},\n {"a": 1,}\n]', " line 3: not valid JSON ("),
        ('[\n {"a": 1}\n {"a": 1}\n]', " line 3: not valid JSON (expected ',' or ']')"),
        ('[\n {"a": 1},\n 2\n]', " line 3: expected a JSON object, got int"),
        ('[\n {"a": 1}\n]\n\n{}', " line 5: more after the list's end"),
        ('[\n {"a": 1},\n', " line 3: not valid JSON ("),
        ("[]", ": no rows"),
    ],
)
def test_a_broken_json_list_is_one_line_with_its_place(tmp_path, text, message):
    path = tmp_path / "train.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_jsonl(path)
    assert str(error.value).startswith(f"{path}{message}")


def test_a_task_takes_files_of_any_format_and_hands_its_name_on(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(conversations(30)), encoding="utf-8")
    spec = TaskSpec(name="t", folder=".", rows={"test": 5})
    task = load_task(spec, seed=0, root=tmp_path)
    assert len(task.splits["test"]) == 5
    named = load_task(spec.model_copy(update={"format": "sharegpt"}), seed=0, root=tmp_path)
    assert named.splits == task.splits
    with pytest.raises(UserError, match="no field 'messages', which format 'messages' needs"):
        load_task(spec.model_copy(update={"format": "messages"}), seed=0, root=tmp_path)
    (tmp_path / "train.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.jsonl and train\.json; keep one"):
        load_task(spec, seed=0, root=tmp_path)


def test_a_format_without_effect_is_refused_and_an_unnamed_one_not_stored():
    assert "format" not in TaskSpec(name="t", train="a.jsonl").model_dump()
    assert TaskSpec(name="t", train="a.jsonl", format="alpaca").model_dump()["format"] == "alpaca"
    for values in ({"benchmark": "gsm8k"}, {"train": "a.jsonl", "fields": {"prompt": "q"}}):
        with pytest.raises(ValueError, match="'format'"):
            TaskSpec(name="t", format="alpaca", **values)


def test_a_hub_data_set_is_read_in_the_same_formats(tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "set"
    folder.mkdir()
    records = [{**row, "system": row.get("system")} for row in conversations(12)]
    datasets.Dataset.from_list(records).to_parquet(folder / "train.parquet")
    task = load_task(TaskSpec(name="t", hub=str(folder), rows={"test": 4}), seed=0, root=tmp_path)
    rows = [row for split in task.splits.values() for row in split]
    assert sorted(row.prompt for row in rows) == sorted(made(record).prompt for record in records)
