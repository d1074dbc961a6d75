"""Runs whose teacher is packed in 8 or 4 bits."""

import importlib.util
import json
from math import isfinite

import pytest
import yaml
from tiny_run import config_of, make_tokenizer, write_model, write_world

from semalign.errors import UserError
from semalign.pipeline import run

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed here: make test-quantized"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = write_world(tmp_path_factory.mktemp("world"))
    write_model(folder / "wide", n_layer=4, width=64, seed=1, tokenizer=make_tokenizer())
    return folder


def config(world, bits, **changes):
    teacher = {"model": "./wide", "quantization": bits, **changes.pop("teacher", {})}
    return config_of(world, teacher=teacher, **changes)


@pytest.mark.parametrize(
    ("bits", "changes"),
    [("4bit", {}), ("8bit", {"teacher": {"adapt": True}}), ("4bit", {"cache": {}})],
)
def test_a_run_with_a_packed_teacher(world, tmp_path, bits, changes):
    method = {"name": "semalign", "outputs": ["cross_entropy", "kl"], "loss": {"name": "cosine", "weight": 0.1}}
    out = run(config(world, bits, method=method, **changes), tmp_path / "out")
    record = json.loads((out / "record.json").read_text())
    assert record["teacher"]["quantization"] == bits
    assert "quantization" not in record["student"]
    assert yaml.safe_load((out / "config.yaml").read_text())["teacher"]["quantization"] == bits
    assert all(
        isfinite(step["loss"]) for step in json.loads((out / "train/semalign/history.json").read_text())["entries"]
    )


@pytest.mark.parametrize(
    "method", ["seeking", {"name": "semalign", "attribution": "sensitivity", "pairing": "critical"}]
)
def test_methods_that_read_weights_refuse_a_packed_teacher(world, tmp_path, method):
    with pytest.raises(UserError, match=r"teacher\.quantization packs them"):
        run(config(world, "8bit", method=method), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_student_is_not_packed(world, tmp_path):
    with pytest.raises(UserError, match=r"student.*quantization"):
        run(config_of(world, student={"model": "./student", "quantization": "8bit"}), tmp_path / "out")
