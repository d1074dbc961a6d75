"""The stages of a run, in order, top to bottom: data, models, scores, teacher, plans, training, scores, report."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .artifacts import key, read_json, write_json
from .config import Run
from .data import Batch, Task, batches, load_task, padding_token
from .environment import environment
from .errors import UserError
from .evaluation import TaskScore, evaluate
from .methods import Method, MethodContext, Plan
from .methods.sft import SFT
from .models import (
    LanguageModel,
    check_tokenizers,
    load,
    load_adapter,
    lora,
    merge,
    save_adapter,
    save_plain,
    shared_tokens,
    unload,
)
from .progress import Reporter
from .record import make_record
from .results import Rows, Trained, encode_rows
from .run_folder import RunFolder
from .training import History, train
from .training.watch import trouble

EXTRACT_BATCH = 8  # rows a forward and backward of the attribution: small, since it holds the states of every layer


@dataclass(frozen=True)
class Work:
    """What every stage of a run works with."""

    config: Run
    rows: Rows
    folder: RunFolder
    reporter: Reporter


def run(
    config: Run | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
    borrow: Path | None = None,
) -> Path:
    """Run a configuration into a folder (`runs/<name>` by default) and return the folder.

    A folder that already holds this run is resumed: finished stages are not repeated. `borrow` is the folder of a run
    on the same rows and models whose scores of the untouched models (and whose adapted teacher) are taken over.
    Raises UserError for a user's mistake, before anything is written wherever that can be known before.
    """
    if isinstance(config, str | Path):
        config = Run.read(config, overrides)
    elif not isinstance(config, Run):
        config = Run.make(config)
    reporter = reporter or Reporter(plain=True)
    device = pick_device(config.device)
    tasks = [load_task(spec, seed=config.seed, root=config.root) for spec in config.tasks]
    with reporter.stage("loading the models"):
        student, teacher = (load_model(config, part, device) for part in (config.student, config.teacher))
    check_models(config, student, teacher, tasks)
    tokens = shared_tokens(teacher, student)
    rows = encode_rows(config, tasks, student)
    _refuse_empty(config, rows)
    folder = RunFolder.open(Path(out) if out else Path("runs") / config.name, config.plain())
    folder.check_inputs(_inputs(rows, student, teacher))
    if borrow is not None:
        folder.borrow(borrow)
    folder.set_status("running")
    surroundings = environment()
    write_json(folder / "environment.json", surroundings)
    started = time.time()
    try:
        work = Work(config, rows, folder, reporter)
        warnings = _before(work, student, teacher)
        adapted = _adapt_teacher(work, teacher) if config.teacher.adapt else None
        context = MethodContext(
            teacher=teacher,
            student=student,
            tokens=tokens,
            extract=extract_batches(rows, EXTRACT_BATCH, student),
            calibration=calibration_batches(rows, EXTRACT_BATCH, student),
            seed=config.seed,
        )
        trained = {name: _train_and_score(work, name, method, context) for name, method in config.methods.items()}
        for name, result in trained.items():
            warnings += trouble(name, result.history.entries)  # each was said when its training ended
        record = make_record(
            config,
            folder,
            rows,
            context,
            trained=trained,
            adapted=adapted,
            warnings=warnings,
            environment=surroundings,
            started=started,
        )
        write_report(folder, record)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        with contextlib.suppress(UserError):  # a full disk must not hide what went wrong
            folder.set_status("cancelled" if stopped else "failed", str(error).partition("\n")[0])
        raise
    folder.set_status("done")
    return folder.path


def pick_device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: 'cuda' was asked for, but no GPU is to be seen; use 'cpu' or 'auto'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def load_model(config: Run, part: Any, device: torch.device) -> LanguageModel:
    """bf16 on a GPU and fp32 on a CPU unless the configuration names a dtype."""
    dtype = part.dtype if part.dtype != "auto" else ("bfloat16" if device.type == "cuda" else "float32")
    return load(
        config.model_path(part),
        revision=part.revision,
        dtype=dtype,
        device=device,
        trust_remote_code=part.trust_remote_code,
    )


def check_models(config: Run, student: LanguageModel, teacher: LanguageModel, tasks: Sequence[Task]) -> None:
    """Raise UserError where the two models, or a method and the models, do not fit together."""
    check_tokenizers(teacher, student)
    for method in config.methods.values():
        method.check(teacher, student, n_step(config, tasks))


def n_step(config: Run, tasks: Sequence[Task]) -> int:
    """Optimiser steps of every training of a run."""
    n_row = sum(len(task.splits["train"]) for task in tasks)
    return -(-n_row // config.training.batch_size) * config.training.epochs


def _refuse_empty(config: Run, rows: Rows) -> None:
    """Every method trains, and those with a teacher look at the extract rows first."""
    needed = ["train", "extract"] if any(method.uses_teacher for method in config.methods.values()) else ["train"]
    for split in needed:
        if not rows.split(split):
            names = ", ".join(task.name for task in rows.tasks)
            raise UserError(f"no rows in split '{split}' of {names}; add a task that has some")


def _inputs(rows: Rows, student: LanguageModel, teacher: LanguageModel) -> dict[str, str]:
    """Keys of what the run depends on beside its configuration."""
    inputs = {
        f"rows of {task.name}": key(
            [[e.input_ids, e.n_prompt] for split in rows.examples.values() for e in split.get(task.name, [])],
            [[row.id, row.answer, dict(row.extra)] for split in task.splits.values() for row in split],
        )
        for task in rows.tasks
    }
    for role, model in (("student", student), ("teacher", teacher)):
        probe = [float(p.detach().double().sum()) for p in model.module.parameters()]
        inputs[f"the {role}'s weights"] = key(probe)
    return inputs


def extract_batches(rows: Rows, size: int, model: LanguageModel) -> list[Batch]:
    """The few rows that attribution and map quality look at."""
    return [batch.to(model.device) for batch in batches(rows.split("extract"), size, padding_token(model.tokenizer))]


def calibration_batches(rows: Rows, size: int, model: LanguageModel) -> list[Batch]:
    """The rows that maps are fitted on: `align` rows, or the training rows where a run has none."""
    examples = rows.split("align") or rows.split("train")
    return [batch.to(model.device) for batch in batches(examples, size, padding_token(model.tokenizer))]


def _score(work: Work, model: LanguageModel, name: str) -> None:
    """Evaluate a model on every task into eval/<name>/, once."""
    stage = f"evaluate {name}"
    if work.folder.done(stage):
        return
    options = work.config.evaluation
    with work.folder.stage(stage) as cost, work.reporter.stage(f"evaluating {name}") as advance:
        evaluate(
            model,
            work.rows.tasks,
            split=options.split,
            template=work.config.data.template,
            batch_size=options.batch_size,
            folder=work.folder / "eval" / name,
            progress=lambda _task, done, total: advance(done, total),
            skip_unavailable=True,
        )
        cost.tokens = sum(len(e.input_ids) for e in work.rows.split(options.split))


def _before(work: Work, student: LanguageModel, teacher: LanguageModel) -> list[str]:
    """Scores of both models before anything is trained; warnings where the teacher has nothing to give."""
    for name, model in (("student", student), ("teacher", teacher)):
        _score(work, model, name)
    scores = {name: TaskScore.load(work.folder / "eval" / name) for name in ("student", "teacher")}
    warnings = []
    for task, before in scores["student"].items():
        above = scores["teacher"][task]
        if before.reason:
            warnings.append(f"{task}: not scored ({before.reason})")
        if before.score is not None and above.score is not None and above.score <= before.score:
            warnings.append(
                f"{task}: the teacher ({above.score:.3f}) is not better than the student ({before.score:.3f})"
            )
        elif above.score is None and above.bits_per_byte >= before.bits_per_byte:
            warnings.append(
                f"{task}: the teacher ({above.bits_per_byte:.3f} bits per byte) is not better than the student "
                f"({before.bits_per_byte:.3f})"
            )
    if teacher.n_layer < student.n_layer or teacher.width < student.width:
        warnings.append(
            f"the student ({student.n_layer} layers x {student.width}) is deeper or wider than the teacher "
            f"({teacher.n_layer} x {teacher.width}); this works, but is not what the method was made for"
        )
    for warning in warnings:
        work.reporter.warn(warning)
    return warnings


def _adapt_teacher(work: Work, teacher: LanguageModel) -> Trained:
    """LoRA-SFT of the teacher on the training rows, in place; the untouched teacher was scored before."""
    tokens = shared_tokens(teacher, teacher)
    context = MethodContext(
        teacher=teacher, student=teacher, tokens=tokens, extract=(), calibration=(), seed=work.config.seed
    )
    trained, adapter = _train(work, "teacher_adapted", SFT(), context)
    adapter.requires_grad_(False)
    _score(work, teacher, "teacher_adapted")
    return trained


def _train_and_score(work: Work, name: str, method: Method, context: MethodContext) -> Trained:
    """Train a fresh adapter on the student, score it, and leave the student as it was."""
    trained, adapter = _train(work, name, method, context)
    _score(work, context.student, name)
    folder = work.folder
    if method is work.config.method and not folder.done("export"):
        with folder.stage("export"):
            save_adapter(adapter, folder / "adapter")
            save_plain(merge(adapter), context.student.tokenizer, folder / "student")
    unload(adapter)
    return trained


def _train(work: Work, name: str, method: Method, context: MethodContext) -> tuple[Trained, Any]:
    """Plan and train, or load what an earlier start trained; returns the adapter that now sits on the student."""
    plan = _plan(work, name, method, context)
    stored = work.folder / "train" / name
    if work.folder.done(f"train {name}"):
        adapter = load_adapter(context.student, stored / "adapter")
        return Trained(method.label, method, plan, History(**read_json(stored / "history.json"))), adapter
    options, seed = work.config.training, work.config.seed
    adapter = lora(context.student, plan.layers, seed=seed, **options.lora.model_dump())
    examples = work.rows.split("train")
    total = n_step(work.config, work.rows.tasks)
    with work.folder.stage(f"train {name}") as cost, work.reporter.stage(f"training {name}") as advance:
        history = train(
            method.step(context, plan),
            examples,
            options,
            pad_id=padding_token(context.student.tokenizer),
            seed=seed,
            folder=stored,
            advance=lambda done: advance(done, total),
        )
        cost.tokens = history.n_token
        save_adapter(adapter, stored / "adapter")
        write_json(stored / "history.json", history.plain())
    for warning in trouble(name, history.entries):
        work.reporter.warn(warning)
    return Trained(method.label, method, plan, history), adapter


def _plan(work: Work, name: str, method: Method, context: MethodContext) -> Plan:
    stored = work.folder / "prepare" / name
    if not work.folder.done(f"prepare {name}"):
        with work.folder.stage(f"prepare {name}") as cost, work.reporter.stage(f"planning {name}"):
            method.plan(context).save(stored)
            cost.tokens = sum(batch.n_tokens for batch in context.extract) if method.uses_teacher else 0
    return Plan.load(stored)


def write_report(folder: RunFolder, record: dict[str, Any]) -> None:
    """record.json, summary.json, report.md and report.html."""
    from .report import summary
    from .report import write_report as write

    write_json(folder / "record.json", record)
    write_json(folder / "summary.json", summary(record))
    write(folder.path)
