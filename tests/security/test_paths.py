"""Names from configurations become files inside the folder they belong to, and nowhere else."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import write_model

from semalign.artifacts import write_json
from semalign.config import Run
from semalign.errors import UserError
from semalign.share import pack
from semalign.sweep.axes import Variant

FUZZ = settings(max_examples=200, deadline=None, derandomize=True)
hostile = st.text(alphabet="./\\~$-_ aé\x00\n", max_size=12) | st.text(max_size=12) | st.sampled_from(["a" * 300])


def config(**changes):
    data = {"tasks": [{"name": "sums", "folder": "sums"}]}
    return {"name": "tiny", "teacher": "t", "student": "s", "data": data, "method": "sft", **changes}


def is_inside(name, *, ending=""):
    """Whether a name stands for a file within a folder, under a name that is not hidden and not too long."""
    path = os.path.normpath(f"/runs/{name}{ending}")
    return os.path.dirname(path) == "/runs" and not name.startswith(".") and len(f".{name}{ending}.12345678.part") < 255


@FUZZ
@given(name=hostile)
@pytest.mark.parametrize("role", ["run", "control", "task"])
def test_an_accepted_name_stays_inside(role, name):
    changed = {
        "run": lambda: config(name=name),
        "control": lambda: config(method="semalign", controls={name: "sft"}),
        "task": lambda: config(data={"tasks": [{"name": name, "folder": "sums"}]}),
    }[role]()
    try:
        Run.make(changed)
    except UserError:
        return
    assert is_inside(name, ending=".json" if role == "task" else "")


@FUZZ
@given(name=hostile, value=hostile)
def test_the_folder_of_a_variant_stays_inside(name, value):
    folder = Variant(name, value, {}, f"{name}={value}").folder
    assert "/" not in folder
    assert folder not in (".", "..")
    assert not folder.startswith(".")


@pytest.fixture
def finished(tmp_path):
    """A run folder with a student that could be sent."""
    run = tmp_path / "run"
    write_model(run / "student", n_layer=1, width=8)
    (run / "student" / "README.md").write_text("a card")
    write_json(run / "record.json", {})
    return run


@pytest.mark.parametrize("folder", [False, True])
def test_a_link_out_of_the_folder_is_not_sent(folder, finished, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of somebody")
    assert pack(finished, "org/name", private=True).files
    link = finished / "student" / ("more" if folder else "notes.txt")
    link.symlink_to(secret if folder else secret / "key")
    with pytest.raises(UserError, match=f"{link.name} is a link; put the file itself in its place"):
        pack(finished, "org/name", private=True)
