"""Encoder-decoders scored: likelihoods and texts are those of a plain loop over single rows."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from tiny_seq2seq import SEQ2SEQ, tiny_seq2seq
from tokenizers import processors
from trained import trained

from semalign.data import Row, Task, encode
from semalign.errors import UserError
from semalign.evaluation import evaluate
from semalign.evaluation.benchmarks import check_room
from semalign.evaluation.benchmarks.options import Options
from semalign.evaluation.seq2seq import Seq2SeqLikelihood, generate_seq2seq
from semalign.evaluation.texts import Opening

COLOURS = ("red and green", "the blue one", "12")
PROMPTS = ["the lazy dog", "print(add(1, 2))", "a café", "12 or 345 apples and the end of the song"]
ANSWERS = [" sleeps", "3", "the end of the other one", "7"]


def model_of(family, scheme="byte_level", **entries):
    tokenizer = copy.deepcopy(trained(scheme))
    tokenizer.pad_token = "<unk>"
    eos = [("</s>", tokenizer.convert_tokens_to_ids("</s>"))]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=eos)
    own = {"eos_token_id": 1, "pad_token_id": 2, "bos_token_id": None, "n_row": len(tokenizer) + 3}
    model = tiny_seq2seq(family, dtype=torch.float32, **own, **entries)
    if family in ("bart", "pegasus"):  # which would write nothing but special tokens
        model.module.final_logits_bias[:, :3] = model.module.final_logits_bias[:, len(tokenizer) :] = -9
    return replace(model, tokenizer=tokenizer)


def examples_of(model):
    rows = [Row(str(i), "t", p, a) for i, (p, a) in enumerate(zip(PROMPTS, ANSWERS, strict=True))]
    return encode(rows, model.tokenizer, template="plain", max_length=60, decoder_start=model.decoder_start)


@torch.no_grad()
def plain_logits(model, prompt, given):
    return model.module(input_ids=torch.tensor([list(prompt)]), decoder_input_ids=torch.tensor([list(given)])).logits[0]


def greedy(model, prompt, n_new, ends=()):
    given = [model.decoder_start]
    for _ in range(n_new):
        given.append(int(plain_logits(model, prompt, given)[-1].argmax()))
        if given[-1] in ends:
            break
    return given[1:]


@pytest.fixture(params=SEQ2SEQ)
def model(request):
    return model_of(request.param)


def test_likelihoods_in_a_batch_are_those_of_rows_alone(model):
    examples = examples_of(model)
    prompts, answers = [e.encoder for e in examples], [e.input_ids[1:] for e in examples]
    prompts.append(prompts[0])  # a second answer to one prompt
    answers.append(answers[1])
    ask = Seq2SeqLikelihood(model.module, rows=3, pad=2, begin=[model.decoder_start])
    found = {index: answer for batch in ask(prompts, answers) for index, answer in batch}
    assert sorted(found) == [0, 1, 2, 3, 4]
    for i, (nats, is_greedy) in found.items():
        logits = plain_logits(model, prompts[i], [model.decoder_start, *answers[i][:-1]])
        expected = logits.log_softmax(-1)[range(len(answers[i])), answers[i]].sum()
        assert nats == pytest.approx(float(expected), abs=1e-4)
        assert is_greedy == (logits.argmax(-1).tolist() == answers[i])


def test_texts_in_a_batch_are_those_of_greedy_loops_whatever_a_model_was_set_to(model):
    settings = model.module.generation_config
    settings.no_repeat_ngram_size, settings.min_length, settings.num_beams = 1, 9, 3
    settings.forced_bos_token_id = settings.forced_eos_token_id = 1
    opening = Opening(model.tokenizer)
    prompts = [e.encoder for e in examples_of(model)]
    expected = [greedy(model, prompt, 6) for prompt in prompts]
    ends = [expected[0][2]]  # so that one row at least ends before the others
    texts = generate_seq2seq(
        model.module, prompts, opening, begin=[model.decoder_start], max_new_tokens=6, stops=[], ends=ends, pad=2
    )
    kept = opening([row[: row.index(ends[0])] if ends[0] in row else row for row in expected])
    assert texts == [(text, ends[0] in row) for text, row in zip(kept, expected, strict=True)]
    texts = generate_seq2seq(
        model.module, prompts, opening, begin=[model.decoder_start], max_new_tokens=6, stops=[], ends=[1], pad=2
    )
    assert [text for text, _ in texts] == opening([greedy(model, prompt, 6, ends=[1]) for prompt in prompts])
    assert any(text for text, _ in texts)


def test_a_text_ends_before_its_stop(model):
    prompts = [e.encoder for e in examples_of(model)][:1]
    how = {"begin": [model.decoder_start], "max_new_tokens": 6, "ends": [1], "pad": 2}
    opening = Opening(model.tokenizer)
    ((whole, _),) = generate_seq2seq(model.module, prompts, opening, stops=[], **how)
    stop = whole[len(whole) // 2 :]
    (stopped,) = generate_seq2seq(model.module, prompts, opening, stops=[stop], **how)
    assert stopped == (whole[: whole.find(stop)], bool(whole)), "some of these models say nothing at all"


def test_the_first_space_of_a_sentencepiece_answer_is_no_text():
    tokenizer = trained("sentencepiece_llama")
    ids = tokenizer("the end", add_special_tokens=False).input_ids
    assert Opening(tokenizer)([ids]) == ["the end"]


def task(score, rows, max_new_tokens=8):
    return Task(name="t", score=score, max_new_tokens=max_new_tokens, stop=[], splits={"test": rows})


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("scheme", ["byte_level", "sentencepiece_llama"])
def test_tasks_are_scored_by_likelihood_choice_and_text(family, scheme):
    model = model_of(family, scheme)
    rows = [Row(f"r{i}", "t", p, a) for i, (p, a) in enumerate(zip(PROMPTS, ANSWERS, strict=True))]
    found = evaluate(model, [task(None, rows)], template="plain", batch_size=3)["t"]
    for row, example, bits in zip(rows, examples_of(model), found.row_bits, strict=True):
        answer = example.input_ids[1:-1]
        logits = plain_logits(model, example.encoder, example.input_ids[:-2])
        nats = -float(logits.log_softmax(-1)[range(len(answer)), answer].sum())
        assert bits == pytest.approx(nats / math.log(2), rel=1e-4), row.id
    right = greedy(model, examples_of(model)[0].encoder, 4, ends=[1])
    text = Opening(model.tokenizer)([[token for token in right if token != 1]])[0]
    asked = [replace(rows[0], extra={"final": text.strip()}), replace(rows[1], extra={"final": "no such text"})]
    scored = evaluate(model, [task("exact_match", asked, max_new_tokens=4)], template="plain", batch_size=2)["t"]
    assert text.strip()
    assert scored.outcomes == [1.0, 0.0]
    chosen = [replace(rows[0], answer=COLOURS[0], extra={"choices": COLOURS, "gold": 0})]
    picked = evaluate(model, [task("multiple_choice", chosen)], template="plain", batch_size=2)["t"]
    ids = [model.tokenizer(choice, add_special_tokens=False).input_ids for choice in COLOURS]
    prompt = examples_of(model)[0].encoder
    nats = [
        float(plain_logits(model, prompt, [model.decoder_start, *c[:-1]]).log_softmax(-1)[range(len(c)), c].sum())
        for c in ids
    ]
    per_byte = [n / len(choice.encode()) for n, choice in zip(nats, COLOURS, strict=True)]
    assert picked.outcomes[0] in (float(nats.index(max(nats)) == 0), float(per_byte.index(max(per_byte)) == 0))


def test_an_answer_longer_than_the_decoder_is_said():
    model = model_of("bart", max_position_embeddings=8)
    rows = [Row("r", "t", "a", "the end of the song and the start of the other one")]
    with pytest.raises(UserError, match="does not fit the decoder's 8 positions"):
        evaluate(model, [task(None, rows)], template="plain")


def test_lm_evals_own_tasks_are_not_put_to_an_encoder_decoder():
    options = Options(tasks=("gsm8k",), protocol="lm-eval")
    with pytest.raises(UserError, match="lm-eval's tasks are for decoder-only models"):
        check_room(model_of("t5"), options)
