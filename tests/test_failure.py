"""An error that nobody foresaw: one line that says where it was and what to do, exit code 1, the traceback kept."""

import pytest
from tiny_run import config_of

from semalign import failure


@pytest.fixture
def faulty(monkeypatch):
    def fail(*_args, **_options):
        raise ZeroDivisionError("a planted\nfault \x1b[31m")

    monkeypatch.setattr("semalign.pipeline.input_keys", fail)
    return fail


def test_it_is_one_line(faulty, world, tmp_path, say, monkeypatch):
    monkeypatch.delenv(failure.SHOW, raising=False)
    said = say("run", config_of(world), "--out", tmp_path / "out", "--plain")
    assert said.code == 1
    assert said.complaint[-1].startswith("semalign: unexpected ZeroDivisionError in pipeline.py line ")
    assert said.complaint[-1].endswith(
        ": a planted; this is a fault of semalign, please report it; SEMALIGN_DEBUG=1 shows the traceback"
    )
    assert "Traceback" not in said.err


def test_the_traceback_is_shown_where_asked_for(faulty, world, tmp_path, say, monkeypatch):
    monkeypatch.setenv(failure.SHOW, "1")
    with pytest.raises(ZeroDivisionError):
        say("run", config_of(world), "--out", tmp_path / "out")


def test_the_traceback_is_kept_in_the_run_folder_until_the_run_goes_on(world, tmp_path, say, monkeypatch):
    def fail(*_args, **_options):
        raise ZeroDivisionError("planted")

    monkeypatch.delenv(failure.SHOW, raising=False)
    monkeypatch.setattr("semalign.pipeline.environment", fail)
    config, out = config_of(world), tmp_path / "out"
    said = say("run", config, "--out", out, "--plain")
    assert said.code == 1
    assert said.complaint[-1].endswith(f"please report it; the traceback is in {out / 'traceback.txt'}")
    assert "ZeroDivisionError: planted" in (out / "traceback.txt").read_text()
    with pytest.raises(KeyboardInterrupt), failure.kept(out):
        raise KeyboardInterrupt
    assert not (out / "traceback.txt").exists()


@pytest.mark.parametrize(
    "error", [MemoryError("x"), type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")]
)
def test_too_little_memory_is_said_with_what_lowers_it(error):
    assert "out of memory" in failure.in_a_line(error)
    assert "training.micro_batch_size" in failure.in_a_line(error)
