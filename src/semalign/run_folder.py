"""The folder of a run: opened once, resumed by the same configuration, never overwritten by another."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from .artifacts import read_json, write_json, write_text
from .costs import Cost, Ledger
from .errors import UserError

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
    def open(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """Make the folder, or go on with the run it holds; refuse where it holds anything else."""
        if path.is_file():
            raise UserError(f"{path}: is a file; give a folder as --out")
        held = path / "config.yaml"
        if held.exists():
            difference = _first_difference(_held(held), config)
            if difference:
                raise UserError(f"{path}: already holds another run ({difference}); choose another --out")
        elif path.is_dir() and any(path.iterdir()):
            raise UserError(f"{path}: is not empty and holds no run; choose another --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be made ({error.strerror}); choose another --out") from None
        if shutil.disk_usage(path).free < FREE_BYTES:
            raise UserError(f"{path}: less than {FREE_BYTES // 10**6} MB of disk space left; choose another --out")
        if not held.exists():
            write_text(held, yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120))
        return cls(path)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def done(self, stage: str) -> bool:
        return stage in self._done

    @contextmanager
    def stage(self, name: str) -> Iterator[Cost]:
        """Measure a stage and write it down as done when the block ends well."""
        with self.ledger.stage(name) as cost:
            yield cost
        self._done[name] = {"seconds": cost.seconds, "tokens": cost.tokens, "peak_bytes": cost.peak_bytes}
        write_json(self.path / "stages.json", self._done)

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

    def set_status(self, status: str, detail: str = "") -> None:
        write_json(self.path / "status.json", {"status": status, "detail": detail, "stages": list(self._done)})


def _held(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path.parent}: already holds a config.yaml that is no run's; choose another --out")
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
