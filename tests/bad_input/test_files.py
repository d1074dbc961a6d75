"""Files that are not what they should be: one line, exit code 2, nothing written.

Each case changes a copy of a small world and says how the line begins; W is the folder of the configuration.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from refused import assert_refused, snapshot
from tiny_run import config_of, write_world

ROW = {"id": "x", "prompt": "a", "answer": "b"}


def text(path, content):
    """The file, with this content."""

    def change(world):
        (world / path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def more(path, content):
    return lambda world: (world / path).write_text((world / path).read_text() + content)


def row(split, **fields):
    """A file of one row."""
    return text(split, json.dumps({name: x for name, x in {**ROW, **fields}.items() if x is not ...}) + "\n")


def bare(**fields):
    return text("sums/train.jsonl", json.dumps(fields) + "\n")


def of_json(path, **values):
    """Some values of a JSON file changed; ... takes one away."""

    def change(world):
        held = {**json.loads((world / path).read_text()), **values}
        (world / path).write_text(json.dumps({name: x for name, x in held.items() if x is not ...}))

    return change


def folder_for(path):
    def change(world):
        (world / path).unlink()
        (world / path).mkdir()

    return change


def loop(path):
    """A symbolic link to itself."""

    def change(world):
        (world / path).unlink()
        (world / path).symlink_to(world / path)

    return change


def index(value):
    def change(world):
        os.rename(world / "student/model.safetensors", world / "student/model-1.safetensors")
        content = value if isinstance(value, str) else json.dumps(value)
        (world / "student/model.safetensors.index.json").write_text(content)

    return change


def as_json(content):
    """The training rows as one JSON file."""

    def change(world):
        (world / "sums/train.jsonl").unlink()
        (world / "sums/train.json").write_text(content)

    return change


def prompts(content):
    """A file of prompts, and a configuration that names it."""

    def change(world):
        text("open.jsonl", content)(world)
        task = {"name": "a", "folder": "sums", "prompts": "open.jsonl"}
        held = yaml.safe_load((world / "tiny.yaml").read_text())
        held["data"]["tasks"] = [task]
        (world / "tiny.yaml").write_text(yaml.safe_dump(held))

    return change


def bomb(world):
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    more("tiny.yaml", "\n".join(lines) + "\n")(world)


def no_tokenizer(world):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (world / "student" / name).unlink()


def utf16(path):
    return lambda world: (world / path).write_bytes((world / path).read_text().encode("utf-16"))


def another_models(world):
    shutil.copy(world / "teacher/model.safetensors", world / "student/model.safetensors")


TRAIN, CONFIG, INDEX = "sums/train.jsonl", "student/config.json", "W/student/model.safetensors.index.json"
PROMPTS = "W/open.jsonl line 1: "
LINE, NO_CONFIG, NO_TOKENIZER = f"W/{TRAIN} line 1: ", "W/student: no usable model config", "W/student: no usable token"
CASES = {
    "yaml: aliases of aliases": (
        bomb,
        "W/tiny.yaml: not valid YAML (over 100000 values where aliases are written out)",
    ),
    "yaml: nested deep": (text("tiny.yaml", "a: " + "[" * 5000), "W/tiny.yaml: not valid YAML (nested too deep)"),
    "yaml: 5000 digits": (more("tiny.yaml", f"seed: {'9' * 5000}\n"), "W/tiny.yaml: not valid YAML (Exceeds the limit"),
    "yaml: two documents": (more("tiny.yaml", "---\nname: x\n"), "W/tiny.yaml line "),
    "yaml: a tab": (more("tiny.yaml", "cache:\n\tstates: int8\n"), "W/tiny.yaml line "),
    "yaml: UTF-16": (utf16("tiny.yaml"), "W/tiny.yaml: not a UTF-8 text file"),
    "yaml: a bell": (more("tiny.yaml", "x: \x07\n"), "W/tiny.yaml: not valid YAML (unacceptable character #x0007"),
    "yaml: a link to itself": (loop("tiny.yaml"), "W/tiny.yaml: cannot be read (Too many levels of symbolic links)"),
    "yaml: empty": (text("tiny.yaml", ""), "W/tiny.yaml: expected a mapping with teacher, student, data and method"),
    "rows: a list in a line": (more(TRAIN, "[1, 2]\n"), f"W/{TRAIN} line 21: expected a JSON object, got list"),
    "rows: null": (text(TRAIN, "null\n"), LINE + "expected a JSON object, got NoneType"),
    "rows: UTF-16": (utf16(TRAIN), LINE + "not UTF-8; save the file as UTF-8"),
    "rows: NaN": (row(TRAIN, answer=float("nan")), LINE + "field 'answer' is float, expected text"),
    "rows: 5000 digits": (text(TRAIN, f'{{"gold": {"9" * 5000}}}\n'), LINE + "not valid JSON (Exceeds the limit"),
    "rows: half a character": (row(TRAIN, prompt="a\ud800"), LINE + "holds half a character"),
    "rows: half a character as id": (row(TRAIN, id="\ud800"), LINE + "holds half a character"),
    "rows: nested deep": (text(TRAIN, '{"a":' * 100_000), LINE + "not valid JSON (nested too deep)"),
    "rows: a list nested deep": (text(TRAIN, "[" * 100_000), LINE + "not valid JSON (nested too deep)"),
    "rows: a key twice": (
        text(TRAIN, '{"prompt": "a", "answer": "b", "answer": "c"}\n'),
        LINE + "not valid JSON (the key",
    ),
    "rows: an id twice": (text(TRAIN, (json.dumps(ROW) + "\n") * 2), f"W/{TRAIN} line 2: id 'x' is already that of"),
    "rows: a folder": (folder_for(TRAIN), f"W/{TRAIN}: cannot be read (Is a directory)"),
    "rows: a link to itself": (loop(TRAIN), "W/sums: no train.jsonl in it"),
    "rows: a prompt of 900,000 letters": (row(TRAIN, prompt="ab " * 300_000), "task 'sums': max_length 48 leaves no"),
    "rows: an empty prompt": (row(TRAIN, prompt=" \n"), LINE + "the prompt is empty"),
    "rows: an empty answer": (row(TRAIN, answer=" "), LINE + "the answer is empty"),
    "rows: no answer": (row(TRAIN, answer=...), LINE + "no field 'answer'; fields found: id, prompt"),
    "rows: turns, none": (bare(messages=[]), LINE + "'messages' must be a list of at least two turns"),
    "rows: turns, one": (bare(messages=[{"role": "user", "content": "a"}]), LINE + "'messages' must be a list"),
    "rows: turns, no text": (bare(messages=[{"role": "user", "content": None}] * 2), LINE + "messages[0] must have"),
    "rows: turns, a mapping": (
        bare(messages={"role": "user"}),
        LINE + "'messages' must be a list of at least two turns",
    ),
    "rows: turns, the user's last": (
        bare(messages=[{"role": "user", "content": "a"}] * 2),
        LINE + "the last message is",
    ),
    "rows: alpaca, a number": (bare(instruction=3, output="x"), LINE + "field 'instruction' is int, expected text"),
    "rows: alpaca, history": (bare(instruction="a", output="x", history=[["a"]]), LINE + "history[0] must be"),
    "rows: alpaca, system": (bare(instruction="a", output="x", system=5), LINE + "turn[0] must have the texts"),
    "rows: sharegpt, a robot": (
        bare(conversations=[{"from": "robot", "value": "x"}]),
        LINE + "conversations[0] is from",
    ),
    "rows: sharegpt, system": (
        bare(conversations=[{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}], system=["x"]),
        LINE + "system has parts",
    ),
    "rows: preferences": (bare(prompt="a", chosen="b", rejected="c"), LINE + "has 'chosen', so it is a preference row"),
    "rows: no choices": (row("colours/test.jsonl", choices=[], gold=0), "W/colours/test.jsonl line 1: 'gold' is 0"),
    "rows: gold is no index": (
        row("colours/test.jsonl", choices=["b"], gold=1.0),
        "W/colours/test.jsonl line 1: field",
    ),
    "rows: no gold": (row("colours/test.jsonl", choices=["b", "c"]), "task 'colours', test row 'x': score"),
    "rows: final is a mapping": (
        row("sums/test.jsonl", final={"a": 1}),
        "W/sums/test.jsonl line 1: field 'final' is dict",
    ),
    "rows: two files": (text("sums/train.json", "[]"), "W/sums: train.jsonl and train.json; keep one of them"),
    "rows: a list cut short": (as_json('[{"prompt": "a", "answer": "b"},'), "W/sums/train.json line 1: not valid JSON"),
    "rows: a mapping of rows": (as_json('{"rows": []}'), "W/sums/train.json line 1: no field 'prompt'"),
    "rows: more after the list": (
        as_json('[{"prompt": "a", "answer": "b"}] x'),
        "W/sums/train.json line 1: more after",
    ),
    "prompts: no prompt": (prompts('{"id": "x"}\n'), PROMPTS + "no field 'prompt'"),
    "prompts: an empty one": (prompts('{"prompt": " "}\n'), PROMPTS + "the prompt is empty"),
    "prompts: cut short": (prompts('{"prompt": "a"'), PROMPTS + "not valid JSON"),
    "prompts: UTF-16": (prompts('{"prompt": "a"}\n'.encode("utf-16")), PROMPTS + "not UTF-8"),
    "prompts: an id twice": (
        prompts('{"id": "x", "prompt": "a"}\n{"id": "x", "prompt": "b"}\n'),
        "W/open.jsonl line 2: id 'x' is already that of",
    ),
    "prompts: turns, the assistant's alone": (
        prompts('{"messages": [{"role": "assistant", "content": "a"}]}\n'),
        PROMPTS + "'messages' must be a list of at least two turns",
    ),
    "config.json: wider": (
        of_json(CONFIG, hidden_size=32),
        "W/student: weight lm_head.weight is (300, 16) in the files",
    ),
    "config.json: width -1": (of_json(CONFIG, hidden_size=-1), NO_CONFIG),
    "config.json: width x": (of_json(CONFIG, hidden_size="x"), NO_CONFIG),
    "config.json: deeper": (of_json(CONFIG, num_hidden_layers=4), "W/student: weight model.layers.3."),
    "config.json: no layers": (of_json(CONFIG, num_hidden_layers=0), "W/student: has no layers"),
    "config.json: of another family": (of_json(CONFIG, model_type="gpt2"), "W/student: weight transformer.h.0."),
    "config.json: no such family": (of_json(CONFIG, model_type="nope"), NO_CONFIG),
    "config.json: no family": (of_json(CONFIG, model_type=..., architectures=...), NO_CONFIG),
    "config.json: few tokens": (of_json(CONFIG, vocab_size=10), "W/student: weight lm_head.weight is (300, 16) in the"),
    "config.json: no heads": (of_json(CONFIG, num_attention_heads=0), NO_CONFIG),
    "config.json: 3 heads of 16": (of_json(CONFIG, num_attention_heads=3), NO_CONFIG),
    "config.json: no such dtype": (of_json(CONFIG, dtype="nope"), NO_CONFIG),
    "config.json: no such activation": (of_json(CONFIG, hidden_act="nope"), "W/student: weights cannot be loaded"),
    "config.json: a list": (text(CONFIG, "[]"), NO_CONFIG),
    "config.json: empty": (text(CONFIG, ""), NO_CONFIG),
    "config.json: binary": (text(CONFIG, b"\xff\xfe\x00"), NO_CONFIG),
    "config.json: a folder": (folder_for(CONFIG), "W/student: has no config.json"),
    "config.json: a link to itself": (loop(CONFIG), "W/student: has no config.json"),
    "weights: empty": (text("student/model.safetensors", b""), "W/student/model.safetensors: corrupt or truncated"),
    "weights: a folder": (folder_for("student/model.safetensors"), "W/student/model.safetensors: corrupt or truncated"),
    "weights: another model's": (another_models, "W/student: weight lm_head.weight is (300, 24) in the files"),
    "index: a file that is not there": (
        index({"weight_map": {"a": "none.safetensors"}}),
        "W/student: none.safetensors is",
    ),
    "index: out of the folder": (
        index({"weight_map": {"a": "../teacher/model.safetensors"}}),
        f"{INDEX}: names '../teach",
    ),
    "index: an absolute path": (
        index({"weight_map": {"a": "/etc/passwd"}}),
        f"{INDEX}: names '/etc/passwd', which is no",
    ),
    "index: a list": (index([]), f"{INDEX}: is not a safetensors index"),
    "index: no map": (index({}), f"{INDEX}: is not a safetensors index"),
    "index: empty": (index(""), f"{INDEX}: is not a safetensors index"),
    "index: a number": (index({"weight_map": {"a": 3}}), f"{INDEX}: is not a safetensors index"),
    "index: no files": (index({"weight_map": {}}), f"{INDEX}: names no file"),
    "tokenizer: none": (no_tokenizer, NO_TOKENIZER),
    "tokenizer: empty": (text("student/tokenizer.json", ""), NO_TOKENIZER),
    "tokenizer: a list": (text("student/tokenizer.json", "[]"), NO_TOKENIZER),
    "tokenizer: its configuration a list": (text("student/tokenizer_config.json", "[]"), NO_TOKENIZER),
    "tokenizer: no end": (
        of_json("student/tokenizer_config.json", eos_token=...),
        "tokenizer 'W/student' has no eos_token",
    ),
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("pristine"))


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_is_not_what_it_should_be_gets_one_line(name, pristine, tmp_path, say):
    world = shutil.copytree(pristine, tmp_path / "world")
    config = config_of(world, controls=[])
    change, begins = CASES[name]
    change(world)
    before = snapshot(world)
    assert_refused(say("run", config, "--out", world / "out"), begins.replace("W/", f"{world}/"), world)
    assert snapshot(world) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize("path", ["tiny.yaml", TRAIN, CONFIG, "student/model.safetensors"])
def test_a_file_that_may_not_be_read_gets_one_line(path, pristine, tmp_path, say):
    world = shutil.copytree(pristine, tmp_path / "world")
    config = config_of(world, controls=[])
    (world / path).chmod(0)
    said = say("run", config, "--out", world / "out")
    assert (said.code, len(said.complaint)) == (2, 1)
    assert not (world / "out").exists()


@pytest.mark.parametrize("path", ["tiny.yaml", TRAIN])
@pytest.mark.parametrize("ending", [b"\r\n", b"\n"])
def test_other_line_ends_and_a_byte_order_mark_are_no_mistake(path, ending, pristine, tmp_path, say):
    """Only a missing teacher stops it, and that is found after configuration and rows were read."""
    world = shutil.copytree(pristine, tmp_path / "world")
    config = config_of(world, controls=[], teacher="./none")
    (world / path).write_bytes(b"\xef\xbb\xbf" + (world / path).read_bytes().replace(b"\n", ending))
    said = say("run", config, "--out", world / "out")
    assert said.complaint == [
        f"semalign: {world}/none: no such folder; give a folder with config.json, or a hub id such as 'org/name'"
    ]


def test_the_page_says_how_many_inputs_are_tried():
    tests = Path(__file__).parents[1]
    tables = [tests / "bad_input" / "overrides.yaml", tests / "golden" / "config_errors.yaml"]
    tried = len(CASES) + sum(len(yaml.safe_load(table.read_text("utf-8"))) for table in tables)
    assert tried >= 150
    page = (tests.parent / "docs" / "reliability.md").read_text("utf-8")
    assert f"| inputs tried ({len(CASES)} files, {tried - len(CASES)} values)" in page
    assert f"| {tried} of {tried} |" in page
