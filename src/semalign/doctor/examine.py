"""`semalign doctor`: everything that can be known of a run before it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ..config import Run
from ..methods.sft import SFT
from ..prepare import adaptation
from ..progress import Reporter
from ..report.units import memory, seconds
from .advantage import examine_advantage
from .answers import examine_answers
from .controls import examine_controls
from .finding import SEVERITIES, Finding, exit_code
from .forecast import Forecast, forecast_again, forecast_evaluation, forecast_method, forecast_probe
from .machine import examine_extras, examine_size
from .rows import examine_rows, micro_of
from .subject import Subject
from .terms import examine_terms
from .trial import tried
from .vocabularies import examine_tokenizers
from .writing import forecast_writing

LEFT_OUT = Finding(
    "note",
    "--quick: loss terms, pairs, map, memory, disk and times were not looked at",
    "methods",
    "leave --quick out before a long run",
)
COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}


@dataclass(frozen=True)
class Diagnosis:
    """What was found, and what each stage will take."""

    name: str
    findings: list[Finding]
    forecasts: list[Forecast]

    @property
    def exit_code(self) -> int:
        return exit_code(self.findings)

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "exit_code": self.exit_code,
            "findings": [finding.plain() for finding in self.findings],
            "stages": [forecast.plain() for forecast in self.forecasts],
        }

    def tables(self) -> list[Table]:
        """The worst first."""
        found = Table(title=f"{self.name}: what was found", title_justify="left")
        for column in ("", "where", "what", "what to do"):
            found.add_column(column, overflow="fold")
        for finding in sorted(self.findings, key=lambda one: -SEVERITIES.index(one.severity)):
            severity = f"[{COLOURS[finding.severity]}]{finding.severity}[/]"
            found.add_row(severity, *map(escape, (finding.where, finding.what, finding.what_to_do)))
        stages = Table(title="what the stages will take", title_justify="left")
        for column in ("stage", "time", "peak memory"):
            stages.add_column(column, justify="left" if column == "stage" else "right")
        for forecast in self.forecasts:
            stages.add_row(escape(forecast.stage), seconds(forecast.seconds), memory(forecast.peak_bytes))
        return [found, stages] if self.forecasts else [found]


def examine(
    config: Path, overrides: Sequence[str] = (), reporter: Reporter | None = None, *, quick: bool = False
) -> Diagnosis:
    """Load, measure, and try each method on a few micro-batches; nothing is written and nothing trained.

    Raises UserError where the run itself would not start. Costs what planning costs, and some passes over few rows;
    `quick` tries no method and times nothing, so that loss terms, pairs, map, memory and times stay unknown.
    """
    run, reporter = Run.read(config, overrides), reporter or Reporter(quiet=True)
    with reporter.stage("loading the models and the rows"):
        subject = Subject.load(run)
    findings = [*examine_tokenizers(subject), *examine_rows(subject), *examine_answers(subject)]
    with reporter.stage("asking both models a few rows") as advance:
        findings += examine_advantage(subject, advance)
    findings += [*examine_controls(run), *examine_extras(subject)]
    if exit_code(findings) == 2:  # there is nothing to try
        return Diagnosis(run.name, findings, [])
    if quick:
        return Diagnosis(run.name, [*findings, LEFT_OUT], [])
    n_task = len(subject.rows.tasks)
    with reporter.stage("timing how the student's rows are scored", n_task) as advance:
        student = forecast_evaluation(subject, "student", subject.student, advance)
    with reporter.stage("timing how the teacher's rows are scored", n_task) as advance:
        teacher = forecast_evaluation(subject, "teacher", subject.teacher, advance)
    forecasts, trials = [student, teacher], []
    if run.teacher.adapt:
        micro = micro_of(subject, "teacher")
        with reporter.stage("trying teacher_adapted") as advance:
            trials.append(
                tried("teacher_adapted", SFT(), adaptation(run, subject.teacher), micro, run.training, advance=advance)
            )
        forecasts += forecast_method(subject, trials[0], micro)
        forecasts.append(forecast_again(subject, "evaluate teacher_adapted", teacher, subject.teacher))
    n_prompt = subject.rows.n_prompt
    if n_prompt:
        with reporter.stage("timing how the teacher answers prompts") as advance:
            forecasts.append(forecast_writing(subject, advance))
    probed, probe_seconds = None, 0.0
    if subject.context.extract:
        with reporter.stage("diagnosing the student"):
            probed, probe_seconds = forecast_probe(subject, "student")
    forecasts += [probed] if probed else []
    micro = micro_of(subject)
    for number, (name, method) in enumerate(run.methods.items(), start=1):
        trying = f"trying {name} (method {number} of {len(run.methods)}; --quick tries none)"
        with reporter.stage(trying) as advance:
            trial = tried(name, method, subject.context, micro, run.training, advance=advance)
        trials.append(trial)
        findings += examine_terms(trial)
        forecasts += forecast_method(subject, trial, micro, n_prompt=n_prompt, probe_seconds=probe_seconds)
        forecasts.append(forecast_again(subject, f"evaluate {name}", student, subject.student))
        forecasts += [replace(probed, stage=f"diagnose {name}")] if probed else []
    return Diagnosis(run.name, [*findings, *examine_size(subject, forecasts, trials)], forecasts)
