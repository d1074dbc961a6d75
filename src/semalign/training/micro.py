"""How the rows of a step are cut into batches that run one after the other: which rows those are stays as it is."""

from collections.abc import Iterator, Sequence

from .. import ranks
from ..data import Batch, Example, collate
from .options import TrainingOptions


def micro_batches(rows: Sequence[Example], options: TrainingOptions, pad_id: int) -> list[Batch]:
    """The rows by length, in as few batches as the options allow: their gradients add up to that of all rows."""
    ordered = sorted(rows, key=lambda row: len(row.input_ids))  # like lengths together: less padding
    size, most = options.micro_batch_size or -(-len(rows) // ranks.n_rank()), options.max_padding
    parts = (
        [ordered[i : i + size] for i in range(0, len(ordered), size)] if most is None else _even(ordered, size, most)
    )
    return [collate(part, pad_id) for part in parts]


def dealt(micro: Sequence[Batch]) -> list[tuple[Batch, float]]:
    """This process's part of the batches, each with what its loss is multiplied by.

    Every process gets as many as the others, because what they send one another must meet: one that is left over runs
    the last batch of all, at weight 0.
    """
    return [(batch, float(counts)) for batch, counts in ranks.dealt(micro)]


def _even(ordered: Sequence[Example], size: int, most: float) -> Iterator[Sequence[Example]]:
    """From the longest row down: the next shorter one belongs to the batch as long as no more than `most` is padding.

    So the batch that is cut short, which may come out small, is the one of the shortest rows.
    """
    parts, end = [], len(ordered)
    while end:
        longest, first, filled = len(ordered[end - 1].input_ids), end, 0
        while first and end - first < size:
            filled += len(ordered[first - 1].input_ids)
            if filled < (1 - most) * longest * (end - first + 1):
                break
            first -= 1
        parts.append(ordered[first:end])
        end = first
    yield from reversed(parts)
