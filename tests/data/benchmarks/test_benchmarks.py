"""The benchmarks' rows: LaTen splits by id, exact texts, no test row in training, files and hub alike."""

import csv
import json
import os
import sys
import types
from collections import defaultdict
from pathlib import Path

import pytest

from semalign.data import SPLITS, TaskSpec, encode, load_task, prompt_text
from semalign.data.benchmarks import BENCHMARKS
from semalign.data.benchmarks.protocol import expect
from semalign.errors import UserError

FOLDER = Path(os.environ.get("SEMALIGN_DATA", Path(__file__).parents[4] / "shared" / "data"))
real = [
    pytest.mark.real,
    pytest.mark.slow,  # 24,000 rows with every signature checked
    pytest.mark.skipif(not (FOLDER / "gsm8k").is_dir(), reason=f"no benchmark files in {FOLDER} (set SEMALIGN_DATA)"),
]
SIZES = {
    "gsm8k": (20, 80, 1000, 5512, 1319),
    "mmlu": (20, 80, 1000, 260, 14029),
    "mbpp": (32, 40, 300, 90, 499),
    "humaneval": (0, 0, 0, 0, 164),
}


def load(name, **spec):
    return load_task(TaskSpec.model_validate({"benchmark": name, **spec}), seed=0, root=FOLDER)


@pytest.fixture(scope="module")
def tasks():
    return {name: load(name, folder=".") for name in BENCHMARKS}


def find(task, identifier):
    return next(row for rows in task.splits.values() for row in rows if row.id == identifier)


@pytest.mark.parametrize("name", BENCHMARKS)
class TestRealFiles:
    pytestmark = real

    def test_splits_have_their_sizes(self, tasks, name):
        assert tuple(len(tasks[name].splits[split]) for split in SPLITS) == SIZES[name]

    def test_splits_are_disjoint_by_id(self, tasks, name):
        ids = [row.id for split in SPLITS for row in tasks[name].splits[split]]
        assert len(set(ids)) == len(ids) == sum(SIZES[name])

    def test_no_prompt_is_both_trained_on_and_tested(self, tasks, name):
        splits = tasks[name].splits
        trained = {" ".join(row.prompt.split()) for split in SPLITS[:-1] for row in splits[split]}
        assert not trained & {" ".join(row.prompt.split()) for row in splits["test"]}

    def test_the_shipped_ids_are_the_files_ids(self, tasks, name):
        if name == "humaneval":
            pytest.skip("HumanEval has no training rows")
        listed = json.loads((FOLDER / name / "split_ids.json").read_text())
        prefix = {"gsm8k": "gsm_", "mmlu": "", "mbpp": "mbpp_"}[name]
        for split in ("extract", "align", "train"):
            assert [row.id for row in tasks[name].splits[split]] == [f"{prefix}{i}" for i in listed[f"laten_{split}"]]

    def test_the_hub_gives_the_same_rows(self, tasks, name, monkeypatch):
        monkeypatch.setitem(sys.modules, "datasets", HubOfFiles())
        fetched = load(name)
        for split in SPLITS:
            assert fetched.splits[split] == tasks[name].splits[split]

    def test_scorers_find_what_they_need(self, tasks, name):
        for row in tasks[name].splits["test"]:
            if name == "gsm8k":
                assert float(row.extra["final"]) is not None
                assert row.answer.replace(",", "").endswith(f"So the answer is {row.extra['final']}.")
            elif name == "mmlu":
                assert row.extra["choices"][row.extra["gold"]] == row.answer
            else:
                assert row.extra["entry_point"] in row.extra["tests"]


class TestExactText:
    pytestmark = real

    def test_gsm8k(self, tasks):
        first = json.loads((FOLDER / "gsm8k" / "train.jsonl").read_text().splitlines()[5238])
        row = tasks["gsm8k"].splits["extract"][0]
        assert row.id == "gsm_5238"
        assert row.prompt == f"Answer the following question.\n\nQuestion: {first['question']}\n"
        assert find(tasks["gsm8k"], "gsm_test_0").answer == (
            "Answer: Janet sells 16 - 3 - 4 = 9 duck eggs a day. She makes 9 * 2 = $18 every day at the "
            "farmer’s market. So the answer is 18."
        )
        assert "<<" not in "".join(row.answer for row in tasks["gsm8k"].splits["train"])

    def test_gsm8k_commas_are_stripped_from_the_final_number_only(self, tasks):
        rows = tasks["gsm8k"].splits["train"]
        rows = [row for row in rows if row.extra["final"] not in row.answer.rpartition("is ")[2]]
        assert rows
        assert all("," in row.answer.rpartition("is ")[2] and "," not in row.extra["final"] for row in rows)

    def test_mmlu(self, tasks):
        row = find(tasks["mmlu"], "abstract_algebra_test_0")
        assert row.prompt == (
            "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
            "Find the degree for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q.\n"
            "A. 0\nB. 4\nC. 2\nD. 6\nAnswer:\n"
        )
        assert row.answer == "The answer is: B"
        assert row.extra == {"choices": [f"The answer is: {letter}" for letter in "ABCD"], "gold": 1}

    def test_mbpp(self, tasks):
        row = find(tasks["mbpp"], "mbpp_809")
        record = json.loads((FOLDER / "mbpp" / "mbpp.jsonl").read_text().splitlines()[808])
        start = record["code"].split(":")[0]
        assert row.messages == (
            {"role": "user", "content": f"Complete the following python function.\n\n\n{record['text']}\n{start}"},
        )
        assert row.answer == f"Here is the completed function:\n\n\n```python\n{record['code']}"
        assert row.extra["tests"] == "\n".join(record["test_list"])
        assert row.extra["entry_point"] == "check_smaller"

    def test_mbpp_solutions_pass_their_tests(self, tasks):
        for row in tasks["mbpp"].splits["test"][:25]:
            space: dict = {}
            exec(row.answer.partition("```python\n")[2], space)
            exec(row.extra["tests"], space)
            assert row.extra["entry_point"] in space

    def test_humaneval_solutions_pass_their_tests(self, tasks):
        for row in tasks["humaneval"].splits["test"][:25]:
            space: dict = {}
            exec(row.prompt + row.answer, space)
            exec(row.extra["tests"], space)

    def test_humaneval_in_chat_opens_the_answer_as_mbpp_does(self, tasks, plain):
        row = tasks["humaneval"].splits["test"][0]
        text = prompt_text(row, plain, "chat")
        assert text.endswith(f"assistant\nHere is the completed function:\n\n\n```python\n{row.prompt}")
        assert prompt_text(row, plain, "plain") == row.prompt
        assert row.extra["code_prefix"] == row.prompt + "\n"

    def test_answers_are_supervised_whole(self, tasks, plain):
        for task in tasks.values():
            rows = task.splits["test"][:5]
            for row, example in zip(rows, encode(rows, plain, template="chat", max_length=10**6), strict=True):
                assert plain.decode(example.input_ids[example.n_prompt : -1]) == row.answer

    def test_what_is_left_out_of_the_test_is_said(self, tasks):
        assert tasks["mmlu"].notes == ("mmlu: 13 of 14042 test rows also stand in the training pool, left out",)
        assert tasks["mbpp"].notes == ("mbpp: 1 of 500 test rows also stand in the training pool, left out",)
        assert tasks["gsm8k"].notes == ()
        assert "HumanEval has test rows only" in tasks["humaneval"].notes[0]

    def test_samples_keep_the_protocols_rows(self, tasks):
        few = load("mbpp", folder=".", rows={"train": 96, "test": 8})
        assert len(few.splits["train"]) == 96
        assert {row.id for row in few.splits["train"]} <= {row.id for row in tasks["mbpp"].splits["train"]}
        assert few.splits["extract"] == tasks["mbpp"].splits["extract"]


