"""`transformers.Trainer` with the loss of a semalign method."""

import copy
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from ..artifacts import read_tensors, write_tensors
from ..data import Batch, Template, collate, padding_token
from ..errors import UserError
from ..methods import Method
from ..models import merge, recomputing, save_plain
from ..models.injection import fold
from .setup import Records, Setup, language_model, set_up

TRAINED = "trained.safetensors"  # beside the adapter of a checkpoint: what training goes on from

RECOMPUTE = ("gradient_checkpointing", "activation_checkpointing")  # the old name and the new one


class AlignmentTrainer(Trainer):
    """A trainer that makes the student follow the teacher; all else is as `TrainingArguments` say.

    Both models' weights are frozen in place, and the student gets the adapters of the method's plan. A loss is divided
    by the units of the whole accumulated batch in all processes, so N forwards of one row are one of N rows.
    `model` of the trainer is the method's step, which returns the loss: engines that wrap it see one output.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: str | PreTrainedModel,
        teacher: str | PreTrainedModel,
        args: TrainingArguments,
        train_dataset: Records,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        teacher_tokenizer: PreTrainedTokenizerBase | None = None,
        method: str | Mapping[str, Any] | Method = "semalign",
        eval_dataset: Records | None = None,
        template: Template = "chat",
        max_length: int = 1024,
        lora: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Plan and adapt. Models are names, or models in memory with their tokenizers; records have any layout that a
        run reads (docs/ecosystem.md); `method` and `lora` say what a configuration would.

        Raises UserError for what the method, the models, the rows or the arguments do not allow.
        """
        _refuse(args)
        self.recompute, args = _recomputes(args), copy.copy(args)
        for name in RECOMPUTE:  # the student's blocks are run again by semalign's own hooks
            setattr(args, name, False)
        both_named = teacher_tokenizer or (None if isinstance(teacher, str) else tokenizer)
        student = language_model(model, tokenizer, "tokenizer", args.device)
        other = language_model(teacher, both_named, "teacher_tokenizer", args.device)
        self.setup: Setup
        self.setup, examples = set_up(
            student,
            other,
            train_dataset,
            method=method,
            template=template,
            max_length=max_length,
            lora=lora,
            seed=args.seed,
            n_step=_n_step(args, len(train_dataset)),
        )
        pad_id = padding_token(student.tokenizer)
        super().__init__(
            self.setup.step,
            args,
            data_collator=lambda rows: {"batch": collate(rows, pad_id)},  # pyright: ignore[reportArgumentType]
            train_dataset=examples,  # pyright: ignore[reportArgumentType]
            eval_dataset=None if eval_dataset is None else self.setup.encoded(eval_dataset),  # pyright: ignore[reportArgumentType]
            processing_class=student.tokenizer,
            **options,
        )
        self._terms: dict[str, float] = {}

    @property
    def adapter(self) -> Any:
        """The trained student as a PEFT model of one plain adapter: a copy where the method starts from factors."""
        if not self.setup.plan.start:
            return self.setup.adapter
        twin = copy.deepcopy(self.setup.adapter)
        fold(replace(self.setup.student, module=twin.base_model.model), twin)
        return twin

    def save_merged(self, folder: str | Path) -> None:
        """Write the student with the adapter in its weights: a plain Hugging Face folder."""
        save_plain(merge(self.adapter), self.setup.student.tokenizer, Path(folder))

    def train(self, *args: Any, **options: Any) -> Any:
        """As `Trainer.train`; with `gradient_checkpointing` the student's blocks run again in the backward pass."""
        with recomputing(self.setup.student) if self.recompute else nullcontext():
            return super().train(*args, **options)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """The batches of one optimiser step, and the units of each term in all of them and all processes."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        units: dict[str, int] = {}
        for sample in samples:
            for term, count in self.setup.step.units(sample["batch"]).items():
                units[term] = units.get(term, 0) + count
        if self.accelerator.num_processes > 1:
            counts = torch.tensor(list(units.values()), device=self.accelerator.device)
            everywhere: Any = self.accelerator.reduce(counts)
            units = dict(zip(units, everywhere.tolist(), strict=True))
        return samples, units

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """This part's share of the loss of its step; times the processes, over which gradients are averaged."""
        batch: Batch = inputs["batch"].to(self.args.device)
        units = num_items_in_batch or self.setup.step.units(batch)
        loss, totals, _ = model(batch, units)
        for term, total in totals.items():
            self._terms[term] = self._terms.get(term, 0.0) + float(total) / max(units[term], 1)
        loss = loss * self.accelerator.num_processes
        return (loss, totals) if return_outputs else loss

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Tensor, None, None]:
        """The loss alone: there is no one output that could be compared with labels."""
        batch: Batch = inputs["batch"].to(self.args.device)
        with torch.no_grad():
            return self.setup.step(batch, self.setup.step.units(batch))[0], None, None

    def log(self, logs: dict[str, float], *args: Any, **options: Any) -> None:
        """With the mean of each term in nats a token beside the loss, over the steps since the last log."""
        if "loss" in logs:
            n_step = max(self.state.global_step - getattr(self, "_logged_at", 0), 1)
            logs = {**logs, **{f"term_{name}": total / n_step for name, total in self._terms.items()}}
            self._terms, self._logged_at = {}, self.state.global_step
        super().log(logs, *args, **options)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """A plain PEFT adapter with the tokenizer, and beside them what training goes on from."""
        del state_dict
        folder = Path(output_dir or self.args.output_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        self.adapter.save_pretrained(str(folder), save_embedding_layers=False)
        self.setup.student.tokenizer.save_pretrained(folder)
        write_tensors(folder / TRAINED, {name: p.detach().clone() for name, p in self._trained().items()})

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        del model
        path = Path(resume_from_checkpoint) / TRAINED
        if not path.exists():
            raise UserError(f"{path}: no such file; name a checkpoint that this trainer wrote")
        parameters = self._trained()
        with torch.no_grad():
            for name, value in read_tensors(path).items():
                parameters[name].copy_(value)

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.setup.step.named_parameters() if p.requires_grad}


def _recomputes(args: TrainingArguments) -> bool:
    return any(getattr(args, name, False) for name in RECOMPUTE)


def _refuse(args: TrainingArguments) -> None:
    """What would change or break the loss without a word."""
    for name in ("fp16", "bf16"):
        if getattr(args, name):
            raise UserError(
                f"TrainingArguments.{name} is mixed precision, which is not supported; load both in bfloat16"
            )
    if args.n_gpu > 1:
        raise UserError(f"{args.n_gpu} GPUs in one process would split the loss; start with torchrun, a process each")
    if args.label_smoothing_factor:
        raise UserError("TrainingArguments.label_smoothing_factor has no effect on a method's loss; leave it out")
    if args.push_to_hub:
        raise UserError("TrainingArguments.push_to_hub is not supported; trainer.adapter.push_to_hub(...) uploads it")


def _n_step(args: TrainingArguments, n_row: int) -> int:
    if args.max_steps > 0:
        return args.max_steps
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    return math.ceil(math.ceil(n_row / rows) * args.num_train_epochs)
