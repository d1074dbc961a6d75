"""The teacher answers prompts, and methods train on its answers: which rows, which answers, and at what price."""

import contextlib
import json
from dataclasses import replace

import pytest
import yaml
from tiny_run import config_of, make_tokenizer, names, sums, write_model, write_rows

from semalign import evaluation, pipeline
from semalign.artifacts import read_json
from semalign.config import Run
from semalign.contamination import load_tasks
from semalign.data import TaskSpec, load_task, prompt_text
from semalign.data.formats import KEYS
from semalign.data.jsonl import read_rows
from semalign.data.prompts import prompts_of_file
from semalign.data.rows import row_from_record
from semalign.errors import UserError
from semalign.evaluation.texts import Written
from semalign.methods import LoopMethod
from semalign.models import load
from semalign.progress import Reporter
from semalign.strategy import build
from semalign.sweep.fit import check_runs
from semalign.teacher_answers import TeacherAnswers, little_room, write_answers
from semalign.training import TrainingOptions
from semalign.training.loop import batch_plan

BOTH, ONLY = {"name": "sft", "answers": "both"}, {"name": "logit_kd", "answers": "teacher"}


def task_of(world, **changes):
    return {"name": "names", "folder": "names", "score": "likelihood", **changes}


def asking(world, name, **changes):
    """A run of 8 gold rows and 10 prompts; untrained teachers hardly ever end, so any text of 4 tokens is an answer."""
    rows = {"train": 8, "prompts": 10}
    data = {"template": "plain", "max_length": 48, "tasks": [task_of(world, rows=rows, stop=["e", "a", "i", "o", "n"])]}
    training = {"epochs": 2, "batch_size": 6, "learning_rate": 0.01, "lora": {"rank": 2}}
    teacher = {"model": "./teacher", "writes": {"max_new_tokens": 40, "temperature": 1.0}}
    given = {"data": data, "training": training, "teacher": teacher, "controls": {"gold": "sft", "both": BOTH}}
    return config_of(world, name=name, **(given | {"method": ONLY} | changes))


def run(config, out, **options):
    return pipeline.run(config, out, reporter=Reporter(quiet=True), pages=False, **options)


@pytest.fixture(scope="module")
def done(world):
    return run(asking(world, "asking"), world / "asking")


def answers_of(folder, task="names"):
    lines = (folder / "teacher" / "answers" / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


# which rows


def splits(world, **rows):
    spec = TaskSpec.model_validate(task_of(world, rows=rows))
    return load_task(spec, seed=3, root=world).splits


def test_prompts_are_rows_that_are_not_trained_on_and_change_nothing_else(world):
    without, some, more = splits(world, train=8), splits(world, train=8, prompts=5), splits(world, train=8, prompts=12)
    assert "prompts" not in without
    for split, rows in without.items():
        assert some[split] == more[split] == rows
    ids = {split: {row.id for row in rows} for split, rows in more.items()}
    assert len(ids["prompts"]) == 12
    assert not ids["prompts"] & ids["train"]
    assert {row.id for row in some["prompts"]} < ids["prompts"]


def test_nobody_sees_a_gold_answer_of_a_prompt(world):
    prompts = splits(world, train=8, prompts=5)["prompts"]
    assert [(row.answer, row.extra) for row in prompts] == [("", {})] * 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"prompts": 5}, "give rows.train, or a file"),
        ({"train": 18, "prompts": 5}, "ask for 23 rows of train, there are 20"),
    ],
)
def test_prompts_that_are_not_there_are_refused(world, rows, message):
    with pytest.raises(UserError, match=message):
        splits(world, **rows)


CHAT = [{"role": "user", "content": "Say a."}]
FORMS = [
    ({"prompt": "Say a."}, {"answer": "b"}),
    ({"prompt": "Say a.", "completion": None}, {"completion": "b"}),
    ({"question": "Say a."}, {"answer": 5, "gold": -1}),
    ({"instruction": "Say", "input": "a."}, {"output": "b"}),
    ({"messages": CHAT}, {"messages": [*CHAT, {"role": "assistant", "content": ""}]}),
    (
        {"messages": [{"from": "human", "value": "Say a."}]},
        {"messages": [*CHAT, {"role": "assistant", "content": "b"}]},
    ),
    ({"conversations": CHAT}, {"conversations": [*CHAT, {"from": "gpt", "value": "b"}]}),
    ({"prompt": CHAT}, {"completion": [{"role": "assistant", "content": "b"}]}),
    ({"prompt": "Say a.", "messages": None}, {"chosen": "b", "rejected": "c"}),
]


