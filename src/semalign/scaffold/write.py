"""Write a configuration that runs: what was found about two models and a file of rows, with the reasons beside it."""

import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import yaml

from ..artifacts import write_text
from ..config import Run
from ..errors import UserError
from .pair import PairOfModels, examine_pair
from .rows import FileOfRows, examine_file

EMBEDDED = "embedded:"
SMALL = 256  # width below which a model trains on a CPU with large batches and a large learning rate
GSM8K = "{benchmark: gsm8k, score: likelihood, rows: {train: 256, test: 100}}   # from the hub; put your rows here"
FAMILIES = ("facts", "arithmetic", "functions", "programs")


@dataclass(frozen=True, kw_only=True)
class Written:
    """The file, and what was found."""

    path: Path
    notes: list[str]


def write_config(
    teacher: str, student: str, out: Path, *, data: Path | None = None, test: Path | None = None
) -> Written:
    """Write the configuration; nothing is overwritten, and nothing written that `Run.read` would refuse.

    Without `data` the rows are GSM8K's from the hub, or the embedded pair's own; without `test` some of `data` are
    kept for the test.
    """
    if out.exists():
        raise UserError(f"{out}: exists; choose another --out, or remove it")
    if test is not None and data is None:
        raise UserError(f"--test {test}: has no effect without --data")
    for path in filter(None, (data, test)):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    pair = examine_pair(teacher, student)
    rows = None if data is None else examine_file(data, pair, test)
    notes = [*pair.notes, *(rows.notes if rows else [])]
    text = _text(pair, rows, out, notes)
    Run.make({**yaml.safe_load(text), "root": str(out.resolve().parent)}, str(out))
    write_text(out, text)
    return Written(path=out, notes=notes)


def _text(pair: PairOfModels, rows: FileOfRows | None, out: Path, notes: list[str]) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["y"] = _scalar
    template = environment.from_string(files("semalign.scaffold").joinpath("config.yaml.j2").read_text("utf-8"))
    small = pair.student.width < SMALL
    batch = 16 if small or (rows and rows.n_row >= 500) else 8
    teacher, student = (_place(model.name, out) for model in (pair.teacher, pair.student))
    return template.render(
        notes=[" ".join(note.split()) for note in notes],
        file=out,
        name=f"{_slug(pair.teacher.name)}-to-{_slug(pair.student.name)}",
        teacher=teacher,
        student=student,
        template=pair.template if rows or not teacher.startswith(EMBEDDED) else "plain",
        max_length=rows.max_length if rows else min(512, pair.longest or 512),
        rows=rows,
        path=_place(str(rows.path), out) if rows else None,
        test=_place(str(rows.test), out) if rows and rows.test else None,
        tasks=_tasks(teacher),
        relation=pair.relation,
        followed=rows is None or rows.followed,
        batch_size=batch,
        micro=batch if small else 4,
        learning_rate="2.0e-3" if small else "1.0e-3",
        rank=pair.rank,
    )


def _tasks(teacher: str) -> list[str]:
    if teacher.startswith(EMBEDDED):
        return [f'{{folder: "{EMBEDDED}{name}", rows: {{train: 150, test: 100}}}}' for name in FAMILIES]
    return [GSM8K]


def _place(name: str, out: Path) -> str:
    """A name as the configuration should say it: relative folders and files as seen from the configuration's own."""
    path = Path(name).expanduser()
    if name.startswith(EMBEDDED) or path.is_absolute() or not path.exists():
        return name
    near = os.path.relpath(path.resolve(), out.resolve().parent)
    return near if near.startswith(".") else f"./{near}"


def _slug(name: str) -> str:
    last = name.removeprefix(EMBEDDED).rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._").lower() or "model"


def _scalar(value: str) -> str:
    """A YAML scalar, quoted where it must be."""
    return yaml.safe_dump(value, allow_unicode=True, width=10**6).removesuffix("\n").removesuffix("\n...")
