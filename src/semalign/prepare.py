"""What a run starts from: device, models, rows, and the checks that need no training."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from .artifacts import key
from .config import Run
from .data import Batch, Example, Task, batches, end_token, padding_token
from .errors import UserError
from .evaluation import benchmarks
from .methods import Method, MethodContext
from .methods.encoder_decoder import refuse_encoder_decoder
from .models import LanguageModel, SharedTokens, load, lora_targets, shared_tokens, tokenizers_agree
from .results import Rows
from .teacher_answers import little_room
from .tracking import check_packages
from .training.engine_options import EngineName

EXTRACT_BATCH = 8  # rows a forward and backward of the attribution: small, since it holds the states of every layer


def pick_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: 'cuda' was asked for, but no GPU is to be seen; use 'cpu' or 'auto'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def load_model(config: Run, part: Any, device: torch.device, commit: str | None = None) -> LanguageModel:
    """bf16 on a GPU and fp32 on a CPU unless the configuration names a dtype; at `commit` where one is known."""
    dtype = part.dtype if part.dtype != "auto" else ("bfloat16" if device.type == "cuda" else "float32")
    return load(
        config.model_path(part),
        revision=commit or part.revision,
        dtype=dtype,
        device=device,
        trust_remote_code=part.trust_remote_code,
        quantization=getattr(part, "quantization", None),
    )


def check_models(config: Run, student: LanguageModel, teacher: LanguageModel, tasks: Sequence[Task]) -> None:
    """Raise UserError where the two models, or a method and the models, do not fit together."""
    if config.engine is not None and config.engine.name == "fsdp2":
        for model in (student, teacher):
            if model.is_encoder_decoder:  # its two parts are run one by one, not through the whole that is divided
                raise UserError(
                    f"engine 'fsdp2' divides decoder-only models, but {model.name} is not; use engine 'ddp'"
                )
    difference = tokenizers_agree(teacher, student).difference
    for model in (student, teacher) if config.teacher.adapt else (student,):
        lora_targets(model, config.training.lora.roles)
    for name, method in config.methods.items():
        if difference and method.one_tokenizer:
            raise UserError(
                f"method '{name}' needs a teacher with the student's tokenizer, but those of {teacher.name} and "
                f"{student.name} differ: {difference}; leave it out, or choose another pair"
            )
        if teacher.is_quantized and method.reads_weights:
            raise UserError(
                f"method '{name}' reads the teacher's weights one by one, and teacher.quantization packs them; leave "
                "out one of the two"
            )
        refuse_encoder_decoder(name, method, teacher, student)
        method.check(teacher, student, n_step(config, tasks))
        method.check_lora(teacher, student, config.training.lora)
    little_room(config, tasks, teacher)
    if config.benchmarks is not None:
        benchmarks.check_room(student, config.benchmarks)
        benchmarks.check_room(teacher, config.benchmarks)


def adaptation(config: Run, teacher: LanguageModel) -> MethodContext:
    """What a method gets that trains the teacher itself on the training rows."""
    tokens = shared_tokens(teacher, teacher)
    return MethodContext(teacher=teacher, student=teacher, tokens=tokens, extract=(), calibration=(), seed=config.seed)


def check_engine(config: Run, name: EngineName) -> None:
    """Raise UserError where a run needs what its engine does not have."""
    if name == "fsdp2":
        _check_sharded(config)
    if name == "deepspeed":
        _check_divided_optimizer(config)


def _check_sharded(config: Run) -> None:
    """Models divided among processes do not have whole weights, and do not run rows alone."""
    instead = "use engine 'ddp'"
    if config.teacher.quantization is not None:
        raise UserError(f"engine 'fsdp2' cannot divide packed weights; leave teacher.quantization out, or {instead}")
    for name, method in config.methods.items():
        if method.reads_weights:
            raise UserError(f"method '{name}' reads weights one by one, and engine 'fsdp2' divides them; {instead}")
        if getattr(getattr(method, "schedule", None), "cache", False):
            raise UserError(
                f"method '{name}': 'schedule.cache' runs each row alone, and with engine 'fsdp2' all processes run as "
                f"often; set 'cache: false', or {instead}"
            )


def _check_divided_optimizer(config: Run) -> None:
    """An optimiser divided by DeepSpeed takes every gradient, and moves all that it was given."""
    if config.training.on_trouble != "stop":
        raise UserError(
            f"training.on_trouble: engine 'deepspeed' cannot throw gradients away, as '{config.training.on_trouble}' "
            "does; leave it at 'stop', or use engine 'ddp'"
        )
    for name, method in config.methods.items():
        schedule = getattr(method, "schedule", None)
        if schedule is not None and schedule.name != "joint":
            raise UserError(
                f"method '{name}': schedule '{schedule.name}' trains some layers at a time, and engine 'deepspeed' all "
                "that it was given; use schedule 'joint', or engine 'ddp'"
            )


def tokens_of(config: Run, teacher: LanguageModel, student: LanguageModel) -> SharedTokens:
    """The tokens that both models know; what ends an answer is one of them."""
    end_t, end_s = (end_token(model.tokenizer, config.data.template) for model in (teacher, student))
    return shared_tokens(teacher, student, (end_t, end_s))


def check_benchmarks(config: Run) -> None:
    """Raise UserError where the benchmarks' files or the sandbox for generated code are missing."""
    options = config.benchmarks
    if options is None:
        return
    benchmarks.check_options(options)
    benchmarks.need_sandbox(options)


