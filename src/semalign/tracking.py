"""Training curves sent to TensorBoard, W&B or Trackio while a run trains, where its configuration asks for it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from .errors import UserError
from .settings import Part, without_unchanged

Name = Literal["tensorboard", "wandb", "trackio"]
Log = Callable[[Mapping[str, Any]], None]
"""Called with the entry of each step."""


class TrackingOptions(Part):
    """Where curves go beside metrics.jsonl. A name or a list of names stands for `to`."""

    to: tuple[Name, ...] = Field(min_length=1)
    project: str = Field("semalign", min_length=1)
    """Project of W&B and Trackio; each training of a run is one run there. TensorBoard writes into the run folder."""

    @model_validator(mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"to": [value]}
        return {"to": value} if isinstance(value, list) else value

    @model_serializer(mode="wrap")
    def _without_default(self, plain: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_unchanged(self, plain(self), ("project",))

    @model_validator(mode="after")
    def _has_an_effect(self) -> "TrackingOptions":
        if len(set(self.to)) < len(self.to):
            raise ValueError(f"a tracker is named twice: {', '.join(self.to)}")
        if self.to == ("tensorboard",) and "project" in self.model_fields_set:
            raise ValueError("'project' has no effect on tensorboard, which writes into the run folder; leave it out")
        return self


def check_packages(options: TrackingOptions | None) -> None:
    """UserError where a tracker's package is missing: asked before anything is trained."""
    for name in options.to if options else ():
        if find_spec(name) is None:
            raise UserError(f"tracking: {name} needs the package {name}; pip install {name}")


@contextlib.contextmanager
def tracked(
    options: TrackingOptions | None, folder: Path, *, run: str, training: str, config: Mapping[str, Any]
) -> Iterator[Log | None]:
    """What logs the steps of one training; None where nothing was asked for. `folder` is the run's."""
    if options is None:
        yield None
        return
    trackers: list[Any] = []

    def log(entry: Mapping[str, Any]) -> None:
        if not trackers:  # after the engine has found the other processes
            how: dict[str, Any] = {"folder": folder, "run": f"{run}-{training}", "training": training, "config": config}
            trackers.extend(_started(name, project=options.project, **how) for name in options.to)
        if found := numbers(entry):  # none of a step that was left out
            for accelerator in trackers:
                accelerator.log(found, step=entry["step"])

    try:
        yield log
    finally:
        for accelerator in trackers:
            for tracker in accelerator.trackers:  # end_training() would end the group of processes too
                tracker.finish()


def numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an entry, those of inner mappings under `outer/inner`."""
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": number for inner, number in numbers(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "step":
            found[name] = float(value)
    return found


def _started(name: Name, *, project: str, folder: Path, run: str, training: str, config: Mapping[str, Any]) -> Any:
    """An accelerator that logs to one tracker, started; nothing is sent of the paths of this machine."""
    from accelerate import Accelerator

    if name == "tensorboard":
        accelerator = Accelerator(log_with=name, project_dir=str(folder / "tracking"))
        accelerator.init_trackers(training)
        return accelerator
    accelerator = Accelerator(log_with=name)
    kwargs: dict[str, Any] = {"name": run, **({"dir": str(folder)} if name == "wandb" else {})}
    about = {key: value for key, value in config.items() if key != "root"}
    try:
        accelerator.init_trackers(project, config=about, init_kwargs={name: kwargs})
    except Exception as error:  # login, network and settings errors of the package share no base class
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"tracking: {name} did not start ({reason})") from None
    return accelerator
