"""`semalign reproduce`: run a finished run again from what it recorded, and compare the two bit by bit."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .artifacts import read_json, read_tensors, write_json
from .config import Run
from .errors import UserError
from .pipeline import run
from .progress import Reporter
from .revisions import at_commits

TIMES = ("tokens_per_second",)  # of a step: no two runs take as long


@dataclass(frozen=True)
class Reproduction:
    """What became of a run that was run again."""

    folder: Path
    environment: list[str]
    """What is another around the run: versions, device, threads. It explains differences, and is none by itself."""
    differences: dict[str, list[str]]
    """What came out otherwise, by part; a part that is equal to the bit has none."""
    compared: dict[str, int]
    """Files compared, by part."""

    @property
    def equal(self) -> bool:
        return not any(self.differences.values())

    def lines(self) -> list[str]:
        """For a person: every part, equal or not, then what is another around it."""
        told = []
        for part, found in self.differences.items():
            told += [f"{part}: {line}" for line in found] or [f"{part}: equal ({self.compared[part]} files)"]
        around = [f"environment: {line}" for line in self.environment] or ["environment: the same"]
        return [*told, *around, "equal to the bit" if self.equal else "not equal"]


def reproduce(folder: Path, out: Path | None = None, reporter: Reporter | None = None) -> Reproduction:
    """Run what `folder` holds again into `out` (`<folder>-reproduced` if not given) and compare.

    A stopped reproduction goes on with the same call. Writes reproduction.json into `out`. Raises UserError where
    `folder` holds no finished run.
    """
    _refuse(folder)
    out = out or folder.with_name(f"{folder.resolve().name}-reproduced")
    if out.resolve() == folder.resolve():
        raise UserError(f"{out}: is the run itself; choose another --out")
    again = Run.read(folder / "config.yaml")
    again = again.model_copy(update={"tracking": None, **at_commits(again, folder)})  # nothing is sent a second time
    run(again, out, reporter=reporter, pages=(folder / "report.html").exists())
    differences, compared = {}, {}
    for part, files in _files(folder, out).items():
        found = [f"{name}: {line}" for name in files for line in _compare(folder / name, out / name)]
        differences[part], compared[part] = found, len(files)
    environments = (read_json(each / "environment.json") for each in (folder, out))
    result = Reproduction(out, [*_changes(*environments)], differences, compared)
    about = {"of": str(folder), "equal": result.equal, "environment": result.environment, "differences": differences}
    write_json(out / "reproduction.json", about)
    return result


def _refuse(folder: Path) -> None:
    if not (folder / "config.yaml").exists() or not (folder / "status.json").exists():
        raise UserError(f"{folder}: holds no run; name the folder of a finished one")
    status = read_json(folder / "status.json")["status"]
    if status != "done":
        raise UserError(f"{folder}: this run is {status}, and only a finished one can be compared; finish it first")


def _files(*folders: Path) -> dict[str, list[str]]:
    """What decides whether two runs came out alike, by part, relative to a run's folder."""
    patterns = {
        "rows and models": ("inputs.json", "teacher/answers/*.json*"),
        "plans": ("prepare/*/plan.json", "prepare/*/*.safetensors"),
        "training": ("train/*/history.json",),
        "weights": ("train/*/adapter/*.safetensors", "adapter/*.safetensors", "student/*.safetensors"),
        "scores": ("eval/*/*.json", "benchmarks/*/*.json", "diagnostics/*.json"),
    }
    return {
        part: sorted({str(path.relative_to(each)) for each in folders for p in given for path in each.glob(p)})
        for part, given in patterns.items()
    }


def _compare(there: Path, here: Path) -> Iterator[str]:
    """Every difference of two files in a line; of JSON the first one."""
    if not (there.exists() and here.exists()):
        yield f"only {'there' if there.exists() else 'here'}"
    elif there.suffix == ".safetensors":
        if there.read_bytes() != here.read_bytes():
            yield _tensors(there, here)
    else:
        yield from [*_changes(_values(there), _values(here))][:1]


def _values(path: Path) -> Any:
    """What a file says that no two equal runs say otherwise; of JSON lines a list."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return _timeless(read_json(path))


def _tensors(there: Path, here: Path) -> str:
    a, b = read_tensors(there), read_tensors(here)
    if {name: (x.dtype, x.shape) for name, x in a.items()} != {name: (x.dtype, x.shape) for name, x in b.items()}:
        return "other tensors"
    apart = {
        name: float((a[name].double() - b[name].double()).abs().max()) for name in a if not _same(a[name], b[name])
    }
    most = max(apart, key=lambda name: apart[name], default=None)
    return f"{len(apart)} of {len(a)} tensors, by at most {apart[most]:.3g} ({most})" if most else "other metadata"


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.view(torch.uint8), b.view(torch.uint8)) if a.dim() else torch.equal(a, b)


def _timeless(value: Any) -> Any:
    """A value without what no two runs share: times, and the versions that the environment tells."""
    if isinstance(value, dict):
        return {name: _timeless(inner) for name, inner in value.items() if name not in (*TIMES, "versions")}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def _changes(there: Any, here: Any, place: str = "") -> Iterator[str]:
    """`versions.torch: 2.13.0 there, 2.14.0 here` for every value that differs; numbers must be equal to the bit."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*there, *here]):
            yield from _changes(there.get(name), here.get(name), f"{place}.{name}" if place else str(name))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for i, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from _changes(one, other, f"{place}[{i}]")
    elif there != here:
        yield f"{place}: {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
