import pytest

from semalign.evaluation.programs import program

STUB = 'import math\n\n\ndef helper(x):\n    return x + 1\n\n\ndef area(r):\n    """Area of a circle."""\n'
BODY = "    return math.pi * r * r\n"
WHOLE = "def area(r):\n    return math.pi * r * r\n"
TASK = "Write a function area(r) that gives the area of a circle from its radius.\n"
MATH = "import math\n" + WHOLE


def result(prompt: str, generation: str, **options) -> float | None:
    """What area(1) gives in the program; these texts are the test's own."""
    space: dict = {}
    exec(program(prompt, generation, "area", **options), space)
    return space["area"](1)


@pytest.mark.parametrize(
    "generation",
    [
        BODY,
        BODY.rstrip(),
        BODY.replace("\n", "\r\n"),
        BODY + "\n\nprint(area(3))\n",
        BODY + "\n\nassert area(1) == 0\n",
        BODY + "\nThis gives the area of a circle.\n",
        BODY + "\nDone\n",
        BODY + "```\n\nThis gives the area:\n```python\narea(3)\n```\n",
        BODY + "\n\ndef other(",
        "```python\n" + BODY + "```",
        "```python\n" + WHOLE + "```\nThat is all.",
        "Here is the function:\n\n```python\r\n" + WHOLE.replace("\n", "\r\n") + "```",
        "Here is the function:\n\n```\n" + WHOLE,
        STUB + BODY,
        "    helper(3)\n" + BODY,
    ],
)
def test_a_stub_is_completed_or_answered_with_the_whole_function(generation):
    assert result(STUB, generation) == pytest.approx(3.14159, abs=1e-4)


@pytest.mark.parametrize(
    "generation",
    [
        MATH,
        MATH.replace("\n", "\r\n"),
        "```python\n" + MATH + "```",
        "Sure! From the radius:\n\n```python\n" + MATH + "\nprint(area(2))\n```\nIt squares the radius.",
        MATH + "\n\nThe function squares its argument.\n",
        MATH + "\n\nprint(area(2))\nassert area(1) == 0\n",
        "Here is the function:\n" + MATH,
        "```\npip install numpy\n```\n```python\n" + MATH + "```",
        "import math\narea = lambda r: math.pi * r * r\n",
        MATH + "\n\ndef unfinished(x",
    ],
)
def test_a_whole_function_stands_alone(generation):
    assert result(TASK, generation) == pytest.approx(3.14159, abs=1e-4)


def test_the_stub_may_follow_a_description():
    assert result("Complete this function.\n\n" + STUB, BODY) == pytest.approx(3.14159, abs=1e-4)


def test_the_stub_may_end_before_its_colon():
    prompt = "Complete this function.\nimport math\ndef area(r)"
    assert result(prompt, ":\n" + BODY) == pytest.approx(3.14159, abs=1e-4)
    assert result(prompt, "\nSure:\n```python\n" + MATH + "```") == pytest.approx(3.14159, abs=1e-4)


def test_the_code_prefix_is_the_stub_where_it_is_given():
    prefix = "import math\ndef area(r):\n"
    assert result("Finish: area", BODY, code_prefix=prefix) == pytest.approx(3.14159, abs=1e-4)


@pytest.mark.parametrize(
    "generation", ["", "I cannot do that.", "return math.pi * r * r", "def other(r):\n    return 1\n"]
)
def test_a_text_without_the_function_does_not_pass(generation):
    assert result(STUB, generation) is None


@pytest.mark.parametrize(
    "generation", ["", "I cannot do that.", "def circle(r):\n    return 1\n", "def area(r:\n", "\0"]
)
def test_a_whole_function_under_another_name_or_broken_is_not_made_up(generation):
    text = program(TASK, generation, "area")
    assert "def area(r):" not in text


def test_without_an_entry_point_any_function_will_do():
    assert program(TASK, "Sure:\n```python\n" + MATH + "```\nok", None).strip() == MATH.strip()


@pytest.mark.parametrize("fence", ["", "Here is the completed function:\n\n\n```python\n"])
def test_constants_before_the_function_stay(fence):
    code = "PI = 3.14159\r\nN = 1\r\ndef square(r):\r\n\treturn r * r\r\ndef area(r):\r\n\treturn PI * square(r)"
    assert result(TASK, fence + code) == pytest.approx(3.14159)
    assert result(f"{TASK}PI = 3.14159\ndef area(r)", ":\n    return PI * r * r") == pytest.approx(3.14159)


def test_calls_before_the_function_stay():
    code = "import sys\nsys.setrecursionlimit(5000)\n" + WHOLE
    assert "setrecursionlimit" in program(TASK, code, "area")
