"""The command line: one verb, one function; what is heavy is imported inside the verb, so that --help is quick."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .errors import UserError, printable
from .stopping import listening

# Idle OpenMP threads that spin slow a busy machine several times; set before torch is imported; a user's choice wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # where it is installed, PEFT imports it, and it says so
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP warns of a search for unused adapters that was asked for

INTERRUPTED = 130  # what shells and Typer make of Ctrl-C
DIVIDED = ("run", "quickstart")  # the verbs that several processes may share
RESUMED = (*DIVIDED, "reproduce", "eval", "sweep", "compare")  # those that go on where they were stopped


class Verbs(TyperGroup):
    """The verbs; those for one process are refused where a launcher started several."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        found = super().resolve_command(ctx, args)
        n_process = os.environ.get("WORLD_SIZE", "1")
        if n_process != "1" and found[0] not in DIVIDED:
            raise UserError(
                f"semalign {found[0]} is for one process, and a launcher started {n_process}; "
                f"only {' and '.join(DIVIDED)} divide their work"
            )
        return found


app = typer.Typer(
    name="semalign",
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Move knowledge from a large language model into a smaller one by aligning their layer activations.",
)

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the run; runs/<name> if not given.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE that wins over the file, e.g. training.epochs=3.")
]
Plain = Annotated[bool, typer.Option("--plain", help="Plain lines in place of progress bars.")]
Config = Annotated[Path, typer.Argument(help="A run configuration (YAML).", show_default=False)]
RunPath = Annotated[Path, typer.Argument(help="A run folder.", show_default=False)]


@app.command()
def quickstart(
    out: Out = None, seed: Annotated[int, typer.Option(help="Random seed.")] = 0, plain: Plain = False
) -> None:
    """Run all stages on the embedded pair, offline, in about two minutes, and show the result."""
    from .quickstart import quickstart as start

    _show_once(start(out, seed=seed, reporter=_reporter(plain)))


@app.command()
def run(config: Config, out: Out = None, overrides: Set = None, plain: Plain = False) -> None:
    """Run a configuration: scores before, controls, alignment, scores after, report. A stopped run goes on."""
    from .pipeline import run as start

    _show_once(start(config, out, overrides=overrides or (), reporter=_reporter(plain)))


