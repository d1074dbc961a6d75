"""One process a folder: a lock of the operating system's, which ends with the process that holds it."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from .artifacts import disk_errors
from .errors import UserError

LOCK = ".lock"
"""The file in the folder. It stays there, and says who holds it or held it last; being locked is no matter of its
content, so one that a dead process left is simply taken."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder within the block; UserError where another process holds it."""
    path = folder / LOCK
    with disk_errors(path):
        lock = _acquired(folder)
    try:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with disk_errors(path):
            path.write_text(json.dumps(holder) + "\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def refuse_locked(folder: Path) -> None:
    """Raise UserError where another process holds a folder; writes nothing."""
    if (folder / LOCK).exists():
        with suppress(OSError):  # what is wrong with the folder is said where it is opened
            _acquired(folder).release()


def _acquired(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: in use by {_holder(folder / LOCK)}; wait, or choose another --out") from None
    return lock


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
