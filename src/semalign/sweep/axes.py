"""What a sweep varies: variants with labels, from `--over KEY=V1,V2` or from a file of named axes."""

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..settings import load_yaml

LONGEST = 100  # letters of a folder's name; file systems allow 255 bytes
AXES_FORM = "axes: {AXIS: {LABEL: {KEY: VALUE, ...}, ...}, ...}"


@dataclass(frozen=True)
class Variant:
    """The base configuration with some values replaced."""

    axis: str
    label: str
    overrides: Mapping[str, Any]
    """Dotted keys and what they become."""
    name: str
    """Of the variant in tables and error messages: `method.pairing=depth`."""

    @property
    def folder(self) -> str:
        """The name as a folder: letters, digits and `._=,+-` only, and not too long."""
        safe = re.sub(r"-*([=,])-*", r"\1", re.sub(r"[^A-Za-z0-9._=,+-]+", "-", self.name)).strip("-.")
        if len(safe) > LONGEST:
            safe = f"{safe[: LONGEST - 9]}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
        return safe

    @property
    def settings(self) -> list[str]:
        """As what `--set` takes."""
        return [f"{key}={_flow(value)}" for key, value in self.overrides.items()]


def find_variants(over: Sequence[str], axes: Path | None, *, one_at_a_time: bool = False) -> list[Variant]:
    """From `--over` or from a file of axes; both together, or neither, say nothing clear."""
    if bool(over) == bool(axes):
        raise UserError("give --over KEY=V1,V2 or --axes FILE" + (", not both" if over else ""))
    if axes and one_at_a_time:
        raise UserError("--one-at-a-time: --axes varies one axis at a time anyway; leave it out")
    return read_axes(axes) if axes else variants_over(over, one_at_a_time=one_at_a_time)


def variants_over(over: Sequence[str], *, one_at_a_time: bool = False) -> list[Variant]:
    """The grid of all values of all keys (`KEY=V1,V2` each), or one key at a time from the base."""
    axes = dict(_axis(text) for text in over)
    if len(axes) < len(over):
        raise UserError(f"--over names a key twice: {', '.join(text.partition('=')[0] for text in over)}")
    groups = [(axis,) for axis in axes] if one_at_a_time else [tuple(axes)]
    found = []
    for keys in groups:
        for values in itertools.product(*(axes[key] for key in keys)):
            labels = [_label(value) for value in values]
            name = ",".join(f"{key}={label}" for key, label in zip(keys, labels, strict=True))
            overrides = dict(zip(keys, values, strict=True))
            found.append(Variant(" x ".join(keys), ", ".join(labels), overrides, name))
    return _distinct(found)


def read_axes(path: str | Path) -> list[Variant]:
    """The variants of a file of named axes, each a mapping of overrides under its label; one axis at a time."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8 text'})") from None
    values = load_yaml(text, str(path))
    if not isinstance(values, Mapping) or set(values) != {"axes"} or not isinstance(values["axes"], Mapping):
        raise UserError(f"{path}: expected '{AXES_FORM}'")
    found = []
    for axis, labels in values["axes"].items():
        if not isinstance(labels, Mapping) or not labels:
            raise UserError(f"{path}: axis '{axis}' has no variants; expected '{AXES_FORM}'")
        for label, overrides in labels.items():
            if not isinstance(overrides, Mapping) or not overrides:
                raise UserError(f"{path}: {axis}={label}: expected a mapping of keys to values, got {overrides!r}")
            changes = {str(key): value for key, value in overrides.items()}
            found.append(Variant(str(axis), str(label), changes, f"{axis}={label}"))
    return _distinct(found)


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, given = text.partition("=")
    if not key or not equals or not given.strip():
        raise UserError(f"--over {text}: expected KEY=V1,V2,... or KEY=[V1, V2, ...]")
    is_list = given.lstrip().startswith("[")
    values = load_yaml(given if is_list else f"[{given}]", f"--over {text}")
    if not isinstance(values, list) or not values:
        raise UserError(f"--over {text}: expected a list of values after '{key}='")
    return key.strip(), values


def _label(value: Any) -> str:
    """A value in a few letters: `critical count=2` for a mapping with a name."""
    if isinstance(value, Mapping):
        rest = [f"{key}={_label(item)}" for key, item in value.items() if key != "name"]
        return " ".join([str(value["name"]), *rest] if "name" in value else rest)
    if isinstance(value, list):
        return "+".join(_label(item) for item in value) or "none"
    return "null" if value is None else str(value)


def _flow(value: Any) -> str:
    """YAML on one line. Not JSON: its `1e-06` is a text to YAML."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**9, allow_unicode=True).strip()[1:-1]


def _distinct(variants: Iterable[Variant]) -> list[Variant]:
    """Refuse two variants that would share a folder, also where the file system does not tell A from a."""
    found: dict[str, Variant] = {"base": Variant("", "", {}, "base")}
    for variant in variants:
        other = found.setdefault(variant.folder.lower(), variant)
        if other is not variant:
            raise UserError(f"two variants would share the folder '{variant.folder}': {other.name}, {variant.name}")
    return [variant for variant in found.values() if variant.axis]
