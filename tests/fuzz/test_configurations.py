"""Arbitrary configurations: a run or one line, and nothing else, whatever stands in them."""

import contextlib

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semalign.config import Run
from semalign.errors import UserError, printable
from semalign.settings import load_yaml

GOOD = {
    "name": "tiny",
    "teacher": "./teacher",
    "student": {"model": "./student", "dtype": "float32"},
    "data": {"template": "plain", "max_length": 48, "tasks": [{"name": "sums", "folder": "sums", "stop": ["x"]}]},
    "method": {
        "name": "semalign",
        "pairing": {"name": "manual", "pairs": [[0, 1]]},
        "loss": {"name": "cosine", "weight": 1.0},
        "outputs": ["cross_entropy", {"name": "kl", "temperature": 2.0}],
    },
    "controls": {"low": {"name": "sft", "layers": [0]}},
    "training": {"epochs": 1, "lora": {"rank": 2, "roles": ["up"]}, "warmup": 0.1, "on_trouble": "skip"},
    "evaluation": {"split": "test", "benchmarks": {"tasks": ["gsm8k"], "limit": 3}},
    "cache": {"states": "int8", "limit_gb": 1.0},
    "tracking": {"to": ["tensorboard"]},
    "engine": {"name": "ddp"},
    "seed": 0,
    "device": "cpu",
}
FUZZ = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
WORDS = [
    "",
    ".",
    "..",
    "/",
    "~",
    "$X",
    "embedded:",
    "semalign",
    "sft",
    "name",
    "auto",
    "1e999",
    "../x",
    "\n",
    "\ud800",
    "é",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 1, 2**31, 10**30]),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=4),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | scalars, inner, max_size=3),
    max_leaves=8,
)


def places(value, at=()):
    """Every place within a value."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*at, key))


def replaced(value, place, by):
    if not place:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = replaced(copy[place[0]], place[1:], by)
    return copy


def run_or_line(values):
    """Whether it is a run that comes back from its plain values, or one line."""
    try:
        run = Run.make(values, "run.yaml")
    except UserError as error:
        said = printable(str(error))
        return said.startswith("run.yaml: ")
    again = Run.make(run.plain(), "run.yaml")
    return again.plain() == run.plain()


@FUZZ
@given(place=st.sampled_from([place for place in places(GOOD) if place]), value=values)
def test_one_value_replaced_by_anything(place, value):
    assert run_or_line(replaced(GOOD, place, value))


@FUZZ
@given(place=st.sampled_from([p for p in places(GOOD) if isinstance(p and p[-1], str)]), key=scalars, value=values)
def test_a_key_more_of_any_kind(place, key, value):
    inner = GOOD
    for part in place[:-1]:
        inner = inner[part]
    assert run_or_line(replaced(GOOD, place[:-1], {**inner, key: value}))


@FUZZ
@given(value=values)
def test_anything_at_all(value):
    if not isinstance(value, dict):
        with pytest.raises(UserError, match=r"^run\.yaml: expected a mapping"):
            Run.make(value, "run.yaml")
    else:
        assert run_or_line(value)


@FUZZ
@given(text=st.text(max_size=40) | st.text(alphabet="{}[]:,&*!|>-?'\"%@` \n\ta0.~", max_size=40))
def test_any_text_is_yaml_or_one_line(text):
    with contextlib.suppress(UserError):
        load_yaml(text, "run.yaml")


@FUZZ
@given(value=values.filter(lambda value: "\\0" not in repr(value) and "\\x00" not in repr(value)))
def test_what_yaml_can_write_is_read_back_or_refused_in_a_line(value):
    try:
        text = yaml.safe_dump(value, allow_unicode=False)
    except yaml.YAMLError:
        return
    with contextlib.suppress(UserError):
        load_yaml(text, "run.yaml")
