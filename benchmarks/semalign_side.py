"""One training by semalign beside a rival's: `python semalign_side.py SPEC CASE`; it prints one JSON object."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from meter import Meter
from transformers import AutoModelForCausalLM

from semalign.data import Example
from semalign.embedded import student_folder
from semalign.methods import MethodContext
from semalign.methods.base import LoopMethod
from semalign.methods.gkd import GKD
from semalign.methods.hidden_kd import HiddenKD
from semalign.methods.sft import SFT
from semalign.models import LanguageModel, SharedTokens, assemble, load, lora
from semalign.pairing.manual import Manual
from semalign.training import TrainingOptions, train
from semalign.training.loop import batch_plan


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    torch.set_num_threads(1)
    found = trained(spec, sys.argv[2])
    print(json.dumps(found), flush=True)
    return 0


def trained(spec: dict[str, Any], case: str) -> dict[str, Any]:
    student, method, meter = model(spec["student"]), method_of(spec, case), Meter()
    context = MethodContext(
        teacher=model(spec["teacher"]) if method.uses_teacher else student,
        student=student,
        tokens=SharedTokens.of_one(torch.arange(student.module.config.vocab_size)),  # more than its tokenizer has
        extract=(),
        calibration=(),
        seed=0,
    )
    plan, options = method.plan(context), spec["lora"]
    assert sorted(options["target_modules"]) == ["down_proj", "o_proj", "up_proj", "v_proj"], "semalign's own roles"
    lora(student, plan.layers, rank=options["r"], alpha=options["lora_alpha"], dropout=options["lora_dropout"])
    step = method.step(context, plan)
    training = TrainingOptions(epochs=1, batch_size=spec["batch_size"], learning_rate=spec["learning_rate"])
    with tempfile.TemporaryDirectory() as folder:
        rows = in_order(spec, training)
        meter.start()
        history = train(
            step, rows, training, pad_id=0, seed=0, folder=Path(folder), advance=lambda _done: meter.step_done()
        )
    return meter.found(history.entries[0]["loss"], "torch", "transformers", "peft", "semalign")


def method_of(spec: dict[str, Any], case: str) -> LoopMethod:
    if case == "distillkit":
        return HiddenKD(pairing=Manual(pairs=tuple(map(tuple, spec["pairs"]))))
    return {"gkd": GKD(on_policy=0.0), "sft": SFT()}[case]


def model(folder: str) -> LanguageModel:
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return assemble("random", module, load(str(student_folder())).tokenizer)


def in_order(spec: dict[str, Any], options: TrainingOptions) -> list[Example]:
    """The rows so that the loop, which shuffles, takes them in the order of the file, as the rival does."""
    rows = [
        Example(f"row{i}", "random", row["input_ids"], row["n_prompt"], 4 * len(row["input_ids"]), False)
        for i, row in enumerate(spec["rows"])
    ]
    taken = [i for batch in batch_plan(len(rows), options, 0) for i in batch]
    placed = dict(zip(taken, rows, strict=True))
    return [placed[i] for i in range(len(rows))]


if __name__ == "__main__":
    sys.exit(main())
