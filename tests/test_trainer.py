"""AlignmentTrainer: the losses of semalign's own loop, exact accumulation, folders that others load, clear refusals."""

import json
import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from processes import in_processes
from tiny_run import sums
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

import semalign
from semalign.errors import UserError
from semalign.models import load
from semalign.training import TrainingOptions, loop, train
from semalign.training.loop import learning_rate_factor

RECORDS = [{**sums(i), "answer": f"It is {8 * i}" + ", so it is" * (i % 4) + "."} for i in range(10)]
LIGHT = {
    "name": "semalign",
    "basis": "logit",
    "site": "block_out",
    "pairing": "depth",
    "loss": {"name": "cosine", "weight": 0.1},
    "outputs": ["cross_entropy", "kl"],
    "train": "all",
}
METHODS = {"light": LIGHT, "principal": LIGHT | {"start": "principal"}, "paper": "semalign", "sft": "sft"}
N_STEP, RATE = 4, 0.01


def in_memory(folder, dtype="float64"):
    model = load(str(folder), dtype=dtype)
    return model.module, model.tokenizer


def make(world, out, *, method="light", dtype="float64", rows=RECORDS, rank=2, **changes):
    """A trainer of double precision whose optimiser and schedule are those of semalign's loop."""
    (student, tokenizer), (teacher, _) = (in_memory(world / name, dtype) for name in ("student", "teacher"))
    values = {
        "per_device_train_batch_size": 4,
        "max_steps": N_STEP,
        "learning_rate": RATE,
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "use_cpu": True,
        "lr_scheduler_type": "constant",
    }
    return semalign.AlignmentTrainer(
        student,
        teacher,
        TrainingArguments(str(out), **(values | changes)),
        rows,
        tokenizer=tokenizer,
        method=METHODS.get(method, method) if isinstance(method, str) else method,
        template="plain",
        max_length=48,
        lora={"rank": rank, "alpha": rank, "dropout": 0.0},
    )


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def trained(trainer):
    return {name: p.detach().clone() for name, p in trainer.setup.step.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("method", METHODS)
def test_losses_and_adapters_are_those_of_the_own_loop(world, tmp_path, method, monkeypatch):
    """The same batches, optimiser and learning rates: the two differ by the order of sums in double precision."""
    trainer = make(world, tmp_path, method=method)
    other = make(world, tmp_path, method=method)
    seen = []
    collate = trainer.data_collator
    trainer.data_collator = lambda rows: seen.append(rows) or collate(rows)
    trainer.optimizer = torch.optim.AdamW(
        [p for p in trainer.setup.step.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0
    )
    trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
        trainer.optimizer, lambda step: learning_rate_factor(step, N_STEP, 0.1)
    )
    trainer.train()
    examples = other.train_dataset
    place = {example.id: i for i, example in enumerate(examples)}
    monkeypatch.setattr(loop, "batch_plan", lambda *_: [[place[row.id] for row in rows] for rows in seen[:N_STEP]])
    options = TrainingOptions(epochs=1, batch_size=4, learning_rate=RATE, warmup=0.1, gradient_clip=1.0)
    history = train(other.setup.step, examples, options, pad_id=0, seed=42, folder=tmp_path / "own")
    expected = [entry["loss"] for entry in history.entries]
    assert len(set(expected)) == N_STEP
    assert losses(trainer) == pytest.approx(expected, rel=1e-6)
    for name, value in trained(other).items():
        torch.testing.assert_close(trained(trainer)[name], value, rtol=1e-6, atol=1e-9)


def test_many_forwards_of_one_row_are_one_of_many(world, tmp_path):
    """Answers differ in length, so a mean of means would differ."""
    whole = make(world, tmp_path, per_device_train_batch_size=4)
    parts = make(world, tmp_path, per_device_train_batch_size=1, gradient_accumulation_steps=4)
    assert len({example.n_supervised for example in whole.train_dataset}) > 1
    for trainer in (whole, parts):
        trainer.train()
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-6)
    for name, value in trained(whole).items():
        torch.testing.assert_close(trained(parts)[name], value, rtol=1e-6, atol=1e-9)


def ran(world, out, **changes):
    trainer = make(world, out, **changes)
    trainer.train()
    return losses(trainer), trained(trainer)


