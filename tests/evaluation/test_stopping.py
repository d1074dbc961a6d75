import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from semalign.evaluation.stopping import Continuation, StopTexts


def test_a_continuation_keeps_its_first_space_where_a_tokenizer_drops_it():
    words = {"▁x": 0, "▁▁▁▁": 1, "return": 2, "▁": 3, "x": 4, "<unk>": 5}
    core = Tokenizer(models.BPE(vocab=words, merges=[("▁", "x")], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    assert tokenizer.decode([1, 2]) == "   return", "Llama 2 and Mistral decode so"
    assert Continuation(tokenizer)([[1, 2], [2]]) == ["    return", "return"]


@pytest.mark.parametrize("stop", ["\n\n", "\ndef", "answer is", "é"])
def test_rows_end_for_themselves_and_prompts_do_not_end_them(tokenizer, stop):
    prompt = tokenizer.encode(f"so {stop}", add_special_tokens=False)
    rows = [prompt + tokenizer.encode(text, add_special_tokens=False) for text in (f"a b{stop}", "a b c d e f")]
    length = min(len(row) for row in rows)
    criterion = StopTexts(Continuation(tokenizer), [stop, "never"], len(prompt))
    done = criterion(torch.tensor([rows[0][:length], rows[1][:length]]), None)
    whole = criterion(torch.tensor([rows[0]]), None)
    assert whole.tolist() == [True]
    assert not done[1]
    assert criterion(torch.tensor([rows[0][: len(prompt) + 1]]), None).tolist() == [False]
