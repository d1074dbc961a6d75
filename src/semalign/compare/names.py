"""Names for models of several runs: their key, and what tells them apart where one key means several things."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .measured import Measured


def name_runs(measured: Sequence[Measured]) -> list[Measured]:
    """Each model under its key; where configurations differ by more than the seed, `key (pairing=depth)`."""
    by_key: dict[str, list[Measured]] = {}
    for run in measured:
        by_key.setdefault(run.key, []).append(run)
    differing = {key: _differing([dict(_flat(run.config)) for run in runs]) for key, runs in by_key.items()}
    return [run.called(_name(run, differing[run.key])) for run in measured]


def _name(run: Measured, differing: Sequence[str]) -> str:
    if not differing:
        return run.key
    flat = dict(_flat(run.config))
    parts = [f"{_short(place)}={flat.get(place)}" for place in differing]
    return f"{run.key} ({', '.join(parts)})"


def _differing(flats: Sequence[Mapping[str, Any]]) -> list[str]:
    """Places where they are not all the same, without those that follow from a name that differs."""
    places = dict.fromkeys(place for flat in flats for place in flat)
    found = [place for place in places if len({str(flat.get(place)) for flat in flats}) > 1]
    named = tuple(place.removesuffix("name") for place in found if place.endswith(".name"))
    shared = [place for place in found if all(place in flat for flat in flats)]
    return [place for place in found if place in shared or not place.startswith(named or ("\0",))]


def _short(place: str) -> str:
    return place.removeprefix("method.").removesuffix(".name")


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its dotted place."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield place, value
        return
    for key, item in items:
        yield from _flat(item, f"{place}.{key}" if place else str(key))
