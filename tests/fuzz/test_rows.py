"""Arbitrary rows: rows that can be written again, or one line that says where; in every layout."""

import json
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from semalign.data.formats import Format
from semalign.data.jsonl import read_rows
from semalign.errors import UserError

FUZZ = settings(max_examples=80, deadline=None, derandomize=True)
NAMES = [
    *("id", "prompt", "answer", "completion", "question", "instruction", "input", "output", "messages", "history"),
    *("conversations", "system", "role", "content", "from", "value", "choices", "gold", "final", "tests", "chosen"),
    *("entry_point", "code_prefix", "tools", "label"),
]
ROLES = ["user", "assistant", "system", "human", "gpt", "observation", "", "robot"]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(ROLES)
turns = st.lists(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("role", "content", "from", "value", "tool_calls", "weight"), scalars)
    ),
    max_size=4,
)
values = st.recursive(
    scalars | turns,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
records = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)
pairs = st.sampled_from(
    [("prompt", "answer"), ("question", "answer"), ("instruction", "output"), ("prompt", "completion")]
)


@st.composite
def likely(draw):
    """A record that begins well."""
    prompt, answer = draw(pairs)
    return {
        prompt: draw(st.text(min_size=1, max_size=6)),
        answer: draw(st.text(min_size=1, max_size=6)),
        **draw(records),
    }


def rows_or_line(path, content, layout=None):
    """Whether a file is rows that can be stored, or one line that begins with its path."""
    path.write_bytes(content)
    try:
        rows = read_rows(path, task="t", layout=layout)
    except UserError as error:
        return str(error).startswith(str(path))
    for row in rows:
        assert row.prompt.strip()
        assert row.answer.strip()
        # no text in it is one that cannot be stored
        json.dumps([row.id, row.prompt, row.answer, row.messages, dict(row.extra)], ensure_ascii=False).encode()
    return True


@FUZZ
@given(record=st.one_of(likely(), records), layout=st.none() | st.sampled_from(get_args(Format)))
def test_any_record_in_any_layout(tmp_path_factory, record, layout):
    path = tmp_path_factory.getbasetemp() / "fuzzed.jsonl"
    assert rows_or_line(path, (json.dumps(record) + "\n").encode(), layout)


@FUZZ
@given(content=st.binary(max_size=60) | st.text(alphabet='{}[]:,"\\u0d8 \n1e.-', max_size=60).map(str.encode))
def test_any_bytes(tmp_path_factory, content):
    assert rows_or_line(tmp_path_factory.getbasetemp() / "fuzzed.jsonl", content)


@FUZZ
@given(several=st.lists(likely(), min_size=1, max_size=3), cut=st.integers(0, 400))
def test_a_list_of_records_cut_anywhere(tmp_path_factory, several, cut):
    path = tmp_path_factory.getbasetemp() / "fuzzed.json"
    assert rows_or_line(path, json.dumps(several).encode()[:cut])
