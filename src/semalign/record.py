"""The record of a run: every number the report shows, from the files of the run folder."""

import time
from collections.abc import Mapping
from typing import Any

from .artifacts import read_json, write_json
from .attribution.gradient_x_activation import GradientXActivation
from .basis.cosine import Cosine
from .basis.input_side import InputSide
from .basis.quality import reconstruction
from .basis.random import Random
from .benchmark_record import benchmark_record
from .config import ModelConfig, Run, TeacherConfig
from .data import counts
from .evaluation import (
    TaskScore,
    bits_interval,
    bootstrap_interval,
    mean_difference,
    mean_gap,
    mean_score,
)
from .methods import Method, MethodContext
from .methods.semalign import SemAlign
from .models import Encoder, LanguageModel, Site
from .models.quantized import n_weight
from .paired import differences
from .results import Rows, Trained
from .run_folder import WRITE_ANSWERS, RunFolder
from .strategy import Strategy

PAPER = {"name": "SemAlign", "source": "Gu, Aleti, Chen, Zhang 2025, arXiv:2510.24208"}
STAGES = ("prepare", "cache", "train")  # of a method: those in which the teacher reads for it


def make_record(
    config: Run,
    folder: RunFolder,
    rows: Rows,
    context: MethodContext,
    *,
    trained: Mapping[str, Trained],
    adapted: Trained | None,
    diagnostics: dict[str, Any] | None,
    warnings: list[str],
    tokenizers: dict[str, Any] | None,
    answers: dict[str, Any] | None,
    overlap: dict[str, Any],
    environment: dict[str, Any],
    started: float,
    curves: bool,
) -> dict[str, Any]:
    """What record.json holds; its format is described in docs/run-folder.md."""
    names = ["student", *trained, "teacher", *(["teacher_adapted"] if adapted else [])]
    scores = {name: TaskScore.load(folder / "eval" / name) for name in names}
    outcomes = {name: _outcomes(by_task) for name, by_task in scores.items()}
    reference = "teacher_adapted" if adapted else "teacher"
    main = trained[config.method.name]
    basis = _basis(config, folder, context, main, curves)
    costs = folder.costs()
    return {
        "name": config.name,
        "command": f"semalign run {folder / 'config.yaml'} --out {folder.path}-again",
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(started)),
        "seconds": sum(cost["seconds"] for cost in costs),
        "peak_bytes": max(cost["peak_bytes"] for cost in costs),
        "config": config.to_yaml(),
        "environment": environment,
        "student": _model(config.student, context.student),
        "teacher": _model(config.teacher, context.teacher),
        "reference": reference,
        "tasks": [_task(task.name, rows, scores["student"]) for task in rows.tasks],
        "models": _models(config, trained, adapted, costs),
        "scores": {task.name: {n: _score(scores[n][task.name], config.seed) for n in names} for task in rows.tasks},
        "mean_score": {n: mean_score(outcomes[n], seed=config.seed)._asdict() for n in names},
        "mean_gap": {
            n: mean_gap(outcomes[n], outcomes[reference], seed=config.seed)._asdict() for n in names if n != reference
        },
        "differences": differences(outcomes, list(trained), config.method.name, config.seed),
        "benchmarks": benchmark_record(config, folder, names, list(trained)),
        "attribution": _attribution(config, context, trained),
        "pairing": _pairing(config, context, main),
        "basis": basis,
        "diagnostics": diagnostics,
        "training": {name: result.history.entries for name, result in trained.items()},
        "costs": costs,
        "warnings": [*warnings, *_unhelped(outcomes, config)],
        "overlap": overlap,
        "tokenizers": tokenizers,
        **({"answers": answers} if answers else {}),
        "citations": _citations(config),
        "notes": [note for task in rows.tasks for note in task.notes],
    }


def _model(part: ModelConfig, model: LanguageModel) -> dict[str, Any]:
    return {
        "model": part.model,
        "n_layer": model.n_layer,
        "width": model.width,
        "parameters": n_weight(model),
        "trust_remote_code": part.trust_remote_code,
        **({"commit": model.commit} if model.commit else {}),
        **({"encoder_decoder": True} if model.is_encoder_decoder else {}),
        **({"quantization": part.quantization} if isinstance(part, TeacherConfig) and part.quantization else {}),
    }


def _teacher_tokens(key: str, method: Method, read: Mapping[str, int]) -> int:
    """What the teacher read for a method, by stage of the run; its answers count for each method trained on them."""
    stages = [f"{work} {key}" for work in STAGES] + ([WRITE_ANSWERS] if method.follows_answers else [])
    return sum(read.get(stage, 0) for stage in stages)


def _outcomes(scores: Mapping[str, TaskScore]) -> dict[str, list[float]]:
    """One number in [0, 1] a row, higher is better: the scorer's outcome, or the gold answer's probability a byte."""
    return {task: score.values for task, score in scores.items()}


def _score(score: TaskScore, seed: int) -> dict[str, Any]:
    interval = bootstrap_interval(score.values, seed=seed, task=score.task)
    bits = bits_interval(score.row_bits, score.row_bytes, seed=seed, task=score.task)
    return {
        "metric": score.measured,
        "score": interval.value,
        "low": interval.low,
        "high": interval.high,
        "bits_per_byte": bits.value,
        "bits_low": bits.low,
        "bits_high": bits.high,
        "n": len(score.ids),
        "reason": score.reason,
    }


