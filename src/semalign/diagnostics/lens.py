"""What a student's layers would say if each were the last one, against what the teacher says."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import kl_div

from ..losses.base import upcast
from ..models import LanguageModel, SharedTokens

CHUNK = 128  # positions whose distributions are held at once: 25 MB a layer with 50,000 tokens


@torch.no_grad()
def lens(
    student: LanguageModel,
    states: Sequence[Float[Tensor, "n d_s"]],
    teacher: LanguageModel,
    final: Float[Tensor, "n d_t"],
    tokens: SharedTokens,
) -> tuple[Float[Tensor, "n_layer"], int]:
    """KL(teacher's final distribution || student's layer) summed over positions, and positions of equal first choice.

    `states` are the student's block outputs at the same positions as `final`, the teacher's state after its final norm.
    Each block output is read through the student's final norm and head (the logit lens); both distributions are over
    the shared tokens. The sums are in float64, in nats, at least 0. The first choices compared are those of the last
    layer. Source: nostalgebraist 2020, interpreting GPT: the logit lens; Belrose et al. 2023, arXiv:2303.08112.
    """
    sums, n_equal = torch.zeros(len(states), dtype=torch.float64), 0
    for start in range(0, final.shape[0], CHUNK):
        part = slice(start, start + CHUNK)
        target = _log_probabilities(teacher.logits(final[part]), tokens.teacher)
        said = target
        for layer, state in enumerate(states):
            said = _log_probabilities(student.read(state[part]), tokens.student)
            sums[layer] += kl_div(said, target, reduction="sum", log_target=True).double().cpu()
        n_equal += int((said.argmax(-1) == target.argmax(-1)).sum())
    return sums, n_equal


def _log_probabilities(logits: Float[Tensor, "n n_row"], tokens: Int[Tensor, "n_token"]) -> Float[Tensor, "n n_token"]:
    return upcast(logits[:, tokens]).log_softmax(-1)
