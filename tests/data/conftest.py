"""Tiny tokenizers: byte-level BPE with and without a BOS, with chat templates, and a slow one of single characters."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

CHAT = (
    "{{ bos_token }}{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
CORPUS = [
    "the answer is 12",
    "Question: how many?\nAnswer: the answer is 7. ",
    "def f(x):\n    return x + 1\n",
    "ab ab abc",
]


def byte_level(*, bos: bool, split: bool = True) -> PreTrainedTokenizerFast:
    """`split=False` has no word pattern, so that tokens reach across spaces and across the end of a prompt."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|turn|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=310,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS * 3, trainer)
    if bos:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<|turn|>", "<|end|>"],
        chat_template=CHAT,
        clean_up_tokenization_spaces=False,
    )


class Characters(PreTrainedTokenizer):
    """One token a character, in Python, without offsets."""

    def __init__(self, **options: object) -> None:
        self.known = {chr(code): i for i, code in enumerate([10, *range(32, 127)])}
        super().__init__(eos_token="</s>", **options)

    @property
    def vocab_size(self) -> int:
        return len(self.known)

    def get_vocab(self) -> dict[str, int]:
        return {**self.known, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **options: object) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.known[token]

    def _convert_id_to_token(self, index: int) -> str:
        return list(self.known)[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)


@pytest.fixture(scope="session")
def plain() -> PreTrainedTokenizerFast:
    return byte_level(bos=False)


@pytest.fixture(scope="session")
def with_bos() -> PreTrainedTokenizerFast:
    return byte_level(bos=True)


@pytest.fixture(scope="session")
def unsplit() -> PreTrainedTokenizerFast:
    return byte_level(bos=True, split=False)


@pytest.fixture(scope="session")
def unsplit_without_bos() -> PreTrainedTokenizerFast:
    return byte_level(bos=False, split=False)


@pytest.fixture(scope="session")
def slow() -> Characters:
    return Characters()
