"""Every command of every page is typed, with tiny stand-ins of the models and rows that it names.

The commands of a page's blocks in order in one folder, those in sentences each in a folder of its own. What cannot be
typed here stands in `NOT_TYPED` with the reason, and a reason without a command is an error too.
"""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from fenced import PAGES, ROOT, blocks, words
from hub import log_in
from stand_ins import example_row, smaller, write_benchmarks, write_desk, write_models
from tiny_run import sums
from typed import Typed, type_in

from semalign import quickstart
from semalign.artifacts import read_json
from semalign.config import Run
from semalign.evaluation.sandbox import Sandbox

pytestmark = pytest.mark.slow

NOT_TYPED = {
    "make demo": "`make env`, then `semalign quickstart`, which docs/quickstart.md has",
    "make test": "is what runs this",
    "make env": "installs packages from a registry",
    "make package": "tests/packaging does what it does",
    "pip install": "installs packages from a registry; tests/docs/test_blocks.py looks at the names of the extras",
    "export": "variables of the shell, set here to the stand-ins",
    "python convert_hf_to_gguf.py": "a program of llama.cpp",
    "vllm serve": "needs a GPU and vLLM",
    "srun": "needs a SLURM cluster; what it starts is torchrun, which is typed",
    "semalign eval MODEL --out DIR": "without --data the rows come from the hub; docs/evaluation.md has it with --data",
}
BEFORE = {"docs/reliability.md": ["semalign run my.yaml --out runs/mine"]}  # what another page has made
# Typed in the folder of another page, whose finished runs of the same configuration the command goes on from.
FINISHED = {"docs/compare.md": ("README.md", "runs/compare", "runs/compare-embedded")}
STANDS_FOR = {
    "CONFIG": "src/semalign/quickstart.yaml",
    "--data DATA": "--data $SEMALIGN_DATA",
    "--data FOLDER": "--data $SEMALIGN_DATA --limit 8",
    "FILE": "train.jsonl",
    "FILE.yaml": "compare.yaml",
    "FOLDER...": "runs/mine",
    "KEY=V1,V2": "training.learning_rate=3e-4,1e-3",
    "MODEL": "./small-model",
    "N": "4",
    "NAME": "me/mine",
    "RUN": "runs/mine",
    "STUDENT": "./small-model",
    "TEACHER": "./big-model",
    "DIR/config.yaml": "runs/mine/config.yaml",
    "method.attribution=...": "method.attribution=random",
    "method.site=SITE": "method.site=block_out",
    "seed=...": "seed=1",
}


def of_pages() -> dict[str, list[str]]:
    """The commands of each page's blocks, in order."""
    found: dict[str, list[str]] = {}
    for block in blocks():
        if block.is_shell:
            found.setdefault(block.page, []).extend(" ".join(words_of(command)) for command in block.commands)
    return found


def words_of(command: str) -> list[str]:
    """Quotes kept, without the comment and blanks that align it."""
    return re.sub(r"\s#.*", "", command).split()


def of_sentences() -> list[str]:
    """The commands in sentences that say more than a verb, and that no block has."""
    fenced = {command for commands in of_pages().values() for command in commands}
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    found = [" ".join(command.split()) for command in re.findall(r"`(semalign [a-z]+ [^`]+)`", text)]
    return [command for command in dict.fromkeys(found) if command not in fenced]


def reason(command: str) -> str | None:
    """Why it is not typed."""
    return next((why for start, why in NOT_TYPED.items() if command.startswith(start)), None)


PLACES = re.compile(rf"(?<!\S)(?:{'|'.join(map(re.escape, STANDS_FOR))})(?!\S)")
LAUNCHERS = ("torchrun", "accelerate")
COMMANDS = {page: [line for line in lines if not reason(line)] for page, lines in of_pages().items()}
WALKS = [page for page, lines in COMMANDS.items() if lines]
SENTENCES = [command for command in of_sentences() if not reason(command)]


class Walk(NamedTuple):
    """The folder in which a page's commands were typed, and what became of each."""

    folder: Path
    typed: dict[str, Typed]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """What a reader has before the first command; where the pages' two variables show."""
    folder, patch = tmp_path_factory.mktemp("desk"), pytest.MonkeyPatch()
    patch.setenv("COLUMNS", "160")
    patch.setenv("SEMALIGN_MODELS", str(write_models(folder / "models")))
    patch.setenv("SEMALIGN_DATA", str(write_benchmarks(folder / "data")))
    patch.setattr(quickstart, "quickstart_config", small_quickstart)
    yield write_desk(folder / "desk")
    patch.undo()


def small_quickstart(seed: int = 0) -> Run:
    text = (ROOT / "src/semalign/quickstart.yaml").read_text(encoding="utf-8")
    return Run.make({**smaller(yaml.safe_load(text)), "seed": seed})


@pytest.fixture(scope="module")
def walk(desk, tmp_path_factory):
    """A page's commands, typed once; the first that ends badly is the last."""
    walks: dict[str, Walk] = {}

    def walked(page: str) -> Walk:
        if page not in walks:
            if page in FINISHED:
                other, made, wanted = FINISHED[page]
                folder = walked(other).folder
                shutil.copytree(folder / made, folder / wanted)
            else:
                folder = tmp_path_factory.mktemp("walk") / "desk"
                shutil.copytree(desk, folder)
            walks[page] = Walk(folder, in_folder(folder, [*BEFORE.get(page, []), *COMMANDS[page]]))
        return walks[page]

    return walked