@pytest.mark.parametrize(
    ("record", "answered"), FORMS, ids=[f"{i}-{next(iter(form[0]))}" for i, form in enumerate(FORMS)]
)
def test_a_file_of_prompts_needs_no_answers_and_looks_at_none(record, answered, tmp_path):
    read = []
    for name, added in (("open", {}), ("closed", answered)):
        write_rows(tmp_path / f"{name}.jsonl", [{"id": "x", **record, **added}])
        how = {"task": "t", "fields": {"final": "short"}, "layout": None}
        read += prompts_of_file(tmp_path / f"{name}.jsonl", **how)
    assert read[0] == read[1]
    assert (read[0].answer, read[0].extra) == ("", {})
    assert "a." in read[0].prompt


ASKED = {
    "prompt": "Solve: a. It is b.",
    "completion": "b",
    "answer": "c",
    "question": "Say a?",
    "instruction": "Say",
    "input": "a.",
    "output": "d",
    "history": [["And e?", "f"]],
    "messages": [*CHAT, {"role": "assistant", "content": "g"}],
    "conversations": [{"from": "human", "value": "Tell a."}, {"from": "gpt", "value": "h"}],
}
OTHERWISE = {
    "completion": "x",
    "answer": "x",
    "output": "x",
    "messages": [*CHAT, {"role": "assistant", "content": "x"}],
    "conversations": [{"from": "human", "value": "Tell a."}, {"from": "gpt", "value": "x"}],
}


@pytest.mark.parametrize("turns", [False, True], ids=["text", "turns"])
@pytest.mark.parametrize("layout", [None, *KEYS])
def test_a_record_has_the_prompt_that_it_has_as_a_training_row(layout, turns, tmp_path):
    """Every subset of the known keys that can be trained on; and other answers in it make no difference."""
    of_turns = {"prompt": CHAT, "completion": [{"role": "assistant", "content": "b"}]} if turns else {}
    known, records, trained = ASKED | of_turns, [], []
    for bits in range(2 ** len(known)):
        record = {"id": str(bits), **{name: known[name] for i, name in enumerate(known) if bits >> i & 1}}
        with contextlib.suppress(UserError):
            trained.append(row_from_record(record, task="t", identifier="", where="", layout=layout))
            records.append(record)
    assert len(records) > 100
    changed = OTHERWISE | ({"completion": [{"role": "assistant", "content": "x"}]} if turns else {})
    for each in (records, [{name: changed.get(name, value) for name, value in one.items()} for one in records]):
        write_rows(tmp_path / "open.jsonl", each)
        how = {"task": "t", "fields": {}, "layout": layout}
        read = prompts_of_file(tmp_path / "open.jsonl", **how)
        assert read == [replace(row, answer="", extra={}) for row in trained]


def test_a_named_format_passes_over_the_fields_of_others():
    record = {"instruction": "Say", "input": "a.", "output": "d", "prompt": "Say a. It is d.", "answer": "c"}
    row = row_from_record(record, task="t", identifier="", where="", layout="alpaca")
    assert (row.prompt, row.answer) == ("Say\n\na.\n", "d")


def test_renamed_fields_name_the_prompt(tmp_path):
    write_rows(tmp_path / "open.jsonl", [{"ask": "Say a.", "messages": "not read"}])
    how = {"task": "t", "layout": None, "fields": {"prompt": "ask", "answer": "reply"}}
    assert prompts_of_file(tmp_path / "open.jsonl", **how)[0].prompt == "Say a."


TESTED = [
    {"prompt": names(31)["prompt"]},
    {"messages": [{"role": "user", "content": names(31)["prompt"].strip()}]},
    {"instruction": names(31)["prompt"].strip(), "output": "another answer"},
]


@pytest.mark.parametrize("record", TESTED, ids=["prompt", "messages", "instruction"])
def test_a_prompt_of_a_test_row_is_refused_or_dropped_in_any_layout(record, world, tmp_path):
    write_rows(tmp_path / "open.jsonl", [record, {"prompt": "Another?"}])
    spec = task_of(world, prompts=str(tmp_path / "open.jsonl"), rows={"prompts": 1})
    for seed in range(3):  # also where the sample is another
        with pytest.raises(UserError, match="prompts row 'open-1' has the prompt of test row 'n31'; remove it, or set"):
            load_task(TaskSpec.model_validate(spec), seed=seed, root=world)
    data = {"template": "plain", "overlap": "drop", "tasks": [{**spec, "rows": {}}]}
    (task,), _ = load_tasks(Run.read(asking(world, "dropping", data=data)))
    assert [row.id for row in task.splits["prompts"]] == ["open-2"]
    assert task.notes == ("names: 1 of 2 prompts are left out: they have the prompt of a test row",)


