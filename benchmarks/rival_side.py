"""One training by a rival, in the rival's environment: `python rival_side.py SPEC CASE`; it prints one JSON object.

Runs where semalign is not installed. Whatever else a rival does in a step at its defaults (metrics, logging every ten
steps) is part of its step; gradient checkpointing and bfloat16, which TRL switches on by itself, are off on both sides.
"""

# The rivals' packages are not in the environment of this project.
# pyright: reportMissingImports=false

import json
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from meter import Meter
from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    meter = Meter()
    trainer, packages = CASES[sys.argv[2]](spec)
    trainer.add_callback(_Clock(meter))
    trainer._get_train_sampler = lambda dataset=None: SequentialSampler(dataset or trainer.train_dataset)
    meter.start()
    trainer.train()
    first = next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    meter.report(first, "torch", "transformers", *packages)
    return 0


class _Clock(TrainerCallback):
    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.meter.step_done()


def gkd(spec: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """TRL's GKD off its policy: the divergence on given answers, nothing sampled."""
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    trainer = GKDTrainer(
        model=model(spec["student"]),
        teacher_model=model(spec["teacher"]).requires_grad_(False),
        args=GKDConfig(lmbda=0.0, beta=0.5, **arguments(spec)),
        peft_config=lora(spec),
        **given(spec),
    )
    return trainer, ("trl", "peft")


def sft(spec: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **arguments(spec))
    trainer = SFTTrainer(model=model(spec["student"]), args=config, peft_config=lora(spec), **given(spec))
    return trainer, ("trl", "peft")


def distillkit(spec: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """DistillKit's trainer, losses and mapping with the weights of its example; LoRA is put on from outside."""
    from distillkit.configuration import DistillationRunConfig
    from distillkit.hsd_mapping import HiddenStateMapping
    from distillkit.signals import OnlineSignalSource
    from distillkit.trainer import DistillationTrainer
    from trl import SFTConfig

    student, teacher = get_peft_model(model(spec["student"]), lora(spec)), model(spec["teacher"])
    run = DistillationRunConfig(
        model=spec["student"],
        dataset={"train_dataset": {"disk_path": "unused"}},
        teacher={"kind": "hf", "path": spec["teacher"]},
        sequence_length=len(spec["rows"][0]["input_ids"]),
        output_path=spec["output"],
        loss_functions=[
            {"function": "cross_entropy", "weight": 0.25},
            {"function": "kl", "weight": 0.25, "temperature": 2.0, "missing_probability_handling": "zero"},
            {"function": "hs_cosine", "weight": 0.5},
        ],
    )
    n_token = teacher.config.vocab_size
    trainer = DistillationTrainer(
        student,
        run,
        OnlineSignalSource(teacher, vocab_size=n_token),
        n_token,
        hidden_state_mapping=HiddenStateMapping(
            student, teacher.config.hidden_size, [(s + 1, t + 1) for s, t in spec["pairs"]]
        ),
        args=SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **arguments(spec)),
        **given(spec),
    )
    return trainer, ("distillkit", "trl", "peft")


def model(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def lora(spec: dict[str, Any]) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", **spec["lora"])


def arguments(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "output_dir": spec["output"],
        "per_device_train_batch_size": spec["batch_size"],
        "num_train_epochs": 1,
        "learning_rate": spec["learning_rate"],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "logging_first_step": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "max_length": None,
    }


def given(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "train_dataset": Dataset.from_list(spec["rows"]),
        "data_collator": collate,
        "processing_class": PreTrainedTokenizerFast(**spec["tokenizer"]),
    }


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows of one length, so nothing is padded; the prompt is not asked for."""
    ids = torch.tensor([row["input_ids"] for row in rows])
    labels = ids.clone()
    for label, row in zip(labels, rows, strict=True):
        label[: row["n_prompt"]] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


CASES = {"gkd": gkd, "sft": sft, "distillkit": distillkit}


if __name__ == "__main__":
    sys.exit(main())
