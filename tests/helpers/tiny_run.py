"""A pair of models, three small tasks and a configuration on disk: a whole run in a few seconds."""

import json

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

SPLITS = {"train": range(20), "validation": range(20, 24), "extract": range(24, 28), "align": range(28, 30)}
SPLITS["test"] = range(30, 36)
COLOURS = ["red", "green", "blue"]


def sums(i):
    a, b = i, (7 * i) % 31
    return {"id": f"s{i}", "prompt": f"Add {a} and {b}.\n", "answer": f"It is {a + b}.", "final": str(a + b)}


def colours(i):
    gold = i % 3
    row = {"id": f"c{i}", "prompt": f"Colour of thing {i}?\n", "answer": COLOURS[gold]}
    return row | {"choices": COLOURS, "gold": gold}


def names(i):
    return {"id": f"n{i}", "prompt": f"Name of number {i}:\n", "answer": f"n-{i % 10}{i // 10}"}


TASKS = {
    "sums": {"rows": sums, "score": "exact_match", "max_new_tokens": 6},
    "colours": {"rows": colours, "score": "multiple_choice"},
    "names": {"rows": names, "score": "likelihood"},
}


def make_tokenizer(texts=None, *, n_token=300, special=("<pad>", "<eos>"), chat_template=None):
    """Trained on `texts`, by default on the sums; of the special tokens the first pads and the second ends."""
    texts = [sums(i)["prompt"] + sums(i)["answer"] for i in range(30)] if texts is None else texts
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=n_token, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=special[0], eos_token=special[1], chat_template=chat_template
    )


def write_model(folder, *, n_layer, width, seed=0, tokenizer=None, kind=LlamaConfig, n_position=128):
    tokenizer = tokenizer or make_tokenizer()
    config = kind(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=n_layer,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=n_position,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config)
        for parameter in module.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_world(folder):
    """Models and rows; `config_of` makes configurations of them."""
    tokenizer = make_tokenizer()
    write_model(folder / "teacher", n_layer=5, width=24, seed=1, tokenizer=tokenizer)
    write_model(folder / "student", n_layer=3, width=16, seed=2, tokenizer=tokenizer)
    for name, task in TASKS.items():
        (folder / name).mkdir()
        for split, indices in SPLITS.items():
            write_rows(folder / name / f"{split}.jsonl", [task["rows"](i) for i in indices])
    return folder


def config_of(folder, *, tasks=tuple(TASKS), name="tiny", **changes):
    values = {
        "name": name,
        "teacher": "./teacher",
        "student": "./student",
        "data": {
            "template": "plain",
            "max_length": 48,
            "tasks": [
                {"name": task, "folder": task, **{k: v for k, v in TASKS[task].items() if k != "rows"}}
                for task in tasks
            ],
        },
        "method": "semalign",
        "controls": ["sft"],
        "training": {"epochs": 1, "batch_size": 20, "learning_rate": 0.01, "lora": {"rank": 2}},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(values | changes), encoding="utf-8")
    return path
