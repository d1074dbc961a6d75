"""Which token sequences a model must read: a sequence that another one starts with is read along with that one."""

from collections.abc import Iterator, Sequence

Tokens = tuple[int, ...]


def carriers(inputs: Sequence[Tokens]) -> tuple[list[Tokens], list[int]]:
    """The inputs that no other one starts with, and for each input the index of one of them that starts with it.

    Four choices of one token after one prompt are one sequence, not four.
    """
    # From behind, every input comes after all inputs that it begins, and they are neighbours.
    order = sorted(range(len(inputs)), key=inputs.__getitem__, reverse=True)
    kept: list[Tokens] = []
    home = [0] * len(inputs)
    for index in order:
        if not kept or kept[-1][: len(inputs[index])] != inputs[index]:
            kept.append(inputs[index])
        home[index] = len(kept) - 1
    return kept, home


def by_length(sizes: Sequence[int], starts: Sequence[int], *, rows: int, scores: int) -> Iterator[list[int]]:
    """Batches of indices, longest first: at most `rows` rows, and `scores` positions from the earliest start on."""
    batch: list[int] = []
    start = 0
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        start = min(start, starts[index]) if batch else starts[index]
        span = sizes[batch[0] if batch else index] - start
        if batch and (len(batch) == rows or (len(batch) + 1) * span > scores):
            yield batch
            batch, start = [], starts[index]
        batch.append(index)
    if batch:
        yield batch
