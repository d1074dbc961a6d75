"""What the report says of two tokenizers, from records of today and from older ones."""

import pytest

from semalign.report.tokenizers import two_tokenizers

OLD = {
    "difference": "id 7 is 'a' for the teacher and 'b' for the student",
    "tokens": {"shared": 300, "teacher": 1200, "student": 400},
    "numerals": {"teacher": [10, 0, 0], "student": [10, 0, 0], "both": [10, 0, 0]},
    "positions": {"sums": 0.985, "code": 0.795},
    "answer_tokens": {"sums": 0.992, "code": 0.94},
}
CUT = {"cut_teacher": ["123", "4"], "cut_student": ["1", "234"]}


def said(**changes):
    return two_tokenizers({"tokenizers": OLD | changes})


def test_coverage_is_told_by_task():
    table = said()
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["sums", "98.5", "99.2"],
        ["code", "79.5", "94.0"],
    ]


@pytest.mark.parametrize(
    ("numerals", "words"),
    [
        ({}, None),
        ({"student": [10, 90, 0]}, "10, 90, 0 of the student's."),
        ({"both": [9, 0, 0]}, "10, 0, 0 of the student's."),
        (CUT, "10, 0, 0 of the student's; a long one is cut as 123 4 by the teacher's and as 1 234 by the student's."),
    ],
)
def test_numbers_are_told_of_where_they_are_cut_differently(numerals, words):
    (note,) = said(numerals=OLD["numerals"] | numerals).notes
    assert ("Numbers are read in other portions" in note) == (words is not None)
    assert words is None or note.endswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "300 tokens are the same, of 1,200 of the teacher's and 400 of the student's."),
        (
            {"coverage": {"teacher": 0.25, "student": 0.75}},
            "300 tokens are the same, of 1,200 (25.0 %) of the teacher's and 400 (75.0 %) of the student's.",
        ),
    ],
)
def test_common_tokens_are_counted_with_their_shares_where_the_record_has_them(changes, words):
    assert words in said(**changes).notes[0]


def test_one_tokenizer_needs_no_table():
    assert two_tokenizers({"tokenizers": None}) is None
