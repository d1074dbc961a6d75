"""The program in a generated text: the prompt's function completed, or a whole function of its own.

A completion continues the prompt's stub; a whole function stands alone, behind the stub's imports and helpers if any.
Fences, prose around the code and calls after the function are left out, so that the tests meet the function itself.
"""

import ast
import re
import warnings

_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n?", re.MULTILINE)
# A constant before a function belongs to it.
_START = re.compile(r"(?:async def|def|class|import|from)\b|@|[A-Za-z_]\w*\s*=[^=]")
# What compiling a hostile or broken text raises.
_BROKEN = (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def program(prompt: str, generation: str, entry_point: str | None = None, code_prefix: str | None = None) -> str:
    """The program to test; a generation that holds none gives one that fails its tests or does not compile.

    Without `entry_point` any function does. `code_prefix` is the stub where the prompt says more than code.
    """
    stub = _newlines(code_prefix) if code_prefix else _stub(_newlines(prompt), entry_point)
    text = _newlines(generation)
    for part in _parts(text):
        code = _code(part, entry_point)
        if code:
            return f"{_complete(stub)}\n{code}" if _complete(stub) else code
    if not stub:
        return text
    body = next((part for part in _parts(text) if part.strip()), "")
    return _without_calls(_longest(stub + body), entry_point)


def _newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parts(text: str) -> list[str]:
    """The text cut at its fences, in order: prose, code and what follows are told apart by compiling them."""
    return _FENCE.split(text)


def _code(text: str, entry_point: str | None) -> str:
    """The code in a text from the line where it starts, or '' if that does not define the entry point."""
    lines = text.splitlines(keepends=True)
    for start, line in enumerate(lines):
        if _START.match(line):
            code = _longest("".join(lines[start:]))
            if _defines(code, entry_point):
                return _without_calls(code, entry_point)
    return ""


def _stub(prompt: str, entry_point: str | None) -> str:
    """The code at the end of the prompt that opens the entry point and waits for its body, or ''."""
    lines = prompt.splitlines(keepends=True)
    for start, line in enumerate(lines):
        stub = "".join(lines[start:])
        if _START.match(line) and _defines(_complete(stub), entry_point):
            return stub
    return ""


def _complete(stub: str) -> str:
    """The stub with a body that does nothing, so that it compiles alone; MBPP prompts end before the colon."""
    if _compiles(stub):
        return stub
    return next((code for end in ("", ":") if _compiles(code := f"{stub.rstrip()}{end}\n    pass\n")), "")


def _longest(code: str) -> str:
    """The longest run of lines from the top that compiles; '' if none does."""
    lines = code.splitlines(keepends=True)
    ends = range(len(lines), 0, -1)
    return next((part for end in ends if _compiles(part := "".join(lines[:end]))), "")


def _without_calls(code: str, entry_point: str | None) -> str:
    """The code without bare expressions and assertions after the entry point: examples, prints, prose that compiles."""
    lines, seen = code.splitlines(keepends=True), False
    for node in ast.parse(code).body:
        if seen and isinstance(node, ast.Expr | ast.Assert):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
        seen = seen or _is_entry(node, entry_point)
    return "".join(lines)


def _defines(code: str, entry_point: str | None) -> bool:
    return _compiles(code) and any(_is_entry(node, entry_point) for node in ast.parse(code).body)


def _is_entry(node: ast.stmt, entry_point: str | None) -> bool:
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == entry_point for target in node.targets)
    defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return defines and entry_point in (None, node.name)


def _compiles(code: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in generated code is not ours to report
        try:
            compile(code, "generated", "exec", dont_inherit=True)
        except _BROKEN:
            return False
    return True
