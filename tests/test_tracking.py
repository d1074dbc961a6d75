"""Trackers: nothing unless asked, every step of every training, the run's own numbers; TensorBoard for real."""

import json

import accelerate.tracking
import pytest
from accelerate.tracking import GeneralTracker
from tiny_run import config_of

from semalign import tracking
from semalign.config import Run
from semalign.errors import UserError
from semalign.pipeline import run

RUNS = []


class InMemory(GeneralTracker):
    """Stands for W&B and Trackio: keeps what would be sent."""

    name = "wandb"
    requires_logging_directory = False

    def __init__(self, run_name, **options):
        super().__init__()
        self.about, self.logged, self.config, self.finished = (run_name, options), [], None, False
        RUNS.append(self)

    @property
    def tracker(self):
        return self

    def start(self):
        pass

    def store_init_configuration(self, values):
        self.config = values

    def log(self, values, step=None, **_options):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    """W&B by name, as Accelerate finds it, with the class above in its place."""
    RUNS.clear()
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, name, InMemory)
    available = [accelerate.tracking.LoggerType.WANDB, accelerate.tracking.LoggerType.TRACKIO]
    monkeypatch.setattr(accelerate.tracking, "get_available_trackers", lambda: available)
    monkeypatch.setattr(tracking, "find_spec", lambda _name: True)


def lines(folder, training):
    return [json.loads(line) for line in (folder / "train" / training / "metrics.jsonl").read_text().splitlines()]


def config(world, **changes):
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "lora": {"rank": 2}}
    return config_of(world, tasks=("names",), training=training, **changes)


def test_each_training_is_a_run_with_the_numbers_of_its_own_file(world, tmp_path, wandb):
    folder = run(config(world, tracking={"to": ["wandb", "trackio"], "project": "mine"}), tmp_path / "run")
    assert [(tracker.about[0], tracker.about[1]["name"]) for tracker in RUNS] == [
        ("mine", f"tiny-{training}") for training in ("sft", "sft", "semalign", "semalign")
    ]
    assert all(tracker.finished for tracker in RUNS)
    for tracker, training in zip(RUNS[::2], ("sft", "semalign"), strict=True):
        own = lines(folder, training)
        assert [step for step, _ in tracker.logged] == [entry["step"] for entry in own] == list(range(6))
        assert [values["loss"] for _, values in tracker.logged] == [entry["loss"] for entry in own]
    assert RUNS[-1].logged[0][1]["terms/latent_cosine"] == lines(folder, "semalign")[0]["terms"]["latent_cosine"]
    assert str(world) not in json.dumps(RUNS[0].config)


def test_nothing_is_sent_unless_asked_and_old_configurations_stay_the_same(world, tmp_path, wandb):
    path = config(world)
    assert "tracking" not in Run.read(path).plain()
    run(path, tmp_path / "run")
    assert not RUNS
    assert not (tmp_path / "run" / "tracking").exists()


def test_a_run_may_go_on_with_other_trackers(world, tmp_path, wandb):
    run(config(world), tmp_path / "run")
    run(config(world, tracking="wandb"), tmp_path / "run")
    assert not RUNS  # all of it was done


def test_tensorboard_reads_what_was_logged(world, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run(config(world, tracking="tensorboard"), tmp_path / "run")
    for training in ("sft", "semalign"):
        events = EventAccumulator(str(folder / "tracking" / training))
        events.Reload()
        expected = [(entry["step"], entry["loss"]) for entry in lines(folder, training)]
        assert [(e.step, e.value) for e in events.Scalars("loss")] == [(s, pytest.approx(x)) for s, x in expected]


def test_a_missing_package_is_one_line_before_anything_is_trained(world, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"^tracking: trackio needs the package trackio; pip install trackio$"):
        run(config(world, tracking="trackio"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_does_not_start_is_one_line(world, tmp_path, wandb, monkeypatch):
    def refuse(_self):
        raise RuntimeError("no\nlogin")

    monkeypatch.setattr(InMemory, "start", refuse)
    with pytest.raises(UserError, match=r"^tracking: wandb did not start \(no login\)$"):
        run(config(world, tracking="wandb"), tmp_path / "run")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("tensorbord", "'tensorboard', 'wandb' or 'trackio'"),
        ([], "must not be empty"),
        (["wandb", "wandb"], "named twice"),
        ({"to": ["tensorboard"], "project": "x"}, "'project' has no effect on tensorboard"),
    ],
)
def test_what_is_wrong_is_said(world, value, message):
    with pytest.raises(UserError, match=message):
        Run.read(config(world, tracking=value))
