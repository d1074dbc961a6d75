from copy import deepcopy

import pytest
import torch
from tokenizers import AddedToken

from semalign.evaluation.generation import Owed, StopTexts, generate
from semalign.evaluation.texts import Continuation, Prompt


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
    assert generate(module, [prompt], Continuation(tokenizer), **options) == ["    r"]
    unhealed = Prompt(ids(tokenizer, "f:\n"), "")
    assert generate(module, [unhealed], Continuation(tokenizer), **options) == [""]
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
