"""Overlap: planted runs of words are found, common text and shorter runs are not; a plain version agrees."""

import os
import random
import string
import time
from pathlib import Path

import pytest

from semalign.data import Row, TaskSpec, load_task
from semalign.data.overlap import COMMON, find_overlap

FOLDER = Path(os.environ.get("SEMALIGN_DATA", Path(__file__).parents[3] / "shared" / "data"))
real = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not (FOLDER / "gsm8k").is_dir(), reason=f"no benchmark files in {FOLDER} (set SEMALIGN_DATA)"),
]


def words(n, seed=0):
    """Words that come in no other text of another seed."""
    draw = random.Random(seed)
    return ["".join(draw.choices(string.ascii_lowercase, k=8)) for _ in range(n)]


def row(identifier, prompt, answer="yes"):
    return Row(identifier, "t", " ".join(prompt) if isinstance(prompt, list) else prompt, answer)


def pairs(training, evaluation, **options):
    return [(each.training.id, each.evaluation.id) for each in find_overlap(training, evaluation, **options)]


def test_thirteen_shared_words_are_found_and_twelve_are_not():
    shared = words(13)
    scored = [row("other", words(40, 1)), row("e", [*words(9, 2), *shared, *words(9, 3)])]
    long, short = row("long", [*words(5, 4), *shared, *words(5, 5)]), row("short", [*words(5, 6), *shared[1:]])
    (found,) = find_overlap([short, long], scored)
    assert (found.training, found.evaluation, found.words) == (long, scored[1], " ".join(shared))
    assert pairs([short], scored, n=12) == [("short", "e")]


def test_case_punctuation_and_white_space_change_nothing():
    shared = words(13)
    written = f"{' '.join(shared[:6]).upper()}, ({shared[6].title()})!\n\n{'; '.join(shared[7:])}."
    assert pairs([row("a", f"{' '.join(words(4, 1))} {written}")], [row("e", [*shared, *words(3, 2)])]) == [("a", "e")]


def test_answers_are_compared_and_no_run_goes_from_prompt_to_answer():
    shared = words(14)
    scored = [row("e", words(3, 1), " ".join(shared))]
    assert pairs([row("a", words(4, 2), " ".join(shared))], scored) == [("a", "e")]
    assert pairs([row("a", shared[:7], " ".join(shared[7:]))], scored) == []


def test_the_same_short_prompt_is_found_and_a_longer_one_that_holds_it_is_not():
    scored = [row("e", "Capital of France?", "Paris")]
    assert pairs([row("a", "capital of  france", "It is Paris.")], scored) == [("a", "e")]
    assert pairs([row("a", "The capital of France?", "Paris")], scored) == []


def test_the_evaluation_row_that_shares_most_is_named():
    shared = words(20)
    scored = [row("less", shared[:14]), row("more", [*shared, "tail"])]
    assert pairs([row("a", [*words(2, 1), *shared])], scored) == [("a", "more")]


@pytest.mark.parametrize("side", ["training", "evaluation"])
def test_text_of_more_than_ten_rows_is_common_and_what_touches_it_does_not_count(side):
    instruction = words(20)
    many = [row(f"m{i}", [*instruction, *words(20, 100 + i)]) for i in range(COMMON + 1)]
    one = row("one", [*instruction, *words(2, 100), *words(20, 99)])
    given = (many, [one]) if side == "training" else ([one], many)
    assert pairs(*given) == []
    assert len(pairs(*(side[:COMMON] for side in given))) == len(given[0][:COMMON])


def test_a_leak_beside_common_text_is_found():
    instruction, leak = words(20), words(13, 1)
    training = [row(f"m{i}", [*instruction, *words(20, 100 + i)]) for i in range(COMMON + 1)]
    training.append(row("leaky", [*instruction, *leak]))
    assert pairs(training, [row("e", [*instruction, *leak, *words(3, 2)])]) == [("leaky", "e")]


def test_a_row_that_comes_many_times_is_no_common_text():
    leak = row("e", words(20))
    copies = [row(f"c{i}", words(20)) for i in range(3 * COMMON)]
    assert len(pairs(copies, [leak])) == len(copies)


def test_how_benchmark_rows_begin_is_no_overlap():
    intro = "The following are multiple choice questions (with answers) about high school european history.\n\n"
    assert pairs([row("a", intro + "Who was first?")], [row("e", intro + "Who was second?")]) == []


def test_as_a_plain_version_finds_it():
    """Few words, so that rows share runs of 4 by chance."""
    draw = random.Random(0)
    training, evaluation = (
        [row(f"{side}{i}", draw.choices("abcdefg", k=draw.randrange(2, 30))) for i in range(9)] for side in "te"
    )

    def runs(text, n=4):
        each = text.prompt.split()
        return {tuple(each[i : i + n]) for i in range(len(each) - n + 1)} | {("whole", *each)}

    scored = set().union(*map(runs, evaluation))
    plain = [each.id for each in training if runs(each) & scored]
    assert [each.training.id for each in find_overlap(training, evaluation, n=4)] == plain
    assert 0 < len(plain) < len(training)


class TestRealFiles:
    pytestmark = real

    @staticmethod
    def splits(name):
        spec = TaskSpec.model_validate({"benchmark": name, "name": name, "folder": "."})
        return load_task(spec, seed=0, root=FOLDER).splits

    def test_all_of_gsm8k_takes_seconds_and_five_rows_of_its_pool_overlap(self):
        splits = self.splits("gsm8k")
        pool = [each for split in ("extract", "align", "train", "validation") for each in splits[split]]
        start = time.process_time()
        found = pairs(pool, splits["test"])
        assert time.process_time() - start < 4  # 1.4 s on two busy cores, half of it again with signatures checked
        assert len(found) == 5
        assert pairs([*splits["train"], *splits["align"], *splits["extract"]], splits["test"]) == []

    def test_an_mmlu_test_question_among_the_training_rows_is_found(self):
        splits = self.splits("mmlu")
        leaked = splits["test"][7]
        planted = Row("planted", "mine", f"Quiz: {leaked.prompt.upper()}", leaked.answer)
        assert ("planted", leaked.id) in pairs([*splits["train"], planted], splits["test"])
