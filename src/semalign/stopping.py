"""How a run is asked to stop: SIGINT or SIGTERM once lets the training step at hand end, twice stops at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
HEARD = b"\nstopping after this step; again (Ctrl-C) stops at once, back to the last checkpoint\n"


@dataclass
class _State:
    listening: bool = False
    asked: bool = False
    looks: bool = False
    """Whether the code at work asks by itself, at a better moment."""
    shielded: bool = False
    """Whether what is written now must be written whole."""


_state = _State()


def asked() -> bool:
    """Whether the process was asked to stop."""
    return _state.asked


def check() -> None:
    """Stop here where that was asked: an interrupt that fell into a destructor is lost to Python, not to us."""
    if _state.asked and not _state.looks:
        raise KeyboardInterrupt


@contextmanager
def listening() -> Iterator[None]:
    """Turn both signals into KeyboardInterrupt within the block; what was ignored before (nohup, `&`) stays ignored.

    Blocks may be nested. In a thread other than the main one nothing changes, since Python gives signals to that alone.
    """
    if _state.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    taken = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    _state.listening, _state.asked = True, False
    try:
        for number in taken:
            signal.signal(number, _stop)
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        _state.listening = _state.asked = False


@contextmanager
def at_step_ends() -> Iterator[None]:
    """Within the block the first signal only sets `asked`, which the block looks at; the second stops at once."""
    before, _state.looks = _state.looks, True
    try:
        yield
    finally:
        _state.looks = before
    check()


@contextmanager
def shielded() -> Iterator[None]:
    """Within the block, which should take no longer than a small file, no signal stops anything."""
    before, _state.shielded = _state.shielded, True
    try:
        yield
    finally:
        _state.shielded = before


def _stop(_number: int, _frame: Any) -> None:
    again, _state.asked = _state.asked, True
    if _state.looks and not again:
        with contextlib.suppress(OSError):
            os.write(2, HEARD)  # a stream may be at work already where a signal falls in
    if not _state.shielded and (again or not _state.looks):
        raise KeyboardInterrupt
