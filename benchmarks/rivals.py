"""A step of semalign beside the same by TRL and by DistillKit: `python benchmarks/rivals.py`, one JSON line a case.

Same pair (Llamas with random weights: 43.6M teacher and 10.0M student, or the shapes of SmolLM2-135M and of its cut),
rows without padding, batch, LoRA, float32, one thread. Rivals live in environments of their own, with pinned versions,
which are made once under --folder. Each run is a process; ours and theirs take turns, and ratios are medians over
rounds of neighbouring runs. Both must begin at the same loss. docs/performance.md says what each side computes.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from random_model import random_llama

HERE = Path(__file__).parent
SMALL: tuple[dict[str, Any], dict[str, Any]] = ({"n_layer": 12, "width": 512}, {"n_layer": 8, "width": 256})
SMOLLM2: dict[str, Any] = {
    "width": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
CUT = ({"n_layer": 30, **SMOLLM2}, {"n_layer": 26, **SMOLLM2})
"""SmolLM2-135M and the same with four layers less: the real pair of configs/real/smollm2_shrunk.yaml."""
N_POS, N_PROMPT, BATCH = 192, 64, 4
LORA = {"r": 16, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": ["up_proj", "down_proj", "v_proj", "o_proj"]}
PAIRS = ((0, 1), (2, 4), (4, 7), (6, 10))  # the last layers are left out: there one side compares behind the final norm
TORCH = f"torch=={torch.__version__.partition('+')[0]}"
TRL = (TORCH, "trl==1.16.0", f"transformers=={transformers.__version__}", "peft==0.21.2")
DISTILLKIT = "git+https://github.com/arcee-ai/DistillKit@a61c2e7d25c2e990d45832e12bd8542bdee9c810"


class Case(NamedTuple):
    name: str
    by: str
    n_token: int
    apart: float
    """How far the first losses may be from each other, relative."""
    pair: tuple[Mapping[str, Any], Mapping[str, Any]] = SMALL
    """Shapes of teacher and student."""


CASES = {
    case.name: case
    for case in (
        Case("gkd", "gkd", 8000, 1e-4),
        Case("sft", "sft", 8000, 1e-4),
        # projectors begin at random, and DistillKit's KL is masked one position further left
        Case("distillkit", "distillkit", 8000, 5e-2),
        Case("gkd-49152", "gkd", 49152, 1e-4),
        Case("sft-49152", "sft", 49152, 1e-4),
        Case("gkd-smollm2", "gkd", 49152, 1e-4, CUT),
    )
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; all of them without one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=14, help="the first two are not timed")
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "semalign-benchmarks")
    parser.add_argument(
        "--distillkit",
        default=os.environ.get("DISTILLKIT", DISTILLKIT),
        help="what pip installs it from; a folder where the network has no git",
    )
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    for name in options.cases or CASES:
        packages = TRL if CASES[name].by != "distillkit" else distillkit_packages(options.distillkit)
        python = environment(options.folder / CASES[name].by.replace("sft", "trl").replace("gkd", "trl"), packages)
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(compared(CASES[name], python, Path(folder), options.rounds, options.steps)), flush=True)
    return 0


def distillkit_packages(source: str) -> tuple[str, ...]:
    """What it was written for: it asks for TRL 0.25.1, which needs transformers 4."""
    return TORCH, f"distillkit @ {source}" if "+" in source else source, "transformers==4.57.3", "peft==0.18.0"


def environment(folder: Path, packages: tuple[str, ...]) -> Path:
    """The interpreter of an environment that holds these packages; made where there is none."""
    made, python = folder / "made.json", folder / "bin" / "python"
    if made.exists() and json.loads(made.read_text("utf-8")) == list(packages):
        return python
    print(f"making {folder} with {', '.join(packages)}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True, stdout=sys.stderr)
    made.write_text(json.dumps(packages), encoding="utf-8")
    return python


def compared(case: Case, python: Path, folder: Path, rounds: int, n_step: int) -> dict[str, Any]:
    spec = specification(folder, case, n_step)
    sides = {
        "ours": [sys.executable, str(HERE / "semalign_side.py"), str(spec), case.by],
        "theirs": [str(python), str(HERE / "rival_side.py"), str(spec), case.by],
    }
    runs: dict[str, list[dict[str, Any]]] = {by: [] for by in sides}
    for i in range(rounds):
        for by in sides if i % 2 == 0 else reversed(sides):
            runs[by].append(ran(sides[by]))
    return summary(case, runs)


def specification(folder: Path, case: Case, n_step: int) -> Path:
    """What both sides read: the models, the rows and the settings."""
    for seed, (name, size) in enumerate(zip(("teacher", "student"), case.pair, strict=True)):
        model = random_llama(**size, n_token=case.n_token, n_pos=N_POS, seed=seed)
        model.module.save_pretrained(folder / name)
    model.tokenizer.save_pretrained(folder)
    # by file: the classes that transformers 5 names in a folder are unknown to transformers 4
    tokenizer = {"tokenizer_file": str(folder / "tokenizer.json")}
    tokenizer |= {token: getattr(model.tokenizer, token) for token in ("pad_token", "eos_token")}
    numbers = random.Random(0)
    rows = [
        {"input_ids": [numbers.randrange(3, case.n_token) for _ in range(N_POS)], "n_prompt": N_PROMPT}
        for _ in range(BATCH * n_step)
    ]
    spec = {name: str(folder / name) for name in ("teacher", "student", "output")}
    spec |= {
        "tokenizer": tokenizer,
        "rows": rows,
        "batch_size": BATCH,
        "learning_rate": 3e-4,
        "lora": LORA,
        "pairs": PAIRS,
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def ran(command: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def summary(case: Case, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ours, theirs = runs["ours"], runs["theirs"]
    apart = max(abs(a["first_loss"] / b["first_loss"] - 1) for a, b in zip(ours, theirs, strict=True))
    if apart > case.apart:
        losses = [[run["first_loss"] for run in side] for side in (ours, theirs)]
        raise SystemExit(f"{case.name}: the two sides do not begin at the same loss: {losses}")
    ratios = {
        of: [a[of] / b[of] for a, b in zip(ours, theirs, strict=True)]
        for of in ("step_seconds", "peak_bytes", "whole_bytes")
    }
    return {
        "case": case.name,
        "n_token": case.n_token,
        "step": statistics.median(ratios["step_seconds"]),
        "memory": statistics.median(ratios["peak_bytes"]),
        "whole_memory": statistics.median(ratios["whole_bytes"]),
        "step_ratios": ratios["step_seconds"],
        "seconds": {by: statistics.median(run["step_seconds"] for run in side) for by, side in runs.items()},
        "peak_bytes": {by: statistics.median(run["peak_bytes"] for run in side) for by, side in runs.items()},
        "whole_bytes": {by: statistics.median(run["whole_bytes"] for run in side) for by, side in runs.items()},
        "first_losses_apart": apart,
        "n_step": ours[0]["n_step"],
        "versions": {by: side[0]["versions"] for by, side in runs.items()},
    }


if __name__ == "__main__":
    sys.exit(main())
