"""What enters the training block, kept by row: in a sequential schedule everything below it stands still."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..data import Batch
from ..models import LanguageModel, Point, states_of


class PrefixCache:
    """States that enter a block, by the content of the row.

    Each row is computed alone, so its states do not depend on the batches it came in: a resumed training sees the same
    bits. When training moves on to a deeper block, kept states go on from where they are.
    """

    def __init__(self, student: LanguageModel) -> None:
        self.student, self.layer = student, 0
        self._held: dict[bytes, tuple[int, Tensor]] = {}

    @property
    def n_bytes(self) -> int:
        return sum(state.numel() * state.element_size() for _, state in self._held.values())

    def move(self, layer: int) -> None:
        """States are from now on those that enter `layer`, and nothing below it changes any more."""
        if layer < self.layer:  # what trains now lies below what was kept
            self._held.clear()
        self.layer = layer

    def __call__(self, batch: Batch) -> Float[Tensor, "b pos width"]:
        """The states of a batch, 0 at padding."""
        lengths = batch.attention_mask.sum(1).tolist()
        rows = [self._row(batch.input_ids[i, :length]) for i, length in enumerate(lengths)]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(batch.input_ids.device)

    def _row(self, ids: Int[Tensor, " pos"]) -> Float[Tensor, "pos width"]:
        key = ids.cpu().numpy().tobytes()
        depth, state = self._held.get(key, (0, None))
        if state is None or depth < self.layer:
            point = Point("block_out", self.layer - 1)
            with torch.no_grad():
                states = states_of(
                    self.student,
                    [point],
                    ids.unsqueeze(0),
                    torch.ones_like(ids).unsqueeze(0),
                    first=depth,
                    entry=None if state is None else state.unsqueeze(0),
                )
            state = states[point].squeeze(0)
            self._held[key] = (self.layer, state)
        return state
