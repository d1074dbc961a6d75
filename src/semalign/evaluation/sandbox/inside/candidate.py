"""The process that runs the untrusted program: loads it, then answers the judge's requests about its functions.

Nothing in here is trusted and nothing in here is secret: whatever the program does to this process, all that it can
send is return values, and it never sees the tests.
"""

import socket
import sys
from types import ModuleType
from typing import Any

from . import plain, wire

CONNECTION = 3  # the descriptor that the server leaves
END = object()


def run(program: str) -> None:
    connection = socket.socket(fileno=CONNECTION)
    try:
        code = compile(program, "<program>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        wire.send(connection, ["syntax", str(error)])
        return
    module = ModuleType("program")
    sys.modules["program"] = module
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        wire.send(connection, _raised(error))
        return
    wire.send(connection, ["loaded", {str(name): _kind(value) for name, value in module.__dict__.items()}])
    Candidate(connection, module).serve()


def _kind(value: Any) -> list[str | None]:
    """[module, name] for what comes from another module, so that the judge can use its own; [None, None] else."""
    if isinstance(value, ModuleType):
        return [value.__name__, None]
    module = getattr(value, "__module__", None)
    if isinstance(module, str) and module != "program":
        return [module, str(getattr(value, "__name__", ""))]
    return [None, None]


def _raised(error: BaseException) -> list[Any]:
    kind = type(error)
    while kind.__module__ != "builtins":
        kind = kind.__base__ or Exception
    own_name = "" if kind is type(error) else f"{type(error).__name__}: "
    try:
        return ["raised", kind.__name__, own_name + str(error)]
    except Exception:
        return ["raised", kind.__name__, own_name]


class Candidate:
    """Answers requests; objects that are not plain data stay here and are known to the judge by number."""

    def __init__(self, connection: socket.socket, module: ModuleType) -> None:
        self.connection = connection
        self.names = module.__dict__
        self.objects: list[Any] = []
        self.number_of: dict[int, int] = {}

    def serve(self) -> None:
        while True:
            wire.send(self.connection, self.answer(wire.receive(self.connection)))

    def answer(self, request: list[Any]) -> list[Any]:
        operation, *parts = request
        try:
            return ["value", *getattr(self, "do_" + operation)(*parts)]
        except BaseException as error:
            return _raised(error)

    def encode(self, value: Any) -> Any:
        return plain.encode(value, self._hold)

    def decode(self, data: Any) -> Any:
        return plain.decode(data, self._find)

    def _hold(self, value: Any) -> Any:
        number = self.number_of.setdefault(id(value), len(self.objects))
        if number == len(self.objects):
            self.objects.append(value)
        return ["object", number]

    def _find(self, data: list[Any]) -> Any:
        tag, number = data
        if tag == "object":
            return self.objects[number]
        return lambda *args, **kwargs: self._call_back(number, args, kwargs)

    def _call_back(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wire.send(self.connection, ["callback", number, self.encode(args), self.encode(kwargs)])
        while True:
            request = wire.receive(self.connection)
            if request[0] == "returned":
                return self.decode(request[1])
            wire.send(self.connection, self.answer(request))

    def do_get(self, name: str) -> list[Any]:
        return [self.encode(self.names[name])]

    def do_call(self, number: int, args: Any, kwargs: Any) -> list[Any]:
        """The result, then the arguments that the call has changed in place, by position."""
        values = self.decode(args)
        result = self.objects[number](*values, **self.decode(kwargs))
        after = [self.encode(value) for value in values]
        changed = {i: now for i, (before, now) in enumerate(zip(args[1:], after, strict=True)) if before != now}
        return [self.encode(result), changed]

    def do_attribute(self, number: int, name: str) -> list[Any]:
        return [self.encode(getattr(self.objects[number], name))]

    def do_set_attribute(self, number: int, name: str, value: Any) -> list[Any]:
        return [setattr(self.objects[number], name, self.decode(value))]

    def do_item(self, number: int, key: Any) -> list[Any]:
        return [self.encode(self.objects[number][self.decode(key)])]

    def do_set_item(self, number: int, key: Any, value: Any) -> list[Any]:
        self.objects[number][self.decode(key)] = self.decode(value)
        return [None]

    def do_iterate(self, number: int) -> list[Any]:
        return self._hold(iter(self.objects[number]))[1:]

    def do_next(self, number: int) -> list[Any]:
        """[item], or nothing at the end."""
        item = next(self.objects[number], END)
        return [] if item is END else [self.encode(item)]

    def do_length(self, number: int) -> list[Any]:
        return [len(self.objects[number])]

    def do_text(self, number: int) -> list[Any]:
        return [self.encode(str(self.objects[number]))]
