"""Whole runs with encoder-decoders: scored, aligned, trained, exported, reported, resumed; commands beside them."""

import json

import pytest
import torch
import yaml
from seq2seq_world import write_seq2seq_world
from tiny_run import config_of, sums
from transformers import TrainingArguments

from semalign import AlignmentTrainer, Run, run
from semalign.data import Task, collate, load_task
from semalign.errors import UserError
from semalign.evaluation import evaluate
from semalign.inspect.measure_pairing import measure
from semalign.inspect.pair import lead
from semalign.models import load
from semalign.prepare import check_models

METHOD = {
    "name": "semalign",
    "pairing": "depth",
    "site": "block_out",
    "basis": "ridge",
    "loss": "cosine",
    "outputs": ["cross_entropy", "kl"],
    "train": "all",
}
ENCODER = METHOD | {"part": "encoder"}
TRAINING = {
    "epochs": 3,
    "batch_size": 20,
    "learning_rate": 0.01,
    "lora": {"rank": 4, "roles": ["q", "v", "cross_v", "cross_o", "up", "down"]},
}
DECODER_ONLY = TRAINING | {"lora": {"rank": 4}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_seq2seq_world(tmp_path_factory.mktemp("seq2seq"))


def config(world, name, teacher, student, **changes):
    values = {"method": METHOD, "training": TRAINING, "controls": ["sft", "logit_kd"]} | changes
    return config_of(world, name=name, teacher=teacher, student=student, **values)


def record_of(out):
    return json.loads((out / "record.json").read_text(encoding="utf-8"))


def bits(out, key):
    folder = out / "eval" / key
    return {path.stem: json.loads(path.read_text())["bits_per_byte"] for path in folder.glob("*.json")}


@pytest.fixture(scope="module")
def to_t5(world):
    return run(config(world, "to_t5", "./llama", "./t5"), world / "runs" / "to_t5")


def test_a_t5_learns_from_a_decoder_only_teacher_and_is_reported(world, to_t5):
    record = record_of(to_t5)
    before, after, teacher = (bits(to_t5, key) for key in ("student", "semalign", "teacher"))
    assert set(before) == {"sums", "colours", "names"}
    assert sum(after.values()) < sum(before.values())
    assert sum(teacher.values()) < sum(before.values())
    assert {model["key"] for model in record["models"]} >= {"student", "teacher", "sft", "logit_kd", "semalign"}
    pairs = record["training"]["semalign"][-1]["cosine"]
    assert len(pairs) == 2
    assert all(-1 <= cosine <= 1 for cosine in pairs.values())
    for page in ("report.md", "report.html"):
        assert "to_t5" in (to_t5 / page).read_text(encoding="utf-8")


def test_the_exported_student_is_the_one_that_was_scored(world, to_t5):
    student = load(str(to_t5 / "student"))
    assert student.is_encoder_decoder
    values = yaml.safe_load((to_t5 / "config.yaml").read_text(encoding="utf-8"))
    assert values["student"]["model"] == "./t5"
    tasks: list[Task] = [load_task(spec, seed=0, root=world) for spec in Run.read(world / "to_t5.yaml").tasks]
    again = evaluate(student, tasks, template="plain")
    for task, score in bits(to_t5, "semalign").items():
        assert again[task].bits_per_byte == pytest.approx(score, rel=1e-4)


def test_the_card_says_how_the_student_is_loaded(to_t5):
    card = (to_t5 / "student" / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForSeq2SeqLM.from_pretrained" in card
    assert "AutoModelForCausalLM" not in card


def test_a_finished_run_is_taken_as_it_is(world, to_t5):
    before = (to_t5 / "record.json").stat().st_mtime_ns
    assert run(world / "to_t5.yaml", to_t5) == to_t5
    assert record_of(to_t5)["training"]
    assert before <= (to_t5 / "record.json").stat().st_mtime_ns


def test_tokens_of_both_parts_are_counted(to_t5):
    record = record_of(to_t5)
    told = next(model for model in record["models"] if model["key"] == "sft")
    assert told["train_tokens"] > 60 * 3 * 10  # sixty rows, three epochs; the prompts alone are longer


@pytest.mark.slow
def test_a_bart_follows_with_the_cache(world):
    out = run(config(world, "to_bart", "./llama", "./bart", cache={}, controls=["sft"]), world / "runs" / "to_bart")
    assert sum(bits(out, "semalign").values()) < sum(bits(out, "student").values())


def test_an_encoder_decoder_teaches_a_decoder_only_student(world):
    teacher = {"model": "./t5", "adapt": True}
    out = run(
        config(world, "from_t5", teacher, "./student", training=DECODER_ONLY, controls=["sft", "hidden_kd"]),
        world / "runs" / "from_t5",
    )
    assert sum(bits(out, "semalign").values()) < sum(bits(out, "student").values())
    assert sum(bits(out, "teacher_adapted").values()) < sum(bits(out, "teacher").values())


@pytest.mark.slow
def test_an_encoder_decoder_teaches_another(world):
    out = run(
        config(world, "t5_to_bart", "./t5", "./bart", training=DECODER_ONLY, controls=[]), world / "runs" / "t5_to_bart"
    )
    assert sum(bits(out, "semalign").values()) < sum(bits(out, "student").values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "laten"}, "works between decoder-only models"),
        ({"method": {"name": "semalign", "positions": "all"}}, "'positions: all' has no effect"),
        ({"method": METHOD | {"schedule": "frontier"}}, "set 'cache: false'"),
        ({"training": TRAINING | {"lora": {"roles": ["gate"]}}}, "gate"),
        ({"method": ENCODER, "training": TRAINING | {"lora": {"roles": ["cross_v"]}}}, "no role to adapt"),
        ({"data": {"template": "chat", "tasks": [{"name": "sums", "folder": "sums"}]}}, "no chat template"),
    ],
)
def test_what_makes_no_sense_leaves_no_folder(world, changes, says):
    out = world / "runs" / "refused"
    with pytest.raises(UserError, match=says):
        run(config(world, "refused", "./llama", "./t5", **changes), out)
    assert not out.exists()


