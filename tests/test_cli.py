"""The command line: every verb explains itself, help is quick, listings are complete."""

import json
import os
import subprocess
import sys

import pytest
from tiny_run import config_of
from typer.main import get_command

from semalign import __version__, cli
from semalign.strategy import KINDS, available

VERBS = sorted(get_command(cli.app).commands)


def test_the_verbs_are_these():
    assert {"quickstart", "run", "report", "attribute", "pair", "basis", "shrink", "sweep", "compare", "ls"} <= set(
        VERBS
    )


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, flag, say):
    said = say(verb, flag)
    assert (said.code, said.err) == (0, "")
    assert f"semalign {verb}" in said.out
    first = get_command(cli.app).commands[verb].help.partition("\n")[0]
    assert first[:40] in said.out


def test_help_names_every_verb(say):
    said = say("--help")
    assert said.code == 0
    assert all(verb in said.out for verb in VERBS)


def test_nothing_at_all_is_answered_with_help(say):
    assert "Usage" in say().out


def test_the_version_is_printed(say):
    assert say("--version") == (0, f"{__version__}\n", "")


HEAVY = ("torch", "transformers", "peft", "lm_eval", "datasets", "matplotlib", "numpy", "accelerate")
QUICK = f"""
import sys
sys.argv = ["semalign", *sys.argv[1:]]
from semalign.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["ls"]])
def test_help_and_ls_import_nothing_heavy_and_are_quick(arguments):
    before = sum(os.times()[2:4])  # of child processes
    done = subprocess.run([sys.executable, "-c", QUICK, *arguments], capture_output=True, text=True, check=True)
    seconds = sum(os.times()[2:4]) - before
    assert done.stderr.strip() == "[]"
    assert seconds < 1.5  # half a second on a quiet machine; neighbours on the same core can triple it


def test_ls_lists_every_strategy_with_its_first_line(say):
    said = say("ls")
    assert said.code == 0
    for kind in KINDS:
        for name in available(kind):
            assert any(line.split()[:2] == [kind, name] for line in said.out.splitlines()), (kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_ls_lists_one_kind(kind, say):
    lines = say("ls", kind).out.splitlines()[1:]
    assert [line.split()[1] for line in lines if line.startswith(kind)] == list(available(kind))


def test_ls_of_nonsense_suggests(say):
    said = say("ls", "pairng")
    expected = f"semalign: unknown kind 'pairng'. Did you mean 'pairing'? There are: {', '.join(sorted(KINDS))}\n"
    assert (said.code, said.out, said.err) == (2, "", expected)


@pytest.mark.parametrize("verb", ["rn", "quikstart"])
def test_an_unknown_verb_is_an_error(verb, say):
    said = say(verb)
    assert said.code == 2
    assert verb in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("verb", "works", "what_next"),
    [
        ("run", "semalign.pipeline.run", "goes on from here"),
        ("doctor", "semalign.doctor.examine", "starts from the beginning"),
        ("pair", "semalign.inspect.pairing_tables", "starts from the beginning"),
    ],
)
def test_an_interrupt_says_how_to_go_on(verb, works, what_next, say, monkeypatch):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(works, interrupt)
    said = say(verb, "any.yaml")
    assert (said.code, said.err) == (130, f"semalign: interrupted; the same command {what_next}\n")


@pytest.mark.slow
def test_attribute_ranks_the_teachers_layers(say, world):
    said = say("attribute", config_of(world))
    assert said.code == 0
    scores = [line.split() for line in said.out.splitlines() if line.strip().startswith(("│", "|"))]
    layers = sorted(int(word) for line in said.out.splitlines() if "│" in line for word in [line.split("│")[2].strip()])
    assert len(scores) == 5
    assert layers == list(range(5))


@pytest.mark.slow
def test_pair_shows_layers_and_reason(say, world):
    said = say("pair", config_of(world))
    assert said.code == 0
    assert "by attribution" in said.out


@pytest.mark.slow
def test_basis_shows_the_quality_of_the_map(say, world):
    said = say("basis", config_of(world))
    assert said.code == 0
    for figure in ("agreement_top1", "agreement_top5", "row_correlation", "tokens_used"):
        assert figure in said.out


@pytest.mark.slow
@pytest.mark.parametrize(("by", "kept"), [("even", [0, 2, 4]), ("attribution", None)])
def test_shrink_writes_a_plain_model(by, kept, say, world, tmp_path):
    said = say("shrink", config_of(world), "--layers", 3, "--by", by, "--out", tmp_path / "smaller")
    assert (said.code, said.err) == (0, "")
    named = [int(number) for number in said.out.partition("layers ")[2].partition(" of")[0].split(", ")]
    assert named == sorted(set(named))
    assert kept is None or named == kept
    from semalign.models import load

    smaller, teacher = load(str(tmp_path / "smaller")), load(str(world / "teacher"))
    assert smaller.n_layer == 3
    for new, old in enumerate(named):
        weights = [dict(model.blocks[i].named_parameters()) for model, i in ((smaller, new), (teacher, old))]
        assert all(weights[0][name].equal(weights[1][name]) for name in weights[1])


@pytest.mark.slow
def test_run_and_report_show_the_table_and_where_the_files_are(say, world, tmp_path):
    out = tmp_path / "run"
    said = say("run", config_of(world, tasks=("names",)), "--out", out, "--set", "controls=[]", "--plain")
    assert said.code == 0, said.err
    assert "names" in said.out
    assert f"report: {out / 'report.html'}" in said.out
    assert "Traceback" not in said.err
    (out / "report.html").unlink()
    again = say("report", out)
    assert (again.code, again.out, again.err) == (0, said.out, "")
    assert (out / "report.html").exists()
    assert json.loads((out / "status.json").read_text())["status"] == "done"
