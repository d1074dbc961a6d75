"""The folder of a run: opened once, resumed by the same configuration, never overwritten by another."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from . import ranks
from .artifacts import read_json, remove_leftovers, whole_folder, write_json, write_text
from .costs import Cost, Ledger
from .errors import UserError
from .lock import LOCK, locked
from .stopping import check

UNTOUCHED = ("evaluate student", "benchmarks student", "evaluate teacher", "benchmarks teacher")
ADAPTED = tuple(f"{work} teacher_adapted" for work in ("prepare", "train", "evaluate", "benchmarks"))
WRITE_ANSWERS = "write answers"
STAGE_FOLDERS = {
    "prepare": "prepare",
    "train": "train",
    "evaluate": "eval",
    "benchmarks": "benchmarks",
    "write": "teacher",
}
# What those stages depend on beside rows and weights; the adapted teacher on the training options too.
DECISIVE = ("teacher", "student", "data", "evaluation", "seed", "device", "root")
ASKED = ("evaluation.benchmarks", "device", "root")  # what the benchmarks of a model depend on
FREE = ("engine", "tracking")  # what may be another when a run goes on
COUNTED = "teacher_tokens"  # in the costs of a stage since a comparison shows them
FREE_BYTES = 50_000_000  # checkpoints and reports of even the smallest run need some


class RunFolder:
    """Where a run keeps its files. A stage that is done is written down with its cost and not repeated on resuming."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger()
        self._done: dict[str, dict[str, Any]] = (
            read_json(path / "stages.json") if (path / "stages.json").exists() else {}
        )

    @classmethod
    @contextmanager
    def hold(cls, path: Path, config: dict[str, Any]) -> Iterator["RunFolder"]:
        """`open` the folder for this process alone within the block; what killed writers left in it is taken away.

        Of several processes the first one holds it for all of them.
        """
        with ExitStack() as holding:

            def hold() -> None:
                _refuse(path, config)
                _make(path)
                holding.enter_context(locked(path))
                remove_leftovers(path)
                cls.open(path, config)

            ranks.once(hold)
            yield cls(path)
            ranks.wait()  # no process goes on before the first has written the last file

    @classmethod
    def open(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """Make the folder, or go on with the run it holds; refuse where it holds anything else."""
        _refuse(path, config)
        _make(path)
        held = path / "config.yaml"
        if shutil.disk_usage(path).free < FREE_BYTES:
            raise UserError(f"{path}: less than {FREE_BYTES // 10**6} MB of disk space left; choose another --out")
        if not held.exists():
            write_text(held, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
        return cls(path)

    @classmethod
    def finished(cls, path: Path, config: dict[str, Any]) -> bool:
        """Whether a folder holds this very run and it is done; refuses where it holds another."""
        if not (path / "config.yaml").exists():
            return False
        _refuse_another(path / "config.yaml", config)
        return (path / "status.json").exists() and read_json(path / "status.json")["status"] == "done"

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def done(self, stage: str) -> bool:
        return stage in self._done

    @contextmanager
    def stage(self, name: str) -> Iterator[Cost]:
        """Measure a stage and write it down as done when the block ends well, in every process."""
        check()
        with self.ledger.stage(name) as cost:
            yield cost
        self._done[name] = {fact: value for fact, value in asdict(cost).items() if fact != "stage"}
        write_json(self.path / "stages.json", self._done)
        ranks.wait()

    def costs(self) -> list[dict[str, Any]]:
        """Costs of all finished stages, also of those that an earlier start of this run finished."""
        return [{"stage": name, **cost} for name, cost in self._done.items()]

    def check_inputs(self, inputs: dict[str, str]) -> None:
        """Refuse to resume where rows or weights are no longer those the run began with."""
        path = self.path / "inputs.json"
        if path.exists():
            for name, value in read_json(path).items():
                if inputs.get(name) != value:
                    raise UserError(f"{self.path}: {name} changed since this run began; choose another --out")
        else:
            write_json(path, inputs)
        ranks.wait()

    def borrow(self, path: Path) -> list[str]:
        """Take over what another run measured before its methods: the untouched models' scores, the adapted teacher.

        Only from a run that began with the same rows and weights, and only finished stages that both configurations
        say the same about; of a run with other rows or another seed the benchmarks, which depend on neither. Returns
        the stages taken. Their costs stay those of the run that did the work.
        """
        if not (path / "inputs.json").exists():
            return []
        other = RunFolder(path)
        stages = self._shared_with(path)
        taken = [stage for stage in stages if COUNTED in other._done.get(stage, {}) and not self.done(stage)]
        for stage in taken:
            self._take(stage, other)
        return taken

    def _shared_with(self, path: Path) -> list[str]:
        """The stages that would come out alike in another run."""
        inputs, other_inputs = (read_json(folder / "inputs.json") for folder in (self.path, path))
        config, other_config = (_held(folder / "config.yaml") for folder in (self.path, path))

        def agreed(*parts: str) -> bool:
            return not any(_first_difference(_at(config, part), _at(other_config, part)) for part in parts)

        if inputs == other_inputs and agreed(*DECISIVE):
            same_training, adapts = agreed("training"), _at(config, "teacher.adapt")
            answers = (WRITE_ANSWERS,) if same_training or not adapts else ()
            return [*UNTOUCHED, *(ADAPTED if same_training else ()), *answers]
        weights = {role: f"the {role}'s weights" for role in ("student", "teacher")}
        same = [role for role, name in weights.items() if inputs.get(name) == other_inputs.get(name)]
        return [f"benchmarks {role}" for role in same if agreed(f"{role}.model", f"{role}.dtype", *ASKED)]

    def _take(self, stage: str, other: "RunFolder") -> None:
        work, name = stage.split()
        place = Path(STAGE_FOLDERS[work]) / name
        with whole_folder(self.path / place) as part:
            shutil.copytree(other.path / place, part, dirs_exist_ok=True)
        self._done[stage] = {**other._done[stage], "borrowed": os.path.relpath(other.path, self.path)}
        write_json(self / "stages.json", self._done)

    def set_status(self, status: str, detail: str = "") -> None:
        write_json(self.path / "status.json", {"status": status, "detail": detail, "stages": list(self._done)})


def _refuse(path: Path, config: dict[str, Any]) -> None:
    """Refuse a path that holds anything but this run; a run that was killed at once left its lock alone."""
    if path.is_file():
        raise UserError(f"{path}: is a file; give a folder as --out")
    if (path / "config.yaml").exists():
        _refuse_another(path / "config.yaml", config)
        _refuse_older(path)
    elif path.is_dir() and not all(
        own.name == LOCK or (own.name.startswith(".config.yaml.") and own.suffix == ".part") for own in path.iterdir()
    ):
        raise UserError(f"{path}: is not empty and holds no run; choose another --out")


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be made ({error.strerror}); choose another --out") from None


def _refuse_another(held: Path, config: dict[str, Any]) -> None:
    there, here = ({name: x for name, x in one.items() if name not in FREE} for one in (_held(held), config))
    difference = _first_difference(there, here)
    if difference:
        raise UserError(f"{held.parent}: already holds another run ({difference}); choose another --out")


def _refuse_older(path: Path) -> None:
    stages = read_json(path / "stages.json") if (path / "stages.json").exists() else {}
    if any(COUNTED not in cost for cost in stages.values()):
        raise UserError(
            f"{path}: begun by an older version, which did not count the teacher's tokens; choose another --out"
        )


def _held(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path.parent}: already holds a config.yaml that is no run's; choose another --out")
    return values


def _at(values: Any, place: str) -> Any:
    """What a configuration holds at a dotted place; None where it holds nothing there."""
    for part in place.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _first_difference(held: Any, given: Any, place: str = "") -> str:
    """`training.epochs: 3 there, 5 here` for the first value that differs; '' where none does."""
    if isinstance(held, dict) and isinstance(given, dict):
        for key in dict.fromkeys([*held, *given]):
            inner = _first_difference(held.get(key), given.get(key), f"{place}.{key}" if place else str(key))
            if inner:
                return inner
        return ""
    if json.dumps(held, sort_keys=True, default=str) == json.dumps(given, sort_keys=True, default=str):
        return ""
    return f"{place}: {held!r} there, {given!r} here"