def in_folder(folder: Path, commands: list[str]) -> dict[str, Typed]:
    before, found = Path.cwd(), {}
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for command in commands:
                found[command] = one(command, patch)
                if not ended_well(command, found[command].code):
                    break
    finally:
        os.chdir(before)
    return found


def one(command: str, patch: pytest.MonkeyPatch) -> Typed:
    if "semalign eval" in command and Sandbox.available():
        pytest.skip(f"{command}: {Sandbox.available()}")
    if "semalign push" in command:
        log_in(patch)
    if command.startswith(LAUNCHERS):
        shutil.rmtree("runs", ignore_errors=True)  # of a finished run they would only show the table
    typed = type_in(PLACES.sub(lambda found: STANDS_FOR[found[0]], command), patch)
    if "semalign init" in command and "--out" in command and not typed.code:
        shorten(Path(words(command)[-1]))
    return typed


def shorten(path: Path) -> None:
    """What `init` wrote, in miniature, with the validation rows that step 4 of the tutorial asks for."""
    values = smaller(yaml.safe_load(path.read_text(encoding="utf-8")))
    values["data"]["tasks"][0]["validation"] = "./validation.jsonl"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")


def ended_well(command: str, code: int) -> bool:
    return code in ((0, 1) if "semalign doctor" in command else (0,))  # a doctor's 1 is a warning: weights are random


def assert_all_ended_well(typed: dict[str, Typed]) -> None:
    command, (code, said) = list(typed.items())[-1]
    assert ended_well(command, code), f"{command}\nended with {code}:\n{said[-4000:]}"


@pytest.mark.parametrize("page", WALKS)
def test_the_commands_of_a_page_end_well_in_order(page, walk):
    assert_all_ended_well(walk(page).typed)


@pytest.mark.parametrize("command", SENTENCES)
def test_a_command_in_a_sentence_ends_well(command, desk, walk, tmp_path):
    shutil.copytree(desk, tmp_path / "desk")
    if "init" in command:
        (tmp_path / "desk" / "my.yaml").unlink()  # which it writes
    if "RUN" in command or "DIR/" in command or "FOLDER..." in command:
        shutil.copytree(walk("README.md").folder / "runs" / "mine", tmp_path / "desk" / "runs" / "mine")
    if "smollm2_shrunk" in command:
        shutil.copytree(walk("docs/tutorial.md").folder / "models", tmp_path / "desk" / "models")
    assert_all_ended_well(in_folder(tmp_path / "desk", [command]))


def test_every_entry_of_a_table_has_its_command():
    commands = [*of_sentences(), *(line for lines in of_pages().values() for line in lines)]
    assert set(STANDS_FOR) == {word for command in commands for word in PLACES.findall(command)}
    assert {*BEFORE, *FINISHED} <= set(WALKS)
    for start in NOT_TYPED:
        assert any(command.startswith(start) for command in commands), start


def test_the_rows_are_like_the_one_that_the_tutorial_shows():
    assert set(example_row()) <= set(sums(0))


def test_what_the_tutorial_promises_is_there(walk):
    folder, typed = walk("docs/tutorial.md")
    (cut,) = (said for command, (_, said) in typed.items() if command.startswith("semalign shrink"))
    kept = {int(layer) for layer in re.findall(r"\d+", cut.partition(": layers ")[2])}
    assert set(range(30)) - kept == {4, 11, 18, 25}
    pairs = read_json(folder / "runs" / "pair" / "pairing.json")["pairs"]
    assert [[part["layer"] for part in pair["teacher"]] for pair in pairs] == [[layer] for layer in sorted(kept)]
    for name in ("smollm2-0", "mine-small", "mine-0", "mine-1"):
        assert (folder / "runs" / name / "report.html").exists(), name
    for name in ("compare-smollm2", "rates-compared", "rates-sft-compared", "mine"):
        assert (folder / "runs" / name / "compare.html").exists(), name


def test_launchers_start_two_processes(walk):
    folder, typed = walk("docs/scale.md")
    assert {command.split()[0] for command in typed} == set(LAUNCHERS)
    assert read_json(folder / "runs" / "my" / "environment.json")["processes"] == 2


def test_the_python_of_the_quickstart_reads_the_run(walk, monkeypatch, capsys):
    monkeypatch.chdir(walk("docs/quickstart.md").folder)
    found = [block for block in blocks() if block.page == "docs/quickstart.md" and block.language == "python"]
    assert found
    for block in found:
        exec(compile(block.text, block.place, "exec"), {})
        assert capsys.readouterr().out.strip()


def test_a_command_that_ends_badly_is_found(desk):
    typed = in_folder(desk, ["semalign run nothing.yaml", "semalign ls"])
    assert [code for code, _ in typed.values()] == [2]
    with pytest.raises(AssertionError, match="nothing"):
        assert_all_ended_well(typed)
