"""The final answer of a generated text, and whether it is the gold one.

The rules are those of lm-eval's gsm8k: what follows the first '####' where there is one, else the text's last number.
"""

import re
from decimal import Decimal

from semalign.evaluation.outcome import Outcome

MARK = "####"
# A minus after a digit is a subtraction, not a sign; a comma belongs to a number only before groups of three digits.
_NUMBER = re.compile(r"(?<![\w.])[-−]?[$€£]?[-−]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)")
_CUE = re.compile(r"\banswer(?: is|:)\s*", re.IGNORECASE)


def exact_match(generation: str, gold: str) -> Outcome:
    """1 where the final answer is the gold one: numbers by value, other answers without case and punctuation."""
    number = _whole_number(gold)
    if number is None:
        read = final_text(generation)
        return Outcome(float(_plain(read) == _plain(gold)), read, "" if read else "no answer found")
    read = final_number(generation)
    if read is None:
        return Outcome(0.0, "", "no number found")
    return Outcome(float(_value(read) == number), read, "")


def final_number(text: str) -> str | None:
    """The number after the first '####', else the last one, as it stands in the text."""
    _, marked, rest = text.partition(MARK)
    numbers = _NUMBER.findall(rest.lstrip().partition("\n")[0] if marked else text)
    return (numbers[0] if marked else numbers[-1]) if numbers else None


def final_text(text: str) -> str:
    """What follows the first '####', else the last 'answer is' or 'answer:', else the last line."""
    _, marked, rest = text.partition(MARK)
    lines = [line.strip() for line in (rest if marked else text).splitlines() if line.strip()]
    if marked:
        return lines[0] if lines else ""
    cued = [line[list(_CUE.finditer(line))[-1].end() :] for line in lines if _CUE.search(line)]
    return (cued or lines or [""])[-1].strip()


def _whole_number(text: str) -> Decimal | None:
    return _value(text.strip()) if _NUMBER.fullmatch(text.strip()) else None


def _value(number: str) -> Decimal:
    return Decimal(re.sub(r"[$€£,]", "", number).replace("−", "-"))


def _plain(text: str) -> str:
    return " ".join(text.split()).strip(" .,;:!?\"'`").casefold()
