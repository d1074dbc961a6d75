"""Shards: safetensors files that hold some rows each, with a checksum for every tensor of a row."""

import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..artifacts import key as key_of
from ..artifacts import write_tensors
from ..errors import UserError

Row = dict[str, Tensor]
"""What is known of a row: tensors by name, each with an entry for every position."""

_KEYS, _SIZES, _SUMS = "index.key", "index.n_position", "index.checksum"


class _Place(NamedTuple):
    path: Path
    start: int
    stop: int
    checksums: dict[str, int]
    """By tensor."""


class Shards:
    """The rows of a folder, by keys of 16 hexadecimal digits.

    A file that is there is whole: it is written under another name first. Its own name is made from the keys in it, so
    that several writers of one folder do not meet. Whatever is read is checked: a changed byte is found.
    """

    def __init__(self, folder: Path) -> None:
        """Looks at what is there; files that cannot be read as shards are `unreadable`."""
        self.folder = folder
        self.unreadable: list[Path] = []
        self._places: dict[str, _Place] = {}
        self._open: dict[Path, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            try:
                self._add(path)
            except (SafetensorError, OSError, ValueError):
                self.unreadable.append(path)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def read(self, key: str, names: Collection[str]) -> Row:
        """Some tensors of a row; UserError where a byte of them is not the one that was written."""
        place = self._places[key]
        try:
            row = {name: self._open[place.path].get_slice(name)[place.start : place.stop] for name in names}
        except (SafetensorError, OSError):
            row = {}
        if any(name not in row or _checksum(key, name, row[name]) != place.checksums.get(name) for name in names):
            raise UserError(
                f"{place.path}: damaged (what it holds is not what was written); delete this file and run again: "
                "its rows are computed anew"
            )
        return row

    def write(self, rows: Mapping[str, Row]) -> None:
        """One more shard. All rows hold tensors of the same names."""
        names = sorted(next(iter(rows.values())))
        sums = [[_checksum(key, name, row[name]) for name in names] for key, row in rows.items()]
        index = {
            _KEYS: torch.tensor([_signed(key) for key in rows], dtype=torch.int64),
            _SIZES: torch.tensor([len(row[names[0]]) for row in rows.values()], dtype=torch.int32),
            _SUMS: torch.tensor(sums, dtype=torch.int32),
        }
        path = self.folder / f"{key_of(*rows)}.safetensors"
        joined = {name: torch.cat([row[name] for row in rows.values()]) for name in names}
        write_tensors(path, {**index, **joined}, by_all=True)
        self._add(path)

    def drop_damaged(self, keys: Collection[str], names: Collection[str]) -> list[Path]:
        """Read the rows that are there, and delete every file in which one is damaged; those files."""
        damaged = {self._places[key].path for key in keys if key in self and not self._sound(key, names)}
        damaged |= set(self.unreadable)
        for path in damaged:
            path.unlink(missing_ok=True)
            self._open.pop(path, None)
        self.unreadable = []
        self._places = {key: place for key, place in self._places.items() if place.path not in damaged}
        return sorted(damaged)

    def _sound(self, key: str, names: Collection[str]) -> bool:
        try:
            self.read(key, names)
        except UserError:
            return False
        return True

    def _add(self, path: Path) -> None:
        file = safe_open(path, "pt")
        names = sorted(name for name in file.keys() if not name.startswith("index."))  # noqa: SIM118  it is no mapping
        keys, sizes, sums = (file.get_tensor(name).tolist() for name in (_KEYS, _SIZES, _SUMS))
        self._open[path] = file
        start = 0
        for key, size, checksums in zip(keys, sizes, sums, strict=True):
            place = _Place(path, start, start + size, dict(zip(names, checksums, strict=True)))
            self._places[_unsigned(key)] = place
            start += size


def index_bytes(n_tensor: int) -> int:
    """What a row of so many tensors takes beside them."""
    return 8 + 4 + 4 * n_tensor  # key, number of positions, checksums


def _checksum(key: str, name: str, x: Tensor) -> int:
    """Of the bytes, and of what they are, as a signed 32-bit number."""
    found = zlib.crc32(f"{key} {name} {x.dtype} {tuple(x.shape)}".encode())
    found = zlib.crc32(x.contiguous().view(torch.uint8).numpy().data, found)
    return found - 2**32 if found >= 2**31 else found


def _signed(key: str) -> int:
    return int.from_bytes(bytes.fromhex(key), "big", signed=True)


def _unsigned(key: int) -> str:
    return key.to_bytes(8, "big", signed=True).hex()
