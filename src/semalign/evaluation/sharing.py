"""Which tokens a model must read: a sequence that begins another is read along with it, a common beginning once."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

Tokens = tuple[int, ...]


class Group(NamedTuple):
    """Indices of sequences that start with the same `n_prefix` tokens."""

    n_prefix: int
    members: Sequence[int]


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


def prefix_groups(sequences: Sequence[Tokens], most: Sequence[int], *, cost: int) -> list[Group]:
    """The groups that save most tokens when each reads its common beginning once; every index is in one of them.

    A group is all the sequences with one beginning. `sequences` are sorted, up or down; of sequence i at most `most[i]`
    tokens are shared. A group has to save over `cost` tokens, because it is read apart from the others; the sequences
    in no such group are the last one, which shares nothing.
    """
    common = [min(_n_common(a, b), *limits) for (a, b), limits in zip(pairwise(sequences), pairwise(most), strict=True)]
    # From left to right over the tree of common beginnings; `stack` holds its nodes that are still open.
    stack: list[_Node] = []
    for index, n_next in enumerate([*common, -1]):
        done = _Node(0, index, 0, [])
        while stack and stack[-1].n_prefix > n_next:
            done = _closed(stack.pop().with_child(done), index + 1, cost)
        if stack and stack[-1].n_prefix == n_next:
            stack.append(stack.pop().with_child(done))
        else:
            stack.append(done._replace(n_prefix=n_next))
    groups = [group for node in stack for group in node.groups]
    alone = sorted(set(range(len(sequences))) - {index for group in groups for index in group.members})
    return [*groups, Group(0, alone)] if alone else groups


class _Node(NamedTuple):
    """Sequences from `start` on that share `n_prefix` tokens, and the best groups among those seen so far."""

    n_prefix: int
    start: int
    saved: int
    groups: list[Group]

    def with_child(self, child: "_Node") -> "_Node":
        return self._replace(saved=self.saved + child.saved, groups=[*self.groups, *child.groups])


def _closed(node: _Node, end: int, cost: int) -> _Node:
    """The node with all its sequences as one group, where that saves more than the groups inside it."""
    saved = (end - node.start - 1) * node.n_prefix - cost
    if saved <= node.saved:
        return node
    return node._replace(saved=saved, groups=[Group(node.n_prefix, range(node.start, end))])


def _n_common(a: Tokens, b: Tokens) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
