"""What a file of rows holds: format, number, lengths in tokens, how it can be scored."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..data import Row, answer_coverage, counts, encode, encode_pair
from ..data.formats import format_of
from ..data.jsonl import read_jsonl, read_rows
from ..data.sampling import check_disjoint
from ..data.spec import SPLITS
from ..errors import UserError
from .pair import PairOfModels

FEWEST = 10  # rows: every split takes at least one
LOOKED_AT = 64  # rows that are read with both tokenizers
LONGEST = 2048  # tokens up to which rows are kept whole
STEP = 64  # lengths are rounded up to this, so that rows like these fit too
ENOUGH = 0.9  # share of the answer's positions in common below which KL harmed (docs/how-to-choose.md)


@dataclass(frozen=True, kw_only=True)
class FileOfRows:
    """What a user's rows say about the configuration."""

    name: str
    path: Path
    test: Path | None
    """A file of test rows beside it."""
    is_folder: bool
    formats: tuple[str, ...]
    n_row: int
    n_test: int
    """Rows to take out of training for the test; 0 where there is a file of them."""
    score: str
    max_length: int
    n_cut: int
    coverage: float | None
    """Share of the answer's positions at which a teacher with another tokenizer has read the same text, in [0, 1]."""

    @property
    def followed(self) -> bool:
        """Whether the teacher's distribution is worth following."""
        return self.coverage is None or self.coverage >= ENOUGH

    @property
    def notes(self) -> list[str]:
        said = f"{self.path}: {self.n_row} rows ({', '.join(self.formats)}), scored by {self.score}"
        cut = f"{self.n_cut} rows are longer than {self.max_length} tokens and are cut at the right"
        reached = f"the teacher can be followed at {self.coverage or 0:.0%} of the answer's positions"
        return [said, *([cut] if self.n_cut else []), *([] if self.coverage is None else [reached])]


def examine_file(path: Path, pair: PairOfModels, test: Path | None = None) -> FileOfRows:
    """Read a JSON-lines file, a JSON list, or a folder with train.jsonl, and a file for the test; checks every row."""
    if test is not None and path.is_dir():
        raise UserError(f"--test {test}: a folder's test rows are its test.jsonl; name the file of training rows")
    train = _train_file(path) if path.is_dir() else path
    name = re.sub(r"[^\w.-]+", "-", path.stem).strip("-.")
    name = "rows" if name in {"", *SPLITS} else name  # "better on train" would say that training rows were scored
    rows = read_rows(train, task=name)
    if len(rows) < FEWEST:
        raise UserError(f"{train}: {len(rows)} rows; give at least {FEWEST}, so that some can be kept for the test")
    has_test = path.is_dir() and any((path / f"test.{ending}").exists() for ending in ("jsonl", "json"))
    tested = [] if test is None else read_rows(test, task=name)
    check_disjoint({"train": rows, "test": tested}, name)
    found = Counter(format_of(record) or _own(record) for _, record in read_jsonl(train))
    max_length, n_cut = _lengths([*rows, *tested], pair, train)
    return FileOfRows(
        name=name,
        path=path,
        test=test,
        is_folder=path.is_dir(),
        formats=tuple(name for name, _ in found.most_common()),
        n_row=len(rows),
        n_test=0 if has_test or tested else max(1, min(200, len(rows) // 5)),
        score=_score([*rows, *tested]),
        max_length=max_length,
        n_cut=n_cut,
        coverage=_coverage(rows[:LOOKED_AT], pair, max_length),
    )


def _train_file(folder: Path) -> Path:
    for ending in ("jsonl", "json"):
        if (folder / f"train.{ending}").exists():
            return folder / f"train.{ending}"
    raise UserError(f"{folder}: no train.jsonl in it; name a file of rows, or a folder with train.jsonl")


def _own(record: dict) -> str:
    return "question/answer" if "question" in record else "prompt/answer"


def _score(rows: list[Row]) -> str:
    """How rows can be scored: by what all of them have."""
    if all("choices" in row.extra and "gold" in row.extra for row in rows):
        return "multiple_choice"
    if all("tests" in row.extra for row in rows):
        return "passes_tests"
    return "exact_match" if all("final" in row.extra for row in rows) else "likelihood"


def _lengths(rows: list[Row], pair: PairOfModels, path: Path) -> tuple[int, int]:
    """Tokens to keep of a row, and how many rows are longer."""
    tokenizers = [pair.student.tokenizer, *([pair.teacher.tokenizer] if pair.difference else [])]
    coded = [encode(rows, one, template=pair.template, max_length=10**9) for one in tokenizers]
    whole = max(len(example.input_ids) for examples in coded for example in examples)
    prompt = max(example.n_prompt for examples in coded for example in examples)
    wanted = _up(whole) if whole <= LONGEST else max(LONGEST, _up(prompt + STEP))
    limit = pair.longest or wanted
    if prompt >= limit:
        at = next(example.id for examples in coded for example in examples if example.n_prompt >= limit)
        raise UserError(f"{path}: the prompt of row '{at}' has {prompt} tokens, the models read {limit}; leave it out")
    kept = min(wanted, limit)
    return kept, sum(counts([e for e in examples if len(e.input_ids) > kept])["rows"] for examples in coded[:1])


def _up(n: int) -> int:
    return -(-n // STEP) * STEP


def _coverage(rows: list[Row], pair: PairOfModels, max_length: int) -> float | None:
    if not pair.difference:
        return None
    tokenizers = (pair.student.tokenizer, pair.teacher.tokenizer)
    return answer_coverage(encode_pair(rows, *tokenizers, template=pair.template, max_length=max_length))
