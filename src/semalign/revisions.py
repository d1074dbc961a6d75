"""Which commits of the hub a run's models are of: written down when it begins, and used whenever it goes on."""

from pathlib import Path
from typing import Any

from . import ranks
from .artifacts import read_json, write_json
from .config import ModelConfig, Run

FILE = "revisions.json"


def parts(config: Run) -> dict[str, ModelConfig]:
    return {"student": config.student, "teacher": config.teacher}


def known_commits(config: Run, folder: Path) -> dict[str, str]:
    """By role, the commits that the run in a folder began with; of what the configuration names otherwise, none."""
    path = folder / FILE
    held: dict[str, Any] = read_json(path) if path.is_file() else {}
    asked = {role: {"model": part.model, "revision": part.revision} for role, part in parts(config).items()}
    return {
        role: found["commit"]
        for role, found in held.items()
        if {name: found.get(name) for name in ("model", "revision")} == asked.get(role)
    }


def keep_commits(config: Run, folder: Path, **commits: str | None) -> None:
    """Write revisions.json where models come from the hub and a run begins; models in folders have no commit."""
    found = {
        role: {"model": part.model, "revision": part.revision, "commit": commits[role]}
        for role, part in parts(config).items()
        if commits[role] is not None
    }
    if found and not (folder / FILE).exists():
        write_json(folder / FILE, found)
    ranks.wait()


def at_commits(config: Run, folder: Path) -> dict[str, ModelConfig]:
    """The models of a configuration at the commits that the run in a folder began with."""
    known = known_commits(config, folder)
    named = parts(config)
    return {role: named[role].model_copy(update={"revision": commit}) for role, commit in known.items()}


def trusted_code(config: Run) -> list[str]:
    """A warning for each model whose own Python code may run, for the report."""
    return [
        f"{role}: trust_remote_code is on, so Python code that came with {part.model} could run with your rights"
        for role, part in parts(config).items()
        if part.trust_remote_code
    ]
