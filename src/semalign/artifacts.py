"""Files of a run: JSON and safetensors, written whole or not at all, under keys made from content.

Of several processes the first one writes; what the others write vanishes, unless it says that all of them do.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import ranks
from .errors import UserError


@contextlib.contextmanager
def whole_file(path: Path, *, by_all: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and vanishes when it does not."""
    if not (by_all or ranks.is_first()):
        with tempfile.TemporaryDirectory() as nowhere:
            yield Path(nowhere) / path.name
        return
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)  # mkstemp lets nobody else read
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path` when the block ends well (an older folder is replaced)."""
    if path.is_file():
        raise UserError(f"{path}: is a file, not a folder; choose another name")
    if not ranks.is_first():
        with tempfile.TemporaryDirectory() as nowhere:
            yield Path(nowhere)
        return
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
        try:
            yield temporary
            temporary.chmod(0o755)  # mkdtemp lets nobody else in
            _take_place(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, path: Path) -> None:
    """Put one folder in another's place; the older one comes back where that fails."""
    if not path.exists():
        os.replace(temporary, path)
        return
    older = temporary.with_suffix(".old")
    os.replace(path, older)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(older, path)
        raise
    remove_folder(older)


def remove_folder(path: Path) -> None:
    """Delete a folder: it is there whole, or it is gone and what a kill leaves of it `remove_leftovers` takes away."""
    if not ranks.is_first():
        return
    gone = path.with_name(f".{path.name.lstrip('.')}.gone")
    os.replace(path, gone)
    shutil.rmtree(gone)


def remove_leftovers(folder: Path) -> None:
    """Take away what killed writers left in a folder and below it; a folder that was being replaced comes back."""
    for path in sorted(folder.rglob(".*.old")):
        place = path.with_name(path.name[1:].rsplit(".", 2)[0])
        if place.exists():
            shutil.rmtree(path)
        else:
            os.replace(path, place)
    for pattern in (".*.part", ".*.gone"):
        for path in sorted(folder.rglob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What a disk refuses, as the user's one line; every other error as it is."""
    try:
        yield
    except Exception as error:
        number = _error_number(error)
        if number in FULL:
            line = f"{path}: no disk space left; free some or choose another --out folder (finished stages are kept)"
            raise UserError(line) from error
        if number in CLOSED:
            line = f"{path}: cannot be written ({os.strerror(number)}); choose another --out folder"
            raise UserError(line) from error
        raise


def _error_number(error: Exception) -> int | None:
    """The system's number of an error; libraries written in Rust (safetensors) only put it in their text."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with keys in the given order, numpy and torch scalars as numbers, no NaN."""
    write_text(path, json.dumps(value, indent=1, default=_number, allow_nan=False, ensure_ascii=False) + "\n")


def _number(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot be written as JSON: {type(value).__name__}")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path} line {error.lineno}: not valid JSON ({error.msg})") from None


def write_tensors(
    path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None, *, by_all: bool = False
) -> None:
    """Write tensors as safetensors."""
    from safetensors.torch import save_file

    with whole_file(path, by_all=by_all) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, dict(metadata or {}))


def read_tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged, or no safetensors ({error}); get another copy") from None


def key(*parts: Any) -> str:
    """A short key that is equal where, and only where, the JSON of the parts is equal."""
    text = json.dumps(parts, sort_keys=True, default=_number, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
