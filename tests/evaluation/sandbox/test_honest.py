"""Right programs pass in every shape that tests and programs come in, and wrong ones say why they failed."""

import pytest

from semalign.evaluation.sandbox import Sandbox

NODE = (
    "class Node:\n    def __init__(self, value):\n        self.value = value\n        self.left = self.right = None\n"
)
COUNT = "def count(node):\n    return 0 if node is None else 1 + count(node.left) + count(node.right)"

RIGHT = {
    "an assertion": ("def f(x): return x + 1", "assert f(1) == 2"),
    "a check function": ("def f(x): return x + 1", "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)"),
    "Windows line ends": ("def f(x):\r\n    return x + 1\r\n", "x = 1\r\nassert f(x) == 2\r\n"),
    "keyword arguments": ("def f(a, *, b=1): return a - b", "assert f(3, b=2) == 1"),
    "a lambda": ("f = lambda x: x", "assert f('x') == 'x'"),
    "a helper of the program": ("def g(x): return x * 2\ndef f(x): return x / 2", "assert g(f(3)) == 3"),
    "a helper from an import": ("from math import gcd, sqrt\ndef f(x): return x", "assert sqrt(f(4)) == 2"),
    "a module of the program": ("import sys\ndef f(x): return sys.getsizeof(x)", "assert f('a') == sys.getsizeof('a')"),
    "a module of the tests": ("def f(x): return x / 3", "import math\nassert math.isclose(f(1), 1 / 3)"),
    "a constant of the program": ("LIMIT = [1, 2]\ndef f(): return 3", "assert LIMIT == [1, 2] and f() == 3"),
    "a function named like a builtin": ("def sum(a, b): return a - b", "assert sum(3, 1) == 2"),
    "builtins in tests": ("def f(x): return x", "assert sorted(set(f([3, 1, 1]))) == [1, 3] and len(f('ab')) == 2"),
    "None and bool": ("def f(x): return [None, True, x > 1]", "assert f(1) == [None, True, False] and f(2)[2] is True"),
    "big numbers": ("def f(n): return 10 ** n", "assert f(5000) == 10 ** 5000 and f(5000) % 7 == 10 ** 5000 % 7"),
    "floats to the last bit": ("def f(x): return x / 3", "assert f(0.1) == 0.1 / 3 and f(float('inf')) > 1e300"),
    "nested containers": (
        "def f(x): return {(1, 2): [{3}, frozenset({4})], b'a': (x,)}",
        "assert f(1j) == {(1, 2): [{3}, frozenset({4})], b'a': (1j,)}",
    ),
    "subclasses of containers": (
        "import collections as c\nP = c.namedtuple('P', 'a')\n"
        "def f(s): return [c.Counter(s), P(1), c.OrderedDict(a=1)]",
        "assert f('aab') == [{'a': 2, 'b': 1}, (1,), {'a': 1}]",
    ),
    "exact numbers": (
        "from fractions import Fraction\nfrom decimal import Decimal\ndef f(): return [Fraction(1, 3), Decimal('1.5')]",
        "assert f()[0] * 3 == 1 and f()[1] == 1.5",
    ),
    "a range": ("def f(n): return range(n)", "assert f(3) == range(3) and list(f(3)) == [0, 1, 2]"),
    "builtin types": ("def f(x, t): return [type(x), isinstance(x, t)]", "assert f(1, int) == [int, True]"),
    "text beyond ASCII": ("def f(x): return x[::-1]", "assert f('aß∂😀\\ud800') == '\\ud800😀∂ßa'"),
    "a generator": ("def f(n): yield from range(n)", "assert list(f(3)) == [0, 1, 2] and next(f(1)) == 0"),
    "an endless generator": ("import itertools\ndef f(): return itertools.count()", "assert next(f()) == 0"),
    "a function as a result": ("def f(n):\n    return lambda x: x + n", "assert f(1)(2) == 3"),
    "a function as an argument": (
        "def f(g, xs): return [g(x) for x in xs]",
        "assert f(lambda x: x * 2, [1, 2]) == [2, 4]",
    ),
    "a function that calls back": (
        "def f(x, g): return g(x)",
        "assert f(3, lambda x: 0 if x == 0 else f(x - 1, lambda y: y)) == 2",
    ),
    "objects of the program": (NODE + COUNT, "root = Node(1)\nroot.left = Node(2)\nassert count(root) == 2"),
    "attributes of objects": (
        NODE,
        "n = Node([1])\nassert n.value == [1] and n.left is None and n == n and n != Node([1])",
    ),
    "methods and items": (
        "class S:\n    def __init__(s): s.d = {}\n    def put(s, k, v): s.d[k] = v\n"
        "    def __getitem__(s, k): return s.d[k]\n"
        "    def __setitem__(s, k, v): s.d[k] = v\n    def __len__(s): return len(s.d)\n    def __str__(s): return 'S'",
        "s = S()\ns.put(1, 2)\ns[3] = 4\nassert s[1] == 2 and s[3] == 4 and len(s) == 2 and str(s) == 'S'",
    ),
    "an enum": (
        "import enum\nclass C(enum.Enum):\n    A = 1\n    B = 2\ndef f(): return C.B",
        "assert f() == C.B != C.A",
    ),
    "a changed argument": ("def f(x): x.sort(); x.append(9)", "a = [2, 1]\nassert f(a) is None and a == [1, 2, 9]"),
    "a changed dict": ("def f(d, k): d.pop(k)", "d = {1: 2, 3: 4}\nf(d, 1)\nassert d == {3: 4}"),
    "state between calls": (
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n",
        "assert [f(), f(), f()] == [1, 2, 3]",
    ),
    "an expected exception": (
        "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
        "try:\n    f(-1)\nexcept ValueError as error:\n    assert str(error) == 'negative'\nelse:\n    assert False",
    ),
    "the default recursion depth": ("def f(n): return 0 if n == 0 else 1 + f(n - 1)", "assert f(900) == 900"),
    "a deeper recursion": (
        "import sys\nsys.setrecursionlimit(9999)\ndef f(n): return n and 1 + f(n - 1)",
        "assert f(5000) == 5000",
    ),
    "output and input": (
        "import sys\ndef f(x):\n    print(x)\n    sys.stderr.write('x')\n    return x",
        "print(f(1))\nassert f(1) == 1",
    ),
    "a main block": ("def f(x): return x\nif __name__ == '__main__':\n    f(input())", "assert f(1) == 1"),
    "files of its own": (
        "def f(x):\n    open('a', 'w').write(x)\n    return open('/tmp/a').read()",
        "assert f('b') == 'b'",
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\ndef f(xs):\n"
        "    with ThreadPoolExecutor(4) as pool: return list(pool.map(str, xs))",
        "assert f([1, 2]) == ['1', '2']",
    ),
    "asyncio": ("import asyncio\nasync def g(x): return x\ndef f(x): return asyncio.run(g(x))", "assert f(1) == 1"),
    "a dataclass": (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "    def twice(self) -> P: return P(self.x * 2)",
        "assert P(3).twice().x == 6",
    ),
}

