"""The stages of a run, in order, top to bottom: data, models, scores, teacher, plans, training, scores, report."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from . import failure, ranks, stopping
from .artifacts import read_json, remove_folder, write_json
from .basis.quality import poor_map
from .caching import cached
from .config import Run
from .contamination import load_tasks
from .data import padding_token
from .diagnostics import Probe
from .environment import environment
from .errors import UserError
from .evaluation import TaskScore, evaluate
from .evaluation.benchmarks import evaluate_benchmarks
from .lock import refuse_locked
from .methods import Given, Method, MethodContext, Plan
from .methods.sft import SFT
from .models import (
    LanguageModel,
    load_adapter,
    merge,
    reading,
    save_adapter,
    save_plain,
    unload,
)
from .models.sharding import shard
from .prepare import (
    adaptation,
    check_engine,
    check_models,
    check_surroundings,
    cut_rows,
    input_keys,
    load_model,
    method_context,
    pick_device,
    refuse_empty,
    tokens_of,
    unused_prompts,
)
from .progress import Reporter
from .record import make_record
from .results import Rows, Trained, encode_rows, encoded
from .revisions import keep_commits, known_commits, parts, trusted_code
from .run_folder import WRITE_ANSWERS, RunFolder
from .teacher_answers import FOLDER as ANSWERS
from .teacher_answers import TeacherAnswers, forget_drafts, little_room, write_answers
from .tracking import tracked
from .training import Engine, History, Tally, start_engine
from .training.watch import trouble
from .two_tokenizers import compare_tokenizers, few_followed, prompts_followed

PROBED = 256  # answer positions of a probe: seconds with a real vocabulary, and agreement to within 0.03


@dataclass(frozen=True)
class Work:
    """What every stage of a run works with."""

    config: Run
    rows: Rows
    folder: RunFolder
    reporter: Reporter
    pages: bool
    """Whether a person will look at this run by itself."""
    engine: Engine
    answers: TeacherAnswers | None = None
    """Of the teacher, to the prompts among the rows."""


@stopping.listening()
def run(
    config: Run | str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    reporter: Reporter | None = None,
    borrow: Path | None = None,
    pages: bool = True,
) -> Path:
    """Run a configuration into a folder (`runs/<name>` by default) and return the folder.

    A folder that already holds this run is resumed: finished stages are not repeated. `borrow` is the folder of a run
    on the same rows and models whose scores of the untouched models (and whose adapted teacher) are taken over.
    Without `pages` there is no report, no reconstruction curve in the record and no merged student (adapters are kept):
    one of many runs in a sweep.
    Raises UserError for a user's mistake, before anything is written wherever that can be known before.
    """
    if isinstance(config, str | Path):
        config = Run.read(config, overrides)
    elif not isinstance(config, Run):
        config = Run.make(config)
    reporter, path = reporter or Reporter(plain=True), Path(out) if out else Path("runs") / config.name
    engine = start_engine(pick_device(config.device), config.engine)
    if not ranks.is_first():
        reporter = Reporter(quiet=True)
    ranks.once(lambda: refuse_locked(path))
    device = torch.device("cpu") if engine.sharded else engine.device
    check_surroundings(config)
    tasks, overlap = load_tasks(config)
    for warning in overlap.warnings:
        reporter.warn(warning)
    with reporter.stage("loading the models"):
        commits = known_commits(config, path)
        student, teacher = (load_model(config, part, device, commits.get(role)) for role, part in parts(config).items())
    check_models(config, student, teacher, tasks)
    check_engine(config, engine.name)
    tokens = tokens_of(config, teacher, student)
    rows = encode_rows(config, tasks, student, teacher)
    refuse_empty(config, rows)
    tokenizers = compare_tokenizers(rows, teacher, student, tokens)
    told = [
        *(tokenizers.warnings if tokenizers else []),
        *few_followed(prompts_followed(config.methods.values(), rows, teacher, student)),
        *trusted_code(config),
        *little_room(config, tasks, teacher),
    ]
    for warning in (*told, *cut_rows(config, rows)):
        reporter.warn(warning)
    with RunFolder.hold(path, config.plain()) as folder:
        keep_commits(config, path, student=student.commit, teacher=teacher.commit)
        folder.check_inputs(input_keys(rows, student, teacher))
        if borrow is not None:
            folder.borrow(borrow)
        if engine.sharded:
            for model in (student, teacher):
                shard(model, engine.device)
        with _status(folder), failure.kept(folder.path):
            work = Work(config, rows, folder, reporter, pages, engine)
            surroundings, started = {**environment(), **engine.about()}, time.time()
            write_json(folder / "environment.json", surroundings)
            warnings = [*overlap.warnings, *told, *_before(work, student, teacher)]
            adapted = _adapt_teacher(work, teacher) if config.teacher.adapt else None
            work = _with_answers(work, student, teacher)
            context = method_context(config, work.rows, teacher, student, tokens)
            probe = Probe(teacher, context.extract, tokens, limit=PROBED) if context.extract else None
            diagnostics = {"student": _diagnose(work, "student", probe, student)}
            trained = {}
            for name, method in config.methods.items():
                trained[name], diagnostics[name] = _train_and_score(work, name, method, context, probe)
            for name, result in trained.items():
                # each was said when it was found
                warnings += [*_poor(name, result.plan), *_troubles(name, result.method, result.history)]
            warnings += [*_unused(work), *_left_out(work)]
            record = make_record(
                config,
                folder,
                work.rows,
                context,
                trained=trained,
                adapted=adapted,
                diagnostics=diagnostics if probe else None,
                warnings=warnings,
                overlap=overlap.plain(),
                tokenizers=tokenizers and tokenizers.plain(),
                answers=work.answers and work.answers.plain(),
                environment=surroundings,
                started=started,
                curves=pages,
            )
            write_json(folder / "record.json", record)
            if pages and ranks.is_first():
                write_report(folder, record)
    return folder.path


@contextlib.contextmanager
def _status(folder: RunFolder) -> Iterator[None]:
    """status.json says what becomes of the block."""
    folder.set_status("running")
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        # a full disk must not hide what went wrong
        with stopping.shielded(), contextlib.suppress(UserError):
            folder.set_status("cancelled" if stopped else "failed", str(error).partition("\n")[0])
        raise
    folder.set_status("done")


def _score(work: Work, model: LanguageModel, name: str) -> None:
    """Evaluate a model on every task into eval/<name>/, and on the benchmarks, once."""
    _score_tasks(work, model, name)
    _score_benchmarks(work, model, name)


def _score_tasks(work: Work, model: LanguageModel, name: str) -> None:
    stage = f"evaluate {name}"
    if work.folder.done(stage):
        return
    options = work.config.evaluation
    scored = ranks.from_first(TaskScore.load(work.folder / "eval" / name))  # by an earlier start of this run
    left = [task for task in work.rows.tasks if task.name not in scored]
    with work.folder.stage(stage) as cost, work.reporter.stage(f"evaluating {name}") as advance:
        if left:
            evaluate(
                model,
                left,
                split=options.split,
                template=work.config.data.template,
                batch_size=options.batch_size,
                folder=work.folder / "eval" / name,
                progress=lambda _task, done, total: advance(done, total),
                skip_unavailable=True,
            )
        cost.tokens = sum(e.n_read for e in work.rows.split(options.split))


def _score_benchmarks(work: Work, model: LanguageModel, name: str) -> None:
    """Ask a model the benchmarks of the run into benchmarks/<name>/, once; a stopped one goes on row by row."""
    stage, options = f"benchmarks {name}", work.config.benchmarks
    if options is None or work.folder.done(stage):
        return
    work.reporter.say(f"benchmarks of {name}: {', '.join(options.tasks)}")
    with work.folder.stage(stage):
        evaluate_benchmarks(model, options, work.folder / "benchmarks" / name, work.reporter)


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
    context = adaptation(work.config, teacher)
    rows = work.rows.without_prompts().of_teacher
    trained, adapter = _train(replace(work, rows=rows), "teacher_adapted", SFT(), context)
    adapter.requires_grad_(False)
    _score(work, teacher, "teacher_adapted")
    return trained


def _with_answers(work: Work, student: LanguageModel, teacher: LanguageModel) -> Work:
    """The work with the teacher's answers to the prompts among its rows; written once, into teacher/answers."""
    if not work.rows.n_prompt:
        return work
    for warning in _unused(work):
        work.reporter.warn(warning)
    folder, tasks = work.folder / ANSWERS, work.rows.tasks
    if not work.folder.done(WRITE_ANSWERS):
        with (
            work.folder.stage(WRITE_ANSWERS) as cost,
            work.reporter.stage("the teacher answers prompts", work.rows.n_prompt) as advance,
        ):
            tally = write_answers(teacher, tasks, work.config, folder, advance)
            cost.tokens = cost.teacher_tokens = tally.teacher_tokens
            cost.seconds = tally.seconds_before
    forget_drafts(folder)
    found = TeacherAnswers.load(folder, tasks)
    warnings = found.warnings(adapted=work.config.teacher.adapt)
    if not any(found.rows.values()):
        raise UserError(f"{folder}: none of the teacher's answers was kept; {warnings[0]}")
    for warning in warnings:
        work.reporter.warn(warning)
    rows = work.rows.answered({task: encoded(work.config, own, student, teacher) for task, own in found.rows.items()})
    for method in work.config.methods.values():  # there may be fewer rows than prompts, so fewer steps
        method.check(teacher, student, work.config.training.n_step(len(rows.split("train") + rows.split("prompts"))))
    for warning in cut_rows(work.config, rows, ("prompts",)):
        work.reporter.warn(warning)
    return replace(work, rows=rows, answers=found)


