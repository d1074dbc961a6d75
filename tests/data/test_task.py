"""Tasks: which rows a run gets, from files, the embedded pair and the hub."""

import json
import sys
import types

import pytest
import yaml
from pydantic import ValidationError

from semalign.data import SPLITS, TaskSpec, load_task
from semalign.embedded import tasks_folder
from semalign.errors import UserError


def write(folder, split, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def records(first, count, **extra):
    return [{"id": f"r{i}", "prompt": f"q{i}\n", "answer": f"a{i}", **extra} for i in range(first, first + count)]


def load(root, /, *, seed=0, **spec):
    return load_task(TaskSpec.model_validate({"name": "t", **spec}), seed=seed, root=root)


def ids(task):
    return {split: [row.id for row in rows] for split, rows in task.splits.items()}


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "train", records(0, 60))
    write(tmp_path, "test", records(100, 9))
    return tmp_path


def test_missing_splits_are_taken_out_of_train(folder):
    task = load(folder, train="train.jsonl", test="test.jsonl")
    assert {split: len(rows) for split, rows in task.splits.items()} == dict(zip(SPLITS, (1, 4, 49, 6, 9), strict=True))
    together = [row for split in SPLITS for row in ids(task)[split]]
    assert len(set(together)) == len(together) == 69
    assert [note.split(",")[0] for note in task.notes] == [
        "t: validation = 6 of the 60 train rows",
        "t: extract = 1 of the 60 train rows",
        "t: align = 4 of the 60 train rows",
    ]


def test_asked_sizes_are_carved_and_sampled(folder):
    rows = {"extract": 5, "align": 7, "train": 20, "validation": 3, "test": 4}
    task = load(folder, train="train.jsonl", rows=rows)
    assert {split: len(found) for split, found in task.splits.items()} == rows
    assert len({row for found in ids(task).values() for row in found}) == 39


def test_given_splits_are_used_as_they_are(folder):
    write(folder, "extract", records(200, 3))
    write(folder, "validation", records(300, 2))
    task = load(folder, folder=".")
    assert ids(task)["extract"] == ["r200", "r201", "r202"]
    assert ids(task)["validation"] == ["r300", "r301"]
    assert len(task.notes) == 1


def test_samples_are_decided_by_seed_task_and_split_and_nested_in_file_order(folder):
    def train(count, seed=0):
        return ids(load(folder, train="train.jsonl", test="test.jsonl", rows={"train": count}, seed=seed))["train"]

    small, large = train(8), train(20)
    assert small == train(8) != train(8, seed=1)
    assert set(small) < set(large)
    assert large == sorted(large, key=lambda name: int(name[1:])) != [f"r{i}" for i in range(20)]


def test_scoring_is_read_from_the_spec(folder):
    task = load(folder, folder=".", score="exact_match", max_new_tokens=9, stop=["\n"])
    assert (task.score, task.max_new_tokens, task.stop) == ("exact_match", 9, ["\n"])
    assert task.splits["test"][0].extra == {"final": "a100"}
    assert load(folder, folder=".").score is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"train": "train.jsonl"}, "task 't': no test rows; give 'test', or rows.test"),
        ({"folder": ".", "rows": {"test": 10}}, "task 't': rows.test asks for 10, there are 9"),
        ({"folder": ".", "rows": {"train": 50}}, "task 't': rows.train asks for 50, there are 49"),
        (
            {"folder": ".", "rows": {"extract": 60}},
            "task 't': train has 60 rows, too few to take out validation 6, extract 60",
        ),
        ({"folder": "none"}, "/none: no such folder"),
        ({"folder": "empty"}, "/empty: no train.jsonl in it"),
        ({"train": "train.jsonl", "test": "gone.jsonl"}, "/gone.jsonl: no such file"),
        ({"train": "train.jsonl", "test": "train.jsonl"}, "is also test row"),
        ({"folder": ".", "score": "passes_tests"}, "row 'r"),
        ({"folder": ".", "score": "multiple_choice"}, "score 'multiple_choice' needs the field 'choices'"),
        ({"folder": "embedded:fact"}, "unknown embedded task 'fact'. Did you mean 'facts'?"),
        ({"benchmark": "gsm8k", "folder": "."}, "gsm8k: no such folder; expected the files of benchmark 'gsm8k'"),
    ],
)
def test_what_is_wrong_is_one_line(folder, embedded, spec, message):
    (folder / "empty").mkdir()
    with pytest.raises(UserError) as error:
        load(folder, **spec)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_row_both_trained_on_and_tested_is_refused(folder):
    write(folder, "test", [{"prompt": " q7 ", "answer": "a7\n"}])
    with pytest.raises(UserError, match=r"row 'r7' is also test row 'test-1'; remove it"):
        load(folder, folder=".")


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    home = tmp_path / "embedded-tasks"
    for split, first in (("train", 0), ("validation", 50), ("test", 70)):
        write(home / "facts", split, records(first, 12, choices=["x", "y"], gold=1))
    described = {"facts": {"scorer": "multiple_choice", "max_new_tokens": 2, "stop": ["\n"]}}
    (home / "tasks.yaml").write_text(yaml.safe_dump(described))
    monkeypatch.setattr("semalign.embedded.tasks_folder", lambda: home)
    return home


