"""What the README says works: its Python block runs, its configuration loads, its commands and files exist."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from semalign.cli import app
from semalign.config import Run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_python_example_runs_and_writes_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})
    for name in ("report.md", "report.html", "summary.json", "adapter", "student"):
        assert (tmp_path / "runs" / "mine" / name).exists(), name


def test_the_configuration_is_one() -> None:
    (example,) = blocks("yaml")
    assert Run.make(yaml.safe_load(example)).method.name == "semalign"


def test_every_command_names_a_verb_or_a_make_target_that_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    commands = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines() if line.strip()]
    commands += re.findall(r"`(semalign [^`]+)`", README)
    assert commands
    for command in commands:
        program, verb = shlex.split(command)[:2]
        if program == "make":
            assert verb in targets, command
        elif program == "semalign":
            assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0, command
        else:
            pytest.fail(f"the README names an unknown program: {command}")


def test_every_linked_file_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_every_verb_is_in_the_readme() -> None:
    for command in app.registered_commands:
        verb = command.name or command.callback.__name__
        assert f"`{verb}" in README or f"semalign {verb}" in README, verb