@pytest.mark.parametrize("teacher", ["./llama", pytest.param("./t5", marks=pytest.mark.slow)])
def test_the_layers_of_an_encoder_are_taught_and_reported(world, teacher):
    made = config(
        world,
        f"encoder_{teacher[2:]}",
        teacher,
        "./bart",
        method=ENCODER,
        controls={"sft": "sft", "decoder": METHOD},
        training=TRAINING if teacher == "./t5" else TRAINING | {"lora": {"rank": 4}},
    )
    out = run(made, world / "runs" / f"encoder_{teacher[2:]}")
    record = record_of(out)
    assert sum(bits(out, "semalign").values()) < sum(bits(out, "student").values())
    pairing = record["pairing"]
    assert pairing["encoders"] == (["teacher", "student"] if teacher == "./t5" else ["student"])
    assert (pairing["n_teacher"], pairing["n_student"]) == (1 if teacher == "./t5" else 3, 2)
    assert len(record["training"]["semalign"][-1]["cosine"]) == 2
    plan = json.loads((out / "prepare" / "semalign" / "plan.json").read_text())
    assert plan["encoder_layers"] == plan["layers"] == [0, 1]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "student&#39;s encoder: 2 layers" in page or "student's encoder: 2 layers" in page
    assert "states are compared at the tokens of the prompt" in page
    adapted = load(str(out / "student")).module.state_dict()
    before = load(str(world / "bart")).module.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, adapted[name])}
    assert any(name.startswith("model.encoder.layers.1.") for name in changed)
    assert any(name.startswith("model.decoder.layers.1.") for name in changed)


def test_the_trainer_teaches_the_layers_of_an_encoder(world, tmp_path):
    arguments = TrainingArguments(
        str(tmp_path), max_steps=4, per_device_train_batch_size=10, learning_rate=0.01, report_to="none", use_cpu=True
    )
    how = {"template": "plain", "max_length": 48, "lora": {"rank": 2}}
    names = (str(world / "bart"), str(world / "llama"))
    trainer = AlignmentTrainer(*names, arguments, [sums(i) for i in range(20)], method=ENCODER, **how)
    trainer.train()
    assert trainer.setup.plan.encoder_layers == (0, 1)
    trainer.save_model(str(tmp_path / "saved"))
    named = [name for name, p in trainer.model.named_parameters() if p.requires_grad and ".encoder." in name]
    assert named


@pytest.mark.slow
@pytest.mark.parametrize("command", ["doctor", "attribute", "pair", "basis"])
@pytest.mark.parametrize(
    "asked",
    [
        ("./llama", "./t5", METHOD),
        ("./t5", "./student", METHOD),
        ("./t5", "./bart", METHOD),
        ("./llama", "./t5", ENCODER),
        ("./t5", "./bart", ENCODER),
    ],
)
def test_the_other_commands_know_encoder_decoders(world, say, tmp_path, command, asked):
    *sides, method = asked
    roles = {} if sides[1] == "./student" else {"training": TRAINING}
    path = config(world, "looked_at", *sides, method=method, **({"training": DECODER_ONLY} | roles))
    extra = () if command == "doctor" else ("--out", tmp_path / "sheet")
    said = say(command, path, *extra)
    assert said.code in ((0, 1) if command == "doctor" else (0,)), said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(("method", "reason"), [(METHOD, "'part: encoder'"), (ENCODER, None)])
def test_attention_patterns_are_those_of_the_encoders_or_of_nobody(world, method, reason):
    found = measure(Run.read(config(world, "patterns", "./t5", "./bart", method=method), ()))
    assert (found["attention"] is None) == (reason is not None)
    said = [line for line in lead(found) if line.startswith("Attention")]
    assert len(said) == 1
    assert reason is None or reason in said[0]
    assert "does not give its attention weights" not in said[0]


def test_the_trainer_knows_encoder_decoders(world, tmp_path):
    arguments = TrainingArguments(
        str(tmp_path), max_steps=6, per_device_train_batch_size=10, learning_rate=0.01, report_to="none", use_cpu=True
    )
    rows = [sums(i) for i in range(20)]
    how = {"template": "plain", "max_length": 48, "lora": {"rank": 2}}
    names = (str(world / "t5"), str(world / "llama"))
    trainer = AlignmentTrainer(*names, arguments, rows, method=METHOD, **how)
    before = trainer.setup.step(batch := collate(trainer.setup.encoded(rows), 0), trainer.setup.step.units(batch))[0]
    trainer.train()
    trainer.model.eval()
    assert trainer.model(batch, trainer.setup.step.units(batch))[0] < before
    with pytest.raises(UserError, match="positions: all"):
        AlignmentTrainer(*names, arguments, rows, method={"name": "sft", "positions": "all"}, **how)


def test_dividing_an_encoder_decoder_is_refused(world):
    path = config(world, "divided", "./llama", "./t5", engine="fsdp2")
    teacher, student = (load(str(world / name)) for name in ("llama", "t5"))
    with pytest.raises(UserError, match="engine 'fsdp2' divides decoder-only models"):
        check_models(Run.read(path), student, teacher, [])


def test_shrink_refuses_in_one_line(world, say, tmp_path):
    path = config(world, "cut", "./t5", "./bart")
    said = say("shrink", path, "--layers", 1, "--out", tmp_path / "small")
    assert said.code != 0
    assert "only decoder-only models can be cut" in said.err
