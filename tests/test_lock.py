"""A folder is one process's: another is refused with who holds it, and a dead process holds nothing."""

import json
import os
import socket
import subprocess
import sys

import pytest

from semalign.errors import UserError
from semalign.lock import LOCK, locked, refuse_locked
from semalign.run_folder import RunFolder

CONFIG = {"name": "tiny"}
DIES = """
import os, sys
from pathlib import Path
from semalign.lock import locked
with locked(Path(sys.argv[1])):
    os._exit(9)
"""


def test_a_held_folder_is_refused_with_who_holds_it(tmp_path):
    with locked(tmp_path):
        for attempt in (lambda: locked(tmp_path).__enter__(), lambda: refuse_locked(tmp_path)):
            with pytest.raises(UserError) as caught:
                attempt()
            said = str(caught.value)
            assert said.startswith(f"{tmp_path}: in use by process {os.getpid()} on {socket.gethostname()} since 2")
            assert "\n" not in said
    with locked(tmp_path):
        pass


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path):
    assert subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False).returncode == 9
    assert json.loads((tmp_path / LOCK).read_text())["pid"] != os.getpid()
    refuse_locked(tmp_path)
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


def test_looking_writes_nothing(tmp_path):
    refuse_locked(tmp_path)
    refuse_locked(tmp_path / "nothing")
    assert not [*tmp_path.iterdir()]


def test_a_folder_is_held_while_a_run_has_it_and_leftovers_go(tmp_path):
    (tmp_path / LOCK).touch()
    (tmp_path / ".config.yaml.abc.part").touch()  # a kill before the configuration was there
    with RunFolder.hold(tmp_path, CONFIG) as folder:
        assert {path.name for path in folder.path.iterdir()} == {LOCK, "config.yaml"}
        with pytest.raises(UserError, match="in use by"), RunFolder.hold(tmp_path, CONFIG):
            pass
    (tmp_path / "prepare").mkdir()
    (tmp_path / "prepare" / ".sft.x1.part").mkdir()
    (tmp_path / "prepare" / ".sft.x2.old").mkdir()
    (tmp_path / "prepare" / ".sft.x2.old" / "plan.json").touch()
    (tmp_path / ".checkpoint-3.gone").mkdir()
    with RunFolder.hold(tmp_path, CONFIG):
        assert {path.name for path in tmp_path.iterdir()} == {LOCK, "config.yaml", "prepare"}
        assert (tmp_path / "prepare" / "sft" / "plan.json").exists()  # what was being replaced comes back
        assert [path.name for path in (tmp_path / "prepare").iterdir()] == ["sft"]


def test_a_folder_of_something_else_gets_no_lock(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError, match="holds no run"), RunFolder.hold(tmp_path, CONFIG):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_locked_gets_one_line(tmp_path, monkeypatch):
    def closed(*_args, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", closed)
    with pytest.raises(UserError) as caught, RunFolder.hold(tmp_path, CONFIG):
        pass
    assert (
        str(caught.value)
        == f"{tmp_path / LOCK}: cannot be written (Read-only file system); choose another --out folder"
    )
