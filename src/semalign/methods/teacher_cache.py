"""The teacher's signals on disk: written once, by the content of each row, and followed without the teacher."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Bool
from torch import Tensor

from .. import ranks
from ..artifacts import key, write_json
from ..cache import Precision, Row, Shards, index_bytes, n_byte, pack, packed_names, unpack
from ..data import Batch, Example, collate
from ..errors import UserError
from ..pairing import Pair
from .cache_key import about, row_key
from .cache_options import CacheOptions, refuse_top_k_of_cache
from .positions import Positions, followed_positions
from .row_teacher import FINAL_STATE, TOP_LOGIT, TOP_TOKEN, RowTeacher, assembled, rows_of, state_of
from .step import Step
from .teacher import OnlineTeacher, Signals

SHARD_ROWS, SHARD_BYTES = 64, 2**27  # what a kill can cost, and what is held in memory before it is written
_KEPT_FREE = 50_000_000  # bytes that must be left on the disk: checkpoints and reports come after


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """What a teacher says of rows to one method: the targets of its pairs, and its output where a loss follows it.

    It lies in a folder of its own, whose name is made from everything that it depends on but the rows: the teacher's
    weights, the maps, site, pairs, norm and positions, and how it is stored. In it, rows go by their content. Only
    positions that a loss looks at are kept. A step follows it in place of the teacher: `step.signals = cache`.
    """

    online: OnlineTeacher
    pairs: tuple[Pair, ...]
    positions: Positions
    options: CacheOptions
    shards: Shards
    described: dict[str, Any]
    """What the folder's name is made from."""

    @classmethod
    def of(cls, step: Step, options: CacheOptions, folder: Path) -> "TeacherCache":
        """The cache for a step that follows its teacher online, inside a folder that other caches may share."""
        if not isinstance(step.signals, OnlineTeacher):
            raise UserError("a teacher cache is made for a step that follows a teacher beside it; this one has none")
        refuse_top_k_of_cache(options, step.outputs)
        stages = step.stages if step.layer_loss is not None else ()
        paired = {pair.student: pair for stage in stages for pair in stage.pairs}
        pairs = tuple(paired[student] for student in sorted(paired))
        described = about(step.signals, pairs, step.taught, options)
        return cls(step.signals, pairs, step.taught, options, Shards(folder / key(described)), described)

    @property
    def folder(self) -> Path:
        return self.shards.folder

    def __call__(self, batch: Batch, pairs: Sequence[Pair], mask: Bool[Tensor, "b pos"]) -> Signals:
        """What the teacher would say; UserError for a row that is not there, or damaged."""
        return assembled(self.online, [self._row(one, pairs) for one in rows_of(batch)], pairs, mask)

    def missing(self, examples: Sequence[Example]) -> list[Example]:
        """Rows that are not there yet, each content once."""
        wanted = {row_key(_batch(example)): example for example in examples}
        return [example for content, example in wanted.items() if content not in self.shards]

    def n_bytes(self, examples: Sequence[Example]) -> int:
        """What rows take on disk, but for the headers of the files."""
        n_position = sum(int(followed_positions(_batch(example), self.positions).sum()) for example in examples)
        return n_position * self._position_bytes() + len(examples) * index_bytes(len(self._names(self.pairs)))

    def refuse_size(self, examples: Sequence[Example]) -> None:
        """Raise UserError where rows take more than the limit or more than the disk has, before any is written."""
        size, missing, free = self.n_bytes(examples), self.n_bytes(self.missing(examples)), _free(self.folder)
        if size > self.options.limit_gb * 1e9:
            raise UserError(
                f"cache: {in_words(size)} for {len(examples)} rows ({self._position_bytes()} bytes a position), but "
                f"'limit_gb' is {self.options.limit_gb:g}; raise it, keep states in int8, pair fewer layers, or leave "
                "'cache' out"
            )
        if missing + _KEPT_FREE > free:
            raise UserError(
                f"{self.folder}: the teacher cache takes {in_words(missing)}, but the disk has {in_words(free)} left; "
                "choose another 'cache.folder', keep states in int8, or leave 'cache' out"
            )

    def repair(self, examples: Sequence[Example]) -> list[Path]:
        """Check what is there of rows and delete the files that are damaged, so that their rows are missing; those."""
        return self.shards.drop_damaged([row_key(_batch(example)) for example in examples], self._names(self.pairs))

    def fill(
        self, examples: Sequence[Example], advance: Callable[[int, int], None] = lambda _done, _total: None
    ) -> None:
        """Let the teacher read the rows that are missing, each alone; a kill costs the rows of one file at most.

        Of several processes each reads and writes its share; `again` finds those of the others.
        """
        self.refuse_size(examples)
        write_json(self.folder / "about.json", self.described)
        teacher, missing = RowTeacher(self.online, self.options.top_k), ranks.dealt(self.missing(examples))
        held: dict[str, Row] = {}
        for done, (example, counts) in enumerate(missing, start=1):
            batch = _batch(example).to(self.online.teacher.device)
            row = teacher.row(batch, self.pairs, followed_positions(batch, self.positions))
            if counts:
                held[row_key(batch)] = self._packed(row)
            if held and (len(held) == SHARD_ROWS or _size(held) >= SHARD_BYTES or done == len(missing)):
                self.shards.write(held)
                held = {}
            advance(done, len(missing))
        ranks.wait()

    def again(self) -> "TeacherCache":
        """The same cache with all that is in its folder now."""
        return replace(self, shards=Shards(self.folder))

    def _row(self, batch: Batch, pairs: Sequence[Pair]) -> Row:
        content = row_key(batch)
        if content not in self.shards:
            raise UserError(
                f"{self.folder}: row '{batch.ids[0]}' is not in the teacher cache; fill it with the rows that are "
                "trained on"
            )
        stored, dtype = self.shards.read(content, self._names(pairs)), self.online.teacher.head_weight.dtype
        states = {name: unpack(name, stored, dtype) for name in self._states(pairs)}
        return {**{name: stored[name] for name in (TOP_LOGIT, TOP_TOKEN) if name in stored}, **states}

    def _packed(self, row: Row) -> Row:
        packed: Row = {}
        for name, precision in self._states(self.pairs).items():
            packed |= pack(name, row[name], precision)
        if TOP_LOGIT in row:
            packed |= {TOP_LOGIT: row[TOP_LOGIT].float().cpu(), TOP_TOKEN: row[TOP_TOKEN].int().cpu()}
        return packed

    def _names(self, pairs: Sequence[Pair]) -> list[str]:
        """The tensors that are kept of a row."""
        names = [part for name, precision in self._states(pairs).items() for part in packed_names(name, precision)]
        return [*names, TOP_LOGIT, TOP_TOKEN] if self._n_likeliest else names

    def _states(self, pairs: Sequence[Pair]) -> dict[str, Precision]:
        """The states of a row, and how each is kept."""
        states: dict[str, Precision] = {state_of(pair): self.options.states for pair in pairs}
        if self.online.tokens is not None and self.options.top_k is None:
            states[FINAL_STATE] = "bfloat16" if self.options.states == "int8" else self.options.states
        return states

    @property
    def _n_likeliest(self) -> int:
        """Tokens whose logits are kept at a position."""
        return 0 if self.online.tokens is None else min(self.options.top_k or 0, len(self.online.tokens))

    def _position_bytes(self) -> int:
        maps, width = self.online.maps, self.online.teacher.width
        widths = {state_of(pair): maps[pair.student].width if maps else width for pair in self.pairs}
        states = sum(n_byte(widths.get(name, width), how) for name, how in self._states(self.pairs).items())
        return states + 8 * self._n_likeliest


def in_words(size: float) -> str:
    """Bytes for a person."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.2f} MB"


def _batch(example: Example) -> Batch:
    return collate([example], pad_id=0)  # of one row: nothing is padded


def _free(folder: Path) -> int:
    """Bytes left on the disk of a folder that need not be there yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free


def _size(rows: dict[str, Row]) -> int:
    return sum(x.numel() * x.element_size() for row in rows.values() for x in row.values())