def _unused(work: Work) -> list[str]:
    """Nothing in one of many runs: another one may train on the answers, which it borrows."""
    return unused_prompts(work.config.methods.values(), work.rows) if work.pages else []


def _left_out(work: Work) -> list[str]:
    """A line on each task most of whose prompts have no answer."""
    return work.answers.warnings(adapted=work.config.teacher.adapt) if work.answers else []


def _train_and_score(
    work: Work, name: str, method: Method, context: MethodContext, probe: Probe | None
) -> tuple[Trained, dict[str, Any]]:
    """Train a fresh adapter on the student, score and probe it, and leave the student as it was."""
    trained, adapter = _train(work, name, method, context, probe)
    _score(work, context.student, name)
    diagnosed = _diagnose(work, name, probe, context.student)
    folder = work.folder
    if work.pages and method is work.config.method and not folder.done("export"):
        with folder.stage("export"):
            save_adapter(adapter, folder / "adapter")
            if ranks.is_first():
                save_plain(merge(_whole(work, adapter)), context.student.tokenizer, folder / "student")
    unload(adapter)
    return trained, diagnosed


def _whole(work: Work, adapter: Any) -> Any:
    """The adapter on a student whose weights are in this process, so that they can be merged."""
    if not work.engine.sharded:
        return adapter
    commit = known_commits(work.config, work.folder.path).get("student")
    student = load_model(work.config, work.config.student, torch.device("cpu"), commit)
    return load_adapter(student, work.folder / "adapter")