@app.command()
def init(
    teacher: Annotated[str, typer.Argument(help="The larger model: a folder or a hub id.", show_default=False)],
    student: Annotated[str, typer.Argument(help="The smaller one.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(help="Rows: JSON lines, a JSON list, or a folder with train.jsonl; GSM8K if not given."),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="A file of test rows; some of --data are kept for the test if not given.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The configuration to write.")] = Path("semalign.yaml"),
) -> None:
    """Write a commented configuration for two models and your rows; refuses to overwrite one."""
    from .scaffold import write_config

    for note in write_config(teacher, student, out, data=data, test=test).notes:
        typer.echo(note)
    typer.echo(f"written: {out}; next: semalign doctor {out} (--quick: no method is tried), then semalign run {out}")


@app.command()
def doctor(
    config: Config,
    quick: Annotated[bool, typer.Option("--quick", help="Models and rows only: try no method, time nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    overrides: Set = None,
    plain: Plain = False,
) -> None:
    """Examine a configuration before anything is trained; exit code 1 with warnings, 2 with errors. Writes nothing."""
    from .doctor import examine

    diagnosis = examine(config, overrides or (), _reporter(plain), quick=quick)
    if as_json:
        import json

        typer.echo(json.dumps(diagnosis.plain(), indent=2, ensure_ascii=False))
    else:
        _print(*diagnosis.tables())
    raise typer.Exit(diagnosis.exit_code)


@app.command()
def reproduce(
    run_folder: RunPath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the new run; RUN-reproduced if not given.")
    ] = None,
    plain: Plain = False,
) -> None:
    """Run a finished run again from what it recorded, and compare bit by bit; exit code 1 where anything differs."""
    from .reproduce import reproduce as start

    result = start(run_folder, out, _reporter(plain))
    for line in result.lines():
        typer.echo(line)
    raise typer.Exit(0 if result.equal else 1)


@app.command()
def report(run_folder: RunPath) -> None:
    """Write the report of a finished run and the cards of its models again, and show its table."""
    from .report import read_record, write_report
    from .share import write_cards

    write_report(run_folder)
    write_cards(run_folder, read_record(run_folder))
    _show(run_folder)


@app.command()
def push(  # noqa: PLR0917  (typer reads options from parameters)
    run_folder: RunPath,
    repo_id: Annotated[str, typer.Argument(help="NAME or OWNER/NAME on the Hugging Face hub.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="For you alone.")] = False,
    adapter: Annotated[bool, typer.Option("--adapter", help="The adapter in place of the merged student.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Add a commit where the model exists already.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
) -> None:
    """Send a finished run's student to the Hugging Face hub: shows what would be sent, and asks."""
    from .share import pack, send
    from .share.push import check_token

    parcel = pack(run_folder, repo_id, private=private, adapter=adapter)
    check_token()
    for name, size in parcel.files:
        typer.echo(f"{size:>14,}  {name}")
    who = "private" if private else "for everybody to see"
    typer.echo(f"{len(parcel.files)} files, {parcel.n_byte:,} bytes, to the hub as {repo_id}, {who}")
    if not yes and not typer.confirm("Send them?"):
        raise UserError("nothing was sent")
    typer.echo(f"sent: {send(parcel, update=update)}")


@app.command()
def attribute(  # noqa: PLR0917  (typer reads options from parameters)
    config: Config,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for attribution.json and attribution.html.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Compare all attributions with skipping each layer.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Train on the top and on the bottom layers.")] = False,
    overrides: Set = None,
    plain: Plain = False,
) -> None:
    """Rank the teacher's layers by the configuration's attribution; measure what the ranking is worth."""
    from .inspect import attribution_tables

    reporter = _reporter(plain)
    _print(*attribution_tables(config, overrides or (), out, check=check, train=train, reporter=reporter))


@app.command()
def pair(
    config: Config,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for pairing.json and pairing.html.")] = None,
    overrides: Set = None,
    plain: Plain = False,
) -> None:
    """Show which teacher layer would teach which student layer, why, how alike they are, and every other pairing."""
    from .inspect import pairing_tables

    _print(*pairing_tables(config, overrides or (), out, _reporter(plain)))


@app.command()
def basis(
    config: Config,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for basis.json and basis.html.")] = None,
    overrides: Set = None,
    plain: Plain = False,
) -> None:
    """Show how good the semantic map is, layer by layer with its controls, beside every other map on the same pair."""
    from .inspect import basis_tables

    _print(*basis_tables(config, overrides or (), out, _reporter(plain)))


@app.command()
def shrink(
    config: Config,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the smaller model.", show_default=False)],
    layers: Annotated[int, typer.Option(help="How many of the teacher's layers to keep.", show_default=False)],
    by: Annotated[
        str, typer.Option(help="attribution (keep the highest ranked) or even (evenly spaced).")
    ] = "attribution",
    overrides: Set = None,
) -> None:
    """Make a student from the configuration's teacher by keeping some of its layers: a plain Hugging Face folder."""
    from .inspect import shrink_teacher

    kept = shrink_teacher(config, out, layers=layers, by=by, overrides=overrides or ())
    typer.echo(f"{out}: layers {', '.join(map(str, kept))} of the teacher")


@app.command("eval")
def evaluate(  # noqa: PLR0917  (typer reads options from parameters)
    model: Annotated[str, typer.Argument(help="A model folder, a hub id, or embedded:student.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    tasks: Annotated[str, typer.Option(help="Benchmarks, by commas.")] = "mmlu,gsm8k,humaneval,mbpp",
    data: Annotated[Path | None, typer.Option(help="Folder of benchmark files; the hub if not given.")] = None,
    protocol: Annotated[str, typer.Option(help="lm-eval (its own tasks) or paper.")] = "lm-eval",
    limit: Annotated[int | None, typer.Option(help="At most so many rows each, a fixed random sample.")] = None,
    num_fewshot: Annotated[int | None, typer.Option(help="Examples in a prompt; each task's own if not given.")] = None,
    template: Annotated[str, typer.Option(help="plain or chat.")] = "plain",
    samples: Annotated[
        int | None,
        typer.Option(help="Answers to each HumanEval and MBPP prompt (paper); if not given 20 and one greedy one."),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Of --samples; 0.1 if not given.")] = None,
    k: Annotated[str | None, typer.Option(help="Where pass@k is told, by commas; 1,5,10,20,100 if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of --limit and of sampled answers.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Rows at a time.")] = 16,
    plain: Plain = False,
) -> None:
    """Score a model on MMLU, GSM8K, HumanEval and MBPP. A stopped evaluation goes on where it was."""
    from .evaluation.benchmarks import Options, evaluate_model, score_table

    names = tuple(name.strip() for name in tasks.split(",") if name.strip())
    options = Options(
        tasks=names,
        protocol=protocol,
        data=data,
        limit=limit,
        num_fewshot=num_fewshot,
        template=template,
        samples=samples,
        temperature=temperature,
        k=None if k is None else _numbers("--k", k),
        seed=seed,
        batch_size=batch_size,
    )
    _print(score_table(evaluate_model(model, options, out, _reporter(plain)).values()))
    typer.echo(f"every prompt and generation: {out}")


@app.command()
def sweep(  # noqa: PLR0917  (typer reads options from parameters)
    config: Config,
    over: Annotated[
        list[str] | None,
        typer.Option(help="KEY=V1,V2 or KEY=[V1, {name: V2, count: 2}]: values to try; several keys make a grid."),
    ] = None,
    axes: Annotated[
        Path | None, typer.Option(help="YAML of named axes with labelled variants, one axis at a time.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from the configuration's on.")] = 1,
    one_at_a_time: Annotated[bool, typer.Option(help="Vary one --over at a time from the base; no grid.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each in a process of one thread.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; runs/<name>-sweep if not given.")] = None,
    overrides: Set = None,
    plain: Plain = False,
) -> None:
    """Run a configuration and variants of it over seeds, one folder a run. A stopped sweep goes on; 1 if any failed."""
    from .sweep import find_variants
    from .sweep import sweep as start

    variants = find_variants(over or (), axes, one_at_a_time=one_at_a_time)
    reporter = _reporter(plain)
    done = start(config, variants, seeds=seeds, n_job=jobs, out=out, overrides=overrides or (), reporter=reporter)
    typer.echo(f"the tables: semalign compare {done.folder}")
    _tell(done)


@app.command()
def compare(  # noqa: PLR0917  (typer reads options from parameters)
    given: Annotated[
        list[Path],
        typer.Argument(metavar="FILE.yaml | FOLDER...", help="A comparison's file, or folders.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for compare.json, .md, .csv, .html; of FILE for its runs too."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="FILE: runs at a time, a process of one thread each.")] = None,
    overrides: Set = None,
    plain: Plain = False,
) -> None:
    """Compare methods: run what FILE.yaml names and is not done, or read the finished runs and sweeps in folders.

    Shows scores, gaps to the teacher, costs, and differences with intervals over seeds and rows. A stopped FILE.yaml
    goes on where it was; exit code 1 if a run failed.
    """
    if all(each.is_dir() for each in given):
        for option, value in {"--jobs": jobs, "--set": overrides, "--plain": plain}.items():
            if value:
                raise UserError(f"{option}: folders hold finished runs, so it has no effect; leave it out")
        _compare_folders(given, out, title)
    elif len(given) > 1:
        wrong = next(each for each in given if not each.is_dir())
        raise UserError(f"{wrong}: is no folder; give one comparison file alone, or only folders of runs")
    else:
        options: dict[str, Any] = {"title": title, "n_job": jobs or 1, "overrides": overrides or ()}
        _compare_file(given[0], out, reporter=_reporter(plain), **options)


def _compare_folders(folders: list[Path], out: Path | None, title: str | None) -> None:
    from .compare import compare as start

    _show_comparison(start(folders, out, title=title or "Comparison"), out)


def _compare_file(config: Path, out: Path | None, **options: Any) -> None:
    from .compare import compare_methods

    done = compare_methods(config, out, **options)
    if done.found is not None:
        _show_comparison(done.found, done.outcome.folder)
    _tell(done.outcome)


def _show_comparison(found: dict[str, Any], out: Path | None) -> None:
    from .compare import lead, terminal_tables

    for line in lead(found):
        typer.echo(line)
    _print(*terminal_tables(found))
    if out is not None:
        typer.echo(f"the page: {out / 'compare.html'}")


@app.command()
def ls(
    kind: Annotated[str | None, typer.Argument(help="attribution, pairing, basis, loss, schedule, method.")] = None,
) -> None:
    """List the strategies that configurations can name."""
    from rich.markup import escape
    from rich.table import Table

    from .strategy import KINDS, described

    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column, no_wrap=column != "what it is")
    for each in (kind,) if kind else KINDS:
        for name, what in described(each).items():
            table.add_row(each, name, escape(what))
    _print(table)


def _version(show: bool) -> bool:
    if show:
        from . import __version__

        typer.echo(__version__)
        raise typer.Exit
    return show


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _numbers(option: str, given: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in given.split(","))
    except ValueError:
        raise UserError(f"{option} {given}: expected whole numbers with commas between them") from None


def _tell(outcome: Any) -> None:
    """What became of many runs; exit code 1 where one failed."""
    for title, reason in outcome.failed.items():
        typer.echo(f"failed: {title}: {reason}")
    typer.echo(f"{outcome.done} runs done, {outcome.skipped} done before, {len(outcome.failed)} failed")
    if outcome.failed:
        raise typer.Exit(1)


def _reporter(plain: bool) -> Any:
    from .progress import Reporter

    return Reporter(plain=plain)


def _print(*things: Any) -> None:
    from rich.console import Console

    Console().print(*things)


def _show_once(folder: Path) -> None:
    """`_show` by the first of the processes."""
    from . import ranks

    if ranks.is_first():
        _show(folder)
    ranks.leave()


def _show(folder: Path) -> None:
    """The table, the answer in words, and where the files are."""
    from .report import answer, benchmark_table, read_record, terminal_table

    record = read_record(folder)
    _print(*filter(None, (terminal_table(record), benchmark_table(record))))
    typer.echo(answer(record))
    typer.echo(f"\nreport: {folder / 'report.html'}   student: {folder / 'student'}   adapter: {folder / 'adapter'}")


def _which() -> str:
    """The number of a process that is not the first, for its messages."""
    rank = os.environ.get("RANK", "0")
    return "" if rank == "0" else f"process {rank}: "


def _next() -> str:
    """What the same command does after an interrupt."""
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    return "goes on from here" if verb in RESUMED else "starts from the beginning"


def main() -> NoReturn:
    """Exit code 0 when all is well, 2 for a user's mistake, 1 for a fault (each one line), 130 when interrupted."""
    try:
        with listening():  # a batch system's SIGTERM is an interrupt too
            app(standalone_mode=True)
    except UserError as error:
        print(f"semalign: {_which()}{printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        from . import failure

        if "Connection closed by peer" in str(error) or "Connection reset by peer" in str(error):
            line = "another process stopped; the same command goes on from here"
        elif failure.shown():
            raise
        else:
            line = failure.in_a_line(error)
        print(f"semalign: {_which()}{printable(line)}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        print(f"semalign: interrupted; the same command {_next()}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(0)