def test_no_seed_draws_the_prompt_of_a_test_row(world, tmp_path):
    """Two training rows have prompts of the test with answers of their own, which is no reason not to train on them."""
    (tmp_path / "names").mkdir()
    for path in (world / "names").iterdir():
        (tmp_path / "names" / path.name).write_bytes(path.read_bytes())
    train = [names(i) for i in range(20)]
    train[3]["prompt"], train[11]["prompt"] = names(30)["prompt"], names(35)["prompt"]
    write_rows(tmp_path / "names" / "train.jsonl", train)
    spec = TaskSpec.model_validate(task_of(tmp_path, rows={"train": 8, "prompts": 10}))
    drawn, trained = set(), set()
    for seed in range(12):
        task = load_task(spec, seed=seed, root=tmp_path)
        assert len(task.splits["prompts"]) == 10
        drawn |= {row.id for row in task.splits["prompts"]}
        trained |= {row.id for row in task.splits["train"]}
    assert trained > drawn == {row["id"] for row in train} - {"n3", "n11"}
    note = "2 train rows with the prompt of a test or validation row are not drawn as prompts"
    assert f"names: {note}" in task.notes
    spec = TaskSpec.model_validate(task_of(tmp_path, rows={"train": 8, "prompts": 11}))
    with pytest.raises(UserError, match=f"ask for 19 rows of train, there are 20 .{note}"):
        load_task(spec, seed=0, root=tmp_path)


def test_a_task_whose_prompts_are_all_dropped_has_none(world, tmp_path):
    write_rows(tmp_path / "open.jsonl", [{"prompt": names(31)["prompt"]}])
    tasks = [task_of(world, prompts=str(tmp_path / "open.jsonl"))]
    tasks.append({"name": "sums", "folder": "sums", "score": "exact_match", "rows": {"train": 8, "prompts": 4}})
    data = {"template": "plain", "overlap": "drop", "tasks": tasks}
    found, _ = load_tasks(Run.read(asking(world, "none", data=data)))
    assert ["prompts" in task.splits for task in found] == [False, True]
    prompt = found[1].splits["prompts"][0].prompt
    write_rows(tmp_path / "open.jsonl", [{"prompt": prompt}])
    other = {**task_of(world, name="other", prompts=str(tmp_path / "open.jsonl"))}
    test = tmp_path / "test.jsonl"
    write_rows(test, [{"prompt": prompt, "answer": "of a test"}])
    scored = {"name": "scored", "train": str(world / "names" / "train.jsonl"), "test": str(test), "score": "likelihood"}
    data = {"template": "plain", "overlap": "drop", "tasks": [other, scored]}
    config = Run.read(asking(world, "none", data=data))
    (task, _), overlap = load_tasks(config)
    assert "prompts" not in task.splits
    assert "1 of " in overlap.warnings[0]
    with pytest.raises(UserError, match="other row 'open-1' has the prompt of scored row 'test-1', which is scored"):
        load_tasks(config.model_copy(update={"data": config.data.model_copy(update={"overlap": "report"})}))


# which steps


def test_a_plan_of_more_steps_begins_with_the_shorter_one():
    options = TrainingOptions(epochs=2, batch_size=4)
    short = batch_plan(10, options, seed=5)
    assert len(short) == 6
    assert batch_plan(10, options, 5, 6) == short
    long = batch_plan(10, options, 5, 8)
    assert (long[:6], len(long)) == (short, 8)
    assert batch_plan(10, options, 5, 5) == short[:5]


def test_what_says_nothing_of_answers_is_told_as_before():
    assert "answers" not in build("method", "sft", "method").spec()
    method = build("method", BOTH, "method")
    assert isinstance(method, LoopMethod)
    assert build("method", method.spec(), "method") == method
    assert [method.replace(answers=answers).follows_answers for answers in ("gold", "teacher", "both")] == [
        False,
        True,
        True,
    ]


# a whole run