def _diagnose(work: Work, name: str, probe: Probe | None, student: LanguageModel) -> dict[str, Any]:
    """What a student has taken over from the teacher, measured once, into diagnostics/<name>.json."""
    if probe is None:
        return {}
    stored, stage = work.folder / "diagnostics" / f"{name}.json", f"diagnose {name}"
    if not work.folder.done(stage):
        with work.folder.stage(stage), work.reporter.stage(f"probing {name}"):
            write_json(stored, probe(student, cka=True))
    return read_json(stored)


def _train(
    work: Work, name: str, method: Method, context: MethodContext, probe: Probe | None = None
) -> tuple[Trained, Any]:
    """Plan and train, or load what an earlier start trained; returns the adapter that now sits on the student."""
    plan = _plan(work, name, method, context)
    for warning in _poor(name, plan):
        work.reporter.warn(warning)
    stored = work.folder / "train" / name
    if work.folder.done(f"train {name}"):
        _drop_finished(work, name)  # where a kill came before
        adapter = load_adapter(context.student, stored / "adapter")
        return Trained(method.label, method, plan, History(**read_json(stored / "history.json"))), adapter
    config, rows = work.config, {split: work.rows.split(split) for split in work.rows.examples}
    options = config.training
    total = method.n_step(options, {split: len(examples) for split, examples in rows.items()})
    caching = cached(
        work.config,
        work.folder,
        work.reporter,
        name=name,
        method=method,
        context=context,
        plan=plan,
        rows=rows,
    )
    tracking = tracked(config.tracking, work.folder.path, run=config.name, training=name, config=config.plain())
    with caching as signals, tracking as log, reading(context.teacher) as read:
        adapter = method.adapt(context, plan, options.lora)
        with work.folder.stage(f"train {name}") as cost, work.reporter.stage(f"training {name}", total) as advance:
            # what has no steps is done whole by every process
            tally = Tally(lambda: sum(ranks.gathered(read())) if method.checkpoints else read())
            given = Given(
                rows=rows,
                options=options,
                pad_id=padding_token(context.student.tokenizer),
                folder=stored,
                advance=lambda done: advance(done, total),
                probe=None if probe is None else partial(probe, context.student),
                signals=signals,
                log=log,
                tally=tally,
                engine=work.engine,
            )
            history = method.fit(context, plan, adapter, given)
            cost.tokens, cost.teacher_tokens, cost.seconds = history.n_token, tally.teacher_tokens, tally.seconds_before
            save_adapter(adapter, stored / "adapter")
            write_json(stored / "history.json", history.plain())
    _drop_finished(work, name)
    for warning in _troubles(name, method, history):
        work.reporter.warn(warning)
    return Trained(method.label, method, plan, history), adapter


