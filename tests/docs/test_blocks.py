"""Every fenced block of every page: commands are ones that exist, configurations are read, Python is run.

test_walks.py types the commands; what cannot be typed stands there in a table with the reason.
"""

import json
import re
from pathlib import Path

import pytest
import yaml
from fenced import PAGES, ROOT, Block, blocks, words
from typer.main import get_command

from semalign.cli import app
from semalign.compare.config import Comparison
from semalign.config import Run
from semalign.sweep.axes import read_axes

BLOCKS = blocks()
SHELL = [block for block in BLOCKS if block.is_shell]
PYTHON = [block for block in BLOCKS if block.language == "python"]
YAML = [block for block in BLOCKS if block.language == "yaml" and block.page != "docs/extending.md"]  # read by its test
OTHER = [block for block in BLOCKS if not (block in SHELL or block.language in ("python", "yaml"))]

TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
PART = {"name": "x", "teacher": "embedded:teacher", "student": "embedded:student", "method": "semalign"}
TASKS = {"data": {"template": "plain", "tasks": ["embedded:facts"]}}

OTHER_PROGRAMS = ("pip", "export", "python convert_hf_to_gguf.py", "vllm", "torchrun", "srun", "accelerate")
PYTHON_ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "docs/cache.md": "tests/cache/test_cache_page.py",
    "docs/ecosystem.md": "tests/test_ecosystem_page.py",
    "docs/extending.md": "tests/docs/test_extending.py",
    "docs/quickstart.md": "tests/docs/test_walks.py",
}
OTHER_LANGUAGES = {"bibtex": "a citation", "json": "rows; parsed", "": "text that is no command", "text": "formulas"}


def each(found: list[Block]):
    return pytest.mark.parametrize("block", found, ids=lambda block: block.place)


@each(SHELL)
def test_commands_exist_with_their_options(block):
    assert block.commands
    for command in block.commands:
        check(words(command), command)


def check(given: list[str], command: str) -> None:
    program, *rest = given
    if program == "semalign":
        parse(rest, command)
    elif program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS, command
    else:
        assert any(command.startswith(known) for known in OTHER_PROGRAMS), f"an unknown program: {command}"
        if "semalign" in rest:  # behind a launcher
            parse(rest[rest.index("semalign") + 1 :], command)
        if program == "pip":
            check_requirements(rest, command)


def parse(rest: list[str], command: str) -> None:
    """Through the real parser, which knows the type of every argument; files of the project are there."""
    if rest == ["--install-completion"]:
        return
    verbs = get_command(app)
    assert rest, command
    assert rest[0] in verbs.commands, command
    verb = verbs.commands[rest[0]]
    try:
        verb.make_context(rest[0], list(rest[1:]))
    except Exception as error:  # typer's own classes of usage errors are private
        pytest.fail(f"{command}: {error}")
    for word in rest:
        if word.startswith(("configs/", "src/")):
            assert (ROOT / word).exists(), command
    if rest[1:] and rest[1].startswith(("configs/", "src/")) and rest[0] != "compare":
        Run.read(ROOT / rest[1], [rest[i + 1] for i, word in enumerate(rest) if word == "--set"])


def check_requirements(rest: list[str], command: str) -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in rest:
        for named in re.findall(r"\[([\w,]+)\]", word):
            assert set(named.split(",")) <= set(extras), command


@each(YAML)
def test_configurations_are_read(block, tmp_path):
    for values in documents(block.text):
        if "axes" in values:
            path = tmp_path / "axes.yaml"
            path.write_text(block.text, encoding="utf-8")
            assert read_axes(path)
        elif "pairs" in values:
            path = tmp_path / "compare.yaml"
            # pages of results list their methods apart
            whole = {"methods": {values.get("recommended", "sft"): "sft"}} | values
            path.write_text(yaml.safe_dump(whole), encoding="utf-8")
            assert Comparison.read(path).methods
        else:
            unknown = set(values) - set(Run.model_fields)
            assert not unknown, unknown
            Run.make(PART | TASKS | values, block.place)


def documents(text: str) -> list[dict]:
    """One configuration; or, where a key is said twice, one a line: alternatives."""
    keys = re.findall(r"^(\w+):", text, flags=re.MULTILINE)
    if len(keys) == len(set(keys)):
        return [yaml.safe_load(text)]
    return [yaml.safe_load(line) for line in text.splitlines() if line.strip()]


@each(PYTHON)
def test_python_is_run_by_a_test(block):
    compile(block.text, block.place, "exec")
    test = ROOT / PYTHON_ELSEWHERE[block.page]
    assert Path(block.page).name in test.read_text(encoding="utf-8")


@each(OTHER)
def test_other_blocks_are_of_a_known_kind(block):
    assert block.language in OTHER_LANGUAGES
    if block.language == "json":
        assert [json.loads(line) for line in block.text.splitlines()]


def test_every_entry_of_a_table_has_its_block():
    assert set(PYTHON_ELSEWHERE) == {block.page for block in PYTHON}
    lines = [command for block in SHELL for command in block.commands]
    for program in OTHER_PROGRAMS:
        assert any(line.startswith(program) for line in lines), program
    assert {block.language for block in OTHER} == set(OTHER_LANGUAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_in_sentences_name_verbs_and_options_that_exist(page):
    verbs = get_command(app).commands
    for command in re.findall(r"`(semalign [a-z][^`\n]*)`", page.read_text(encoding="utf-8")):
        _, verb, *rest = command.split()
        assert verb in verbs, command
        known = {name for parameter in verbs[verb].params for name in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= known, command


def test_a_wrong_command_is_found():
    for wrong in ("semalign fly my.yaml", "semalign run my.yaml --fast", "semalign ls a b", "semalign eval x"):
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            check(words(wrong), wrong)
