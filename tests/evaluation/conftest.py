"""Tiny models and their tokenizer."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from semalign.models import LanguageModel, assemble

sys.path.insert(0, str(Path(__file__).parent))

TEXT = [
    "Question: 12 + 30 = 42. The answer is 42.",
    "def add(a, b):\n    return a + b\n",
    "Answer: B",
    "### 1 2 3 4 5 6 7 8",
]
CHAT = (
    "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", bos_token="<s>", eos_token="</s>", chat_template=CHAT
    )


@pytest.fixture(scope="session")
def make_model(tokenizer):
    """A random-weight model of a family, its weights so large that its answers differ by prompt."""

    def make(family: str = "llama", *, seed: int = 3, **settings: Any) -> LanguageModel:
        sizes = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 256}
        if family == "llama":
            sizes |= {"num_key_value_heads": 2, "intermediate_size": 44}
        config = AutoConfig.for_model(
            family, vocab_size=len(tokenizer), **(sizes | settings), eos_token_id=2, pad_token_id=0
        )
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if weight.dim() == 2:
                    weight.normal_(std=0.8 if "embed" in name or "wte" in name else 0.35)
        return assemble("tiny", module, tokenizer)

    return make