def _drop_finished(work: Work, name: str) -> None:
    """Remove what only a training that is not done needs."""
    if ranks.is_first():
        for path in (work.folder / "train" / name).glob("checkpoint-*"):
            remove_folder(path)
        shutil.rmtree(work.folder / "cache" / name, ignore_errors=True)


def _plan(work: Work, name: str, method: Method, context: MethodContext) -> Plan:
    stored = work.folder / "prepare" / name
    if not work.folder.done(f"prepare {name}"):
        planning = work.reporter.stage(f"planning {name}")
        with work.folder.stage(f"prepare {name}") as cost, planning, reading(context.teacher) as read:
            if ranks.is_first() or work.engine.sharded:  # a divided model runs in all processes or in none
                method.plan(context).save(stored)
            cost.teacher_tokens = read()
            cost.tokens = sum(batch.n_read for batch in context.extract) if method.uses_teacher else 0
    return Plan.load(stored)


def _poor(name: str, plan: Plan) -> list[str]:
    return [f"{name}: {warning}" for warning in poor_map(plan.quality)]


def _troubles(name: str, method: Method, history: History) -> list[str]:
    return trouble(name, history.entries, learned_map=method.learned_map, mishaps=history.mishaps)


def write_report(folder: RunFolder, record: dict[str, Any]) -> None:
    """summary.json, report.md, report.html, and the cards of student and adapter."""
    from .report import summary
    from .report import write_report as write
    from .share import write_cards

    write_json(folder / "summary.json", summary(record))
    write(folder.path)
    write_cards(folder.path, record)
