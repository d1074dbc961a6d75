from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from semalign.evaluation.texts import Continuation


def test_a_continuation_keeps_its_first_space_where_a_tokenizer_drops_it():
    words = {"▁x": 0, "▁▁▁▁": 1, "return": 2, "▁": 3, "x": 4, "<unk>": 5}
    core = Tokenizer(models.BPE(vocab=words, merges=[("▁", "x")], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    assert tokenizer.decode([1, 2]) == "   return", "Llama 2 and Mistral decode so"
    assert Continuation(tokenizer)([[1, 2], [2]]) == ["    return", "return"]


def test_a_prompt_opens_before_its_last_whitespace(tokenizer):
    def opened(text: str) -> tuple[str, str]:
        prompt = Continuation(tokenizer).open(text, tokenizer.encode(text, add_special_tokens=False))
        return tokenizer.decode(prompt.tokens), prompt.owed

    assert opened("Answer:") == ("Answer:", "")
    assert opened("Answer:\n") == ("Answer:", "\n")
    assert opened('"""Text."""\n\n') == ('"""Text."""', "\n\n")
    assert opened("a b") == ("a b", "")
    assert opened("\n") == ("\n", ""), "something has to be read"


def test_a_special_token_is_no_whitespace(tokenizer):
    text = "a</s>"
    assert Continuation(tokenizer).open(text, tokenizer.encode(text)).owed == ""
