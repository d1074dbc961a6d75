"""Code that comes with a model runs only where `trust_remote_code` says so, and the report names it then."""

import json
import shutil

import pytest
from tiny_run import config_of, write_world

CODE = """\
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

Path({marker!r}).touch()


class OwnConfig(LlamaConfig):
    model_type = "own_llama"


class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """The file that the planted code makes."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "marker"


@pytest.fixture
def own(pristine, tmp_path, marker):
    """A world whose teacher brings its own code, under a type that transformers does not have."""
    world = shutil.copytree(pristine, tmp_path / "world")
    return bring_code(world, marker, model_type="own_llama")


def bring_code(world, marker, **changes):
    path = world / "teacher" / "config.json"
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": auto_map, **changes}))
    (world / "teacher" / "own.py").write_text(CODE.format(marker=str(marker)))
    return world


def run(say, world, *options):
    config = config_of(world, tasks=("names",), method="sft", controls=[])
    return say("run", config, "--out", world / "out", "--plain", *options)


def test_without_the_flag_it_is_refused(own, marker, say):
    said = run(say, own)
    assert said.code == 2
    assert said.complaint[-1].startswith(f"semalign: {own}/teacher: no usable model configuration (")
    assert not marker.exists()
    assert not (own / "out").exists()


def test_of_a_type_that_transformers_has_it_is_passed_over(pristine, tmp_path, marker, say):
    world = bring_code(shutil.copytree(pristine, tmp_path / "world"), marker)
    said = say("attribute", config_of(world, tasks=("names",), controls=[]), "--plain")
    assert said.code == 0, said.err
    assert not marker.exists()


def test_with_the_flag_it_runs_and_the_report_names_it(own, marker, say):
    said = run(say, own, "--set", "teacher.trust_remote_code=true")
    assert said.code == 0, said.err
    assert marker.exists()
    line = "teacher: trust_remote_code is on, so Python code that came with ./teacher could run with your rights"
    assert f"warning: {line}" in said.err
    assert line in json.loads((own / "out" / "record.json").read_text())["warnings"]
    for page in ("report.md", "report.html"):
        assert "trust_remote_code is on" in (own / "out" / page).read_text().replace("\\", "")
