"""Names that a card may say: hub ids as they are, folders by their last part, so that no path of a machine gets out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
EMBEDDED = "embedded:"
BENCHMARKS = {
    "gsm8k": "openai/gsm8k",
    "mmlu": "cais/mmlu",
    "mbpp": "google-research-datasets/mbpp",
    "humaneval": "openai/openai_humaneval",
}


def settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """The run's configuration as plain values."""
    return yaml.safe_load(record.get("config") or "") or {}


def hub_id(config: Mapping[str, Any], role: str) -> str | None:
    """The hub id of `student` or `teacher`; None for a folder and for the embedded pair."""
    name = _model(config, role)
    local = (Path(config.get("root", ".")) / name).is_dir()
    return name if HUB_ID.fullmatch(name) and not local else None


def shown(config: Mapping[str, Any], role: str) -> str:
    """The model's name without the folders above it."""
    name = _model(config, role)
    return name if hub_id(config, role) or name.startswith(EMBEDDED) else Path(name).name or name


def licence(config: Mapping[str, Any], role: str) -> str | None:
    """The licence that the model's own card names, where it is a folder here that has one; of the embedded pair too."""
    name = _model(config, role)
    if name.startswith(EMBEDDED):
        return "apache-2.0"
    card = Path(config.get("root", ".")) / name / "README.md"
    if hub_id(config, role) or not card.is_file():
        return None
    found = re.match(r"\A---\s*\n(.*?)\n---", card.read_text("utf-8", errors="replace"), flags=re.DOTALL)
    try:
        named = (yaml.safe_load(found[1]) or {}).get("license") if found else None
    except (yaml.YAMLError, AttributeError):
        return None
    return named if isinstance(named, str) else None


def data_sets(config: Mapping[str, Any]) -> dict[str, str]:
    """By task, the hub id of the data set that its rows come from, where they come from one."""
    found: dict[str, str] = {}
    for task in config.get("data", {}).get("tasks", []):
        source = (task.get("hub") or {}).get("id") or BENCHMARKS.get(task.get("benchmark") or "")
        if source and HUB_ID.fullmatch(source):
            found[str(task["name"])] = str(source)
    return found


def _model(config: Mapping[str, Any], role: str) -> str:
    part = config.get(role) or "unknown"
    return str(part if isinstance(part, str) else part.get("model", "unknown"))
