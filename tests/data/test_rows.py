"""Rows from records and files: every layout, and one line with the place for everything that can be wrong."""

import json

import pytest

from semalign.data.jsonl import read_jsonl, read_rows
from semalign.data.rows import row_from_record
from semalign.errors import UserError


def made(record, **options):
    return row_from_record(record, task="t", identifier="i", where="f.jsonl line 17", **options)


@pytest.mark.parametrize("answer", ["answer", "completion"])
def test_a_prompt_is_taken_as_it_is(answer):
    row = made({"prompt": "Q: 1+1 =", answer: " 2"})
    assert (row.id, row.prompt, row.answer, row.messages) == ("i", "Q: 1+1 =", " 2", None)


def test_question_and_answer_get_a_plain_layout():
    row = made({"id": 7, "question": "1+1?", "answer": "2"})
    assert (row.id, row.prompt, row.answer) == ("7", "Question: 1+1?\nAnswer:\n", "2")
    assert row.messages == ({"role": "user", "content": "1+1?"},)


def test_instruction_and_input_get_a_plain_layout():
    assert made({"instruction": "Add.", "output": "2"}).prompt == "Add.\n"
    row = made({"instruction": "Add.", "input": "1, 1", "output": "2"})
    assert row.prompt == "Add.\n\n1, 1\n"
    assert row.messages == ({"role": "user", "content": "Add.\n\n1, 1"},)


def test_the_last_message_is_the_answer():
    turns = [{"role": r, "content": c} for r, c in (("system", "Be brief."), ("user", "1+1?"), ("assistant", "2"))]
    row = made({"messages": turns})
    assert row.prompt == "system:\nBe brief.\nuser:\n1+1?\nassistant:\n"
    assert (row.answer, row.messages) == ("2", tuple(turns[:2]))


def test_fields_can_be_renamed():
    record = {"q": "1+1?", "a": "2", "options": ["1", "2"], "key": 1, "name": "x"}
    row = made(record, fields={"id": "name", "prompt": "q", "answer": "a", "choices": "options", "gold": "key"})
    assert (row.id, row.prompt, row.answer) == ("x", "1+1?", "2")
    assert row.extra == {"choices": ["1", "2"], "gold": 1}


def test_extra_fields_reach_the_scorer():
    row = made({"prompt": "p", "answer": "a", "final": 12, "tests": ["assert f(1)", "assert f(2)"], "entry_point": "f"})
    assert row.extra == {"final": "12", "tests": "assert f(1)\nassert f(2)", "entry_point": "f"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "q", "solution": "s"}, "no field 'answer'; fields found: question, solution"),
        ({"text": "q"}, "no field 'prompt'; fields found: text"),
        ({}, "no field 'prompt'; fields found: none"),
        ({"instruction": "q"}, "no field 'output'; fields found: instruction"),
        ({"prompt": "q", "answer": None}, "field 'answer' is NoneType, expected text"),
        ({"prompt": 3, "answer": "a"}, "field 'prompt' is int, expected text"),
        ({"prompt": "q", "answer": " \n"}, "the answer is empty"),
        ({"question": "  ", "answer": "a"}, "the prompt is empty"),
        ({"instruction": "", "output": "a"}, "the prompt is empty"),
        ({"messages": "hello"}, "'messages' must be a list of at least two turns"),
        ({"messages": [{"role": "user", "content": "q"}]}, "'messages' must be a list of at least two turns"),
        ({"messages": [{"role": "user"}, {"role": "assistant", "content": "a"}]}, "messages[0] must have the texts"),
        ({"messages": [{"role": "user", "content": "q"}] * 2}, "the last message is of 'user'"),
        ({"messages": [{"role": r, "content": ""} for r in ("user", "assistant")]}, "the prompt is empty"),
        ({"prompt": "q", "answer": "a", "choices": "ab"}, "field 'choices' is str, not what 'choices' must be"),
        ({"prompt": "q", "answer": "a", "choices": ["x", 2]}, "'choices' must be texts"),
        ({"prompt": "q", "answer": "a", "choices": ["x"], "gold": 1}, "'gold' is 1, expected an index from 0"),
        ({"prompt": "q", "answer": "a", "gold": True, "choices": ["x", "y"]}, "field 'gold' is bool"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(record, message):
    with pytest.raises(UserError) as error:
        made(record)
    assert str(error.value).startswith(f"f.jsonl line 17: {message}")
    assert "\n" not in str(error.value)


def test_a_renamed_field_that_is_not_there_is_an_error():
    with pytest.raises(UserError, match="no field 'key'; fields found: prompt, answer"):
        made({"prompt": "p", "answer": "a"}, fields={"gold": "key"})


def test_lines_are_counted_from_one_and_blank_ones_passed_over(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text(
        '\ufeff{"prompt": "p\u2028q", "answer": "a"}\r\n\n{"prompt": "r", "answer": "b"}\n', encoding="utf-8"
    )
    rows = read_rows(path, task="t")
    assert [(row.id, row.prompt) for row in rows] == [("train-1", "p\u2028q"), ("train-3", "r")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"a": 1,}\n', " line 2: not valid JSON ("),
        (b'{"a": 1}\n[1]\n', " line 2: expected a JSON object, got list"),
        (b"", ": no rows; expected one JSON object a line"),
        (b"\n \n", ": no rows; expected one JSON object a line"),
        (b'{"a": 1}\n{"a": "\xff"}\n', " line 2: not UTF-8; save the file as UTF-8"),
        (b"[" * 100_000, " line 1: not valid JSON (nested too deep)"),
    ],
)
def test_a_broken_file_is_one_line_with_its_place(tmp_path, content, message):
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_jsonl(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_jsonl(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="cannot be read"):
        read_jsonl(tmp_path)


def test_ids_differ(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps({"id": i, "prompt": "p", "answer": "a"}) for i in (1, 2, 1)))
    with pytest.raises(UserError, match=r"line 3: id '1' is already that of .*train.jsonl line 1$"):
        read_rows(path, task="t")
