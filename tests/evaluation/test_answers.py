import pytest

from semalign.evaluation.answers import exact_match, final_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So the answer is 12.", "12"),
        ("She has 3 apples and 4 pears, so 7 in all.", "7"),
        ("It costs $1,234.50.", "$1,234.50"),
        ("The balance is -5", "-5"),
        ("The loss is -$20.", "-$20"),
        ("The loss is $-20.", "$-20"),
        ("3 - 5 = −2", "−2"),
        ("10-3=7", "7"),
        ("10-7", "7"),
        ("He walks 12 km", "12"),
        ("It weighs 12kg", "12"),
        ("That is 15%", "15"),
        ("#### 1,000,000", "1,000,000"),
        ("7 + 5 = 12\n#### 12\n\nQuestion: 3 + 4?", "12"),
        ("#### 18 of 20 apples", "18"),
        ("#### nothing\n5", None),
        ("numbers 1,2,3", "3"),
        ("1,2345", "2345"),
        ("0.5", "0.5"),
        (".5", ".5"),
        ("version x2 of model3", None),
        ("I do not know.", None),
        ("", None),
    ],
)
def test_the_final_number_of_a_text(text, number):
    assert final_number(text) == number


@pytest.mark.parametrize(
    ("generation", "gold", "value"),
    [
        ("It costs $1,234.50.", "1234.5", 1.0),
        ("It costs 1,234.", "1,234", 1.0),
        ("12.0", "12", 1.0),
        ("012", "12", 1.0),
        ("-5", "5", 0.0),
        ("−5", "-5", 1.0),
        ("1200", "12", 0.0),
        ("no number", "12", 0.0),
        ("twelve", "12", 0.0),
        ("It is 12. Then 13.", "12", 0.0),
        ("So the answer is Paris.", "paris", 1.0),
        ("Thinking of Rome first.\nAnswer: Paris", "Paris", 1.0),
        ("  the  Red House. ", "The red house", 1.0),
        ("Paris\n#### Rome\nParis", "Rome", 1.0),
        ("Paris", "Rome", 0.0),
        ("", "Rome", 0.0),
    ],
)
def test_exact_match_compares_values_and_plain_texts(generation, gold, value):
    assert exact_match(generation, gold).value == value


def test_a_text_without_a_number_says_so():
    assert exact_match("I do not know", "3").reason == "no number found"
