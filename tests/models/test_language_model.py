"""What a LanguageModel says about its module."""

from itertools import permutations

import pytest
import torch
from pydantic import ValidationError
from tiny import FAMILIES, tiny

from semalign.models import Family, families


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_are_those_asked_for(family):
    model = tiny(family, n_layer=4, width=32, n_row=337)
    assert (model.n_layer, model.width) == (4, 32)
    assert model.head_weight.shape == model.embedding_weight.shape == (337, 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_final_gain_is_what_the_norm_multiplies_by(family):
    model = tiny(family, width=32)
    # mean 0 and mean square 1, so every norm leaves it as it is; the difference of both signs removes a bias
    x = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(16)
    gain = (model.norm(x) - model.norm(-x)) / (2 * x)
    torch.testing.assert_close(model.final_gain, gain, rtol=1e-4, atol=1e-6)


def test_families_of_one_type_are_told_apart_by_their_matrices():
    """No model of one has all the matrices of another."""
    for one, other in permutations(families().values(), 2):
        if set(one.model_types) & set(other.model_types):
            assert not set(one.roles.values()) <= set(other.roles.values())


def test_misspelt_family_entries_are_refused():
    whole = families()["llama"].model_dump()
    with pytest.raises(ValidationError, match="atention"):
        Family(**whole, atention="self_attn")
