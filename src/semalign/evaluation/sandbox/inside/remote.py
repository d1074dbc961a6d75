"""The judge's view of the program: handles for its objects, and a connection over which only plain data arrives."""

import builtins
import socket
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, NoReturn, TypeVar

from . import plain, wire

T = TypeVar("T")

# Raised inside map or iter these end a loop early and quietly, so that checks would be skipped.
ENDS_LOOPS = ("StopIteration", "StopAsyncIteration")


class CandidateFailed(BaseException):
    """The program has ended, left or garbled the conversation; no `except Exception` in the tests may hide it."""


class Remote:
    """Requests to the candidate; `failure` stays set once the conversation is broken."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.callbacks: list[Callable[..., Any]] = []
        self.failure: str | None = None

    def names(self) -> dict[str, Any]:
        """The program's global names and where they come from, once it is loaded."""
        reply = self._receive()
        match reply:
            case ["loaded", dict() as names]:
                return names
            case ["syntax", str() as text]:
                self._fail(f"syntax error: {text}")
        return self._raise(reply)

    def ask(self, *request: Any) -> list[Any]:
        """The parts of the candidate's answer; raises what the program raised, if that is a builtin exception."""
        self._send(list(request))
        while True:
            match reply := self._receive():
                case ["value", *parts]:
                    return parts
                case ["callback", int() as number, args, kwargs]:
                    returned = self._guarded(lambda: self.callbacks[number], IndexError)
                    result = returned(*self.decode(args), **self.decode(kwargs))
                    self._send(["returned", self.encode(result)])
                case _:
                    self._raise(reply)

    def value(self, *request: Any) -> Any:
        parts = self.ask(*request)
        if not parts:
            self._fail("failed: an answer without a value")
        return self.decode(parts[0])

    def encode(self, value: Any) -> Any:
        return plain.encode(value, self._refer)

    def decode(self, data: Any) -> Any:
        """Plain data or a handle; anything else ends the trial."""
        return self._guarded(lambda: plain.decode(data, self._handle), Exception)

    def _refer(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return ["object", value._number]
        if isinstance(value, FunctionType):
            self.callbacks.append(value)
            return ["callback", len(self.callbacks) - 1]
        raise TypeError(f"a {type(value).__name__} of the tests cannot be passed to the program")

    def _handle(self, data: list[Any]) -> Any:
        match data:
            case ["object", int() as number]:
                return Handle(self, number)
        raise ValueError(f"unknown value {str(data)[:80]}")

    def _raise(self, reply: Any) -> NoReturn:
        match reply:
            case ["raised", str() as name, str() as text]:
                kind = getattr(builtins, name, None)
            case _:
                self._fail("failed: the program sent no answer")
        if name == "MemoryError":
            self._fail("memory")
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            self._fail(f"forged exit: {name} {text}")
        if name in ENDS_LOOPS:
            raise RuntimeError(f"the program raised {name}")
        try:
            error = kind(text)
        except TypeError:  # UnicodeDecodeError and ExceptionGroup want more than a text
            error = RuntimeError(f"{name}: {text}")
        raise error

    def _send(self, message: Any) -> None:
        self._guarded(lambda: wire.send(self.connection, message), OSError)

    def _receive(self) -> Any:
        return self._guarded(lambda: wire.receive(self.connection), Exception)

    def _guarded(self, action: Callable[[], T], errors: type[Exception]) -> T:
        try:
            return action()
        except MemoryError:
            self._fail("memory")
        except (EOFError, ConnectionError):
            self._fail("forged exit: the program ended before its tests did")
        except errors as error:
            self._fail(f"failed: the program's answer is not plain data ({error})")

    def _fail(self, reason: str) -> NoReturn:
        self.failure = self.failure or reason
        raise CandidateFailed(reason)


class Handle:
    """An object of the program, kept on its side; equal only to itself, true, and without arithmetic or order."""

    __slots__ = ("_number", "_remote")
    _number: int
    _remote: Remote

    def __init__(self, remote: Remote, number: int) -> None:
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        remote = self._remote
        parts = remote.ask("call", self._number, remote.encode(args), remote.encode(kwargs))
        match parts:
            case [result, dict() as changed]:
                for position, now in changed.items():
                    _update(args, position, remote.decode(now))
                return remote.decode(result)
        return remote._fail("failed: an answer without a value")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copy and pickle look for these; they are the judge's, not the program's
            raise AttributeError(name)
        return self._remote.value("attribute", self._number, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._remote.ask("set_attribute", self._number, name, self._remote.encode(value))

    def __getitem__(self, key: Any) -> Any:
        return self._remote.value("item", self._number, self._remote.encode(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._remote.ask("set_item", self._number, self._remote.encode(key), self._remote.encode(value))

    def __iter__(self) -> Iterator[Any]:
        (iterator,) = self._remote.ask("iterate", self._number)
        while item := self._remote.ask("next", iterator):
            yield self._remote.decode(item[0])

    def __next__(self) -> Any:
        item = self._remote.ask("next", self._number)
        if not item:
            raise StopIteration
        return self._remote.decode(item[0])

    def __len__(self) -> int:
        return self._remote.value("length", self._number)

    def __str__(self) -> str:
        return str(self._remote.value("text", self._number))

    def __bool__(self) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and other._number == self._number

    def __hash__(self) -> int:
        return hash(self._number)


def _update(args: tuple[Any, ...], position: str, now: Any) -> None:
    """Repeats in the judge what the program did to a list, set, dict or bytearray that it was given."""
    before = args[int(position)]
    if type(before) is not type(now):
        return
    if isinstance(before, list | bytearray):
        before[:] = now
    elif isinstance(before, set | dict):
        before.clear()
        before.update(now)
