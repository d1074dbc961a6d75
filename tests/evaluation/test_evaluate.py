import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from known_answers import Oracle, all_tasks, body_rows, choice_rows, function_rows, number_rows, task

from semalign.data import Row, encode
from semalign.errors import UserError
from semalign.evaluation import TaskScore, evaluate
from semalign.evaluation.model import HarnessModel
from semalign.evaluation.sandbox import Sandbox, SandboxUnavailable

# By name: the package's attribute of this name is the function.
MODULE = importlib.import_module("semalign.evaluation.score_tasks")
needs_sandbox = pytest.mark.skipif(Sandbox.available() is not None, reason=str(Sandbox.available()))


@needs_sandbox
@pytest.mark.parametrize(("wrong", "expected"), [(False, 1.0), (True, 0.0)])
def test_an_oracle_scores_one_and_a_wrong_model_zero_on_every_kind_of_task(tokenizer, wrong, expected):
    tasks = all_tasks()
    scores = evaluate(Oracle(tasks, tokenizer, wrong=wrong), tasks, template="plain")
    assert {name: score.score for name, score in scores.items()} == dict.fromkeys(
        ("facts", "sums", "bodies", "functions"), expected
    )


def test_bits_per_byte_is_a_ratio_of_sums(tokenizer):
    tasks = [task("sums", number_rows())]
    score = evaluate(Oracle(tasks, tokenizer), tasks, template="plain")["sums"]
    sizes = [len(row.answer.encode()) for row in number_rows()]
    assert score.row_bytes == sizes
    assert score.bits_per_byte == pytest.approx(len(sizes) / np.log(2) / sum(sizes))
    assert score.score is None
    assert score.outcomes == []


