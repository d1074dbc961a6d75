"""What the pages' commands speak of, in miniature: models of the same names and depths, rows, configurations."""

import copy
import json
from pathlib import Path

import yaml
from fenced import ROOT, blocks
from made_files import write_code, write_files
from tiny_run import make_tokenizer, sums, write_model, write_rows
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, Qwen2Config, T5Config

from semalign.embedded import student_folder

ROWS = {"extract": 2, "align": 4, "train": 4, "validation": 2, "test": 2}  # a ridge map is checked on every fourth
CARVED = {"extract", "align", "train"}  # splits that a task of single files takes out of its training rows
N_PAIR = 2  # of a pairing's `count`: a schedule needs a step for each of its pairs
N_PROMPT = 4
N_TOKEN = 4  # of a generated answer
TRAINING = {"epochs": 1, "batch_size": 2}
LORA = {"rank": 2, "alpha": 2}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
N_POSITION = 2048  # more than the 1,024 tokens that lm-eval's HumanEval leaves for an answer


CLUSTER = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_GPU",
    "num_machines": 1,
    "num_processes": 2,
}
"""Accelerate starts several processes on a CPU where it is told of GPUs that it does not find."""


def smaller(values):
    """A run's or a comparison's configuration with few rows, short answers, one epoch, thin adapters and one seed."""
    values = copy.deepcopy(values)
    for task in values["data"]["tasks"]:
        given = task.get("rows", {})
        splits = ROWS if "folder" in task else {*CARVED, *given}
        task["rows"] = {split: min(given.get(split, n), n) for split, n in ROWS.items() if split in splits}
        if "prompts" in given:  # what an untrained teacher draws ends at nearly any letter
            task["rows"]["prompts"], task["stop"] = N_PROMPT, list("aeiounrst ")
        if task.get("score") != "likelihood":
            task["max_new_tokens"] = N_TOKEN
    for part in (values, *values.get("pairs", {}).values()):
        if isinstance(part.get("teacher"), dict) and "writes" in part["teacher"]:
            part["teacher"]["writes"] = {"max_new_tokens": 40, "temperature": 1.0}
    training = values["training"]
    training |= TRAINING | {"lora": training.get("lora", {}) | LORA}
    training.pop("micro_batch_size", None)
    for method in (values.get("method"), *values.get("methods", {}).values()):
        pairing = method.get("pairing") if isinstance(method, dict) else None
        if isinstance(pairing, dict) and pairing.get("count"):
            pairing["count"] = min(pairing["count"], N_PAIR)
    if "seeds" in values:
        values["seeds"] = 1
    return values


def write_smaller(source, target):
    """Its comments are lost, which nobody reads here."""
    target.parent.mkdir(parents=True, exist_ok=True)
    values = smaller(yaml.safe_load(source.read_text(encoding="utf-8")))
    target.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def write_models(folder):
    """The models that the configurations call by name, as deep as they are, with tokenizers of their own."""
    texts = _texts()
    special = ("<|endoftext|>", "<|im_end|>", "<|im_start|>")  # Qwen's tokenizer adds the first where it is missing
    small = make_tokenizer(texts, n_token=500, special=special, chat_template=CHAT)
    coder = make_tokenizer([text.upper() for text in texts], n_token=400, special=special, chat_template=CHAT)
    shape = {"n_position": N_POSITION}
    write_model(folder / "smollm2-135m-instruct", n_layer=30, width=16, seed=1, tokenizer=small, **shape)
    write_model(
        folder / "qwen2.5-coder-0.5b-instruct", n_layer=24, width=24, seed=2, tokenizer=coder, kind=Qwen2Config, **shape
    )
    _write_t5(folder / "embedded-t5")
    return folder


def _write_t5(folder):
    """What `pairs/seq2seq.py` makes, smaller and without its training."""
    tokenizer = AutoTokenizer.from_pretrained(student_folder())
    ids = {"pad_token_id": 1, "bos_token_id": None, "eos_token_id": 0, "decoder_start_token_id": 1}
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_heads": 2, "num_layers": 3}
    AutoModelForSeq2SeqLM.from_config(T5Config(vocab_size=len(tokenizer), **sizes, **ids)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _texts():
    prompts = [sums(i)["prompt"] for i in range(30)]
    asked = ["Answer the following question.\n\nQuestion:", "Complete the following python function.\n\n\n"]
    return [*prompts, *asked * 9, *["assistant\n", "user\n", "So the answer is", "```python\ndef add_1(a):"] * 9]


def write_benchmarks(folder):
    return write_code(write_files(folder))


def write_desk(folder):
    """Where a reader sits: two models, rows, `my.yaml` of the README, `axes.yaml` and `compare.yaml` of
    docs/compare.md, and the checkout's configurations."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(chat_template=CHAT, special=("<pad>", "<|im_end|>", "<|im_start|>"))
    write_model(folder / "big-model", n_layer=4, width=16, seed=1, tokenizer=tokenizer, n_position=N_POSITION)
    # docs/results/benchmarks.md names a folder; a shallow model, because it writes up to 1,024 tokens an answer
    write_model(
        folder / "smollm2-135m-instruct", n_layer=2, width=16, seed=3, tokenizer=tokenizer, n_position=N_POSITION
    )
    write_model(folder / "small-model", n_layer=2, width=16, seed=2, tokenizer=tokenizer, n_position=N_POSITION)
    write_rows(folder / "train.jsonl", [sums(i) for i in range(24)])
    write_rows(folder / "validation.jsonl", [sums(i) for i in range(24, 28)])
    write_rows(folder / "test.jsonl", [sums(i) for i in range(28, 32)])
    _write_block(folder / "my.yaml", "README.md", "my.yaml")
    _write_block(folder / "compare.yaml", "docs/compare.md", "pairs:")
    (folder / "my-cluster.yaml").write_text(yaml.safe_dump(CLUSTER), encoding="utf-8")
    (axes,) = (b.text for b in blocks() if b.page == "docs/compare.md" and b.text.startswith("axes:"))
    (folder / "axes.yaml").write_text(axes, encoding="utf-8")
    for source in (*sorted((ROOT / "configs").rglob("*.yaml")), ROOT / "src/semalign/quickstart.yaml"):
        if "data" in yaml.safe_load(source.read_text(encoding="utf-8")):
            write_smaller(source, folder / source.relative_to(ROOT))
    return folder


def _write_block(path: Path, page: str, word: str):
    (text,) = (b.text for b in blocks() if b.page == page and b.language == "yaml" and word in b.text)
    path.write_text(text, encoding="utf-8")
    write_smaller(path, path)


def example_row():
    """The row that the tutorial shows."""
    (example,) = (b for b in blocks() if b.page == "docs/tutorial.md" and b.language == "json")
    return json.loads(example.text)