def _task(name: str, rows: Rows, scores: Mapping[str, TaskScore]) -> dict[str, Any]:
    splits = {split: counts(examples[name]) for split, examples in rows.examples.items() if name in examples}
    return {"name": name, "metric": scores[name].measured, "rows": splits}


def _models(
    config: Run, trained: Mapping[str, Trained], adapted: Trained | None, costs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    read = {cost["stage"]: cost["teacher_tokens"] for cost in costs}

    def entry(key: str, label: str, role: str, result: Trained | None) -> dict[str, Any]:
        return {
            "key": key,
            "label": label,
            "role": role,
            "trainable": result.history.n_trainable if result else 0,
            "steps": result.history.n_step if result else 0,
            "train_tokens": result.history.n_token if result else 0,
            "teacher_tokens": _teacher_tokens(key, result.method, read) if result else 0,
            "method": result.method.spec() if result else None,
        }

    entries = [entry("student", "student before", "before", None)]
    for key, result in trained.items():
        is_main = key == config.method.name
        label = result.label if key == result.method.name else f"{result.label} ({key})"
        entries.append(entry(key, label, "method" if is_main else "control", result))
    entries.append(entry("teacher", "teacher", "teacher", None))
    if adapted:
        entries.append(entry("teacher_adapted", "teacher, adapted on the same rows", "teacher", adapted))
    return entries


def _unhelped(outcomes: Mapping[str, dict], config: Run) -> list[str]:
    """Where the method does not score above the fine-tuning control."""
    main = config.method.name
    if "sft" not in config.controls or main == "sft":
        return []
    difference = mean_difference(outcomes[main], outcomes["sft"], seed=config.seed)
    if difference.value > 0:
        return []
    return [f"{main}: the mean score is not above the LoRA-SFT control ({difference.value:+.3f})"]


def _attribution(config: Run, context: MethodContext, trained: Mapping[str, Trained]) -> dict[str, Any] | None:
    """The attribution that the method used, or else the first of a control that used one."""
    for key in (config.method.name, *trained):
        scores = trained[key].plan.scores
        if scores is None:
            continue
        strategy = getattr(trained[key].method, "attribution", None) or GradientXActivation()
        return {
            "name": strategy.name if key == config.method.name else f"{strategy.name}, for {key}",
            "n_layer": context.teacher.n_layer,
            "scores": list(scores),
            "rows": sum(batch.input_ids.shape[0] for batch in context.extract),
            "source": strategy.source,
        }
    return None


def _pairing(config: Run, context: MethodContext, main: Trained) -> dict[str, Any] | None:
    if not main.plan.pairs:
        return None
    pairing = getattr(config.method, "pairing", None)  # a method may pair layers in a way of its own
    seen = _seen(config, context)
    return {
        "name": (pairing or config.method).name,
        "n_student": seen.student.n_layer,
        "n_teacher": seen.teacher.n_layer,
        "encoders": [side for side in ("teacher", "student") if isinstance(getattr(seen, side), Encoder)],
        "pairs": [pair.plain() for pair in main.plan.pairs],
    }


def _seen(config: Run, context: MethodContext) -> MethodContext:
    """Models and rows as the paired layers see them."""
    return config.method.seen(context) if isinstance(config.method, SemAlign) else context


def _basis(
    config: Run, folder: RunFolder, context: MethodContext, main: Trained, curves: bool
) -> dict[str, Any] | None:
    """The map's quality, and where asked for the paper's Fig. 2 for both models with its controls."""
    if not main.plan.maps:
        return None
    found = {"name": getattr(config.method, "basis").name, **main.plan.quality}  # noqa: B009 - only methods with a map
    if not curves:
        return {**found, "curves": []}
    stored = folder / "prepare" / "curves.json"
    if not folder.done("basis curves"):
        with folder.stage("basis curves"):
            write_json(stored, _curves(_seen(config, context), getattr(config.method, "site")))  # noqa: B009
    return {**found, "curves": read_json(stored)}


def _curves(context: MethodContext, site: Site) -> list[dict[str, Any]]:
    curves = []
    sides = (
        ("teacher", context.teacher, context.tokens.teacher, context.teacher_extract),
        ("student", context.student, context.tokens.student, context.extract),
    )
    for side, model, ids, rows in sides:
        for basis in (Cosine(), InputSide(), Random()):
            curve = reconstruction(basis, model, ids, rows, site)
            curves.append({"label": f"{side}, {basis.name}", "site": site, "cosine": curve.tolist()})
    return curves


def _citations(config: Run) -> list[dict[str, str]]:
    """The paper, and the source of every strategy used."""
    found = {PAPER["source"]: PAPER["name"]}
    pending: list[Any] = list(config.methods.values())
    while pending:
        strategy = pending.pop()
        if strategy.source and strategy.source not in ("control", "user"):
            found.setdefault(strategy.source, strategy.name)
        for value in vars(strategy).values():
            pending += [
                item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Strategy)
            ]
    return [{"name": name, "source": source} for source, name in found.items()]
