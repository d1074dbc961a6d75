"""What a person sees of a stage: how much is done, how fast it goes, how long it still takes."""

import contextlib
import io
import time

import pytest
from rich.console import Console
from rich.progress import Progress
from tiny_run import config_of
from typer.main import get_command

from semalign.cli import app
from semalign.config import Run
from semalign.doctor import examine
from semalign.inspect.measure_pairing import measure
from semalign.progress import RATE_SECONDS, RateColumn, Reporter, Watched


@pytest.fixture
def clock():
    return [0.0]


def test_a_bar_tells_units_rate_and_time_left():
    reporter = Reporter()
    reporter.console, reporter.bars = Console(file=io.StringIO(), force_terminal=True, width=120), True
    with reporter.stage("evaluating mmlu") as advance:
        for done in (0, 2, 4, 6):
            advance(done, 40)
        time.sleep(0.3)  # rich draws ten times a second
    text = reporter.console.file.getvalue()
    assert "evaluating mmlu" in text
    assert "6/40" in text
    assert "/s" in text


def test_the_rate_is_of_slow_batches_and_not_of_what_a_stopped_stage_left(clock):
    column = RateColumn()
    with Progress(
        column, console=Console(file=io.StringIO()), get_time=lambda: clock[0], speed_estimate_period=RATE_SECONDS
    ) as bar:
        task = bar.add_task("rows", total=1000)
        bar.update(task, completed=700)  # kept from before
        assert column.render(bar.tasks[0]).plain == ""
        for done in (704, 708, 712):
            clock[0] += 50.0
            bar.update(task, completed=done)
        assert column.render(bar.tasks[0]).plain == "0.08/s"
        assert bar.tasks[0].time_remaining == pytest.approx((1000 - 712) / 0.08)


def test_a_bar_tells_how_many_units_there_are_before_the_first_is_done():
    reporter = Reporter()
    reporter.console, reporter.bars = Console(file=io.StringIO(), force_terminal=True, width=120), True
    with reporter.stage("training sft", 7):
        time.sleep(0.3)
    assert "0/7" in reporter.console.file.getvalue()


def test_a_log_has_a_line_a_minute_of_a_long_stage(clock, monkeypatch):
    monkeypatch.setattr("semalign.progress.time.monotonic", lambda: clock[0])
    reporter = Reporter(plain=True)
    reporter.console = Console(file=io.StringIO(), width=120)
    with reporter.stage("training sft") as advance:
        for done in range(1, 8):
            clock[0] += 25.0
            advance(done, 7)
    assert reporter.console.file.getvalue().splitlines() == [
        "training sft ...",
        "training sft: 3 of 7",
        "training sft: 6 of 7",
    ]


@pytest.mark.parametrize(
    "verb", ["quickstart", "run", "doctor", "attribute", "pair", "basis", "eval", "sweep", "compare"]
)
def test_every_verb_that_takes_long_can_be_plain(verb):
    assert "--plain" in [name for option in get_command(app).commands[verb].params for name in option.opts]


@pytest.mark.parametrize("verb", ["pair", "basis", "doctor"])
def test_stages_are_said_on_standard_error(verb, world, say):
    said = say(verb, config_of(world, tasks=("names",), name="said"))
    assert "loading the models" in said.err
    assert " ..." not in said.out


class Heard(Reporter):
    """A reporter that keeps what each stage told."""

    def __init__(self):
        super().__init__(quiet=True)
        self.told = {}

    @contextlib.contextmanager
    def stage(self, name, n_unit=None):
        units = self.told.setdefault(name, [])
        yield lambda done, total: units.append((done, total))
        assert n_unit is None or all(total == n_unit for _, total in units)


def stages_that_end(work):
    """The names of the stages that told how far they were; each up to its end, never back."""
    heard = Heard()
    work(heard)
    told = {name.partition(" (")[0]: units for name, units in heard.told.items() if units}
    for name, units in told.items():
        assert [done for done, _ in units] == sorted({done for done, _ in units}), name
        assert len({total for _, total in units}) == 1, name
        assert units[-1][0] == units[-1][1], name
    return set(told)


def test_the_pairs_tell_batches(world):
    config = Run.read(config_of(world, tasks=("names",), name="told"))
    assert stages_that_end(lambda reporter: measure(config, reporter)) == {
        "comparing the layers' states",
        "scoring the teacher's layers",
        "comparing attention patterns",
    }


def test_the_doctor_tells_rows_tasks_and_passes(world):
    config = config_of(world, tasks=("names", "colours"), name="told", teacher={"model": "./teacher", "adapt": True})
    assert stages_that_end(lambda reporter: examine(config, reporter=reporter)) == {
        "asking both models a few rows",
        "timing how the student's rows are scored",
        "timing how the teacher's rows are scored",
        "trying teacher_adapted",
        "trying sft",
        "trying semalign",
    }


def test_watched_items_are_the_items_and_tell_each_pass():
    told = []
    watched = Watched("abc", lambda done, total: told.append((done, total)))
    assert (list(watched), len(watched), watched[1], list(watched)) == (list("abc"), 3, "b", list("abc"))
    assert told == [(1, 3), (2, 3), (3, 3)] * 2