@pytest.mark.slow
def test_every_method_takes_the_same_steps_on_its_own_rows(done):
    record = read_json(done / "record.json")
    told = record["answers"]["tasks"]["names"]
    assert told["prompts"] == 10
    assert told["answers"] + told["unended"] + told["empty"] == 10
    assert told["answers"] == len(answers_of(done)) > 4
    n_step = TrainingOptions(epochs=2, batch_size=6).n_step(8 + told["answers"])
    models = {model["key"]: model for model in record["models"] if model["steps"]}
    assert {model["steps"] for model in models.values()} == {n_step}
    written = sum(cost["teacher_tokens"] for cost in record["costs"] if cost["stage"] == "write answers")
    assert written > 0
    assert models["gold"]["teacher_tokens"] == 0
    assert models["both"]["teacher_tokens"] == written, "SFT asks its teacher for nothing else"
    assert models["logit_kd"]["teacher_tokens"] > written


@pytest.mark.slow
def test_answers_are_texts_of_the_teacher(done, world):
    """Each of them is what it writes after the prompt alone, by the run's seed, whatever was asked beside it."""
    config = Run.read(done / "config.yaml")
    task = load_task(config.tasks[0], seed=config.seed, root=world)
    wanted = answers_of(done)[2]
    alone = task.splits["prompts"]
    one = [row for row in alone if row.id == wanted["id"]]
    assert one[0].prompt == wanted["prompt"]
    task.splits["prompts"] = one
    write_answers(load(str(world / "teacher")), [task], config, world / "alone")
    assert json.loads((world / "alone" / "names.jsonl").read_text()) == wanted
    assert wanted["answer"] != names(int(wanted["id"][1:]))["answer"]


CHAT_TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}<eos>{% endfor %}assistant: "


@pytest.mark.slow
@pytest.mark.parametrize("template", ["chat", "plain"])
def test_answers_are_written_as_the_rows_that_are_trained_on(template, world, tmp_path, monkeypatch):
    """Read as training rows they give the same text, of chats too."""
    write_model(tmp_path / "teacher", n_layer=1, width=16, tokenizer=make_tokenizer(chat_template=CHAT_TEMPLATE))
    (tmp_path / "names").symlink_to(world / "names")
    user, system = CHAT[0], {"role": "system", "content": "Be brief."}
    records = [{"messages": [system, user, {"role": "assistant", "content": "b"}, user]}, {"question": "Say b?"}]
    records += [
        {
            "prompt": [user, {"role": "assistant", "content": "It is"}],
            "completion": [{"role": "assistant", "content": "b"}],
        }
    ]
    write_rows(tmp_path / "open.jsonl", records)
    tasks = [task_of(world, prompts="open.jsonl")]
    given = asking(tmp_path, "chats", data={"template": template, "tasks": tasks})
    config = Run.read(given)
    task = load_task(config.tasks[0], seed=config.seed, root=tmp_path)
    teacher = load(str(tmp_path / "teacher"))
    monkeypatch.setattr(evaluation, "write_texts", lambda _, rows, **how: [Written(f" {row.id}", True) for row in rows])
    write_answers(teacher, [task], config, tmp_path / "answers")
    kept = TeacherAnswers.load(tmp_path / "answers", [task]).rows["names"]
    assert len(kept) == 3
    read = read_rows(tmp_path / "answers" / "names.jsonl", task="names")
    texts = [[(prompt_text(row, teacher.tokenizer, template), row.answer) for row in rows] for rows in (kept, read)]
    assert texts[0] == texts[1]


@pytest.mark.slow
def test_gold_answers_of_prompts_make_no_difference(done, world, tmp_path):
    """The same run where every answer of the training file that is not drawn for training is another one."""
    trained = {row.id for row in splits_of(done, world)["train"]}
    for name in ("teacher", "student"):
        (tmp_path / name).symlink_to(world / name)
    (tmp_path / "names").mkdir()
    for path in (world / "names").iterdir():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        if path.stem == "train":
            rows = [row if row["id"] in trained else {**row, "answer": "LEAK"} for row in rows]
        write_rows(tmp_path / "names" / path.name, rows)
    other = run(asking(tmp_path, "asking"), tmp_path / "out")
    assert answers_of(other) == answers_of(done)
    for name in ("gold", "both", "logit_kd"):
        path = f"train/{name}/adapter/adapter_model.safetensors"
        assert (other / path).read_bytes() == (done / path).read_bytes()


