"""A run whose teacher writes text with other tokens: aligned, told, or refused before anything is written."""

import copy
import json

import pytest
from tiny_run import COLOURS, colours, config_of, write_model, write_world
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from trained import counting, trained
from transformers import PreTrainedTokenizerFast

from semalign import run
from semalign.config import Run
from semalign.doctor import examine
from semalign.doctor.subject import Subject
from semalign.errors import UserError
from semalign.report.tokenizers import two_tokenizers
from semalign.two_tokenizers import compare_tokenizers

METHOD = {"name": "semalign", "site": "block_out", "basis": "ridge", "outputs": ["cross_entropy", "kl"]}


def byte_level(n_token, texts):
    """No pre-tokenizer cuts words, so with enough tokens a whole answer is one."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=n_token, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


@pytest.fixture
def world(tmp_path):
    folder = write_world(tmp_path)
    write_model(folder / "other", n_layer=5, width=24, seed=1, tokenizer=copy.deepcopy(trained("sentencepiece_llama")))
    return folder


def record_of(out):
    return json.loads((out / "record.json").read_text(encoding="utf-8"))


def test_a_run_follows_a_teacher_with_other_tokens_and_says_how_far(world):
    teacher = {"model": "./other", "adapt": True}
    config = config_of(world, teacher=teacher, method=METHOD, controls=["sft", "logit_kd"])
    out = run(config, world / "out")
    found = record_of(out)["tokenizers"]
    assert found["tokens"]["teacher"] == len(trained("sentencepiece_llama"))
    assert 0 < found["tokens"]["shared"] < found["tokens"]["student"]
    assert set(found["positions"]) == {"sums", "colours", "names"}
    assert all(share > 0.5 for share in found["positions"].values())
    assert "Two tokenizers" in (out / "report.html").read_text(encoding="utf-8")
    assert run(config, world / "out") == out  # resumes: nothing is done again, nothing refused


def test_a_map_of_tokens_in_pieces_is_told_by_plan_report_and_doctor(world):
    method = {**METHOD, "basis": {"name": "logit", "pieces": "mean"}}
    config = config_of(world, teacher="./other", method=method, controls=[])
    found = record_of(run(config, world / "out"))
    shared, added = found["tokenizers"]["tokens"]["shared"], found["basis"]["tokens_in_pieces"]
    assert added > 0
    assert found["basis"]["tokens_used"] == shared + added
    told = f"{added} of them the teacher's alone, which the student has in pieces"
    assert told in (world / "out" / "report.md").read_text(encoding="utf-8")
    (said,) = (finding.what for finding in examine(config).findings if "in pieces" in finding.what)
    assert f"{shared} common tokens and {added} of the teacher's" in said


def test_pieces_of_one_tokenizer_are_refused(world):
    with pytest.raises(UserError, match="basis 'logit': 'pieces' has no effect"):
        run(config_of(world, method={**METHOD, "basis": {"name": "logit", "pieces": "mean"}}), world / "out")
    assert not (world / "out").exists()


def compared(world, teacher, student, **changes):
    """A configuration of two tokenizers, what the run would record of them, and what the report says."""
    for name, tokenizer, n_layer in (("theirs", teacher, 5), ("ours", student, 3)):
        write_model(world / name, n_layer=n_layer, width=8 * n_layer, tokenizer=copy.deepcopy(tokenizer))
    given = {"tasks": ("sums",), "teacher": "./theirs", "student": "./ours", "controls": []}
    config = config_of(world, **(given | changes))
    subject = Subject.load(Run.read(config))
    found = compare_tokenizers(subject.rows, subject.teacher, subject.student, subject.tokens)
    return config, found, two_tokenizers({"tokenizers": found.plain()}).notes[0]


def test_common_tokens_are_told_with_their_shares_of_both_vocabularies(world):
    config, found, told = compared(world, counting("left"), trained("sentencepiece_llama"))
    record = found.plain()
    sizes, shares = record["tokens"], record["coverage"]
    assert shares == {side: sizes["shared"] / sizes[side] for side in ("teacher", "student")}
    assert 0 < shares["teacher"] < shares["student"] < 1
    (said,) = [finding.what for finding in examine(config, quick=True).findings if "two tokenizers" in finding.what]
    for side in ("teacher", "student"):
        assert f"{sizes[side]} ({shares[side]:.1%})" in said
        assert f"{100 * shares[side]:.1f} %" in told


def test_a_run_warns_of_tasks_on_which_the_teacher_can_hardly_be_followed(world, say):
    phrases = byte_level(300, [f"It is {n}." for n in range(99)])
    config, found, _ = compared(world, counting("left"), phrases)
    positions, tokens = found.positions["sums"], found.answer_tokens["sums"]
    assert 0.5 < positions < 0.9
    assert tokens < 0.9
    told = say("run", config, "--out", world / "out").err
    for line in (
        f"sums: the teacher can be followed at {positions:.1%} of the answer's positions",
        f"sums: {tokens:.1%} of the answer's tokens are tokens of the teacher's too",
    ):
        assert told.count(f"warning: {line}\n") == record_of(world / "out")["warnings"].count(line) == 1
    assert compared(world, trained("byte_level"), trained("sentencepiece_llama"))[1].warnings == []


NUMBERS = {
    ("left", "one"): (
        "10, 90, 900 for the teacher and 10, 0, 0 for the student",
        "123 456 789 0",
        "1 2 3 4 5 6 7 8 9 0",
    ),
    ("right", "left"): ("10, 90, 900 for the teacher and 10, 90, 900 for the", "1 234 567 890", "123 456 789 0"),
}


@pytest.mark.parametrize("groups", NUMBERS, ids="-".join)
def test_numbers_that_are_cut_differently_are_told_by_doctor_and_report(world, groups):
    config, _, told = compared(world, *map(counting, groups))
    counts, *cuts = NUMBERS[groups]
    (said,) = [finding.what for finding in examine(config, quick=True).findings if "numbers" in finding.what]
    assert counts in said
    assert all(cut in said for cut in cuts)
    assert f"cut as {cuts[0]} by the teacher's and as {cuts[1]} by the student's" in told


def test_numbers_that_are_cut_alike_are_not_told(world):
    config, found, told = compared(world, counting("one"), trained("byte_level_digits"))
    assert found.numerals.agree
    assert not [finding for finding in examine(config, quick=True).findings if "numbers" in finding.what]
    assert "Numbers" not in told


POOR = {"name": "semalign", "site": "block_out", "basis": {"name": "random", "seed": 1}}


def test_a_map_that_says_nothing_is_warned_of_before_training_and_again_when_resumed(world, say):
    config = config_of(world, tasks=("sums",), teacher="./other", method=POOR, controls=["sft"])
    for _ in range(2):
        said = say("run", config, "--out", world / "out").err
        agreement = record_of(world / "out")["basis"]["agreement_top1"]
        assert agreement < 0.1
        line = (
            f"semalign: the mapped final state predicts the teacher's first choice at {agreement:.0%} of the answer "
            "positions; choose another basis: 'semalign basis' shows every map on this pair"
        )
        assert said.count(f"warning: {line}\n") == said.count("predicts the teacher's first choice") == 1
        if "training semalign" in said:
            assert said.index("planning semalign") < said.index(line) < said.index("training semalign")
        assert record_of(world / "out")["warnings"].count(line) == 1
    assert "training semalign" not in said


def test_doctor_warns_of_a_map_that_says_nothing(world):
    config = config_of(world, tasks=("sums",), teacher="./other", method=POOR, controls=[])
    (found,) = (finding for finding in examine(config).findings if "first choice" in finding.what)
    assert (found.severity, found.where) == ("warning", "method semalign")
    assert found.what_to_do.startswith("choose another basis")


def test_a_map_that_says_what_the_teacher_says_is_not_warned_of(world):
    method = {"name": "semalign", "site": "block_out", "basis": "identity"}
    config = config_of(world, tasks=("sums",), teacher="./student", method=method, controls=[])
    (found,) = (finding for finding in examine(config).findings if "first choice" in finding.what)
    assert (found.severity, found.what_to_do) == ("ok", "")
    assert not any("first choice" in warning for warning in record_of(run(config, world / "out"))["warnings"])


def test_spans_change_what_the_teacher_says(world):
    losses = []
    for name, spans in (("last", "last"), ("mean", "mean")):
        config = config_of(world, name=name, teacher="./other", method=METHOD, controls=[])
        values = [f"data.spans={spans}"]
        losses.append(record_of(run(config, world / name, overrides=values))["training"]["semalign"][0]["loss"])
    assert losses[0] != losses[1]


def test_spans_without_effect_are_refused(world):
    with pytest.raises(UserError, match=r"data.spans has no effect: teacher and student have one tokenizer"):
        run(config_of(world), world / "out", overrides=["data.spans=mean"])
    assert not (world / "out").exists()


@pytest.mark.parametrize("method", ["gkd", "laten"])
def test_methods_that_need_one_tokenizer_say_so(world, method):
    config = config_of(world, teacher="./other", method=METHOD, controls=[method])
    with pytest.raises(UserError, match=rf"method '{method}' needs a teacher with the student's tokenizer"):
        run(config, world / "out")
    assert not (world / "out").exists()


def test_tokenizers_that_cannot_be_aligned_are_refused_with_the_figure(world):
    letters = byte_level(258, ["-"])
    phrases = byte_level(300, [colours(i)["answer"] for i in range(3)] * 9)
    assert all(len(phrases.encode(colour)) == 1 for colour in COLOURS)
    write_model(world / "letters", n_layer=3, width=16, seed=2, tokenizer=letters)
    write_model(world / "phrases", n_layer=5, width=24, seed=1, tokenizer=phrases)
    config = config_of(world, tasks=("colours",), teacher="./phrases", student="./letters", method=METHOD, controls=[])
    with pytest.raises(UserError, match=r"cannot be aligned on task 'colours': .* at [0-9.]+% of the answer"):
        run(config, world / "out")
    assert not (world / "out").exists()


def test_vocabularies_without_a_common_token_are_refused(world):
    other = Tokenizer(models.WordLevel({"[UNK]": 0, "zebra": 1}, unk_token="[UNK]"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    alone = PreTrainedTokenizerFast(tokenizer_object=other, unk_token="[UNK]", eos_token="[UNK]", pad_token="[UNK]")
    write_model(world / "zebra", n_layer=5, width=24, seed=1, tokenizer=alone)
    with pytest.raises(UserError, match=r"share \d tokens, of 2 and 300; choose a pair with more"):
        run(config_of(world, teacher="./zebra", method=METHOD, controls=[]), world / "out")
    assert not (world / "out").exists()
