"""README.md of the student and of the adapter: a Hugging Face model card made of the run's record."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import jinja2
from huggingface_hub import EvalResult, ModelCardData

from ..artifacts import write_text
from ..report import answer, units
from ..report.answer import findings
from ..report.card import fence, line
from ..report.record import LEVEL, Record, complete, difference, known, main_control, main_method, models, score
from ..report.trained_on import on_same_rows, whose
from .names import data_sets, hub_id, licence, settings, shown

Form = Literal["student", "adapter"]
CARD = "README.md"
METRICS = {
    "exact_match": "Exact match",
    "multiple_choice": "Accuracy",
    "passes_tests": "Share of programs that pass their tests",
    "byte_probability": "Probability of the gold answer a byte",
}


def write_cards(folder: Path, record: Mapping[str, Any]) -> None:
    """Write README.md into the run's `student/` and `adapter/`, where there are such."""
    full = complete(record)
    forms: tuple[Form, ...] = ("student", "adapter")
    for form in forms:
        if (folder / form).is_dir():
            write_text(folder / form / CARD, model_card(full, form))


def model_card(record: Record, form: Form) -> str:
    """The card: metadata with every score of the student, then what it is, how good, how made, what it cannot do."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(line=line, fence=fence, percent=units.percent)
    template = environment.from_string(files("semalign.share").joinpath("card.md.j2").read_text("utf-8"))
    config, method, control = settings(record), main_method(record), main_control(record)
    spec = next((model.get("method") for model in models(record) if model["key"] == method), None)
    text = template.render(
        record=record,
        form=form,
        level=LEVEL,
        student=shown(config, "student"),
        teacher=shown(config, "teacher"),
        template=config.get("data", {}).get("template", "chat"),
        answer=answer(record),
        remarks=findings(record).remarks,
        models=_shown_models(record),
        rows=_score_rows(record),
        margin=_margin(record),
        same_rows=on_same_rows(record, method, control),
        spec=json.dumps(spec, indent=1),
        answers=whose(spec),
        written=[f"{task} ({told['answers']})" for task, told in (record["answers"] or {"tasks": {}})["tasks"].items()],
        training=config.get("training", {}),
        tasks=[(task["name"], task["metric"], task["rows"].get("train", {}).get("rows")) for task in record["tasks"]],
        data_sets=sorted(set(data_sets(config).values())),
        licence=licence(config, "student"),
        auto="AutoModelForSeq2SeqLM" if record["student"].get("encoder_decoder") else "AutoModelForCausalLM",
    )
    card = f"---\n{_metadata(record, config, form).to_yaml()}\n---\n\n{text.strip()}\n"
    root = str(config.get("root", ""))
    return card.replace(f"{root}/", "") if Path(root).is_absolute() and root != "/" else card  # warnings name files


def _metadata(record: Record, config: Mapping[str, Any], form: Form) -> ModelCardData:
    base, license_name = hub_id(config, "student"), licence(config, "student")
    return ModelCardData(
        model_name=str(record["name"]),
        base_model=base,
        base_model_relation=("adapter" if form == "adapter" else "finetune") if base else None,
        license=license_name,
        library_name="peft" if form == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["semalign", "knowledge-distillation", *(["lora"] if form == "adapter" else [])],
        datasets=sorted(set(data_sets(config).values())) or None,
        eval_results=list(_results(record, config)) or None,
    )


def _results(record: Record, config: Mapping[str, Any]) -> list[EvalResult]:
    """Every score of the trained student; intervals are in the metric's arguments."""
    method, sources = main_method(record), data_sets(config)
    cells = [(task, score(record, task, method or "")) for task in record["scores"]]
    asked = (record["benchmarks"] or {}).get("tasks", {})
    cells += [(task, (about["scores"].get(method) or {}) | {"metric": "benchmark"}) for task, about in asked.items()]
    return [
        EvalResult(
            task_type="text-generation",
            task_name="Text generation",
            dataset_type=str(sources.get(task, task)),
            dataset_name=task,
            metric_type=str(cell["metric"]),
            metric_name=METRICS.get(str(cell["metric"]), str(cell["metric"])),
            metric_value=round(float(cell["score"]), 6),
            metric_args={name: cell[name] for name in ("low", "high", "n") if known(cell.get(name))},
        )
        for task, cell in cells
        if known(cell.get("score"))
    ]


def _shown_models(record: Record) -> list[dict[str, Any]]:
    wanted = {"student", main_control(record), main_method(record), "teacher", "teacher_adapted"}
    return [model for model in models(record) if model["key"] in wanted]


def _score_rows(record: Record) -> list[tuple[str, str, list[str]]]:
    """Task, metric, and each shown model's score in percent with its interval."""
    rows = []
    for task in record["scores"]:
        cells = [score(record, task, model["key"]) for model in _shown_models(record)]
        metric = next((str(cell["metric"]) for cell in cells if cell.get("metric")), "")
        rows.append((task, METRICS.get(metric, metric), [_cell(cell) for cell in cells]))
    means = [record["mean_score"].get(model["key"]) or {} for model in _shown_models(record)]
    average = [{"score": m.get("value"), "low": m.get("low"), "high": m.get("high")} for m in means]
    return [*rows, ("mean", "", [_cell(cell) for cell in average])] if len(rows) > 1 else rows


def _cell(cell: Mapping[str, Any]) -> str:
    value, interval = (
        units.percent(cell.get("score")),
        units.span(*(units.percent(cell.get(e)) for e in ("low", "high"))),
    )
    return f"{value} ({interval})" if interval else value


def _margin(record: Record) -> str | None:
    """The paired difference to the control in words; None where none was measured."""
    method, control = main_method(record), main_control(record)
    found = difference(record, method, control) if method and control else None
    if found is None:
        return None
    return f"{units.points(found['value'])} points ({units.points(found['low'])} to {units.points(found['high'])})"
