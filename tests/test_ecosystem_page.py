"""docs/ecosystem.md is true: its Python runs, its YAML is read, its commands exist, its formats are all there are."""

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from semalign.cli import app
from semalign.config import Run
from semalign.data.formats import KEYS, Format

PAGE = (Path(__file__).parents[1] / "docs" / "ecosystem.md").read_text(encoding="utf-8")
NOT_OURS = ("python convert_hf_to_gguf.py", "vllm serve")  # marked in the page as not run here
BASE = {"name": "x", "teacher": "embedded:teacher", "student": "embedded:student", "method": "semalign"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    exec(compile(example, "ecosystem.md", "exec"), {})
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").exists()
    assert (tmp_path / "out" / "student" / "model.safetensors").exists()


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_configuration_is_read(text):
    values = BASE | {"data": {"tasks": ["embedded:facts"]}} | yaml.safe_load(text)
    config = Run.make(values)
    assert all(getattr(config, name) is not None for name in yaml.safe_load(text))


def test_every_command_and_option_exists():
    commands = get_command(app).commands
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if line.strip()]
    assert lines
    for line in lines:
        if line.startswith(NOT_OURS):
            continue
        program, verb, *rest = shlex.split(line)
        assert program == "semalign", line
        if verb.startswith("--"):
            assert verb in CliRunner().invoke(app, ["--help"], env={"COLUMNS": "160"}).output, line
            continue
        known = {name for parameter in commands[verb].params for name in parameter.opts}
        assert {option for option in rest if option.startswith("-")} <= known, line
    for option in re.findall(r"`(--[a-z-]+)`", PAGE):
        assert any(option in p.opts for command in commands.values() for p in command.params), option


def test_every_format_is_in_the_table():
    assert set(get_args(Format)) == set(KEYS)
    for name, keys in KEYS.items():
        (line,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, flags=re.MULTILINE)
        assert all(f"`{key}`" in line for key in keys), name


def test_completion_answers(monkeypatch):
    """What a shell asks once completion is installed."""
    environment = {"_SEMALIGN_COMPLETE": "complete_bash", "COMP_WORDS": "semalign in", "COMP_CWORD": "1"}
    assert CliRunner().invoke(app, [], env=environment, prog_name="semalign").output.split() == ["init"]