def splits_of(folder, world):
    config = Run.read(folder / "config.yaml")
    return load_task(config.tasks[0], seed=config.seed, root=world).splits


@pytest.mark.slow
def test_a_stopped_stage_goes_on_where_it_was(done, world, monkeypatch):
    """The second start writes only what the first had not, and the run is the same to the bit."""
    config = asking(world, "stopped", evaluation={"batch_size": 4})
    from semalign.evaluation import generation, model

    real, asked = generation.generate, []

    def breaking(module, prompts, *args, **options):
        if len(asked) == 1 and not resumed:
            raise KeyboardInterrupt
        asked.append(len(prompts))
        return real(module, prompts, *args, **options)

    resumed = False
    monkeypatch.setattr(model, "generate", breaking)
    with pytest.raises(KeyboardInterrupt):
        run(config, world / "stopped")
    assert asked == [4]
    drafts = world / "stopped" / "teacher" / "answers" / ".drafts.jsonl"
    (spent,) = [value for key, value in map(json.loads, drafts.read_text().splitlines()) if key == "spent"][-1:]
    assert spent["seconds"] > 0
    resumed = True
    run(config, world / "stopped")
    assert asked == [4, 4, 2]
    cost = read_json(world / "stopped" / "stages.json")["write answers"]
    given = Run.read(config)
    task, teacher = load_task(given.tasks[0], seed=given.seed, root=world), load(str(world / "teacher"))
    whole = write_answers(teacher, [task], given, world / "at-once")
    assert cost["seconds"] > spent["seconds"]
    assert cost["teacher_tokens"] == cost["tokens"] == whole.teacher_tokens > 0, "as if nothing had stopped it"
    del asked[3:]
    assert answers_of(world / "stopped") == answers_of(done)
    assert not drafts.exists()
    run(config, world / "stopped")
    assert asked == [4, 4, 2]


@pytest.mark.slow
def test_a_run_borrows_the_answers_of_another(done, world):
    config = asking(world, "borrowing", controls=[], method={**BOTH, "name": "sft"})
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(values))
    other = run(config, world / "borrowing", borrow=done)
    assert "borrowed" in read_json(other / "stages.json")["write answers"]
    assert answers_of(other) == answers_of(done)
    path = "adapter/adapter_model.safetensors"
    assert (other / "train" / "sft" / path).read_bytes() == (done / "train" / "both" / path).read_bytes()


@pytest.mark.slow
def test_answers_that_do_not_end_are_left_out_and_none_at_all_is_an_error(world):
    teacher = {"model": "./teacher", "writes": {"max_new_tokens": 1}}
    data = {"template": "plain", "max_length": 48, "tasks": [task_of(world, rows={"train": 8, "prompts": 10}, stop=[])]}
    said = r"none of the teacher's answers was kept; names: the teacher answered 0 of 10 prompts \(10 answers ran"
    with pytest.raises(UserError, match=said):
        run(asking(world, "unended", teacher=teacher, data=data), world / "unended")


@pytest.mark.parametrize(
    ("unended", "adapted", "advice"),
    [
        (3, False, "; raise teacher.writes.max_new_tokens as far as the longest prompt allows, or adapt the teacher "),
        (3, True, "; raise teacher.writes.max_new_tokens as far as the longest prompt allows"),
        (0, False, "; adapt the teacher (teacher.adapt)"),
        (0, True, ""),
    ],
)
def test_advice_is_on_what_went_wrong(unended, adapted, advice):
    about = {"t": {"prompts": 9, "answers": 1, "unended": unended, "empty": 8 - unended}}
    (warning,) = TeacherAnswers({}, about).warnings(adapted=adapted)
    said = f"t: the teacher answered 1 of 9 prompts ({unended} answers ran out of room, {8 - unended} were empty)"
    assert warning.startswith(said + advice)
    assert adapted == ("adapt" not in warning)
    assert bool(unended) == ("raise" in warning)


def test_a_method_that_follows_answers_needs_prompts(world):
    data = {"template": "plain", "max_length": 48, "tasks": [task_of(world, rows={"train": 8})]}
    with pytest.raises(UserError, match="method 'both' trains on answers of the teacher, but no task has prompts"):
        run(asking(world, "nothing", data=data, teacher="./teacher"), world / "nothing")
    assert not (world / "nothing").exists()


