"""The folder of an evaluation: one model asked in one way; finished benchmarks are not asked again."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semalign.artifacts import key, read_json, write_json
from semalign.errors import UserError
from semalign.models import LanguageModel

NAME = "evaluation.json"


def open_folder(folder: Path, identity: Mapping[str, Any], tasks: Mapping[str, str]) -> None:
    """Make the folder of this evaluation, or find that an existing one is; `tasks` are keys of their rows.

    A folder of another evaluation, or of anything else, is refused.
    """
    if folder.is_file():
        raise UserError(f"{folder}: is a file, not a folder; choose another --out")
    found: dict[str, Any] = {"identity": dict(identity), "rows": {}}
    if (folder / NAME).exists():
        found = read_json(folder / NAME)
        for name, value in identity.items():
            if found["identity"].get(name) != value:
                was = found["identity"].get(name)
                raise UserError(f"{folder}: holds an evaluation with {name} {was}, not {value}; choose another --out")
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: is not empty and no evaluation; choose another --out")
    for task, rows in tasks.items():
        if found["rows"].setdefault(task, rows) != rows:
            raise UserError(f"{folder}: holds results on other rows of {task}; choose another --out")
    write_json(folder / NAME, found)


def data_keys(tasks: Sequence[str], data: Path | None) -> dict[str, str]:
    """A key of every benchmark's files; the hub's rows go by its name."""
    return {task: "hub" if data is None else _files_key(data / task) for task in tasks}


def _files_key(folder: Path) -> str:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return key([[str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()] for path in paths])


def model_key(model: LanguageModel) -> str:
    """A key of weights, dtype and tokenizer: the same folder may hold another model tomorrow."""
    sums = [(name, float(value.detach().double().sum())) for name, value in model.module.named_parameters()]
    vocabulary = sorted(model.tokenizer.get_vocab().items(), key=lambda item: item[1])
    return key(sums, str(model.module.dtype), vocabulary, model.tokenizer.chat_template)
