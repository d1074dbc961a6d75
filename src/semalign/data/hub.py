"""Data sets of the Hugging Face hub, through the optional package `datasets`."""

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .formats import Format
from .rows import Row, rows_from_records
from .spec import SPLITS, HubSource


def hub_records(
    identifier: str, split: str, *, config: str | None = None, revision: str | None = None
) -> list[dict[str, Any]]:
    """The records of one split, in the data set's order."""
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"hub data set '{identifier}': needs the package datasets; pip install 'semalign[data]'"
        ) from None
    try:
        loaded = datasets.load_dataset(identifier, config, split=split, revision=revision)
    except Exception as error:  # network, hub, configuration and parsing errors share no base class
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"hub data set '{identifier}', split '{split}': {reason or type(error).__name__}; "
            "check id, config, split and network, or give local files"
        ) from None
    return [dict(record) for record in loaded]


def read_hub(
    source: HubSource, *, task: str, fields: Mapping[str, str], layout: Format | None = None
) -> dict[str, list[Row]]:
    """The rows of the splits that the source names; a row without an id is named `<split>-<number from 0>`."""
    splits = {}
    for split in SPLITS:
        name = getattr(source.splits, split)
        if name is None:
            continue
        found = hub_records(source.id, name, config=source.config, revision=source.revision)
        named = [(f"{source.id} split '{name}' row {i}", f"{name}-{i}", record) for i, record in enumerate(found)]
        splits[split] = rows_from_records(named, task=task, fields=fields, layout=layout)
    return splits
