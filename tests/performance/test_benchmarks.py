"""The benchmarks in small: what they compute is what they say, and figures of several runs come together."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch.nn.functional import kl_div

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


@pytest.fixture
def spec(tmp_path, monkeypatch):
    import rivals

    monkeypatch.setattr(rivals, "PAIRS", ((0, 1),))
    monkeypatch.setattr(rivals, "N_POS", 12)
    monkeypatch.setattr(rivals, "N_PROMPT", 5)
    pair = ({"n_layer": 3, "width": 48}, {"n_layer": 2, "width": 32})
    small = rivals.Case("small", "gkd", 600, 1e-4, pair)
    return json.loads(rivals.specification(tmp_path, small, n_step=4).read_text("utf-8"))


def logits(folder, ids):
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(ids).logits


def test_the_step_beside_gkd_begins_at_the_jsd_of_the_first_rows_of_the_file(spec):
    from semalign_side import trained

    ids = torch.tensor([row["input_ids"] for row in spec["rows"][: spec["batch_size"]]])
    student, teacher = (logits(spec[of], ids)[:, 4:-1].log_softmax(-1) for of in ("student", "teacher"))
    mixture = ((student.exp() + teacher.exp()) / 2).log()
    ours, theirs = (kl_div(mixture, p, log_target=True, reduction="none").sum(-1).mean() for p in (student, teacher))
    found = trained(spec, "gkd")
    assert found["first_loss"] == pytest.approx(float(ours + theirs) / 2, rel=1e-5)
    assert found["n_step"] == 2
    assert found["step_seconds"] > 0
    assert set(found["versions"]) == {"torch", "transformers", "peft", "semalign"}


@pytest.mark.parametrize("case", ["sft", "distillkit"])
def test_the_other_steps_beside_rivals_run(spec, case):
    from semalign_side import trained

    assert trained(spec, case)["first_loss"] > 0


def side(seconds, loss):
    run = {"step_seconds": seconds, "peak_bytes": 3, "whole_bytes": 5, "first_loss": loss, "n_step": 2, "versions": {}}
    return [run] * 3


def test_the_pair_of_the_goal_has_the_shape_of_smollm2():
    from random_model import random_llama
    from rivals import CASES, SMOLLM2

    case = CASES["gkd-smollm2"]
    n_whole = 134_515_008  # of SmolLM2-135M
    for size, n_layer in zip(case.pair, (30, 26), strict=True):
        assert size == {"n_layer": n_layer, **SMOLLM2}
    few = [
        random_llama(**{**SMOLLM2, "n_layer": n}, n_token=case.n_token, n_pos=8).module.num_parameters() for n in (1, 2)
    ]
    assert few[0] + 29 * (few[1] - few[0]) == n_whole


def test_two_sides_that_do_not_begin_at_the_same_loss_are_no_comparison():
    from rivals import CASES, summary

    assert summary(CASES["gkd"], {"ours": side(1, 2.0), "theirs": side(4, 2.0)})["step"] == 0.25
    with pytest.raises(SystemExit, match="same loss"):
        summary(CASES["gkd"], {"ours": side(1, 2.0), "theirs": side(4, 2.1)})


@pytest.mark.skipif(
    "SEMALIGN_RIVALS" not in os.environ,
    reason="rivals live in environments of their own, a gigabyte each: SEMALIGN_RIVALS names the folder with them",
)
def test_trl_begins_at_our_loss_and_takes_as_long_within_wide_margins(spec, tmp_path):
    import rivals

    python = rivals.environment(Path(os.environ["SEMALIGN_RIVALS"]) / "trl", rivals.TRL)
    found = rivals.compared(rivals.CASES["gkd"], python, tmp_path, rounds=1, n_step=6)
    assert found["step"] < 2


def test_an_exponent_is_the_slope_of_the_logarithms():
    from growth import exponent

    assert exponent([1, 2, 8], [5.0, 5 * 2**1.5, 5 * 8**1.5]) == pytest.approx(1.5)


@pytest.mark.slow
def test_time_and_memory_of_a_step_grow_with_its_tokens(monkeypatch):
    from growth import measured

    found = measured("rows", (4, 16), rounds=3)
    assert 0.4 < found["time_exponent"] < 1.6
    assert 0.2 < found["memory_exponent"] < 1.6


def test_counted_flops_are_those_of_the_formula():
    from flops import measured
    from recipe_step import Shape

    shape = Shape(rows=2, pairs=1, n_token=700, width=128, student_layers=3, teacher_layers=3, pos=48)
    found = measured(shape, rounds=1, side=256)
    for stage in found["stages"]:
        # the backward of attention makes its scores again, and below the first adapters no gradient is made
        assert stage["flops"] == pytest.approx(stage["formula"], rel=0.1), stage["name"]
    assert 0 < found["share_of_matmul_rate"] < 2


def test_figures_of_one_script_leave_the_others_in_the_file(tmp_path):
    from run import record

    path = tmp_path / "latest.json"
    record(path, "help", [{"least": 0.2, "seconds": [0.2]}])
    record(path, "ls", [{"least": 0.7, "seconds": [0.7]}])
    latest = json.loads(path.read_text("utf-8"))
    assert latest["values"] == {"help_cpu_s": 0.2, "ls_cpu_s": 0.7}
    assert set(latest["said"]) == {"help", "ls"}


def test_every_figure_is_drawn_from_the_file_and_shown_in_the_docs(tmp_path):
    from plots import drawn

    latest = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text("utf-8"))
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    paths = drawn(latest, tmp_path)
    assert len(paths) > 1
    for path in paths:
        assert path.stat().st_size < 200_000
        assert f"images/{path.name}" in page
        assert (ROOT / "docs" / "images" / path.name).exists()


def test_forecast_and_run_are_compared_stage_by_stage():
    from forecast import compared

    def cost(seconds, peak):
        return {"seconds": seconds, "peak_bytes": peak}

    found = compared(
        {"prepare a": cost(1, 50), "train a": cost(3, 80)},
        {"prepare a": cost(2, 100), "train a": cost(2, 40), "export": cost(9, 900)},
    )
    assert (found["seconds"], found["peak_bytes"], found["not_forecast"]) == (1.0, 0.8, ["export"])
    assert found["stages"]["train a"] == {"seconds": 1.5, "peak_bytes": 2.0, "measured_seconds": 2}
