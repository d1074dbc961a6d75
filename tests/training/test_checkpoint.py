"""Damaged checkpoints: found by their checksums, the last sound one is used, and it is said."""

import pytest
import torch
from stopped import OPTIONS, Stopped, start, timeless

from semalign.training import checkpoint

EVERY = OPTIONS.model_copy(update={"checkpoint_every": 1})
FILES = ["parameters.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return start(tmp_path_factory.mktemp("whole"), options=EVERY)


def damage(file, how):
    content = bytearray(file.read_bytes())
    if how == "cut":
        del content[len(content) // 2 :]
    elif how == "flipped":
        content[len(content) // 2] ^= 4
    file.write_bytes(content)
    if how == "missing":
        file.unlink()


def same(found, whole):
    (history, parameters), (expected, weights) = found, whole
    assert timeless(history.entries) == timeless(expected.entries)
    assert all(torch.equal(parameters[name], weights[name]) for name in weights)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", ["cut", "flipped", "missing"])
def test_the_checkpoint_before_a_damaged_one_is_used_and_it_is_said(name, how, tmp_path, whole):
    with pytest.raises(Stopped):
        start(tmp_path, stop_at=4, options=EVERY)
    assert checkpoint.found(tmp_path) == [3, 4]
    damage(tmp_path / "checkpoint-4" / name, how)
    found = start(tmp_path, options=EVERY)
    same(found, whole)
    assert found[0].mishaps == ["checkpoint-4 was damaged; training went on from the last good state before it"]


def test_where_every_checkpoint_is_damaged_training_begins_anew(tmp_path, whole):
    with pytest.raises(Stopped):
        start(tmp_path, stop_at=4, options=EVERY)
    for step in (3, 4):
        damage(tmp_path / f"checkpoint-{step}" / "parameters.safetensors", "flipped")
    found = start(tmp_path, options=EVERY)
    same(found, whole)
    assert len(found[0].mishaps) == 2


CARRIED = {"teacher_tokens": 5, "seconds": 0.25}


def saved(folder):
    parameters = {"p": torch.nn.Parameter(torch.arange(3.0))}
    parameters["p"].grad = torch.ones(3)
    optimizer = torch.optim.AdamW(parameters.values())
    optimizer.step()
    checkpoint.save(folder, 7, parameters, optimizer, CARRIED)
    return parameters, optimizer


def test_what_a_checkpoint_carries_is_given_back(tmp_path):
    assert checkpoint.restore(tmp_path, *saved(tmp_path)) == (7, CARRIED)


def test_no_flipped_byte_of_the_state_changes_what_is_trained(tmp_path):
    """Either it is found, or it is one of the blanks between words."""
    parameters, optimizer = saved(tmp_path)
    file, found = tmp_path / "checkpoint-7" / "state.json", []
    content = file.read_bytes()
    for place in range(0, len(content), 5):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        found.append(checkpoint._read(file.parent, 7) is None)
        assert found[-1] or checkpoint._read(file.parent, 7)[1] == CARRIED
    assert sum(found) > 0.8 * len(found)
    file.write_bytes(content)
    assert checkpoint.restore(tmp_path, parameters, optimizer)[0] == 7
