"""SEEKING and PiSSA in a whole run: what is written, what is read again, and what is refused before anything is."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_run import config_of
from transformers import AutoModelForCausalLM

from semalign import pipeline
from semalign.artifacts import read_json
from semalign.errors import UserError
from semalign.progress import Reporter

pytestmark = pytest.mark.slow  # each run of all stages takes seconds

TRAINING = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "lora": {"rank": 2, "alpha": 2}}
CONTROLS = {"pissa": "pissa", "random": {"name": "seeking", "attribution": "random", "submatrix": "random_window"}}
IDS = torch.arange(3, 40).view(1, -1)


def run(world, out, **changes):
    given = {"tasks": ("names",), "name": "seeking", "method": "seeking", "controls": CONTROLS, "training": TRAINING}
    return pipeline.run(config_of(world, **(given | changes)), world / out, reporter=Reporter(quiet=True))


@pytest.fixture(scope="module")
def whole(world):
    return run(world, "seeking", teacher={"model": "./teacher", "adapt": True})


def test_the_merged_student_is_the_base_with_its_adapter(whole, world):
    merged = AutoModelForCausalLM.from_pretrained(whole / "student")
    base = AutoModelForCausalLM.from_pretrained(world / "student")
    untouched = base(IDS).logits
    adapted = PeftModel.from_pretrained(base, whole / "adapter")
    assert adapted.peft_config["default"].r == 4
    torch.testing.assert_close(merged(IDS).logits, adapted(IDS).logits, rtol=0, atol=1e-4)
    assert (merged(IDS).logits - untouched).abs().max() > 1e-2


def test_the_record_says_which_layers_gave_what(whole):
    record = read_json(whole / "record.json")
    assert record["attribution"]["name"] == "sensitivity"
    assert len(record["attribution"]["scores"]) == 5
    assert record["pairing"]["name"] == "seeking"
    assert [pair["student"] for pair in record["pairing"]["pairs"]] == [0, 1, 2]
    models = {model["key"]: model for model in record["models"]}
    assert models["seeking"]["trainable"] == models["pissa"]["trainable"] == models["random"]["trainable"] > 0
    assert {"Zhong et al. 2024, arXiv:2310.11451", "Meng et al. 2024, arXiv:2404.02948"} <= {
        cited["source"] for cited in record["citations"]
    }
    plan = read_json(whole / "prepare" / "seeking" / "plan.json")
    assert all(0 < found["share"] <= 1 for found in plan["quality"]["extracts"])
    assert load_file(whole / "prepare" / "seeking" / "start.safetensors").keys() == {
        f"{found['module']}.lora_{factor}" for found in plan["quality"]["extracts"] for factor in "AB"
    }


@pytest.mark.parametrize("at", ["planned", "training", "trained"])
def test_a_stopped_run_goes_on_to_the_same_student(at, world, whole, monkeypatch):
    def stop(*_given, **_options):
        raise KeyboardInterrupt

    place = {
        "planned": ("semalign.methods.base.inject", stop),
        "training": ("semalign.methods.base.fold", stop),
        "trained": ("semalign.pipeline.save_plain", stop),
    }[at]
    options = {"teacher": {"model": "./teacher", "adapt": True}, "controls": [], "name": f"stopped-{at}"}
    with monkeypatch.context() as patch:
        patch.setattr(*place)
        with pytest.raises(KeyboardInterrupt):
            run(world, f"stopped-{at}", **options)
    out = run(world, f"stopped-{at}", **options)
    found, expected = (load_file(folder / "student" / "model.safetensors") for folder in (out, whole))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_scaled_factors_are_refused_before_anything_is_written(world):
    training = TRAINING | {"lora": {"rank": 2, "alpha": 4}}
    with pytest.raises(UserError, match=r"training\.lora\.alpha is 4, rank 2; set both to the same number"):
        run(world, "refused", training=training)
    assert not (world / "refused").exists()
