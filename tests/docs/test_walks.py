"""What quickstart.md and tutorial.md tell a newcomer to type is typed, in order, with tiny models of the same names."""

import json
import os
import shutil

import pytest
import yaml
from fenced import Block, blocks, words
from tiny_run import make_tokenizer, sums, write_model, write_rows

from semalign import cli

pytestmark = pytest.mark.slow


def of(page: str, language: str) -> list[Block]:
    return [block for block in blocks() if block.page == page and block.language == language]


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder in which every command of the tutorial's second walk was run, and what each returned."""
    folder = tmp_path_factory.mktemp("walk")
    tokenizer = make_tokenizer()
    write_model(folder / "big-model", n_layer=4, width=16, seed=1, tokenizer=tokenizer)
    write_model(folder / "small-model", n_layer=2, width=16, seed=2, tokenizer=tokenizer)
    (example,) = of("docs/tutorial.md", "json")
    assert set(json.loads(example.text)) <= set(sums(0)) | {"id"}
    write_rows(folder / "train.jsonl", [sums(i) for i in range(30)])
    write_rows(folder / "validation.jsonl", [sums(i) for i in range(30, 34)])
    commands = [line for block in of("docs/tutorial.md", "sh") for line in block.commands]
    first = next(i for i, line in enumerate(commands) if line.startswith("semalign init"))
    patch, before = pytest.MonkeyPatch(), os.getcwd()
    patch.setenv("COLUMNS", "160")
    os.chdir(folder)
    try:
        codes = {line: type_in(patch, line) for line in commands[first:]}
    finally:
        os.chdir(before)
        patch.undo()
    return folder, codes


def type_in(patch, line):
    patch.setattr("sys.argv", words(line))
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    if " init " in line:
        smaller()
    return code


def smaller():
    """The configuration that `init` wrote, with one epoch, short answers and the validation rows of step 4."""
    with open("mine.yaml", encoding="utf-8") as file:
        values = yaml.safe_load(file)
    values["training"] |= {"epochs": 1, "lora": {"rank": 2, "alpha": 2}}
    values["data"]["tasks"][0] |= {"rows": {"test": 4}, "max_new_tokens": 6, "validation": "./validation.jsonl"}
    with open("mine.yaml", "w", encoding="utf-8") as file:
        yaml.safe_dump(values, file)


def test_every_command_of_the_second_walk_ends_well(walked):
    _, codes = walked
    assert len(codes) >= 8
    bad = {line: code for line, code in codes.items() if code not in ((0, 1) if "doctor" in line else (0,))}
    assert not bad  # the doctor's 1 is a warning: a tiny teacher with random weights is no better


def test_what_the_walk_promises_is_there(walked):
    folder, _ = walked
    for name in ("mine-small", "mine-0", "mine-1"):
        assert (folder / "runs" / name / "report.html").exists()
    assert (folder / "runs" / "rates-compared" / "compare.html").exists()
    assert (folder / "runs" / "mine" / "compare.html").exists()


def test_the_python_of_the_quickstart_reads_a_run(walked, monkeypatch, capsys):
    folder, _ = walked
    shutil.copytree(folder / "runs" / "mine-0", folder / "runs" / "quickstart", dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    for block in of("docs/quickstart.md", "python"):
        exec(compile(block.text, block.place, "exec"), {})
        assert capsys.readouterr().out.strip()
