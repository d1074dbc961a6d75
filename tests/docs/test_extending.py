"""Every example of docs/extending.md works as written: the contracts of its kind run over it, and a run uses all."""

import os
import re
import subprocess
import sys
from importlib import import_module

import pytest
import torch
import yaml
from fenced import ROOT, blocks

from semalign.strategy import _REGISTRY, KINDS

PAGE = [block for block in blocks() if block.page == "docs/extending.md"]
EXAMPLES = {
    re.match(r"# src/semalign/(\w+)/(\w+)\.py\n", block.text).groups(): block.text
    for block in PAGE
    if block.language == "python"
}
NAMES = dict(EXAMPLES.keys())
TRAINING = {"epochs": 1, "batch_size": 10, "learning_rate": 0.01, "lora": {"rank": 2}}  # two steps: one a stage
FOLDERS = {"losses", "basis", "pairing", "attribution", "schedules", "methods"}
CONTRACTS = [
    "tests/losses/test_losses_contract.py",
    "tests/basis/test_basis_contract.py",
    "tests/pairing/test_pairing_contract.py",
    "tests/attribution/test_attribution_contract.py",
    "tests/schedules/test_schedules_contract.py",
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The examples as modules in a folder."""
    folder = tmp_path_factory.mktemp("mine")
    for (_, name), text in EXAMPLES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def registered(files, monkeypatch):
    """Imported, and forgotten again, so that no other test finds them."""
    monkeypatch.syspath_prepend(str(files))
    yield {name: import_module(name) for _, name in EXAMPLES}
    for _, name in EXAMPLES:
        del sys.modules[name]
        for kind in KINDS:
            _REGISTRY[kind].pop(name, None)


def test_every_kind_has_an_example():
    assert set(NAMES) == FOLDERS
    assert len(EXAMPLES) == len(KINDS)


@pytest.mark.slow
def test_the_contract_tests_hold_for_every_example(files):
    plugins = [word for folder, name in EXAMPLES if folder != "methods" for word in ("-p", name)]
    names = " or ".join(name for folder, name in EXAMPLES if folder != "methods")
    command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib", *plugins, "-k", names]
    done = subprocess.run(
        [*command, *CONTRACTS],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(files), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 40


def test_the_method_trains_its_layers_and_nothing_else(registered):
    from pair import PAD, adapted_step, make_context, make_examples

    from semalign.data import collate

    context = make_context()
    frozen = {name: p.clone() for name, p in context.student.module.named_parameters()}
    _, plan, step = adapted_step(registered["upper_half"].UpperHalf(), context)
    assert plan.layers == (1, 2)
    batch = collate(make_examples(4), PAD)
    loss, totals, _ = step(batch, step.units(batch))
    assert set(totals) == {"cross_entropy", "kl"}
    loss.backward()
    trained = {name for name, p in step.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {int(name.partition(".layers.")[2].partition(".")[0]) for name in trained} == {1, 2}
    assert all("lora" in name for name in trained)
    now = {name.replace(".base_layer", ""): p for name, p in context.student.module.named_parameters()}
    assert all(torch.equal(now[name], p) for name, p in frozen.items())


@pytest.mark.slow
def test_a_run_uses_them_all_by_name(registered, world, tmp_path):
    from tiny_run import config_of

    from semalign import Run, run
    from semalign.artifacts import read_json

    (example,) = [yaml.safe_load(block.text) for block in PAGE if block.language == "yaml"]
    assert set(NAMES.values()) <= set(re.findall(r"\w+", str(example)))
    folder = run(
        Run.read(config_of(world, name="extended", tasks=("names",), training=TRAINING, **example)), tmp_path / "run"
    )
    trained = {model["key"] for model in read_json(folder / "record.json")["models"]}
    assert trained >= {"upper_half", "attributed", "semalign"}
    assert "example of docs/extending.md" in (folder / "report.md").read_text(encoding="utf-8")
