"""The answer follows the paired interval, and says what a careful reader should know."""

from typing import Any

import pytest

from semalign.report import answer
from semalign.report.answer import findings, question


def _set_mean(record: dict[str, Any], value: float, low: float, high: float) -> None:
    record["differences"][0].update(value=value, low=low, high=high)


@pytest.mark.parametrize(
    ("interval", "verdict", "words"),
    [
        ((0.068, 0.018, 0.118), "helps", "Yes, it did better than LoRA-SFT. SemAlign scores 6.8 points above LoRA-SFT"),
        ((-0.05, -0.09, -0.01), "hurts", "No, it did worse than LoRA-SFT. SemAlign scores 5.0 points below LoRA-SFT"),
        ((0.01, -0.03, 0.05), "unclear", "No clear difference. SemAlign and LoRA-SFT differ by +1.0 points"),
        ((0.03, 0.0, 0.06), "unclear", "which includes 0"),
    ],
)
def test_answer_follows_the_interval(record: Any, interval: tuple[float, ...], verdict: str, words: str) -> None:
    _set_mean(record, *interval)
    assert findings(record).verdict == verdict
    assert words in answer(record)


def test_the_answer_says_whether_both_were_trained_equally_long(record: Any) -> None:
    assert "+11.8), both after 120 steps on 65,600 tokens." in answer(record)
    record["models"][2]["steps"] = 60
    words = "; not after equally much training: SemAlign 60 steps on 65,600 tokens and LoRA-SFT 120 steps on 65,600"
    assert words in answer(record)
    del record["models"][1]["train_tokens"]
    assert "+11.8)." in answer(record)


def test_answer_names_student_before_teacher_and_overshoot(record: Any) -> None:
    text = answer(record)
    assert "untouched student scores 28.0 %" in text
    assert "the teacher 71.5 %" in text
    assert "the teacher adapted on the same rows 74.0 %" in text
    assert "passes the teacher on strings (66.0 % against 64.0 %)" in text
    assert "not an error" in text


def test_question_names_both_models(record: Any) -> None:
    assert question(record).startswith("Did aligning embedded:student to embedded:teacher help")
    record["student"]["model"], record["teacher"]["model"] = "/data/models/small-26", "org/big"
    assert question(record).startswith("Did aligning small-26 to org/big help")
    del record["student"], record["teacher"]
    assert question(record).startswith("Did aligning the student to the teacher help")


def test_a_difference_may_be_stored_the_other_way_round(record: Any) -> None:
    first = record["differences"][0]
    flipped = {**first, "a": first["b"], "b": first["a"]}
    flipped |= {"value": -first["value"], "low": -first["high"], "high": -first["low"]}
    before = answer(record)
    record["differences"][0] = flipped
    assert answer(record) == before


def test_without_a_paired_interval_nothing_is_claimed(record: Any) -> None:
    record["differences"] = []
    assert findings(record).verdict == "unknown"
    assert "without a paired interval" in answer(record)


def test_without_scores_the_answer_rests_on_bits_and_says_so(record: Any) -> None:
    record |= {"differences": [], "mean_score": {}, "mean_gap": {}}
    for row in record["scores"].values():
        for cell in row.values():
            cell.update(score=None, low=None, high=None, reason="no sandbox on this machine")
    assert findings(record).verdict == "unknown"
    assert "SemAlign needs 0.720 bits per byte and LoRA-SFT 0.788" in answer(record)


@pytest.mark.parametrize(
    ("missing", "words"), [("semalign", "No aligned student was trained"), ("sft", "no LoRA-SFT control")]
)
def test_a_run_without_one_side_says_so(record: Any, missing: str, words: str) -> None:
    record["models"] = [model for model in record["models"] if model["key"] != missing]
    assert words in answer(record)


def test_a_teacher_no_better_than_the_student_is_said(record: Any) -> None:
    record["mean_score"]["teacher"]["value"] = 0.2
    assert any("nothing to transfer" in remark for remark in findings(record).remarks)


def test_gaps_to_an_adapted_teacher_are_called_so(record: Any) -> None:
    record["reference"] = "teacher_adapted"
    record["scores"]["facts"]["semalign"]["score"] = 0.9
    assert "passes the adapted teacher on facts (90.0 % against 83.0 %)" in answer(record)
    assert findings(record).remarks[0].startswith("Mean distance to the adapted teacher")


def test_a_score_that_is_a_likelihood_is_called_so(record: Any) -> None:
    for cell in record["scores"]["strings"].values():
        cell["metric"] = "byte_probability"
    assert "Scores of strings are the gold answers' probability a byte, not correct answers" in answer(record)


def test_the_control_alone_is_not_an_aligned_student(record: Any) -> None:
    record["models"] = [{**model, "role": "method"} for model in record["models"] if model["key"] == "sft"]
    assert "No aligned student was trained" in answer(record)


def test_a_start_that_no_control_shares_is_said(record: Any) -> None:
    words = "SemAlign starts LoRA at the principal part of the student's weights, and no control does"
    control, method = (next(m for m in record["models"] if m["key"] == key) for key in ("sft", "semalign"))
    method["method"]["start"] = "principal"
    control["method"] = {"name": "sft"}
    (remark,) = (each for each in findings(record).remarks if each.startswith(words))
    assert remark.endswith("which 'pissa' among the controls would tell.")
    for shared in ({"name": "pissa"}, {"name": "logit_kd", "start": "principal"}):
        control["method"] = shared
        assert not any(words in each for each in findings(record).remarks), shared
    control["method"] = {"name": "semalign", "start": "principal"}  # which aligns layers too
    assert any(words in each for each in findings(record).remarks)
    method["method"]["start"] = "zero"
    assert not any(words in each for each in findings(record).remarks)


def test_answers_of_the_teacher_that_no_control_shares_are_said(record: Any) -> None:
    words = "SemAlign was trained on answers that the teacher wrote, and no control was"
    control, method = (next(m for m in record["models"] if m["key"] == key) for key in ("sft", "semalign"))
    control["method"] = {"name": "sft"}
    assert question(record).endswith("compared with LoRA-SFT on the same rows?")
    method["method"]["answers"] = "both"
    (remark,) = (each for each in findings(record).remarks if each.startswith(words))
    assert remark.endswith("which a control with 'answers: both' would tell.")
    assert question(record).endswith("compared with LoRA-SFT?")
    control["method"]["answers"] = "teacher"  # without the gold rows
    assert any(each.startswith(words) for each in findings(record).remarks)
    control["method"]["answers"] = "both"
    assert not any(each.startswith(words) for each in findings(record).remarks)
    assert question(record).endswith("on the same rows?")


def test_fine_tuning_on_the_teachers_answers_is_what_they_are_worth(record: Any) -> None:
    method = next(m for m in record["models"] if m["key"] == "semalign")
    method["method"] = {"name": "sft", "answers": "both"}
    assert not any("answers that the teacher wrote" in each for each in findings(record).remarks)
