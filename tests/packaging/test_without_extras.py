"""Without the extras layers are attributed, paired and mapped; what needs an extra says the line of pip."""

import os
import subprocess
import sys

import pytest

BLOCKED = ("matplotlib", "lm_eval", "datasets", "bitsandbytes", "tensorboard")
SITE = f"""
import importlib.machinery as machinery
found = machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {BLOCKED} else found(name, path, target)
machinery.PathFinder.find_spec = staticmethod(find_spec)
"""
CONFIG = """
name: bare
teacher: embedded:teacher
student: embedded:student
data:
  template: plain
  max_length: 192
  tasks: [{folder: "embedded:facts", rows: {extract: 2, align: 4, train: 4, test: 4}}]
method: {name: semalign, basis: logit}
training: {epochs: 1, batch_size: 4}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """semalign in a process in which the packages of the extras are not to be found."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    (folder / "bare.yaml").write_text(CONFIG, encoding="utf-8")

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "semalign", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.parametrize("verb", ["attribute", "pair", "basis"])
def test_layers_are_attributed_paired_and_mapped(bare, verb, tmp_path):
    done = bare(verb, "bare.yaml", "--plain", "--out", str(tmp_path / verb))
    assert done.returncode == 0, done.stderr[-2000:]
    assert {path.suffix for path in (tmp_path / verb).iterdir()} == {".json", ".html"}
    (page,) = (tmp_path / verb).glob("*.html")
    assert "semalign[report]" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [("run", "bare.yaml"), ("eval", "embedded:student", "--out", "scores")])
def test_scores_say_what_they_need(bare, arguments):
    done = bare(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "semalign: scores need the package lm_eval: pip install 'semalign[eval]'"
