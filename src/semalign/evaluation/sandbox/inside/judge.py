"""The process that runs the tests: the program's functions are remote, every comparison happens here."""

import ast
import builtins
import importlib
import socket
import symtable
from typing import Any

from . import wire
from .remote import CandidateFailed, Remote

CONNECTION, REPORT = 3, 4  # the descriptors that the server leaves
# What a program has imported from these the judge imports itself. None of them holds an object that equals everything.
OWN_MODULES = {
    *("bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq", "itertools"),
    *("json", "math", "operator", "random", "re", "statistics", "string", "sys", "time"),
}


def run(tests: str) -> None:
    reason = _judge(tests, Remote(socket.socket(fileno=CONNECTION)))
    wire.send(socket.socket(fileno=REPORT), {"passed": reason == "passed", "reason": reason})


def _judge(tests: str, remote: Remote) -> str:
    try:
        names = remote.names()
        code = compile(tests, "<tests>", "exec", dont_inherit=True)
        exec(code, {"__name__": "tests", **_visible(tests, names, remote)})
    except CandidateFailed:
        pass
    except MemoryError:
        return "memory"
    except BaseException as error:
        return remote.failure or f"failed: {type(error).__name__} {_text(error)}".strip()
    return remote.failure or "passed"


def _text(error: BaseException) -> str:
    return str(error)[:300]


def _visible(tests: str, names: dict[str, Any], remote: Remote) -> dict[str, Any]:
    """The program's names that the tests use.

    A builtin stays the judge's own, or a program could replace `abs` to be right. Only where the tests use no other
    name of the program can it be the function under test.
    """
    with_attributes = {
        node.value.id
        for node in ast.walk(ast.parse(tests))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    asked = _globals(symtable.symtable(tests, "<tests>", "exec"))
    used = [name for name in asked if name in names and not name.startswith("__")]
    shadowing = [name for name in used if hasattr(builtins, name)]
    others = [name for name in used if not hasattr(builtins, name)]
    return {
        name: _resolve(name, names[name], remote)
        for name in others or shadowing[:1]
        if not (name in OWN_MODULES and name in with_attributes and names[name] != [name, None])  # a fake module
    }


def _globals(table: symtable.SymbolTable) -> list[str]:
    """Names that are looked up in the module, in order."""
    module_level = table.get_type() == "module"
    own = [symbol.get_name() for symbol in table.get_symbols() if module_level or symbol.is_global()]
    nested = [name for child in table.get_children() for name in _globals(child)]
    return list(dict.fromkeys(own + nested))


def _resolve(name: str, origin: Any, remote: Remote) -> Any:
    """The judge's own object for an import, else the program's."""
    match origin:
        case [str() as module, None] if module == name and name in OWN_MODULES:
            return importlib.import_module(module)
        case [str() as module, str() as original] if module in OWN_MODULES and original == name:
            return getattr(importlib.import_module(module), name)
    return remote.value("get", name)
