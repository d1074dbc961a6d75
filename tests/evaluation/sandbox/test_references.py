"""Every reference solution of HumanEval and MBPP passes its own tests in the sandbox."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from semalign.evaluation.sandbox import Sandbox

DATA = Path(os.environ.get("SEMALIGN_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no benchmark files in {DATA}; set SEMALIGN_DATA"),
]
TIMEOUT = 30.0  # one MBPP reference sums divisors for seconds on a loaded machine
Case = tuple[str, str, str]


def _failures(box: Sandbox, cases: Iterable[Case]) -> dict[str, str]:
    verdicts = {name: box.run(program, tests, timeout=TIMEOUT) for name, program, tests in cases}
    return {name: verdict.reason for name, verdict in verdicts.items() if not verdict.passed}


def _rows(path: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / path).read_text().splitlines()]


def _humaneval(solution: str) -> list[Case]:
    return [
        (
            row["task_id"],
            row["prompt"] + (solution or row["canonical_solution"]),
            f"{row['test']}\ncheck({row['entry_point']})",
        )
        for row in _rows("humaneval/HumanEval.jsonl")
    ]


def _mbpp(program: str) -> list[Case]:
    return [
        (str(row["task_id"]), program or row["code"], "\n".join([row["test_setup_code"], *row["test_list"]]))
        for row in _rows("mbpp/mbpp.jsonl")
    ]


def test_all_humaneval_references_pass(box: Sandbox) -> None:
    cases = _humaneval("")
    assert len(cases) == 164
    assert _failures(box, cases) == {}


def test_all_mbpp_references_pass(box: Sandbox) -> None:
    cases = _mbpp("")
    assert len(cases) == 974
    assert _failures(box, cases) == {}


def test_all_sanitized_mbpp_references_pass(box: Sandbox) -> None:
    rows = json.loads((DATA / "mbpp/sanitized-mbpp.json").read_text())
    cases = [(str(row["task_id"]), row["code"], "\n".join(row["test_imports"] + row["test_list"])) for row in rows]
    assert len(cases) == 427
    assert _failures(box, cases) == {}


def test_no_humaneval_body_that_returns_nothing_passes(box: Sandbox) -> None:
    cases = _humaneval("    pass\n")
    assert len(_failures(box, cases)) == len(cases)


def test_no_mbpp_program_of_another_task_passes(box: Sandbox) -> None:
    cases = _mbpp("def unrelated(x):\n    return x\n")[::5]
    assert len(_failures(box, cases)) == len(cases)