def check_surroundings(config: Run) -> None:
    """Raise UserError where something is missing that is neither a model nor a row."""
    check_benchmarks(config)
    check_packages(config.tracking)
    folder = config.cache_folder
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"cache.folder: {folder} is a file; give a folder")


def n_step(config: Run, tasks: Sequence[Task]) -> int:
    """Optimiser steps of every training of a run."""
    return config.training.n_step(
        sum(len(task.splits.get(split, ())) for task in tasks for split in ("train", "prompts"))
    )


def refuse_empty(config: Run, rows: Rows) -> None:
    """Every method trains, and those with a teacher look at the extract rows first."""
    needed = ["train", "extract"] if any(method.uses_teacher for method in config.methods.values()) else ["train"]
    for split in needed:
        if not rows.split(split):
            names = ", ".join(task.name for task in rows.tasks)
            raise UserError(f"no rows in split '{split}' of {names}; add a task that has some")
    following = [name for name, method in config.methods.items() if method.follows_answers]
    if following and not rows.n_prompt:
        raise UserError(
            f"method '{following[0]}' trains on answers of the teacher, but no task has prompts for it; give "
            "rows.prompts, or a file as 'prompts'"
        )


def unused_prompts(methods: Iterable[Method], rows: Rows) -> list[str]:
    """A line where the teacher answers prompts for no method."""
    if not rows.n_prompt or any(method.follows_answers for method in methods):
        return []
    return [
        f"{rows.n_prompt} prompts are answered, but no method trains on the answers; set answers: both on one, or "
        "leave rows.prompts out"
    ]


def cut_rows(config: Run, rows: Rows, splits: Sequence[str] = ()) -> list[str]:
    """A line on each split whose rows are longer than the configuration keeps: of those trained on and scored, or of
    `splits`."""
    asked = splits or dict.fromkeys(("train", config.evaluation.split))
    counted = [(split, rows.split(split)) for split in asked]
    return [
        f"{n_cut} of {len(examples)} {split} rows are cut at {config.data.max_length} tokens (data.max_length)"
        for split, examples in counted
        if (n_cut := sum(example.truncated for example in examples))
    ]


def input_keys(rows: Rows, student: LanguageModel, teacher: LanguageModel) -> dict[str, str]:
    """Keys of what the run depends on beside its configuration."""
    inputs = {
        f"rows of {task.name}": key(
            [_read(example) for split in rows.examples.values() for example in split.get(task.name, [])],
            [[row.id, row.answer, dict(row.extra)] for split in task.splits.values() for row in split],
        )
        for task in rows.tasks
    }
    for role, model in (("student", student), ("teacher", teacher)):
        probe = [float(p.detach().double().sum()) for p in model.module.parameters()]
        inputs[f"the {role}'s weights"] = key(probe)
    return inputs


def _read(example: Example) -> list[Any]:
    """What identifies an example: its tokens and boundary, and those of the teacher where they are others."""
    own = [example.input_ids, example.n_prompt, *([] if example.encoder is None else [example.encoder])]
    return own if example.teacher is None else [*own, example.content_key]


def method_context(
    config: Run, rows: Rows, teacher: LanguageModel, student: LanguageModel, tokens: SharedTokens
) -> MethodContext:
    """What the methods of a run may use."""
    return MethodContext(
        teacher=teacher,
        student=student,
        tokens=tokens,
        extract=extract_batches(rows, student),
        calibration=calibration_batches(rows, student),
        seed=config.seed,
        lora=config.training.lora,
    )


def extract_batches(rows: Rows, model: LanguageModel) -> list[Batch]:
    """The few rows that attribution and map quality look at."""
    return small_batches(rows.split("extract"), model)


def calibration_batches(rows: Rows, model: LanguageModel) -> list[Batch]:
    """The rows that maps are fitted on: `align` rows, or the training rows where a run has none."""
    return small_batches(rows.split("align") or rows.split("train"), model)


def small_batches(examples: Sequence[Example], model: LanguageModel) -> list[Batch]:
    """Rows in their order, few at a time, on the model's device."""
    return [batch.to(model.device) for batch in batches(examples, EXTRACT_BATCH, padding_token(model.tokenizer))]