WRONG = {
    "failed: AssertionError": ("def f(x): return 1", "assert f(1) == 2"),
    "failed: AssertionError text": ("def f(x): return 1", "assert f(1) == 2, 'text'"),
    "failed: ZeroDivisionError division by zero": ("def f(x): return 1 / 0", "assert f(1) == 2"),
    "failed: NameError name 'f' is not defined": ("def g(x): return 1", "assert f(1) == 2"),
    "failed: TypeError f() missing": ("def f(x): return 1", "assert f() == 2"),
    "failed: ModuleNotFoundError No module named 'nowhere'": ("import nowhere", "assert f(1) == 2"),
    "failed: Exception Mine: text": ("class Mine(Exception): pass\ndef f(x): raise Mine('text')", "assert f(1) == 2"),
    "failed: TypeError '<' not supported": ("def f(x): return object()", "assert f(1) < 2"),
    "syntax error: ": ("def f(x) return 1", "assert f(1) == 2"),
    "forged exit: SystemExit": ("raise SystemExit", "assert f(1) == 2"),
    "forged exit: the program ended": ("import os\nos._exit(0)", "assert f(1) == 2"),
    "crashed: signal 11": ("import ctypes\nctypes.string_at(0)", "assert f(1) == 2"),
    "memory": ("def f(x): return [0] * 10**10", "assert f(1) == 2"),
    "timeout": ("while True: pass", "assert f(1) == 2"),
}


@pytest.mark.parametrize(("program", "tests"), RIGHT.values(), ids=RIGHT)
def test_a_right_program_passes(box: Sandbox, program: str, tests: str) -> None:
    verdict = box.run(program, tests, timeout=10.0)
    assert verdict.passed, verdict.reason
    assert verdict.reason == "passed"
    assert 0 < verdict.seconds < 10


@pytest.mark.parametrize(("reason", "case"), WRONG.items(), ids=WRONG)
def test_a_wrong_program_gets_its_reason(box: Sandbox, reason: str, case: tuple[str, str]) -> None:
    verdict = box.run(*case, timeout=0.5 if reason == "timeout" else 10.0)
    assert not verdict.passed
    assert verdict.reason.startswith(reason)


def test_the_same_program_gets_the_same_verdict(box: Sandbox) -> None:
    order = [
        box.run("def f(): return ''.join({'a', 'b', 'c', 'd'})", "assert not f(), f()", 10.0).reason for _ in range(4)
    ]
    assert len(set(order)) == 1


@pytest.mark.slow
def test_a_program_costs_milliseconds(box: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = sorted(box.run("def f(x): return x", "assert f(1) == 1", 10.0).seconds for _ in range(200))
    with capsys.disabled():
        print(f"\nsandbox: {1000 * seconds[100]:.1f} ms a program (median of 200), {1000 * seconds[0]:.1f} at best")