def plant(model, logits: torch.Tensor) -> None:
    """Weights with which the next token's logits depend on the last token alone, as `logits[last, next]` says."""
    module = model.module
    n_token = len(logits)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weight.zero_()
        # The norm of a one-hot row of width n is sqrt(n) times the row.
        module.get_input_embeddings().weight.copy_(torch.eye(n_token))
        module.get_output_embeddings().weight.copy_(logits.T / n_token**0.5)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_planted_logits_give_exactly_the_expected_bits_and_choices(make_model, tokenizer, batch_size):
    n_token = len(tokenizer)
    model = make_model(
        hidden_size=n_token, num_attention_heads=1, num_key_value_heads=1, intermediate_size=4, rms_norm_eps=0.0
    )
    model.module.double()
    logits = torch.randn(n_token, n_token, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    plant(model, logits)
    log_p = logits.log_softmax(-1).numpy()

    def nats(row: Row, answer: str) -> float:
        ids = tokenizer.encode(row.prompt + answer, add_special_tokens=False)
        n_prompt = len(tokenizer.encode(row.prompt, add_special_tokens=False))
        return sum(log_p[a, b] for a, b in zip(ids[n_prompt - 1 :], ids[n_prompt:], strict=False))

    rows = [
        Row("a", "t", "Q1:", " 42", extra={"choices": [" 42", " 41 and", " x"], "gold": 0}),
        Row("b", "t", "Question two:", " no, é", extra={"choices": [" yes", " no, é"], "gold": 1}),
        Row("c", "t", "Q:", " Answer", extra={"choices": [" Answer", " B", " 7", " 8"], "gold": 0}),
    ]
    score = evaluate(model, [task("t", rows, "multiple_choice")], template="plain", batch_size=batch_size)["t"]
    expected = [[nats(row, choice) for choice in row.extra["choices"]] for row in rows]
    assert np.concatenate([s["log_likelihoods"] for s in score.samples]) == pytest.approx(
        np.concatenate(expected), abs=1e-4
    )
    assert score.outcomes == [float(np.argmax(e) == row.extra["gold"]) for e, row in zip(expected, rows, strict=True)]
    bits = [-nats(row, row.answer) / np.log(2) for row in rows]
    assert score.bits_per_byte == pytest.approx(sum(bits) / (3 + 7 + 7), rel=1e-5)


def bits_one_by_one(model, rows: list[Row], template: str) -> list[float]:
    """A plain version of the bits of gold answers: each row alone, with the tokens of training less the end token."""
    bits = []
    for example in encode(rows, model.tokenizer, template=template, max_length=10**6):
        ids = torch.tensor(example.input_ids[:-1])
        with torch.no_grad():
            log_p = model.module(ids[None]).logits[0].log_softmax(-1)
        answer = range(example.n_prompt, len(ids))
        bits.append(-sum(float(log_p[i - 1, ids[i]]) for i in answer) / np.log(2))
    return bits


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_bits_are_those_of_the_training_tokens(make_model, template):
    model, rows = make_model(), number_rows()
    score = evaluate(model, [task("sums", rows)], template=template)["sums"]
    assert score.row_bits == pytest.approx(bits_one_by_one(model, rows, template), rel=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_batch_answers_as_its_rows_do_one_by_one(make_model, family):
    model = make_model(family)
    tasks = [task("facts", choice_rows(), "multiple_choice"), task("sums", number_rows(), "exact_match", 9, ())]
    one = evaluate(model, tasks, template="plain", batch_size=1)
    many = evaluate(model, tasks, template="plain", batch_size=5)
    generations = [[s["generation"] for s in scores["sums"].samples] for scores in (one, many)]
    assert generations[0] == generations[1]
    assert len(set(generations[0])) > 1, "a model that says the same to every prompt shows nothing"
    for name in one:
        assert many[name].row_bits == pytest.approx(one[name].row_bits, rel=1e-4)
        assert many[name].outcomes == one[name].outcomes


def test_generation_is_greedy_from_the_prompt_alone_and_ends_before_a_stop_text(make_model):
    model, row = make_model(), number_rows()[2]
    free = evaluate(model, [task("sums", [row], "exact_match", 9, ())], template="plain")["sums"].samples[0][
        "generation"
    ]
    ids = torch.tensor([model.tokenizer.encode(row.prompt, add_special_tokens=False)])
    n_prompt = ids.shape[1]
    with torch.no_grad():
        for _ in range(9):
            ids = torch.cat([ids, model.module(ids).logits[:, -1:].argmax(-1)], 1)
    assert free == model.tokenizer.decode(ids[0, n_prompt:], skip_special_tokens=True)
    stop = free[3:5]
    stopped = evaluate(model, [task("sums", [row], "exact_match", 9, (stop,))], template="plain")["sums"].samples[0]
    assert stopped["generation"] == free.partition(stop)[0]


def test_a_generation_setting_of_the_model_does_not_bend_greedy_search(make_model):
    tasks = [task("sums", number_rows(), "exact_match", 9, ())]
    plain = evaluate(make_model(), tasks, template="plain")["sums"]
    model = make_model()
    model.module.generation_config.repetition_penalty = 5.0
    model.module.generation_config.do_sample = True
    bent = evaluate(model, tasks, template="plain")["sums"]
    assert [s["generation"] for s in bent.samples] == [s["generation"] for s in plain.samples]


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_generation_starts_from_the_tokens_of_training(make_model, tokenizer, template):
    model, row = make_model(), choice_rows()[0]
    harness = HarnessModel(model, template=template, batch_size=2)
    harness.begin([row], None, 0)
    (prompt,) = harness._prompts.values()
    (example,) = encode([row], tokenizer, template=template, max_length=99)
    trained = example.input_ids[: example.n_prompt]
    if template == "chat":
        assert (prompt.tokens, prompt.owed) == (trained, ""), "a model is never asked to write the template's newline"
    # What is owed is given back: alone, or joined by the tokenizer with the answer's first space.
    assert trained[: len(prompt.tokens)] == prompt.tokens
    assert prompt.tokens.count(tokenizer.bos_token_id) == {"plain": 0, "chat": 2}[template]


def test_saved_samples_are_complete_and_load_again(make_model, tmp_path: Path):
    tasks = [task("facts", choice_rows(), "multiple_choice"), task("sums", number_rows(), "exact_match", 9)]
    scores = evaluate(make_model(), tasks, template="plain", folder=tmp_path)
    assert TaskScore.load(tmp_path) == scores
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.json", "sums.json"]
    saved = json.loads((tmp_path / "sums.json").read_text())
    for row, sample, outcome in zip(number_rows(), saved["samples"], saved["outcomes"], strict=True):
        assert sample["prompt"] == row.prompt
        assert sample["gold"] == row.answer
        assert sample["final"] == row.extra["final"]
        assert sample["outcome"] == outcome
        assert isinstance(sample["generation"], str)
    assert saved["protocol"]["rows"] == 6
    assert "all 6 rows" in saved["protocol"]["sampling"]
    assert saved["protocol"]["lm_eval_tasks"]["exact_match"]["version"] == 1.0
    assert {"semalign", "lm_eval", "torch", "transformers"} <= set(saved["versions"])


def test_the_callers_model_and_tokenizer_are_left_as_they_were(make_model):
    model = make_model()
    model.module.train()
    model.module.model.norm.eval()
    before = {name: weight.clone() for name, weight in model.module.state_dict().items()}
    padding = model.tokenizer.padding_side
    evaluate(model, [task("sums", number_rows(), "exact_match", 3)], template="plain")
    assert model.module.training
    assert not model.module.model.norm.training
    assert model.tokenizer.padding_side == padding
    assert all(torch.equal(weight, before[name]) for name, weight in model.module.state_dict().items())


def test_nothing_is_printed_and_progress_counts_every_request(make_model, capfd, caplog):
    seen = []
    tasks = [task("facts", choice_rows(), "multiple_choice"), task("sums", number_rows(), "exact_match", 3)]
    evaluate(make_model(), tasks, template="plain", batch_size=3, progress=lambda *event: seen.append(event))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    counts = {name: [event[1:] for event in seen if event[0] == name] for name in ("facts", "sums")}
    assert counts["facts"][-1] == (35, 35)
    assert counts["sums"][-1] == (12, 12)
    assert all([done for done, _ in events] == sorted(done for done, _ in events) for events in counts.values())


class NoSandbox(Sandbox):
    def __enter__(self):
        raise SandboxUnavailable("no sandbox for generated code: install it")


def test_without_a_sandbox_code_is_refused_before_anything_is_generated(tokenizer, monkeypatch):
    monkeypatch.setattr(MODULE, "Sandbox", NoSandbox)
    tasks = all_tasks()
    oracle = Oracle(tasks, tokenizer)
    with pytest.raises(UserError, match="no sandbox for generated code: install it"):
        evaluate(oracle, tasks, template="plain")
    assert oracle.asked == 0


def test_without_a_sandbox_code_can_be_skipped_and_keeps_its_bits(tokenizer, monkeypatch):
    monkeypatch.setattr(MODULE, "Sandbox", NoSandbox)
    tasks = all_tasks()
    scores = evaluate(Oracle(tasks, tokenizer), tasks, template="plain", skip_unavailable=True)
    assert scores["bodies"].score is None
    assert scores["bodies"].reason == "no sandbox for generated code: install it"
    assert scores["bodies"].bits_per_byte > 0
    assert scores["sums"].score == 1.0


def test_an_empty_split_is_refused_by_name(tokenizer):
    tasks = [task("sums", number_rows())]
    with pytest.raises(
        UserError, match="task 'sums': no rows in split 'validation' to evaluate; splits with rows: test"
    ):
        evaluate(Oracle(tasks, tokenizer), tasks, split="validation", template="plain")


def test_a_generation_longer_than_the_context_is_refused(make_model):
    with pytest.raises(UserError, match="max_new_tokens 256 leaves no room for a prompt in the model's context of 256"):
        evaluate(make_model(), [task("sums", number_rows(), "exact_match", 256)], template="plain")


def test_a_model_that_says_nan_is_refused(make_model):
    model = make_model()
    model.module.get_output_embeddings().weight.data[5] = torch.nan
    with pytest.raises(UserError, match="task 'sums' row 'n0': the model gives the gold answer nan bits"):
        evaluate(model, [task("sums", number_rows())], template="plain")


def test_prompts_too_long_for_the_context_lose_their_beginning_and_are_counted(make_model):
    rows = number_rows(2)
    rows[1] = Row("long", "sums", "Question: " * 90 + "\nAnswer:", rows[1].answer, extra=rows[1].extra)
    score = evaluate(make_model(), [task("sums", rows, "exact_match", 5)], template="plain")["sums"]
    assert score.protocol["truncated_requests"] == 2


@needs_sandbox
def test_both_ways_to_answer_with_code_reach_the_tests(tokenizer):
    tasks = [task("bodies", body_rows(), "passes_tests"), task("functions", function_rows(), "passes_tests")]
    oracle = Oracle(tasks, tokenizer)
    oracle.gold = {
        **{row.prompt: row.answer for row in body_rows()},
        **{row.prompt: f"Sure:\r\n```python\r\n{row.answer}```\r\nIt multiplies." for row in function_rows()},
    }
    scores = evaluate(oracle, tasks, template="plain")
    assert [scores["bodies"].score, scores["functions"].score] == [1.0, 1.0]
    assert scores["functions"].samples[1]["read"].replace("\r", "") == function_rows()[1].answer
