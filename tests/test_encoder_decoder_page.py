"""docs/encoder-decoder.md is true: its configuration is read, and it names the families there are."""

import re
from pathlib import Path

import yaml

from semalign.config import Run
from semalign.methods.semalign import SemAlign
from semalign.models import families
from semalign.strategy import available

PAGE = (Path(__file__).parents[1] / "docs" / "encoder-decoder.md").read_text(encoding="utf-8")


def test_the_examples_are_runs():
    encoder, example = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
    assert "cross_v" in Run.make(example).training.lora.roles
    method = Run.make(example | encoder).method
    assert isinstance(method, SemAlign)
    assert method.part == "encoder"


def test_every_encoder_decoder_family_and_its_types_are_named():
    found = [family for family in families().values() if "cross_q" in family.roles]
    assert found
    for family in found:
        (row,) = re.findall(rf"^\| `{family.name}` \|.*$", PAGE, re.MULTILINE)
        assert all(f"`{kind}`" in row for kind in family.model_types if (family.name, kind) != ("t5", "mt5"))


def test_methods_that_are_refused_are_those_that_say_so():
    refused = {name for name, method in available("method").items() if getattr(method, "decoder_only", False)}
    (row,) = re.findall(r"^\| `laten`.*$", PAGE, re.MULTILINE)
    assert {name for name in available("method") if f"`{name}`" in row} == refused
