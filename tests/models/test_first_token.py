import pytest
import torch

from semalign.models.first_token import NONE, by_first_token


def test_probabilities_are_summed_by_first_token():
    first = torch.tensor([2, 0, 2, NONE])
    logits = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))
    p = by_first_token(logits, first, 4).exp()
    assert p[0].tolist() == pytest.approx([1 / 3, 0, 2 / 3, 0], abs=1e-6)  # what begins with none counts for nothing
    assert torch.isfinite(by_first_token(logits.half(), first, 4)).all()