def test_a_file_of_another_size_is_refused():
    with pytest.raises(UserError, match=r"^train.jsonl: 7000 rows, the benchmark has 7473; take the original file$"):
        expect(7000, 7473, "train.jsonl")


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        (
            "gsm8k",
            {"train.jsonl": '{"question": "q", "answer": "a #### 1"}\n'},
            "train.jsonl: 1 rows, the benchmark has 7473",
        ),
        ("gsm8k", {}, "train.jsonl: no such file"),
        ("mbpp", {"mbpp.jsonl": '{"task_id": 1}\n'}, "mbpp.jsonl: 1 rows, the benchmark has 974"),
        (
            "mmlu",
            {"dev_validation_1702.jsonl": '{"id": "x", "messages": []}\n'},
            "line 1: expected an id, a question and",
        ),
        ("humaneval", {"HumanEval.jsonl": "{}\n"}, "HumanEval.jsonl: 1 rows, the benchmark has 164"),
    ],
)
def test_files_that_are_not_the_benchmarks_are_one_line(tmp_path, name, files, message):
    (tmp_path / name).mkdir()
    for file, text in files.items():
        (tmp_path / name / file).write_text(text)
    with pytest.raises(UserError) as error:
        load(name, folder=str(tmp_path))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


class HubOfFiles(types.ModuleType):
    """Stands for `datasets`: the benchmark files in the hub data sets' layout (MMLU: invented first rows)."""

    def __init__(self):
        super().__init__("datasets")

    def load_dataset(self, identifier, config, *, split, revision):
        return {
            ("openai/gsm8k", "main"): lambda: jsonl(FOLDER / "gsm8k" / f"{split}.jsonl"),
            ("google-research-datasets/mbpp", "full"): lambda: mbpp(split),
            ("openai/openai_humaneval", None): lambda: jsonl(FOLDER / "humaneval" / "HumanEval.jsonl"),
            ("cais/mmlu", "all"): lambda: mmlu(split),
        }[identifier, config]()


def jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def mbpp(split):
    first, last = {"prompt": (1, 10), "test": (11, 510), "validation": (511, 600), "train": (601, 974)}[split]
    return [row for row in jsonl(FOLDER / "mbpp" / "mbpp.jsonl") if first <= row["task_id"] <= last]


def mmlu(split):
    if split != "validation":
        return [row for path in sorted((FOLDER / "mmlu" / split).glob("*.csv")) for row in subject_rows(path, split)]
    subjects = defaultdict(dict)
    for row in jsonl(FOLDER / "mmlu" / "dev_validation_1702.jsonl"):
        subject, _, k = row["id"].rpartition("_")
        subjects[subject][int(k)] = parsed(subject, row["messages"])
    padding = {"question": "", "choices": [""] * 4, "answer": 0}
    return [
        row
        for subject, rows in subjects.items()
        for row in ({"subject": subject, **padding}, *(rows[k] for k in sorted(rows) if k >= 4))
    ]


def subject_rows(path, split):
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            choices = [row[f"choice{k}"] for k in range(4)]
            subject = path.name.removesuffix(f"_{split}.csv")
            yield {"subject": subject, "question": row["question"], "choices": choices, "answer": int(row["answer"])}


def parsed(subject, messages):
    """A question and its choices out of the text that shows them."""
    shown = messages[0]["content"].partition("\n\n")[2].removesuffix("\nAnswer:")
    rest, choices = shown, []
    for letter in "DCBA":
        rest, _, choice = rest.rpartition(f"\n{letter}. ")
        choices.insert(0, choice)
    return {
        "subject": subject,
        "question": rest,
        "choices": choices,
        "answer": "ABCD".index(messages[1]["content"][-1]),
    }