@pytest.mark.parametrize(("follows", "n_line"), [(False, 1), (True, 0)])
def test_prompts_that_no_run_of_many_needs_are_told_once(follows, n_line, world):
    """A comparison's runs, of which one may train on the answers that another one wrote."""
    runs = [Run.read(asking(world, f"many{i}", method="sft", controls=[])) for i in range(2)]
    if follows:
        runs[1] = runs[1].model_copy(update={"method": build("method", BOTH, "method")})
    lines = check_runs([("one", runs[0]), ("two", runs[1])])
    assert len(lines) == n_line
    assert all("10 prompts are answered, but no method trains on the answers" in line for line in lines)


def test_how_the_teacher_writes_has_no_effect_without_prompts(world):
    data = {"template": "plain", "max_length": 48, "tasks": [task_of(world, rows={"train": 8})]}
    config = asking(world, "unasked", data=data, method="logit_kd", controls=[])
    with pytest.raises(UserError, match=r"unasked.yaml: teacher.writes has no effect: no task has prompts; give rows"):
        Run.read(config)
    assert Run.read(config, ["teacher.writes={}"]).teacher.writes.temperature == 0
    assert Run.read(asking(world, "asked")).teacher.writes.temperature == 1


def test_a_prompt_without_room_for_an_answer_is_refused_before_anything_is_written(world):
    teacher = {"model": "./teacher", "writes": {"max_new_tokens": 1000}}
    said = "prompts row 'n[0-9]+' has [0-9]+ tokens, and the teacher 128 positions: too few for 1000 more"
    with pytest.raises(UserError, match=f"{said}; leave the row out, or lower teacher.writes.max_new_tokens"):
        run(asking(world, "room", teacher=teacher), world / "room")
    assert not (world / "room").exists()


def test_a_long_prompt_that_shortens_the_answers_is_named(world):
    teacher, config = load(str(world / "teacher")), Run.read(asking(world, "short", teacher={"model": "./teacher"}))
    assert little_room(config, [], teacher) == []
    task = load_task(config.tasks[0], seed=config.seed, root=world)
    task = replace(task, max_new_tokens=60)
    assert little_room(config, [task], teacher) == []
    long = replace(task.splits["prompts"][3], id="long", prompt="0" * 80)
    task = replace(task, splits={**task.splits, "prompts": [*task.splits["prompts"], long]})
    assert little_room(config, [task], teacher) == [
        "task 'names': prompts row 'long' has 80 tokens, and the teacher 128 positions: every answer of the task ends "
        "within 47 tokens instead of 60, or is left out; leave the row out"
    ]
    task.splits["prompts"][-1:] = [replace(long, prompt="0" * 127)]
    with pytest.raises(UserError, match=r"positions: too few for any more; leave the row out$"):
        little_room(config, [task], teacher)


@pytest.mark.slow
def test_a_schedule_with_more_stages_than_the_answers_leave_steps_is_refused_in_words(world, monkeypatch):
    """Eighteen rows would make three steps, but nearly all of the answers are left out."""
    real = TeacherAnswers.load

    def few(folder, tasks):
        found = real(folder, tasks)
        return TeacherAnswers({task: rows[:1] for task, rows in found.rows.items()}, found.about)

    monkeypatch.setattr(pipeline.TeacherAnswers, "load", few)
    method = {"name": "semalign", "pairing": "depth", "schedule": "deep_to_shallow", "answers": "both"}
    training = {"epochs": 1, "batch_size": 6, "learning_rate": 0.01, "lora": {"rank": 2}}
    config = asking(world, "stages", method=method, controls=[], training=training)
    with pytest.raises(UserError, match="has 3 stages, but the training has 2 steps"):
        run(config, world / "stages")


@pytest.mark.slow
def test_with_two_tokenizers_the_answers_are_read_by_both(world, tmp_path):
    for name in ("names", "student"):
        (tmp_path / name).symlink_to(world / name)
    texts = [names(i)["prompt"] + sums(i)["answer"] for i in range(30)]
    write_model(tmp_path / "teacher", n_layer=4, width=24, seed=1, tokenizer=make_tokenizer(texts, n_token=290))
    both = {"name": "logit_kd", "outputs": ["cross_entropy", {"name": "kl", "vocabulary": "first_token"}]}
    config = asking(tmp_path, "two", controls=["sft"], method={**both, "answers": "both"})
    out = run(config, tmp_path / "out")
    record = read_json(out / "record.json")
    assert record["tokenizers"] is not None
    assert record["answers"]["tasks"]["names"]["answers"] > 4
