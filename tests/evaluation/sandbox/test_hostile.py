"""Hostile programs, from hostile/*.txt: none passes, none harms the host, none harms the program after it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from semalign.evaluation.sandbox import Sandbox, Verdict

SAY = """
import json, os, socket, struct
def say(message, descriptor=3):
    body = json.dumps(message).encode()
    os.write(descriptor, struct.pack('!I', len(body)) + body)
def f(x): return 0
"""
FINDS = """
import ctypes, os, resource, socket
def found():
    folder = [os.getcwd(), os.listdir('/tmp'), os.stat('/tmp').st_mode]
    rights = [os.nice(0), len(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_AS)[0]]
    return folder + rights + [ctypes.CDLL(None).msgget(77, 0)]
def free(name):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(name)
    return True
"""


def programs(name: str) -> list[object]:
    """The sections of a file: a heading with ### and the name, then the program."""
    _, *sections = Path(__file__).with_name("hostile").joinpath(f"{name}.txt").read_text().split("### ")
    split = [section.partition("\n") for section in sections]
    return [pytest.param(program, *_reason(heading), id=heading) for heading, _, program in split]


def _reason(heading: str) -> list[str]:
    return heading.split(" -> ")[1:]


@pytest.mark.parametrize("program", programs("exits"))
def test_leaving_early_is_no_pass(attack: Callable[..., Verdict], program: str) -> None:
    attack(program)


@pytest.mark.parametrize("program", programs("answers"))
def test_an_answer_is_compared_by_the_judge(attack: Callable[..., Verdict], program: str) -> None:
    attack(program)


@pytest.mark.parametrize("program", programs("patches"))
def test_patching_its_own_process_changes_no_verdict(attack: Callable[..., Verdict], program: str) -> None:
    attack(program)


@pytest.mark.parametrize("program", programs("messages"))
def test_no_message_to_the_judge_is_a_verdict(attack: Callable[..., Verdict], program: str) -> None:
    attack(SAY + program)


@pytest.mark.parametrize("program", programs("reaches"))
def test_the_host_is_out_of_reach(attack: Callable[..., Verdict], program: str) -> None:
    attack(program, "assert f() == 'reached'")


@pytest.mark.parametrize(("program", "reasons"), programs("exhaustion"))
def test_taking_everything_ends(attack: Callable[..., Verdict], program: str, reasons: str) -> None:
    verdict = attack(program)
    # On a loaded machine any of these may run out of time before it runs out of what it takes.
    assert verdict.reason.startswith(("timeout", *reasons.split("|"))), verdict.reason


@pytest.fixture(scope="module")
def clean_state(box: Sandbox) -> str:
    """What a program finds at the start, as a test that holds only for the same again."""
    verdict = box.run(FINDS, "assert found() is None, repr(found())", timeout=10.0)
    state = verdict.reason.removeprefix("failed: AssertionError ")
    return f"assert found() == {state}\nassert free(chr(0) + 'leak')"


@pytest.mark.parametrize("program", programs("leftovers"))
def test_nothing_is_left_for_the_next_program(
    attack: Callable[..., Verdict], box: Sandbox, clean_state: str, program: str
) -> None:
    attack(program)
    verdict = box.run(FINDS, clean_state, timeout=10.0)
    assert verdict.passed, verdict.reason


@pytest.mark.parametrize(
    "program",
    ["x = 1\0", "f = " + "(" * 5000 + ")" * 5000, "f = " + "-" * 100_000 + "1", "\ud800", "x = 1" * 100_000],
    ids=["null byte", "parentheses", "minus signs", "surrogate", "long line"],
)
def test_source_that_does_not_compile_is_no_pass(attack: Callable[..., Verdict], program: str) -> None:
    assert attack(program).reason.startswith(("syntax error", "memory", "crashed"))


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("abs = lambda x: 0\ndef f(x): return 5", "assert abs(f(1) - 2) < 1e-6"),
        ("tuple = set = sorted = lambda x: 1\ndef f(x): return [5]", "assert tuple(f(1)) == tuple([2])"),
        ("isinstance = lambda *a: True\ndef f(x): return 5", "assert isinstance(f(1), str)"),
        ("class math:\n    isclose = lambda *a: True\ndef f(x): return 5", "assert math.isclose(f(1), 2)"),
        ("import math\nmath.isclose = lambda *a: True\ndef f(x): return 5", "assert math.isclose(f(1), 2)"),
        ("__name__ = f = 5", "assert __name__ == 5"),
        ("def check(g): pass\ndef f(x): return 5", "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)"),
        ("def f(x): raise StopIteration", "assert all(map(f, [1, 2]))"),
        ("def f(x): raise StopIteration", "assert [*map(f, [1])] == []"),
        ("import os\ndef f(x): os._exit(0)", "try:\n    f(1)\nexcept Exception:\n    pass"),
        ("def f(x): raise SystemExit", "import contextlib\nwith contextlib.suppress(BaseException):\n    f(1)"),
        ("def f(x): x.append(3)", "x = [1]\nf(x)\nassert x == [1, 2]"),
        ("def f(x): return 1", "assert not f(1)"),
        ("def f(x): return object()", "assert not f(1)"),
        ("def f(x): return object()", "assert f(1) < 5"),
        ("class A:\n    __instancecheck__ = lambda *a: True\nf = lambda x: A()", "assert isinstance(f(1), int)"),
        ("def f(g): return g(1)", "assert f(lambda x: x) == 2"),
        ("def f(g): g.__code__ = (lambda x: 2).__code__", "h = lambda x: x\nf(h)\nassert h(1) == 2"),
        ("def f(x): return type(x)", "assert f(1) == str"),
        ("def f(x): return 2", "assert f(1) == 2\nassert f(1) == 3"),
    ],
)
def test_what_a_test_means_is_the_judges(attack: Callable[..., Verdict], program: str, tests: str) -> None:
    attack(program, tests)
