"""What a run does with training rows that are, or nearly are, among the rows it is scored on."""

import json
import os
from pathlib import Path

import pytest
import yaml
from tiny_run import write_rows

from semalign.config import Run
from semalign.contamination import load_tasks
from semalign.errors import UserError

FOLDER = Path(os.environ.get("SEMALIGN_DATA", Path(__file__).parents[2] / "shared" / "data"))
LONG = "Anna has {} apples and gives one of them to each of her four friends, how many are left"


def rows(task, first, count):
    return [
        {"id": f"{task}{i}", "prompt": f"{task} number {i}", "answer": f"a{i}"} for i in range(first, first + count)
    ]


def write_task(folder, task, **more):
    """Ten rows to train on, and three in each other split; `more` rows join a split."""
    (folder / task).mkdir()
    for i, split in enumerate(("train", "align", "extract", "validation", "test")):
        found = rows(task, 100 * i, 10 if split == "train" else 3)
        write_rows(folder / task / f"{split}.jsonl", [*found, *more.get(split, ())])


def run_of(folder, *tasks, evaluation=None, **data):
    values = {
        "name": "r",
        "root": str(folder),
        "teacher": "./teacher",
        "student": "./student",
        "method": "semalign",
        "data": {"tasks": [{"name": task, "folder": task, "score": "likelihood"} for task in tasks], **data},
        "evaluation": evaluation or {},
    }
    return Run.make(values)


def prompt(identifier, text, answer="x"):
    return {"id": identifier, "prompt": text, "answer": answer}


@pytest.fixture
def leaky(tmp_path):
    """A training and an align row that share words with a test row; the test row has another number."""
    write_task(
        tmp_path,
        "t",
        train=[prompt("leak", LONG.format(7))],
        align=[prompt("too", LONG.format(8))],
        validation=[prompt("v", LONG.format(9))],
        test=[prompt("tested", LONG.format(12))],
    )
    return tmp_path


def test_an_overlap_is_one_warning_with_count_and_rows_and_changes_nothing(leaky):
    tasks, found = load_tasks(run_of(leaky, "t"))
    assert len(tasks[0].splits["train"]) == 11
    assert found.warnings == [
        "2 of 18 training rows share 13 words in a row, or the prompt, with a row that is scored (t row 'leak' with t "
        "row 'tested', t row 'too' with t row 'tested'); they are trained on; data.overlap: drop leaves them out"
    ]
    plain = found.plain()
    assert (plain["action"], plain["n"], plain["rows"], plain["training_rows"]) == ("report", 13, 2, 18)
    assert plain["pairs"][0]["words"] == "apples and gives one of them to each of her four friends how"
    assert json.loads(json.dumps(plain)) == plain


def test_longer_runs_can_be_asked_for(leaky):
    _, found = load_tasks(run_of(leaky, "t", overlap_words=17))
    assert (found.found, found.warnings) == ([], [])


def test_refuse_refuses(leaky):
    with pytest.raises(UserError, match=r"2 of 18 training rows share .*'leak'.*set data\.overlap to drop or report"):
        load_tasks(run_of(leaky, "t", overlap="refuse"))


def test_drop_leaves_the_rows_out_of_what_is_trained_on_alone(leaky):
    (task,), found = load_tasks(run_of(leaky, "t", overlap="drop"))
    assert {split: len(kept) for split, kept in task.splits.items()} == {
        "train": 10,
        "align": 3,
        "extract": 3,
        "validation": 4,
        "test": 4,
    }
    assert "were left out" in found.warnings[0]


@pytest.mark.parametrize("split", ["train", "align", "extract"])
@pytest.mark.parametrize("scored", ["test", "validation"])
def test_a_scored_row_of_another_task_is_never_trained_on(scored, split, tmp_path):
    write_task(tmp_path, "one", **{split: [prompt("mine", "same  question", "same answer")]})
    write_task(tmp_path, "two", **{scored: [prompt("its", "same question", "same answer")]})
    evaluation = {"split": scored}
    with pytest.raises(UserError) as caught:
        load_tasks(run_of(tmp_path, "one", "two", evaluation=evaluation))
    assert str(caught.value) == (
        "one row 'mine' is trained on and is also two row 'its', which is scored; remove it from one of them, or set "
        "data.overlap: drop"
    )
    tasks, _ = load_tasks(run_of(tmp_path, "one", "two", evaluation=evaluation, overlap="drop"))
    assert all(row.id != "mine" for task in tasks for row in task.splits[split])


def test_validation_is_kept_apart_where_it_is_what_is_scored(tmp_path):
    twin = prompt("mine", "same question", "same answer")
    write_task(tmp_path, "t", train=[twin], validation=[{**twin, "id": "its"}])
    load_tasks(run_of(tmp_path, "t"))  # scored on test
    with pytest.raises(UserError, match=r"t row 'mine' is trained on and is also t row 'its'"):
        load_tasks(run_of(tmp_path, "t", evaluation={"split": "validation"}))


def test_settings_that_are_not_changed_are_not_written_so_that_older_runs_go_on(leaky):
    assert {"overlap", "overlap_words"}.isdisjoint(run_of(leaky, "t").plain()["data"])
    changed = run_of(leaky, "t", overlap="drop", overlap_words=8)
    assert yaml.safe_load(changed.to_yaml())["data"]["overlap"] == "drop"
    assert Run.make(changed.plain()).data == changed.data


@pytest.mark.parametrize(("given", "said"), [({"overlap": "ignore"}, "report"), ({"overlap_words": 0}, "greater")])
def test_bad_settings_get_one_line(given, said, leaky):
    with pytest.raises(UserError, match=said):
        run_of(leaky, "t", **given)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not (FOLDER / "gsm8k").is_dir(), reason=f"no benchmark files in {FOLDER} (set SEMALIGN_DATA)")
def test_rows_of_the_benchmarks_that_a_run_asks_count_too(tmp_path):
    line = (FOLDER / "gsm8k" / "test.jsonl").read_text(encoding="utf-8").splitlines()[3]
    write_task(tmp_path, "t", train=[prompt("leak", f"Solve: {json.loads(line)['question']}")])
    assert load_tasks(run_of(tmp_path, "t"))[1].found == []
    asked = {"benchmarks": {"tasks": ["gsm8k"], "data": str(FOLDER)}}
    (found,) = load_tasks(run_of(tmp_path, "t", evaluation=asked))[1].found
    assert (found.training.id, found.evaluation.id) == ("leak", "gsm_test_3")