def test_two_processes_train_as_one(world, tmp_path):
    """Answers differ in length, so a mean over processes of their means would differ."""
    expected, weights = ran(world, tmp_path / "one", per_device_train_batch_size=4)
    changes = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "ddp_backend": "gloo"}
    for found, own in in_processes(2, ran, world, tmp_path / "two", **changes):
        assert not found or found == pytest.approx(expected, rel=1e-6)  # the first process alone keeps a log
        for name, value in weights.items():
            torch.testing.assert_close(own[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", ["light", "principal"])
def test_saved_folders_are_an_adapter_and_a_model_as_others_load_them(world, tmp_path, method):
    trainer = make(world, tmp_path, method=method, dtype="float32")
    trainer.train()
    trainer.save_model(str(tmp_path / "adapter"))
    trainer.save_merged(tmp_path / "student")
    batch = trainer.data_collator(trainer.train_dataset[:3])["batch"]
    ids = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    base = AutoModelForCausalLM.from_pretrained(world / "student")
    with torch.no_grad():
        expected = trainer.setup.student.module.eval()(**ids).logits
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "student")(**ids).logits
        untouched = base(**ids).logits
        adapted = PeftModel.from_pretrained(base, tmp_path / "adapter")(**ids).logits
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(adapted, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(untouched, expected, atol=1e-3)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "adapter")) > 256


def test_a_checkpoint_goes_on_where_it_was(world, tmp_path):
    whole = make(world, tmp_path / "a", method="principal", save_strategy="steps", save_steps=2)
    whole.train()
    resumed = make(world, tmp_path / "b", method="principal")
    resumed.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
    assert losses(resumed)[-1] == pytest.approx(losses(whole)[-1], rel=1e-6)
    for name, value in trained(whole).items():
        torch.testing.assert_close(trained(resumed)[name], value, rtol=1e-6, atol=1e-9)


def test_terms_are_logged_and_evaluation_gives_a_loss(world, tmp_path):
    trainer = make(world, tmp_path)
    trainer.eval_dataset = trainer.setup.encoded([sums(i) for i in range(20, 23)])
    assert trainer.evaluate()["eval_loss"] > 0
    trainer.train()
    first = next(entry for entry in trainer.state.log_history if "loss" in entry)
    weighted = first["term_cross_entropy"] + first["term_kl"] + 0.1 * first["term_latent_cosine"]
    assert first["loss"] == pytest.approx(weighted, rel=1e-6)


def test_recomputing_blocks_changes_no_number(world, tmp_path):
    plain, recomputed = make(world, tmp_path), make(world, tmp_path, gradient_checkpointing=True)
    for trainer in (plain, recomputed):
        trainer.train()
    assert losses(recomputed) == pytest.approx(losses(plain), rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bf16": True}, "bf16 is mixed precision"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor has no effect"),
        ({"method": "laten"}, "takes more than a loss"),
        ({"method": "gkd"}, "lets the student write its own rows"),
        ({"method": LIGHT | {"balance": True}}, "balance finds weights"),
        (
            {"method": LIGHT | {"answers": "both"}},
            "method 'semalign': answers 'both' asks the teacher",
        ),
        ({"method": {"name": "sft", "answers": "teacher"}}, "rows are what the trainer trains on; leave 'answers' out"),
        ({"method": LIGHT | {"schedule": "frontier"}}, "trains in stages"),
        ({"method": "semalig"}, "Did you mean 'semalign'"),
        ({"rows": []}, "the data set is empty"),
        ({"rows": [{"prompt": "q"}]}, "row 0: no field 'answer'"),
        ({"method": "principal", "rank": 16}, "singular values"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(world, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        make(world, tmp_path, **changes)


def test_models_by_name_bring_their_tokenizers(world, tmp_path):
    args = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True, max_steps=1, save_strategy="no")
    names = [str(world / name) for name in ("student", "teacher")]
    how = {"template": "plain", "lora": {"rank": 2, "alpha": 2}}
    semalign.AlignmentTrainer(*names, args, RECORDS, **how)
    with pytest.raises(UserError, match="'tokenizer' has no effect beside a model by name"):
        semalign.AlignmentTrainer(*names, args, RECORDS, tokenizer=load(names[0]).tokenizer, **how)
    with pytest.raises(UserError, match="'tokenizer' is missing"):
        semalign.AlignmentTrainer(in_memory(names[0])[0], names[1], args, RECORDS, **how)


def test_the_package_is_imported_without_the_trainer():
    code = "import json, sys, semalign; print(json.dumps([n for n in ('torch', 'transformers') if n in sys.modules]))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) == []
