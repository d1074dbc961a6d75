"""Model cards: metadata that the hub reads, the run's own numbers, no path of a machine, licences only where known."""

import json
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from tiny_run import config_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from semalign.pipeline import run
from semalign.report.record import complete
from semalign.share.card import model_card
from semalign.share.names import licence

RECORD = json.loads((Path(__file__).parents[1] / "report" / "record.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def finished(world, tmp_path_factory):
    return run(config_of(world, tasks=("sums", "names")), tmp_path_factory.mktemp("runs") / "tiny")


def card_of(form="student", **config):
    values = {"teacher": "org/big", "student": "org/small", "data": {"template": "chat", "tasks": []}, **config}
    return ModelCard(model_card(complete({**RECORD, "config": yaml.safe_dump(values)}), form))


@pytest.mark.parametrize("form", ["student", "adapter"])
def test_a_run_leaves_a_card_with_its_own_scores(finished, form):
    card = ModelCard.load(finished / form / "README.md")
    record = json.loads((finished / "record.json").read_text("utf-8"))
    found = {result.dataset_name: result for result in card.data.eval_results}
    for task, row in record["scores"].items():
        cell = row["semalign"]
        assert found[task].metric_value == pytest.approx(cell["score"], abs=1e-6)
        assert (found[task].metric_args["low"], found[task].metric_args["high"]) == (cell["low"], cell["high"])
    assert card.data.library_name == {"student": "transformers", "adapter": "peft"}[form]
    for said in ("2510.24208", "## Limits", "student before", "LoRA-SFT", "| sums |", '"name": "semalign"'):
        assert said in card.text


def test_no_path_of_the_machine_gets_into_a_card(finished, world):
    for form in ("student", "adapter"):
        text = (finished / form / "README.md").read_text("utf-8")
        assert str(world) not in text
        assert str(finished) not in text
        assert "/tmp" not in text


def test_the_student_is_still_a_folder_that_transformers_loads(finished):
    assert AutoModelForCausalLM.from_pretrained(finished / "student").num_parameters() > 0
    assert len(AutoTokenizer.from_pretrained(finished / "student")) > 0


def test_the_report_verb_writes_the_cards_again(finished, say):
    path = finished / "student" / "README.md"
    before = path.read_text("utf-8")
    path.unlink()
    assert say("report", finished).code == 0
    assert path.read_text("utf-8") == before


def test_hub_ids_are_named_and_folders_are_not(tmp_path):
    assert card_of().data.base_model == "org/small"
    assert card_of().data.to_dict()["base_model_relation"] == "finetune"
    assert card_of("adapter").data.to_dict()["base_model_relation"] == "adapter"
    local = card_of(student="./models/small", root=str(tmp_path))
    assert local.data.base_model is None
    assert "small after a training with org/big" in local.text
    tasks = [{"name": "facts", "hub": {"id": "org/facts"}}, {"name": "arithmetic", "benchmark": "gsm8k"}]
    card = card_of(data={"template": "plain", "tasks": tasks})
    assert card.data.datasets == ["openai/gsm8k", "org/facts"]
    assert {r.dataset_name: r.dataset_type for r in card.data.eval_results}["facts"] == "org/facts"
    assert "plain prompts, without a chat template" in card.text


def test_a_licence_is_named_only_where_it_is_known(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    config = {"student": "small", "root": str(tmp_path)}
    assert licence(config, "student") is None
    for head, expected in (("license: mit", "mit"), ("license: [a]", None), ("a: b: c", None), ("- x", None)):
        (folder / "README.md").write_text(f"---\n{head}\n---\n# x\n", encoding="utf-8")
        assert licence(config, "student") == expected
    assert licence({"student": "embedded:student"}, "student") == "apache-2.0"
    assert card_of().data.license is None
    assert "No licence is named here" in card_of().text
    assert card_of(student="embedded:student").data.license == "apache-2.0"


def test_names_cannot_break_the_card():
    tricky = json.loads(json.dumps(RECORD).replace("facts", "fa|c<b>ts"))
    card = model_card(complete({**tricky, "config": "student: a\nteacher: b\n", "warnings": ["<script>|x"]}), "student")
    assert "<script>" not in card
    assert "<b>" not in card.partition("---\n\n")[2]
    assert "fa\\|c&lt;b&gt;ts" in card


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ("both", "The teacher's answers to other prompts were trained on too: facts (29)."),
        ("teacher", "Their gold answers were not trained on, only the teacher's to other prompts: facts (29)."),
    ],
)
def test_a_card_says_where_the_teachers_answers_were_trained_on(answers, said):
    record = json.loads(json.dumps(RECORD))
    method = next(model for model in record["models"] if model["key"] == "semalign")
    record |= {"config": "student: a\nteacher: b\n"}
    plain = model_card(complete(record), "student")
    assert "the control that was trained on the same rows and steps" in plain
    method["method"]["answers"] = answers
    told = {"prompts": 40, "answers": 29, "unended": 8, "empty": 3}
    card = model_card(complete({**record, "answers": {"tasks": {"facts": told}, "first": {}}}), "student")
    assert said in card
    assert "the control that was trained on other rows for as many steps" in card
    assert "answers to other prompts" not in plain
