from copy import deepcopy

import pytest
import torch
from tokenizers import AddedToken

from semalign.evaluation.generation import Owed, StopTexts, generate
from semalign.evaluation.texts import Continuation, Prompt
from semalign.models import Drawn


def ids(tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("owed", ["", "\n"])
@pytest.mark.parametrize("stop", ["\n\n", "\ndef", "answer is", "é"])
def test_rows_end_for_themselves_and_prompts_do_not_end_them(tokenizer, stop, owed):
    prompt = ids(tokenizer, f"so {stop}")
    texts = (f"{owed}a b{stop}", f"{owed}a b c d e f g h i j k l m n o p q r s")
    rows = [ids(tokenizer, text) for text in texts]
    criterion = StopTexts(Continuation(tokenizer), [stop, "never"], [owed, owed], len(prompt))
    for length in range(1, min(map(len, rows)) + 1):
        done = criterion(torch.tensor([prompt + row[:length] for row in rows]), None)
        assert done.tolist() == [length == len(rows[0]), False]


def test_what_is_owed_does_not_stop_a_row(tokenizer):
    criterion = StopTexts(Continuation(tokenizer), ["\n"], ["\n", ""], 1)
    newline = ids(tokenizer, "\n")
    assert criterion(torch.tensor([[5, *newline], [5, *newline]]), None).tolist() == [False, True]


def test_only_tokens_that_agree_with_what_is_owed_are_allowed(tokenizer):
    continuation = Continuation(tokenizer)
    scores = Owed(continuation, ["\n\n", ""], 1)(torch.tensor([[5], [5]]), torch.zeros(2, len(tokenizer) + 3))
    allowed = {continuation.vocabulary[i] for i in torch.isfinite(scores[0, : len(tokenizer)]).nonzero().flatten()}
    assert "\n" in allowed
    assert all(text.startswith("\n") for text in allowed)
    assert torch.isfinite(scores[1]).all()
    assert not torch.isfinite(scores[0, len(tokenizer) :]).any(), "rows beyond the tokenizer are no text"


def test_a_model_trained_on_a_joined_newline_and_indent_writes_it(make_model, tokenizer):
    """A planted chain: newline and indentation are one token, as in the embedded pair, and a lone newline ends all."""
    tokenizer = _with_token(tokenizer, "\n    ")
    colon, joined, word, lone = (ids(tokenizer, text)[0] for text in (":", "\n    ", "r", "\n"))
    logits = torch.zeros(len(tokenizer), len(tokenizer))
    end = tokenizer.eos_token_id
    for last, following in ((colon, joined), (joined, word), (word, end), (lone, end)):
        logits[last, following] = 9.0
    module = make_model(hidden_size=16).module
    module.resize_token_embeddings(len(tokenizer))
    module.forward, original = _chain(module, logits), module.forward
    prompt = Continuation(tokenizer).open("f:\n", ids(tokenizer, "f:\n"))
    options = {"max_new_tokens": 6, "stops": ["\n\n"], "ends": [end], "pad": 0}
    assert generate(module, [prompt], Continuation(tokenizer), **options) == [("    r", True)]
    unhealed = Prompt(ids(tokenizer, "f:\n"), "")
    assert generate(module, [unhealed], Continuation(tokenizer), **options) == [("", True)]
    short = {**options, "max_new_tokens": 2}
    assert generate(module, [prompt], Continuation(tokenizer), **short) == [("    r", False)]
    stopped = {**short, "stops": ["  r"]}
    assert generate(module, [prompt], Continuation(tokenizer), **stopped) == [("  ", True)]
    module.forward = original


def _with_token(tokenizer, text: str):
    tokenizer = deepcopy(tokenizer)
    tokenizer.add_tokens([AddedToken(text, normalized=False)])
    return tokenizer


def _chain(module, logits: torch.Tensor):
    original = module.forward

    def forward(input_ids=None, **options):
        output = original(input_ids=input_ids, **options)
        output.logits = logits[input_ids][:, -output.logits.shape[1] :]
        return output

    return forward


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_row_says_the_same_when_those_beside_it_end_and_leave(make_model, tokenizer, family, temperature):
    window = {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    model = make_model(family, **(window if family == "qwen2" else {}))
    module = model.module.double().eval()
    prompts = [Prompt(ids(tokenizer, f"Question {i}:" * (1 + i % 3) + " is"), "") for i in range(9)]
    options: dict = {"max_new_tokens": 40, "ends": [tokenizer.eos_token_id], "pad": 0}
    free = generate(module, prompts, Continuation(tokenizer), stops=[], **options)
    options["stops"] = [text[row : row + 2] for row, (text, _) in enumerate(free) if row % 3 and text[row:]]
    sizes_seen = []
    hook = module.get_input_embeddings().register_forward_hook(lambda _m, given, _o: sizes_seen.append(len(given[0])))

    def written(rows):
        drawn = Drawn(temperature, rows) if temperature else None
        return generate(module, [prompts[row] for row in rows], Continuation(tokenizer), drawn=drawn, **options)

    together = written(range(9))
    assert sizes_seen == sorted(sizes_seen, reverse=True)
    assert len(set(sizes_seen)) > 2, "no row has left the batch"
    hook.remove()
    assert together == [written([row])[0] for row in range(9)]