@pytest.mark.parametrize("spec", ["embedded:facts", {"folder": "embedded:facts"}])
def test_an_embedded_task_says_how_it_is_scored(embedded, tmp_path, spec):
    task = load_task(TaskSpec.model_validate(spec), seed=0, root=tmp_path / "elsewhere")
    assert (task.name, task.score, task.max_new_tokens, task.stop) == ("facts", "multiple_choice", 2, ["\n"])
    assert [len(task.splits[split]) for split in SPLITS] == [1, 1, 10, 12, 12]


@pytest.mark.skipif(not (tasks_folder() / "tasks.yaml").exists(), reason="the embedded tasks are not built")
@pytest.mark.parametrize("name", ["facts", "arithmetic", "functions", "programs"])
def test_the_embedded_pairs_tasks_load(tmp_path, name):
    task = load_task(TaskSpec.model_validate(f"embedded:{name}"), seed=0, root=tmp_path)
    assert task.score is not None
    assert task.stop
    assert min(len(task.splits[split]) for split in SPLITS) >= 10


class FakeHub(types.ModuleType):
    """Stands for `datasets`: two splits, and the errors it raises without a network."""

    def __init__(self):
        super().__init__("datasets")
        self.asked = []

    def load_dataset(self, identifier, config, *, split, revision):
        self.asked.append((identifier, config, split, revision))
        if split not in ("train", "held_out"):
            raise ConnectionError("Couldn't reach the Hub\n(offline)")
        return [{"q": f"{split} {i}?", "a": str(i)} for i in range(30 if split == "train" else 4)]


@pytest.fixture
def hub(monkeypatch):
    fake = FakeHub()
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return fake


FIELDS = {"prompt": "q", "answer": "a"}


def test_a_hub_data_set_is_read_by_split_and_field_names(hub, tmp_path):
    source = {"id": "some/set", "config": "main", "revision": "abc", "splits": {"test": "held_out"}}
    task = load(tmp_path, hub=source, fields=FIELDS)
    assert sorted(hub.asked) == [("some/set", "main", "held_out", "abc"), ("some/set", "main", "train", "abc")]
    assert [row.id for row in task.splits["test"]] == [f"held_out-{i}" for i in range(4)]
    assert sum(len(task.splits[split]) for split in SPLITS) == 34


def test_a_hub_id_alone_is_a_source(hub, tmp_path):
    assert len(load(tmp_path, hub="some/set", fields=FIELDS, rows={"test": 5}).splits["test"]) == 5


def test_hub_errors_are_one_line(hub, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"'some/set', split 'gone': Couldn't reach the Hub \(offline\); check id"):
        load(tmp_path, hub={"id": "some/set", "splits": {"test": "gone"}}, fields=FIELDS)
    with pytest.raises(UserError, match=r"some/set split 'train' row 0: no field 'answer'; fields found: q, a"):
        load(tmp_path, hub="some/set", fields={"prompt": "q"})
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the package datasets; pip install 'semalign\[data\]'"):
        load(tmp_path, hub="some/set", fields=FIELDS)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "t"}, "give exactly one source"),
        ({"name": "t", "train": "a.jsonl", "hub": "b"}, "give exactly one source"),
        ({"name": "t", "benchmark": "gsm8k", "hub": "b"}, "give exactly one source"),
        ({"name": "t", "test": "a.jsonl"}, "'train' is missing"),
        ({"benchmark": "gsm8k", "fields": {"prompt": "q"}}, "'fields' has no effect on benchmark 'gsm8k'"),
        ({"benchmark": "gsm8k", "folder": "embedded:facts"}, "an embedded task takes no 'benchmark'"),
        ({"benchmark": "humaneval", "rows": {"train": 9}}, "HumanEval has no training rows; train on 'mbpp'"),
        ({"name": "t", "train": "a.jsonl", "rows": {"test": 0}}, "greater than 0"),
        ({"name": "t", "train": "a.jsonl", "rows": {"tets": 1}}, "Extra inputs are not permitted"),
        ({"name": "t", "train": "a.jsonl", "sotp": []}, "Extra inputs are not permitted"),
        ({"name": "t", "train": "a.jsonl", "stop": [""]}, "a stop string is empty"),
        ({"name": "a/b", "train": "a.jsonl"}, "pattern"),
        ("gsm9k", "'gsm8k', 'mmlu', 'mbpp' or 'humaneval'"),
    ],
)
def test_a_specification_that_cannot_be_meant_is_refused(spec, message):
    with pytest.raises(ValidationError) as error:
        TaskSpec.model_validate(spec)
    assert len(error.value.errors()) == 1
    assert message in error.value.errors()[0]["msg"]
