"""Training rows that share a long run of words with an evaluation row.

A word is what stands between white space, in lower case and without punctuation; n of them in a row make an n-gram, 13
unless said otherwise. An n-gram that more than 10 training rows hold is common text and no leak. Source: Brown et al.
2020, arXiv:2005.14165, appendix C. Beyond it, an n-gram that more than 10 evaluation rows hold is common text too, no
n-gram that overlaps common text counts, and the same prompt counts at any length.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain

from .rows import Row

WORDS = 13
COMMON = 10
FORMAT = re.compile(
    r"^(?:the following are multiple choice questions \(with answers\) about [^\n]*\n|answer the following question\."
    r"|complete the following python function\.|here is the completed function:)",
    re.IGNORECASE,
)
"""How rows of the four benchmarks begin: with a few words of a question it would make an n-gram."""


@dataclass(frozen=True)
class Overlap:
    """A training row, the evaluation row it shares most with, and the first words that they share."""

    training: Row
    evaluation: Row
    words: str


@dataclass(frozen=True, eq=False)
class _Grams:
    """Hashes of a row's prompt, and of the n-grams of its prompt and of its answer by the word where they start.

    None goes from the prompt to the answer: between them lies the format of the task.
    """

    row: Row
    whole: int
    parts: tuple[list[int], list[int]]

    def all(self) -> set[int]:
        return {self.whole, *chain(*self.parts)}

    def telling(self, shared: Set[int], common: Set[int], n: int) -> list[int]:
        """Those that are shared and lie clear of common text; the whole prompt first."""
        found = [self.whole] if self.whole in shared - common else []
        for grams in self.parts:
            covered = {word for start, gram in enumerate(grams) if gram in common for word in range(start, start + n)}
            clear = (gram for start, gram in enumerate(grams) if not {start, start + n - 1} & covered)
            found += [gram for gram in clear if gram in shared and gram not in common]
        return found


def find_overlap(training: Sequence[Row], evaluation: Sequence[Row], *, n: int = WORDS) -> list[Overlap]:
    """The training rows that share an n-gram or the prompt with an evaluation row, in their order.

    Rows shorter than n words are compared by their prompts alone. The 7,473 training and 1,319 test rows of GSM8K take
    about a second.
    """
    ours, theirs = ([_grams(row, n) for row in rows] for rows in (training, evaluation))
    shared = set[int]().union(*(each.all() for each in ours)) & set[int]().union(*(each.all() for each in theirs))
    holders = _holders(theirs, shared)
    common = {
        gram for held in (holders, _holders(ours, shared)) for gram, places in held.items() if len(places) > COMMON
    }
    found = []
    for each in ours:
        telling = each.telling(shared, common, n)
        if telling:
            place = Counter(place for gram in telling for place in holders[gram]).most_common(1)[0][0]
            first = next(gram for gram in telling if place in holders[gram])
            found.append(Overlap(each.row, evaluation[place], _words_of(each, first, n)))
    return found


def _holders(rows: Sequence[_Grams], shared: Set[int]) -> Mapping[int, list[int]]:
    """The places of the rows that hold each shared n-gram; a row that comes several times is one."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for place, each in enumerate(rows):
        if (content := (each.row.prompt, each.row.answer)) not in seen:
            seen.add(content)
            for gram in each.all() & shared:
                found[gram].append(place)
    return found


def _grams(row: Row, n: int) -> _Grams:
    prompt, answer = _words(row.prompt), _words(row.answer)
    return _Grams(row, hash(("prompt", *(prompt or [row.prompt]))), (_runs(prompt, n), _runs(answer, n)))


def _runs(words: list[str], n: int) -> list[int]:
    return [hash(tuple(words[start : start + n])) for start in range(len(words) - n + 1)]


def _words(text: str) -> list[str]:
    return re.sub(r"[^\w\s]", "", FORMAT.sub("", text.strip()).lower()).split()


def _words_of(grams: _Grams, gram: int, n: int) -> str:
    """The n-gram itself, or the first words of the prompt."""
    for part, text in zip(grams.parts, (grams.row.prompt, grams.row.answer), strict=True):
        if gram in part:
            start = part.index(gram)
            return " ".join(_words(text)[start : start + n])
    return " ".join(_words(grams.row.prompt)[:n])
