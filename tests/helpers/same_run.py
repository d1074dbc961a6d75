"""Whether a run that was stopped came to the same end as one that was not."""

import json
from pathlib import Path

from semalign.artifacts import read_json
from semalign.training import checkpoint

WEIGHTS = ("student/model.safetensors", "adapter/adapter_model.safetensors")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def assert_same(folder: Path, whole: Path) -> None:
    """The same files, weights to the bit, metrics but for their times, scores, and counts of tokens."""
    assert read_json(folder / "status.json")["status"] == "done"
    assert files(folder) == files(whole)
    trained = [f"train/{method.name}/adapter/adapter_model.safetensors" for method in (whole / "train").iterdir()]
    for name in (*WEIGHTS, *trained):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    for method in (whole / "train").iterdir():
        assert _metrics(folder / "train" / method.name) == _metrics(method)
    for part in ("tasks", "mean_gap"):
        assert read_json(folder / "summary.json")[part] == read_json(whole / "summary.json")[part]
    assert _tokens(folder) == _tokens(whole)
    assert read_json(folder / "record.json")["warnings"] == read_json(whole / "record.json")["warnings"]


def _metrics(folder):
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in entry.items() if name != "tokens_per_second"} for entry in entries]


def _tokens(folder):
    stages = read_json(folder / "stages.json")
    return {name: (cost["tokens"], cost["teacher_tokens"]) for name, cost in stages.items()}


class Standing:
    """What a stopped run has finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        held = folder / "stages.json"
        self.stages = json.loads(held.read_text()) if held.exists() else {}
        trained = [path for path in (folder / "train").glob("*") if path.is_dir()]
        self.steps = {path.name: max([0, *checkpoint.found(path)]) for path in trained}
        finished = [
            path
            for stage in self.stages
            for work, _, name in [stage.partition(" ")]
            for path in (folder / {"evaluate": "eval", "prepare": "prepare"}.get(work, "none") / name).glob("*")
        ]
        self.written = {path: path.stat().st_mtime_ns for path in finished}

    def assert_kept(self) -> None:
        """What was finished has not been done again."""
        now = Standing(self.folder)
        assert {name: now.stages.get(name) for name in self.stages} == self.stages
        assert {path: now.written.get(path) for path in self.written} == self.written

    def assert_no_step_twice(self, changes: list[str], n_step: int) -> None:
        """A process that finished the run took the steps behind the last checkpoint and no others."""
        for method, done in self.steps.items():
            taken = changes.count(f"open {self.folder / 'train' / method / 'metrics.jsonl'}")
            expected = 0 if f"train {method}" in self.stages else n_step - done
            assert taken == expected, f"{method}: {taken} steps taken with {done} done"
